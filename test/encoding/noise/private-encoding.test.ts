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

const norm = (values: ArrayLike<number>): number => {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i] ** 2
  return Math.sqrt(sum)
}

describe('vectors with differential privacy (§12)', () => {
  it('sum to the sum of the clipped vectors, with noise of the promised variance', async () => {
    const [members, length] = [10, 2 ** 16]
    const task = privateTask(members, length, { clip: 2, noiseMultiplier: 0.5 })
    const encoder = createEncoder(task, 7)
    const inputs = Array.from({ length: members }, (_, member) =>
      Float64Array.from({ length }, (_, i) => Math.sin(member + i) * (member < 5 ? 0.001 : 1))
    )
    const encoded: Lanes[] = []
    for (const vector of inputs) encoded.push((await encoder.encode(vector)).lanes)
    const { values } = await encoder.decode(sumOf(task, encoded), members)
    const plain = new Float64Array(length)
    for (const vector of inputs) {
      const factor = Math.min(1, 2 / norm(vector))
      vector.forEach((value, i) => (plain[i] += value * factor))
    }
    const variance = plain.reduce((sum, value, i) => sum + (Number(values[i]) - value) ** 2, 0) / length
    const promised = members * noiseDeviation(task) ** 2
    // Five standard errors of a variance, and what rounding to whole numbers adds at most.
    const error = 5 * Math.sqrt(2 / length)
    const rounding = members / 4 / taskSensitivity(task).scale ** 2
    assert.ok(variance > promised * (1 - error), `${variance} for ${promised}`)
    assert.ok(variance < (promised + rounding) * (1 + error), `${variance} for ${promised}`)
  })

  it('are calibrated so that nMin − f honest contributors alone give the noise multiplier', () => {
    const task = privateTask(8, 100, { clip: 3, noiseMultiplier: 1.5 })
    assert.ok(Math.abs(noiseDeviation(task) * Math.sqrt(leastContributors(task)) - 4.5) < 1e-12)
  })

  it('never exceed the norm that the accountant counts with, before noise', async () => {
    // So little noise that it is next to always zero; one rounding in ten would be longer.
    const task = privateTask(3, 4, { noiseMultiplier: 1e-4, bits: 8 })
    const { l2 } = taskSensitivity(task)
    for (let round = 0; round < 300; round++) {
      const { lanes } = await createEncoder(task, round).encode([Math.cos(round), Math.sin(round), 3, -2])
      assert.ok(
        norm(Array.from(lanes, (lane) => (lane << 16) >> 16)) <= l2,
        `round ${round}: ${lanes.join()} for ${l2}`
      )
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
