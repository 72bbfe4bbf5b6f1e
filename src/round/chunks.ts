import { VectorHasher } from '../crypto/merkle.ts'
import { CHUNK_ELEMENTS, packedLength } from '../encoding/packing.ts'
import { MessageError } from '../errors.ts'
import type { VectorStore } from '../journal/vector-store.ts'
import type { Clock } from './ports.ts'
import { isChunkOf, vectorTree } from './slices.ts'
import type { VectorTree } from './slices.ts'
import type { VectorOwner, VectorShape } from './vectors.ts'

/** Chunks of packed vectors, each with its path to the vector's root, so that any of them can be checked alone (§10). */

/** Hashed in one piece, before others have the thread. */
const READ_BYTES = 1024 * 1024

export interface ProvenChunk {
  /** Its number, from 0; of several that travel together that of the first. */
  index: number
  /** Packed; all but the last have the same length. */
  bytes: Uint8Array
  /** The siblings of its leaf, from below. */
  path: Uint8Array[]
}

export const chunkCount = ({ elements }: VectorShape): number => Math.ceil(elements / CHUNK_ELEMENTS)

/** Elements of one chunk. */
export function chunkLength(index: number, { elements }: VectorShape): number {
  return Math.min(CHUNK_ELEMENTS, elements - index * CHUNK_ELEMENTS)
}

const MOST_TOGETHER = 8
/** Fewer parts are not dealt evenly among those that pass them on. */
const LEAST_PARTS = 32

/**
 * How many chunks of a long sum are passed on together, under one node of its tree, so a power of two: what each part costs
 * beside its bytes (a message, a proof, a read) counts less. One where it has fewer than 64.
 */
export function chunksTogether(shape: VectorShape): number {
  const fitting = 2 ** Math.floor(Math.log2(chunkCount(shape) / LEAST_PARTS))
  return Math.max(1, Math.min(MOST_TOGETHER, fitting))
}

/** The tree over the chunks of a stored vector, recomputed from its bytes. Throws 'VECTOR_MISSING'. */
export async function chunkTree(
  store: VectorStore,
  name: string,
  owner: VectorOwner,
  { bits, shards }: VectorShape,
  clock: Pick<Clock, 'pause'>
): Promise<VectorTree> {
  const hasher = new VectorHasher({ ...owner, chunkBytes: packedLength(CHUNK_ELEMENTS, bits) })
  for await (const bytes of store.read(name, { chunkBytes: READ_BYTES, reuse: true })) {
    hasher.update(bytes)
    await clock.pause()
  }
  return vectorTree(hasher.finish().leaves, shards)
}

/** A chunk of a stored vector, without its path. */
export function readChunk(store: VectorStore, name: string, index: number, shape: VectorShape): Promise<Uint8Array> {
  const offset = index * packedLength(CHUNK_ELEMENTS, shape.bits)
  return store.readRange(name, offset, packedLength(chunkLength(index, shape), shape.bits))
}

/**
 * Whether this is the chunk that the root fixes, of a vector or of a slice that begins at `firstChunk`; or these, where
 * several travel together.
 *
 * @throws MessageError INVALID, TRUNCATED, MALFORMED (padding bits) without a culprit: whoever sent it
 */
export function checkChunk(
  { index, bytes, path }: ProvenChunk,
  { attemptId, member, root, firstChunk = 0 }: VectorOwner & { root: Uint8Array },
  shape: VectorShape,
  together = 1
): void {
  const chunks = Math.ceil(chunkCount(shape) / together)
  const chunk = (index - firstChunk) / together
  if (!Number.isInteger(chunk) || chunk < 0 || chunk >= chunks)
    throw new MessageError('INVALID', `chunk ${index} is none of the ${chunkCount(shape)} from ${firstChunk} on`)
  const most = together * CHUNK_ELEMENTS
  const bits = Math.min(most, shape.elements - chunk * most) * shape.bits
  const expected = Math.ceil(bits / 8)
  if (bytes.length !== expected)
    throw new MessageError('TRUNCATED', `chunk ${index} has ${bytes.length} bytes, not ${expected}`)
  if (bits % 8 !== 0 && bytes[expected - 1] >>> (bits % 8) !== 0)
    throw new MessageError('MALFORMED', `the padding bits of chunk ${index} are not zero`)
  const hasher = new VectorHasher({
    ...{ attemptId, member, firstChunk: index },
    chunkBytes: packedLength(CHUNK_ELEMENTS, shape.bits)
  })
  hasher.update(bytes)
  if (!isChunkOf(root, { leaf: hasher.finish().root, chunk, chunks, path }, shape.shards))
    throw new MessageError('INVALID', `chunk ${index} of the vector of member ${member} is not the one under its root`)
}
