import { VectorHasher } from '../crypto/merkle.ts'
import { release } from '../crypto/mask-stream.ts'
import type { Lanes, Mask } from '../crypto/mask-stream.ts'
import { CHUNK_ELEMENTS, pack, packedLength, unpackAdd } from '../encoding/packing.ts'
import { MessageError } from '../errors.ts'
import type { VectorStore } from '../journal/vector-store.ts'
import { sameBytes } from './dealing.ts'
import { vectorRoot } from './slices.ts'
import type { Task } from '../task/task.ts'
import { onThisThread } from './ports.ts'
import type { Clock, Compute, Frame } from './ports.ts'

/** Packed vectors on their way: masked, sent, received, added up; chunk by chunk, never a second one in memory. */

/** A multiple of a chunk that is a few hundred kilobytes, so that a block is packed and hashed while in cache. */
const BLOCK_ELEMENTS = 8 * CHUNK_ELEMENTS

/** Bytes of a frame that carries a piece of a vector. */
export const DATA_FRAME_BYTES = 128 * 1024

/** Frames that are read from the store at once. */
const FRAMES_READ = 8

/** Whose vector, of which attempt: bound into every leaf. The sum's `member` is n, one past the last. */
export interface VectorOwner {
  attemptId: Uint8Array
  member: number
  /** Of a slice (§13): where it begins in the whole vector, in chunks (0). */
  firstChunk?: number
}

export interface VectorShape {
  elements: number
  bits: number
  /** In how many slices it is summed (§13): its root is over their roots. One if left out. */
  shards?: number
}

/** Of a sum: where sums are per group, they lie one behind the other. */
export function sumShapeOf({ laneCount, bits, shards, groups }: Task): VectorShape {
  return { elements: laneCount * (groups?.count ?? 1), bits, ...(shards > 1 && { shards }) }
}

const chunkBytes = ({ bits }: VectorShape): number => packedLength(CHUNK_ELEMENTS, bits)

/**
 * Lays the masks on the lanes and stores the result packed. The lanes are used up: their memory is given back.
 *
 * @returns the Merkle root of the packed vector (§10)
 */
export async function maskInto(
  store: VectorStore,
  name: string,
  lanes: Lanes,
  masks: Mask[],
  owner: VectorOwner,
  shape: VectorShape,
  {
    clock,
    compute = onThisThread,
    signal,
    sync = false,
    leaves
  }: {
    clock: Clock
    compute?: Compute
    signal?: AbortSignal
    sync?: boolean
    /** Is handed the hashes of the chunks, to prove parts of the vector with. */
    leaves?: (leaves: Uint8Array[]) => void
  }
): Promise<Uint8Array> {
  const hasher = new VectorHasher({ ...owner, chunkBytes: chunkBytes(shape) })
  // The same for each block: what is thrown away by the megabyte makes the collector run.
  const bytes = new Uint8Array(packedLength(Math.min(BLOCK_ELEMENTS, lanes.length), shape.bits))
  const staged = await store.stage(name)
  try {
    const offset = (owner.firstChunk ?? 0) * CHUNK_ELEMENTS
    await compute.addMasks(lanes, masks, { offset, signal, pause: () => clock.pause() })
    for (let offset = 0; offset < lanes.length; offset += BLOCK_ELEMENTS) {
      const block = lanes.subarray(offset, offset + BLOCK_ELEMENTS)
      signal?.throwIfAborted()
      const packed = pack(block, shape.bits, bytes.subarray(0, packedLength(block.length, shape.bits)))
      hasher.update(packed)
      await staged.write(packed)
      if (offset > 0) await clock.pause()
    }
    await staged.commit({ sync })
  } catch (error) {
    await staged.abort()
    throw error
  } finally {
    release(lanes)
  }
  const hashed = hasher.finish()
  leaves?.(hashed.leaves)
  return vectorRoot(hashed, shape)
}

/** No fault of the sender's: it was slow. */
export class VectorTooLate extends Error {
  static override name = 'VectorTooLate'
}

