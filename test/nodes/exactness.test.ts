import assert from 'node:assert/strict'
import { join } from 'node:path'
import fc from 'fast-check'
import { compareWithPlainSum, plainEncoding } from '../../nodes/local-network/exactness.ts'
import { generateInput, reproducible } from '../../nodes/local-network/generated-inputs.ts'
import { checkElements } from '../../nodes/local-network/inputs.ts'
import { writeNpy } from '../../nodes/npy.ts'
import type { NpyValues } from '../../nodes/npy.ts'
import { createEncoder, quantisationBound } from '../../src/encoding/encoder.ts'
import { createTask } from '../../src/task/task.ts'
import type { Task, TaskInput } from '../../src/task/task.ts'
import { members } from '../task/members.ts'
import { temporaryFolder } from './secagg.ts'

function taskOf(encoding: TaskInput['encoding'], length: number): Task {
  return createTask({ name: 'test', members: members(3), length, encoding })
}

describe('the comparison with the plain sum', () => {
  const folder = temporaryFolder()

  async function compare(task: Task, sum: NpyValues, inputs: { values: NpyValues; weight?: number }[]) {
    const included = inputs.map(({ weight }, member) => ({ file: join(folder(), `peer-${member}.npy`), weight }))
    await Promise.all(inputs.map(({ values }, member) => writeNpy(included[member].file, values)))
    return compareWithPlainSum(task, sum, included)
  }

  it('of integers is exact if every element is equal, however large and whatever the type of the files', async () => {
    const far = 2 ** 53 - 1
    const task = taskOf({ type: 'integer', min: far - 10, max: far }, 2)
    const inputs = [Float64Array.of(far, far - 10), BigInt64Array.of(BigInt(far) - 1n, BigInt(far))]
    const sum = BigInt64Array.of(2n * BigInt(far) - 1n, 2n * BigInt(far) - 10n)
    const values = inputs.map((input) => ({ values: input }))
    assert.deepEqual(await compare(task, sum, values), { exact: true, maxError: 0 })
    sum[1]++
    assert.deepEqual(await compare(task, sum, values), { exact: false, maxError: 1 })
  })

  it('of fixed point is with the clipped inputs, within the quantisation error and no further', async () => {
    const task = taskOf({ type: 'fixed', clip: 2 }, 1)
    const inputs = [{ values: Float32Array.of(100) }, { values: Float64Array.of(-0.5) }]
    const bound = quantisationBound(task, 2)
    assert.equal((await compare(task, Float64Array.of(1.5 + bound * 0.99), inputs)).exact, true)
    assert.equal((await compare(task, Float64Array.of(1.5 + bound * 1.01), inputs)).exact, false)
    assert.equal((await compare(task, Float64Array.of(99.5), inputs)).exact, false)
    assert.deepEqual(await compare(task, Float64Array.of(NaN), inputs), { exact: false, maxError: Infinity })
  })

  it('of a weighted task counts every input as often as its weight says', async () => {
    const task = taskOf({ type: 'fixed', clip: 8, weighted: 10 }, 1)
    const inputs = [
      { values: Float64Array.of(1), weight: 10 },
      { values: Float64Array.of(-2), weight: 3 }
    ]
    assert.deepEqual(await compare(task, Float64Array.of(4), inputs), { exact: true, maxError: 0 })
    assert.equal((await compare(task, Float64Array.of(-1), inputs)).exact, false)
  })

  it('refuses a sum of another length or type', async () => {
    const task = taskOf({ type: 'integer', max: 9 }, 2)
    const inputs = [{ values: Int32Array.of(1, 2) }]
    await assert.rejects(compare(task, BigInt64Array.of(1n), inputs), /the sum has 1 elements and the task 2/)
    await assert.rejects(compare(task, Float64Array.of(1, 2), inputs), /not of dtype int64/)
  })

  it('agrees with what the encoder makes of generated inputs', async () => {
    const encodings: TaskInput['encoding'][] = [
      { type: 'integer', min: -300, max: 1000 },
      { type: 'fixed' },
      { type: 'fixed', clip: 0.1, bits: 20, rounding: 'nearest' }
    ]
    for (const encoding of encodings) {
      const task = taskOf(encoding, 500)
      const encoder = createEncoder(task, 1)
      const inputs = [0, 1, 2].map((member) => generateInput(plainEncoding(task), 500, reproducible('test', member)))
      const lanes = await Promise.all(inputs.map((values) => encoder.encode(values)))
      const sum = lanes[0].lanes.map((lane, at) => lane + lanes[1].lanes[at] + lanes[2].lanes[at])
      const { values } = await encoder.decode(sum, 3)
      assert.equal(
        (
          await compare(
            task,
            values,
            inputs.map((input) => ({ values: input }))
          )
        ).exact,
        true
      )
    }
  })
})

describe('generated inputs', () => {
  const integer = fc
    .tuple(fc.integer({ min: -(2 ** 40), max: 2 ** 40 }), fc.integer({ min: 1, max: 2 ** 31 }))
    .map(([min, range]) => ({ type: 'integer' as const, min, max: min + range }))

  it('are such as the task accepts, the same for the same words and others for others', () => {
    fc.assert(
      fc.property(integer, fc.string(), (encoding, seed) => {
        const make = (member: number) => generateInput(encoding, 50, reproducible('input', seed, member))
        checkElements(make(0), encoding)
        assert.deepEqual(make(0), make(0))
        if (encoding.max - encoding.min > 1000) assert.notDeepEqual(make(0), make(1))
      }),
      { numRuns: 50 }
    )
  })

  it('in fixed point lie within the clip and are spread around nought', () => {
    const encoding = { type: 'fixed' as const, clip: 8, bits: 16, rounding: 'stochastic' as const }
    const values = generateInput(encoding, 20_000, reproducible('spread')) as Float32Array
    assert.ok(values.every((value) => Math.abs(value) <= 8))
    const mean = values.reduce((sum, value) => sum + value) / values.length
    const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length)
    assert.ok(Math.abs(mean) < 0.1 && Math.abs(deviation - 2) < 0.1, `mean ${mean}, deviation ${deviation}`)
  })
})
