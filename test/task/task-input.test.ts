import assert from 'node:assert/strict'
import { fieldNames } from '../../src/task/schema.ts'
import { taskInputOf } from '../../src/task/task-input.ts'
import { createTask } from '../../src/task/task.ts'
import type { TaskInput } from '../../src/task/task.ts'
import { members } from './members.ts'

/** Every field of an input, by its path, and the input without it. */
function* leavingOneOut(input: object): Generator<[path: string[], without: object]> {
  for (const [name, value] of Object.entries(input) as Array<[string, unknown]>) {
    const { [name]: _, ...others } = input as Record<string, unknown>
    yield [[name], others]
    if (typeof value !== 'object' || value === null || Array.isArray(value)) continue
    for (const [path, without] of leavingOneOut(value)) yield [[name, ...path], { ...input, [name]: without }]
  }
}

function idOf(input: object): string | undefined {
  try {
    return createTask(input).id
  } catch {
    return undefined
  }
}

describe('a task, written out again', () => {
  const bare = { name: 'again', members: members(9), length: 5 }
  const tasks: TaskInput[] = [
    { ...bare, encoding: { type: 'integer', max: 100 }, audit: 'full', shards: 3 },
    { ...bare, encoding: { type: 'integer', min: -3, max: 100 }, threat: { corrupt: 0, dropout: 0.3333 } },
    { ...bare, encoding: { type: 'fixed', clip: 0.1, bits: 12, weighted: 7, rounding: 'nearest' }, deadline: 0.123 },
    { ...bare, privacy: { clip: 3, noiseMultiplier: 1.25, delta: 1e-6, bits: 24, budget: 8 } },
    { ...bare, encoding: { type: 'fixed' }, randomness: 'ab'.repeat(32), audit: 3 },
    { ...bare, encoding: { type: 'fixed' }, threat: { corrupt: 0, dropout: 0 }, groups: { count: 3, trim: 0 } },
    { ...bare, encoding: { type: 'fixed' }, admission: { allow: members(11).slice(9), vouches: 2 } }
  ]

  it('is the same task, with the same id, whatever fields it has', () => {
    for (const input of tasks) {
      const task = createTask(input)
      const written = JSON.parse(JSON.stringify(taskInputOf(task))) as TaskInput
      assert.deepEqual(createTask(written), task)
    }
  })

  it('was tried with every field there is, each with a value that the task would not have without it', () => {
    const tried = new Set<string>()
    for (const input of tasks)
      for (const [path, without] of leavingOneOut(input))
        if (idOf(without) !== createTask(input).id) tried.add(path.at(-1)!)
    assert.deepEqual([...tried].sort(), [...new Set(fieldNames)].sort())
  })
})
