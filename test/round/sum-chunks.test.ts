import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { VectorHasher } from '../../src/crypto/merkle.ts'
import { CHUNK_ELEMENTS, packedLength } from '../../src/encoding/packing.ts'
import { MessageError } from '../../src/errors.ts'
import { MemoryVectorStore } from '../../src/journal/vector-store.ts'
import { checkChunk } from '../../src/round/chunks.ts'
import type { Slice } from '../../src/round/slices.ts'
import { SumSlice } from '../../src/round/sum-chunks.ts'

const bits = 3
const place = { attemptId: new Uint8Array(32).fill(7), member: 8 }

/** A slice of a sum on the disk of whoever made it, and how others know it. */
async function published(elements: number, firstChunk = 0) {
  const bytes = new Uint8Array(randomBytes(packedLength(elements, bits)))
  const used = (elements * bits) % 8
  if (used !== 0) bytes[bytes.length - 1] &= (1 << used) - 1
  const store = new MemoryVectorStore()
  const staged = await store.stage('sum')
  await staged.write(bytes)
  await staged.commit()
  const hasher = new VectorHasher({ ...place, firstChunk, chunkBytes: packedLength(CHUNK_ELEMENTS, bits) })
  hasher.update(bytes)
  const { root, leaves } = hasher.finish()
  const offset = packedLength(firstChunk * CHUNK_ELEMENTS, bits)
  const slice: Slice = { number: 0, firstChunk, elements, offset, bytes: bytes.length }
  const sum = new SumSlice(store, slice, { root }, bits)
  sum.putAway({ name: 'sum', offset: 0 }, leaves)
  const check = (chunk: Parameters<typeof checkChunk>[0], together = sum.together): void =>
    checkChunk(chunk, { ...place, root, firstChunk }, sum.shape, together)
  return { bytes, store, slice, root, sum, check }
}

describe('a published sum', () => {
  for (const [chunks, together, firstChunk] of [
    [1, 1, 0],
    [63, 1, 0],
    [64, 2, 0],
    [65, 2, 3],
    [131, 4, 0],
    [255, 4, 7],
    [257, 8, 0],
    [611, 8, 5]
  ])
    for (const last of [CHUNK_ELEMENTS, 13])
      it(`of ${chunks} chunks from ${firstChunk} on, the last of ${last} elements, is passed on by ${together}, each part proven`, async () => {
        const elements = (chunks - 1) * CHUNK_ELEMENTS + last
        const { bytes, store, slice, root, sum, check } = await published(elements, firstChunk)
        assert.equal(sum.together, together)
        assert.equal(sum.chunks.length, Math.ceil(chunks / together))
        const received = new SumSlice(store, slice, { root }, bits)
        for (const index of sum.chunks) {
          assert.equal(received.isWhole, false)
          const part = (await sum.get(index))!
          assert.equal(part.bytes.length, sum.placeOf(index).length)
          check(part)
          received.put(part)
          assert.ok(received.has(index))
        }
        assert.ok(received.isWhole)
        const payloads: Uint8Array[] = []
        for await (const { payload } of received.frames()) payloads.push(payload)
        assert.ok(Buffer.concat(payloads).equals(bytes))
      })

  it('by several chunks is refused where a part is altered, cut short, in another’s place or proven otherwise', async () => {
    const { sum, check } = await published(299 * CHUNK_ELEMENTS + 5)
    const [first, second, last] = await Promise.all([0, 8, 296].map(async (index) => (await sum.get(index))!))
    const altered = first.bytes.slice()
    altered[altered.length - 1] ^= 0x80
    const padded = last.bytes.slice()
    padded[padded.length - 1] |= 0x80
    const lies = [
      { ...first, bytes: altered },
      { ...first, bytes: first.bytes.subarray(1) },
      { ...first, bytes: second.bytes },
      { ...second, index: 0 },
      { ...second, index: 7 },
      { ...first, path: second.path },
      { ...first, path: first.path.slice(1) },
      { ...last, index: 304 },
      { ...last, bytes: last.bytes.subarray(0, -1) },
      { ...last, bytes: padded }
    ]
    for (const lie of lies) assert.throws(() => check(lie), MessageError)
    for (const together of [1, 2, 4, 16]) assert.throws(() => check(first, together), MessageError)
  })
})
