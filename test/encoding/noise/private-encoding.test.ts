import assert from 'node:assert/strict'
import { bytesToHex } from '@noble/hashes/utils.js'
import { createEncoder } from '../../../src/encoding/encoder.ts'
import { leastContributors, noiseDeviation, taskSensitivity } from '../../../src/encoding/noise/private-encoding.ts'
import type { PrivateTask } from '../../../src/encoding/noise/private-encoding.ts'
import { createRotation, paddedLength } from '../../../src/encoding/noise/rotation.ts'
import { createLanes } from '../../../src/crypto/mask-stream.ts'
import type { Lanes } from '../../../src/crypto/mask-stream.ts'
import { InputError, TaskError } from '../../../src/errors.ts'
import { createTask } from '../../../src/task/task.ts'
import { members as membersOf } from '../../task/members.ts'

function privateTask(members: number, length: number, privacy: object = {}): PrivateTask {
  const terms = { noiseMultiplier: 1, delta: 1e-5, bits: 20, ...privacy }
  return createTask({ name: 'private', members: membersOf(members), length, privacy: terms }) as PrivateTask
}

function sumOf(task: PrivateTask, vectors: Lanes[]): Lanes {
  const sum = createLanes(task.bits, task.laneCount)
  for (const lanes of vectors) for (let i = 0; i < sum.length; i++) sum[i] += lanes[i]
  return sum
}

const norm = (values: ArrayLike<number>): number => Math.hypot(...Array.from(values))

describe('vectors with differential privacy (§12)', () => {
  it('sum to the sum of the clipped vectors, with noise of the promised deviation', async () => {
    const members = 10
    const task = privateTask(members, 3000, { clip: 2, noiseMultiplier: 0.5 })
    const encoder = createEncoder(task, 7)
    const inputs = Array.from({ length: members }, (_, member) =>
      Float64Array.from({ length: 3000 }, (_, i) => Math.sin(member + i) * (member < 5 ? 0.01 : 1))
    )
    const encoded = await Promise.all(inputs.map((vector) => encoder.encode(vector)))
    const { values } = await encoder.decode(
      sumOf(
        task,
        encoded.map(({ lanes }) => lanes)
      ),
      members
    )
    const plain = new Float64Array(3000)
    for (const vector of inputs) {
      const factor = Math.min(1, 2 / norm(vector))
      vector.forEach((value, i) => (plain[i] += value * factor))
    }
    const errors = plain.map((value, i) => Number(values[i]) - value)
    const deviation = noiseDeviation(task) * Math.sqrt(members)
    const found = norm(errors) / Math.sqrt(3000)
    // Three thousand samples: five standard errors, and what rounding adds.
    assert.ok(Math.abs(found / deviation - 1) < 5 / Math.sqrt(2 * 3000) + 0.01, `${found} for ${deviation}`)
  })

  it('are calibrated so that nMin − f honest contributors alone give the noise multiplier', () => {
    const task = privateTask(8, 100, { clip: 3, noiseMultiplier: 1.5 })
    assert.ok(Math.abs(noiseDeviation(task) * Math.sqrt(leastContributors(task)) - 4.5) < 1e-12)
  })

  it('never exceed the norm that the accountant counts with, before noise', async () => {
    const task = privateTask(4, 1000, { noiseMultiplier: 1e-4 })
    const { l2, scale } = taskSensitivity(task)
    const noise = scale * noiseDeviation(task) * Math.sqrt(task.laneCount)
    for (let run = 0; run < 20; run++) {
      const { lanes } = await createEncoder(task, run).encode(new Float64Array(1000).fill(9))
      const signed = Array.from(lanes, (lane) => (lane << 12) >> 12)
      assert.ok(norm(signed) < l2 + 2 * noise)
    }
  })

  it('are turned in another way each round, and back', async () => {
    const block = Float64Array.from({ length: 256 }, (_, i) => i - 100)
    const turned = async (round: number) => {
      const copy = block.slice()
      await createRotation(new Uint8Array(32), round).apply(copy, 0)
      assert.ok(Math.abs(norm(copy) - norm(block)) < 1e-9)
      return copy
    }
    const [first, second] = [await turned(1), await turned(2)]
    assert.notDeepEqual(first, second)
    await createRotation(new Uint8Array(32), 1).undo(first, 0)
    first.forEach((value, i) => assert.ok(Math.abs(value - block[i]) < 1e-9))
  })

  it('are padded to whole blocks of 2^14, or to one shorter block', () => {
    for (const [length, padded] of [
      [1, 1],
      [1000, 1024],
      [16_384, 16_384],
      [16_385, 32_768],
      [100_000, 114_688]
    ])
      assert.equal(paddedLength(length), padded)
    assert.equal(privateTask(3, 1000).laneCount, 1024)
  })

  it('have no weights, and refuse what every vector refuses', async () => {
    const encoder = createEncoder(privateTask(3, 4), 1)
    for (const [vector, options, code] of [
      [[1, NaN, 0, 0], {}, 'INPUT_NOT_FINITE'],
      [[1, 2, 3], {}, 'INPUT_LENGTH'],
      [[1, 2, 3, 4], { weight: 2 }, 'INPUT_WEIGHT']
    ] as const) {
      const refused = (error: unknown): boolean => error instanceof InputError && error.code === code
      await assert.rejects(encoder.encode(vector, options), refused)
      await assert.rejects(encoder.check(vector, options), refused)
    }
  })

  it('belong to a task that names privacy or an encoding, never both and never neither', () => {
    const terms = { name: 'x', members: membersOf(3), length: 4 }
    const privacy = { noiseMultiplier: 1, delta: 1e-5 }
    const encoding = { type: 'integer', max: 5 }
    const refused = (error: unknown): boolean => error instanceof TaskError && error.code === 'TASK_INVALID'
    assert.throws(() => createTask({ ...terms, privacy, encoding }), refused)
    assert.throws(() => createTask(terms), refused)
    assert.notEqual(
      bytesToHex(createTask({ ...terms, privacy }).idBytes),
      bytesToHex(createTask({ ...terms, privacy: { ...privacy, budget: 3 } }).idBytes)
    )
  })
})
