import { MerkleTree, pathLength, pathRoot, verifyPath } from '../crypto/merkle.ts'
import { CHUNK_ELEMENTS, packedLength } from '../encoding/packing.ts'

/** How a vector is cut into slices that different members sum (§13): whole chunks, one behind the other. */

export interface Slice {
  /** Its place among the slices. */
  number: number
  /** Where it begins in the whole vector, in chunks. */
  firstChunk: number
  elements: number
  /** Where it begins in the packed vector, and its length there. */
  offset: number
  bytes: number
}

interface Sliced {
  elements: number
  bits: number
  shards?: number
}

/** Bounds of the slices, in chunks; the first are the smallest. A vector of fewer chunks than shards has fewer slices. */
function bounds(chunks: number, shards: number): number[] {
  const count = Math.min(chunks, shards)
  const least = Math.floor(chunks / count)
  const small = count - (chunks % count)
  return Array.from({ length: count + 1 }, (_, at) => at * least + Math.max(0, at - small))
}

/** The slices of a vector, from its first element to its last. */
export function slicesOf({ elements, bits, shards = 1 }: Sliced): Slice[] {
  const at = bounds(Math.ceil(elements / CHUNK_ELEMENTS), shards)
  return at.slice(1).map((end, number) => {
    const start = at[number] * CHUNK_ELEMENTS
    const until = Math.min(end * CHUNK_ELEMENTS, elements)
    // A chunk ends on a byte at every width.
    const offset = packedLength(start, bits)
    return {
      number,
      firstChunk: at[number],
      elements: until - start,
      offset,
      bytes: packedLength(until, bits) - offset
    }
  })
}

/** The roots of the slices, each over the leaves of its chunks. */
export function sliceRoots(leaves: Uint8Array[], shards: number): Uint8Array[] {
  const at = bounds(leaves.length, shards)
  return at.slice(1).map((end, number) => MerkleTree.from(leaves.slice(at[number], end)).root)
}

/** The root of a whole vector: over its chunks, or where it is summed in slices over theirs. */
export function vectorRoot(
  { root, leaves }: { root: Uint8Array; leaves: Uint8Array[] },
  { shards = 1 }: { shards?: number }
): Uint8Array {
  return shards === 1 ? root : MerkleTree.from(sliceRoots(leaves, shards)).root
}

/** What proves the chunks of a whole vector under its root. */
export interface VectorTree {
  root: Uint8Array
  /** The siblings of a chunk's leaf, from below. */
  path(chunk: number): Uint8Array[]
}

/** Over the leaves of its chunks; where it is summed in slices, over those of each slice and then over their roots. */
export function vectorTree(leaves: Uint8Array[], shards = 1): VectorTree {
  if (shards === 1) return MerkleTree.from(leaves)
  const at = bounds(leaves.length, shards)
  const trees = at.slice(1).map((end, number) => MerkleTree.from(leaves.slice(at[number], end)))
  const tree = MerkleTree.from(trees.map(({ root }) => root))
  const path = (chunk: number): Uint8Array[] => {
    const slice = sliceOf(chunk, leaves.length, shards)
    return [...trees[slice].path(chunk - at[slice]), ...tree.path(slice)]
  }
  return { root: tree.root, path }
}

/** Which slice a chunk lies in. */
export function sliceOf(chunk: number, chunks: number, shards: number): number {
  return bounds(chunks, shards).findLastIndex((start) => start <= chunk)
}

/** Whether this is the leaf of a chunk of the vector with this root. */
export function isChunkOf(
  root: Uint8Array,
  { chunk, chunks, leaf, path }: { chunk: number; chunks: number; leaf: Uint8Array; path: Uint8Array[] },
  shards = 1
): boolean {
  if (shards === 1) return verifyPath({ root, leaf, index: chunk, count: chunks, path })
  const at = bounds(chunks, shards)
  const slice = sliceOf(chunk, chunks, shards)
  const within = { index: chunk - at[slice], count: at[slice + 1] - at[slice] }
  const length = pathLength(within)
  const sliceRoot = pathRoot({ leaf, ...within, path: path.slice(0, length) })
  const above = { number: slice, count: at.length - 1, path: path.slice(length) }
  return sliceRoot !== undefined && isSliceOf(root, { ...above, sliceRoot })
}

/** Whether a slice with this root is that of a vector with that one. */
export function isSliceOf(
  root: Uint8Array,
  { number, count, sliceRoot, path }: { number: number; count: number; sliceRoot: Uint8Array; path: Uint8Array[] }
): boolean {
  return verifyPath({ root, leaf: sliceRoot, index: number, count, path })
}