/**
 * Takes the data frames of one vector from a conversation into the store, and keeps it only if it is whole and matches
 * its root; one that breaks off leaves nothing.
 *
 * @throws MessageError TRUNCATED, OVERSIZED, MALFORMED (padding bits), INVALID (another root), without a culprit
 */
export async function receiveVector(
  frames: AsyncIterator<Frame>,
  store: VectorStore,
  name: string,
  owner: VectorOwner & { root: Uint8Array },
  shape: VectorShape,
  { sync = false, wanted = () => true }: { sync?: boolean; wanted?: () => boolean } = {}
): Promise<void> {
  const expected = packedLength(shape.elements, shape.bits)
  const hasher = new VectorHasher({ ...owner, chunkBytes: chunkBytes(shape) })
  const staged = await store.stage(name)
  try {
    let received = 0
    let last = 0
    while (received < expected) {
      const next = await frames.next()
      if (next.done === true)
        throw new MessageError('TRUNCATED', `a vector breaks off after ${received} of ${expected} bytes`)
      const frame = next.value
      if (frame.kind !== 'data')
        throw new MessageError(
          'OUT_OF_PHASE',
          `a message stands where bytes ${received} to ${expected} of a vector belong`
        )
      received += frame.payload.length
      if (frame.payload.length === 0 || received > expected)
        throw new MessageError(
          'OVERSIZED',
          `a vector has a frame of ${frame.payload.length} bytes that ends at ${received} of ${expected}`
        )
      last = frame.payload[frame.payload.length - 1]
      if (!wanted()) continue
      hasher.update(frame.payload)
      await staged.write(frame.payload)
    }
    const used = (shape.elements * shape.bits) % 8
    if (used !== 0 && last >>> used !== 0)
      throw new MessageError('MALFORMED', 'the padding bits of a vector are not zero')
    if (!wanted()) throw new VectorTooLate('a vector came when nobody waited for it any more')
    if (!sameBytes(vectorRoot(hasher.finish(), shape), owner.root))
      throw new MessageError('INVALID', 'a vector does not match the root in its header')
    await staged.commit({ sync })
  } catch (error) {
    await staged.abort()
    throw error
  }
}

/** Bytes as data frames, which are views of them. */
export function* dataFrames(bytes: Uint8Array): Generator<Frame> {
  for (let at = 0; at < bytes.length; at += DATA_FRAME_BYTES)
    yield { kind: 'data', payload: bytes.subarray(at, at + DATA_FRAME_BYTES) }
}

/** A stored vector as data frames. */
export async function* vectorFrames(store: VectorStore, name: string): AsyncGenerator<Frame> {
  for await (const bytes of store.read(name, { chunkBytes: FRAMES_READ * DATA_FRAME_BYTES })) yield* dataFrames(bytes)
}

/** A part of a stored vector as data frames. */
export async function* partFrames(
  store: VectorStore,
  name: string,
  { offset, bytes }: { offset: number; bytes: number }
): AsyncGenerator<Frame> {
  const most = FRAMES_READ * DATA_FRAME_BYTES
  for (let at = 0; at < bytes; at += most)
    yield* dataFrames(await store.readRange(name, offset + at, Math.min(most, bytes - at)))
}

/** Adds a stored vector to the accumulator. */
export async function addStored(
  store: VectorStore,
  name: string,
  accumulator: Lanes,
  shape: VectorShape,
  clock: Clock
): Promise<void> {
  let offset = 0
  const blockBytes = (BLOCK_ELEMENTS / CHUNK_ELEMENTS) * chunkBytes(shape)
  for await (const block of store.read(name, { chunkBytes: blockBytes, reuse: true })) {
    offset += unpackAdd(block, shape.bits, accumulator, offset)
    await clock.pause()
  }
}

/** Takes a vector that was added out of the accumulator again. */
export async function subtractStored(...stored: Parameters<typeof addStored>): Promise<void> {
  const [, , accumulator] = stored
  const negate = () => {
    for (let at = 0; at < accumulator.length; at++) accumulator[at] = -accumulator[at]
  }
  negate()
  await addStored(...stored)
  negate()
}
