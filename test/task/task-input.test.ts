import assert from 'node:assert/strict'
import { taskInputOf } from '../../src/task/task-input.ts'
import { createTask } from '../../src/task/task.ts'
import type { TaskInput } from '../../src/task/task.ts'
import { members } from './members.ts'

describe('a task, written out again', () => {
  const bare = { name: 'again', members: members(9), length: 5 }
  const tasks: TaskInput[] = [
    { ...bare, encoding: { type: 'integer', max: 100 }, audit: 'full' },
    { ...bare, encoding: { type: 'integer', min: -3, max: 100 }, threat: { corrupt: 0, dropout: 0.3333 } },
    { ...bare, encoding: { type: 'fixed', clip: 0.1, bits: 12, weighted: 7, rounding: 'nearest' }, deadline: 0.123 },
    { ...bare, privacy: { noiseMultiplier: 1.25, delta: 1e-6, budget: 8 }, randomness: 'ab'.repeat(32) },
    { ...bare, encoding: { type: 'fixed' }, threat: { corrupt: 0, dropout: 0 }, groups: { count: 3 } },
    { ...bare, encoding: { type: 'fixed' }, admission: { allow: members(11).slice(9), vouches: 2 } }
  ]

  it('is the same task, with the same id, whatever fields it has', () => {
    for (const input of tasks) {
      const task = createTask(input)
      const written = JSON.parse(JSON.stringify(taskInputOf(task))) as TaskInput
      assert.deepEqual(createTask(written), task)
    }
  })
})
