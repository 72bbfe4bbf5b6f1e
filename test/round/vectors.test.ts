import assert from 'node:assert/strict'
import fc from 'fast-check'
import { createLanes } from '../../src/crypto/mask-stream.ts'
import { VectorHasher } from '../../src/crypto/merkle.ts'
import { CHUNK_ELEMENTS, pack, packedLength, unpack } from '../../src/encoding/packing.ts'
import { MemoryVectorStore } from '../../src/journal/vector-store.ts'
import type { Frame } from '../../src/round/ports.ts'
import {
  addStored,
  DATA_FRAME_BYTES,
  maskInto,
  receiveVector,
  vectorFrames,
  VectorTooLate
} from '../../src/round/vectors.ts'
import { VirtualClock } from '../simulation/virtual-clock.ts'
import { hashOf } from './fixtures.ts'

const clock = new VirtualClock()
const owner = { attemptId: hashOf('attempt'), member: 3 }
const shape = { elements: 1003, bits: 13 }

function packed({ elements, bits } = shape): Uint8Array {
  const lanes = createLanes(bits, elements)
  for (let i = 0; i < elements; i++) lanes[i] = (i * 2654435761) % 2 ** bits
  return pack(lanes, bits)
}

function rootOf(bytes: Uint8Array, of = owner): Uint8Array {
  const hasher = new VectorHasher({ ...of, chunkBytes: packedLength(CHUNK_ELEMENTS, shape.bits) })
  hasher.update(bytes)
  return hasher.finish().root
}

async function* frames(...payloads: Array<Uint8Array | Frame>): AsyncGenerator<Frame> {
  for (const payload of payloads) yield payload instanceof Uint8Array ? { kind: 'data', payload } : payload
}

const whole = packed()
const root = rootOf(whole)
const receive = async (incoming: AsyncGenerator<Frame>, from = { ...owner, root }, wanted = () => true) => {
  const store = new MemoryVectorStore()
  try {
    await receiveVector(incoming, store, 'vector', from, shape, { wanted })
  } catch (error) {
    assert.equal(await store.size('vector'), undefined, 'a refused vector leaves nothing')
    throw error
  }
  return store
}

describe('a vector on its way', () => {
  it('is taken in frames of any length, and kept when it is whole and matches its root', () =>
    fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: whole.length - 1 }), { maxLength: 6 }), async (cuts) => {
        const ends = [...new Set(cuts)].sort((a, b) => a - b)
        const pieces = [0, ...ends].map((from, at) => whole.subarray(from, ends[at] ?? whole.length))
        const store = await receive(frames(...pieces))
        assert.deepEqual(await store.readRange('vector', 0, whole.length), whole)
      })
    ))

  it('leaves what follows it in the conversation to the next reader', async () => {
    const next: Frame = { kind: 'control', payload: Uint8Array.of(1) }
    const incoming = frames(whole, next)
    await receiveVector(incoming, new MemoryVectorStore(), 'vector', { ...owner, root }, shape)
    assert.deepEqual((await incoming.next()).value, next)
  })

  const bad: Array<[string, string, () => AsyncGenerator<Frame>, Uint8Array?]> = [
    ['truncated', 'TRUNCATED', () => frames(whole.subarray(0, 100))],
    ['that never begins', 'TRUNCATED', () => frames()],
    ['a byte too long', 'OVERSIZED', () => frames(Uint8Array.of(...whole, 0))],
    ['with a last frame that is too long', 'OVERSIZED', () => frames(whole.subarray(0, 100), whole)],
    ['with an empty frame', 'OVERSIZED', () => frames(whole.subarray(0, 100), new Uint8Array(0), whole.subarray(100))],
    [
      'with a message in between',
      'OUT_OF_PHASE',
      () => frames(whole.subarray(0, 100), { kind: 'control', payload: whole.subarray(100) })
    ],
    ['with an element changed', 'INVALID', () => frames(whole.map((byte, at) => (at === 700 ? byte ^ 1 : byte)))]
  ]
  for (const [what, code, incoming] of bad) {
    it(`${what} is refused and leaves nothing`, () => assert.rejects(receive(incoming()), { code }))
  }

  it('with padding bits that are not zero is refused, even under a root of its own', async () => {
    assert.notEqual((shape.elements * shape.bits) % 8, 0)
    const padded = whole.map((byte, at) => (at === whole.length - 1 ? byte | 0x80 : byte))
    await assert.rejects(receive(frames(padded), { ...owner, root: rootOf(padded) }), { code: 'MALFORMED' })
  })

  it('of another member or attempt is refused', async () => {
    for (const other of [
      { ...owner, member: 4 },
      { ...owner, attemptId: hashOf('other') }
    ])
      await assert.rejects(receive(frames(whole), { ...owner, root: rootOf(whole, other) }), { code: 'INVALID' })
  })

  it('that nobody waits for any more is read to its end, kept by nobody, and no fault', () =>
    assert.rejects(
      receive(frames(whole), undefined, () => false),
      VectorTooLate
    ))

  it('leaves nothing when its conversation breaks, and an earlier one of that name untouched', async () => {
    const store = new MemoryVectorStore()
    await receiveVector(frames(whole), store, 'vector', { ...owner, root }, shape)
    async function* breaking(): AsyncGenerator<Frame> {
      yield { kind: 'data', payload: whole.subarray(0, 9) }
      throw new Error('the connection broke')
    }
    await assert.rejects(receiveVector(breaking(), store, 'vector', { ...owner, root }, shape), /connection broke/)
    assert.deepEqual(await store.readRange('vector', 0, whole.length), whole)
  })

  it('travels in data frames of bounded size, is added up, and masks of opposite sign cancel in it', async () => {
    for (const { elements, bits } of [
      { elements: 200_003, bits: 12 },
      { elements: 70_000, bits: 30 }
    ]) {
      const store = new MemoryVectorStore()
      const accumulator = createLanes(bits, elements)
      const seed = hashOf('seed')
      for (const [member, sign] of [
        [0, 1],
        [1, -1]
      ] as const) {
        const lanes = unpack(packed({ elements, bits }), elements, bits)
        const name = `member-${member}`
        const of = { attemptId: owner.attemptId, member }
        const root = await maskInto(store, name, lanes, [{ seed, sign }], of, { elements, bits }, { clock })
        const copy = new MemoryVectorStore()
        const sent: Frame[] = []
        for await (const frame of vectorFrames(store, name)) sent.push(frame)
        assert.ok(sent.length > 1 && sent.every(({ payload }) => payload.length <= DATA_FRAME_BYTES))
        await receiveVector(frames(...sent), copy, name, { ...of, root }, { elements, bits })
        await addStored(copy, name, accumulator, { elements, bits }, clock)
      }
      const plain = unpack(packed({ elements, bits }), elements, bits)
      const modulus = 2 ** bits
      assert.ok(plain.every((value, at) => accumulator[at] % modulus === (2 * value) % modulus))
    }
  })
})
