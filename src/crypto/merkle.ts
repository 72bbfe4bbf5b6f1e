import { sha256 } from './primitives.ts'

const hashLength = 32
/** Of a sub-leaf: 0x00, attempt, and three numbers. */
const prefixBytes = 1 + hashLength + 12

/** Bytes under one sub-leaf of a vector (protocol, §10). */
export const subLeafBytes = 16_384

/** Room for the few hundred elements of a small vector. */
const smallSubLeafBytes = 1_024

/** 0x01 ‖ left ‖ right: hashed in one call, which costs half of three pieces. */
const pair = new Uint8Array(1 + 2 * hashLength)
pair[0] = 1

function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  pair.set(left, 1)
  pair.set(right, 1 + hashLength)
  return sha256(pair)
}

/**
 * A binary hash tree over leaf hashes. A node without a sibling at the end of its level is promoted unchanged, which
 * gives the shape of RFC 6962 §2.1, with the same node hash: SHA-256(0x01 ‖ left ‖ right). No leaf is ever hashed twice
 * to fill a level: lists of leaves that are hashed with a prefix other than 0x01 never share a root.
 */
export class MerkleTree {
  readonly #levels: Uint8Array[][]

  private constructor(levels: Uint8Array[][]) {
    this.#levels = levels
  }

  /**
   * `leaves` are hashes of 32 bytes, at least one; hashing them with a prefix other than the nodes' is the caller's
   * part.
   */
  static from(leaves: Uint8Array[]): MerkleTree {
    if (leaves.length === 0) throw new RangeError('a Merkle tree has at least one leaf')
    for (const { length } of leaves) {
      if (length !== hashLength) throw new RangeError(`a leaf is a hash of ${hashLength} bytes, not ${length}`)
    }
    const levels = [leaves.slice()]
    while (levels[0].length > 1) {
      const [below] = levels
      const level: Uint8Array[] = []
      for (let i = 0; i < below.length; i += 2) {
        level.push(i + 1 < below.length ? nodeHash(below[i], below[i + 1]) : below[i])
      }
      levels.unshift(level)
    }
    return new MerkleTree(levels)
  }

  /** 32 bytes. */
  get root(): Uint8Array {
    return this.#levels[0][0]
  }

  /** The siblings from leaf to root, for `verifyPath`. */
  path(index: number): Uint8Array[] {
    const leaves = this.#levels.at(-1)!
    if (!Number.isInteger(index) || index < 0 || index >= leaves.length) {
      throw new RangeError(`leaf ${index} is not among the ${leaves.length} of this tree`)
    }
    const path: Uint8Array[] = []
    for (let depth = this.#levels.length - 1; depth > 0; depth--, index >>>= 1) {
      const sibling = this.#levels[depth][index ^ 1]
      if (sibling !== undefined) path.push(sibling)
    }
    return path
  }
}

/** How many siblings there are from a leaf to the root. */
export function pathLength({ index, count }: { index: number; count: number }): number {
  let length = 0
  for (; count > 1; index = Math.floor(index / 2), count = Math.ceil(count / 2))
    if (index % 2 === 1 || index < count - 1) length++
  return length
}

/** The root that a leaf leads to by this path; undefined where the path has another length than its place asks for. */
export function pathRoot(claim: {
  leaf: Uint8Array
  index: number
  count: number
  path: Uint8Array[]
}): Uint8Array | undefined {
  const { leaf, path } = claim
  let { index, count } = claim
  if (!Number.isInteger(index) || !Number.isInteger(count) || index < 0 || index >= count || count > 2 ** 32)
    return undefined
  if ([leaf, ...path].some(({ length }) => length !== hashLength)) return undefined
  let node = leaf
  let used = 0
  for (; count > 1; index = Math.floor(index / 2), count = Math.ceil(count / 2)) {
    const right = index % 2 === 1
    if (!right && index === count - 1) continue
    const sibling = path[used++]
    if (sibling === undefined) return undefined
    node = right ? nodeHash(sibling, node) : nodeHash(node, sibling)
  }
  return used === path.length ? node : undefined
}

/**
 * Whether `leaf` is at `index` of the `count` leaves under `root`. The length of the path follows from index and count,
 * and any other length is refused. Never throws on what a peer can send.
 */
export function verifyPath({
  root,
  ...claim
}: {
  root: Uint8Array
  leaf: Uint8Array
  index: number
  count: number
  path: Uint8Array[]
}): boolean {
  if (root.length !== hashLength) return false
  return pathRoot(claim)?.every((byte, i) => byte === root[i]) === true
}

/** Whose vector, in which attempt. */
export interface VectorPlace {
  /** 32 bytes. */
  attemptId: Uint8Array
  /** Roster index. */
  member: number
}

function uint32(value: number, what: string): void {
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** 32)
    throw new RangeError(`${what} is 0 to 2^32 − 1, not ${value}`)
}

/**
 * 0x00 ‖ attemptId ‖ member ‖ chunk ‖ sub-leaf number, numbers in four bytes big-endian: what a sub-leaf's bytes
 * follow.
 */
function subLeafPrefix({ attemptId, member }: VectorPlace, chunk: number, number: number): Uint8Array {
  if (attemptId.length !== hashLength)
    throw new RangeError(`an attempt id has ${hashLength} bytes, not ${attemptId.length}`)
  uint32(member, 'a member index')
  uint32(chunk, 'a chunk number')
  const prefix = new Uint8Array(prefixBytes)
  prefix.set(attemptId, 1)
  const view = new DataView(prefix.buffer)
  view.setUint32(1 + hashLength, member)
  view.setUint32(5 + hashLength, chunk)
  view.setUint32(9 + hashLength, number)
  return prefix
}

/** One chunk of a packed vector, and whose. */
export type VectorChunk = VectorPlace & { chunk: number; bytes: Uint8Array }

/** Hash of one sub-leaf: at most {@link subLeafBytes} of a chunk, counted from 0. */
export function subLeafHash({ number, bytes, ...of }: VectorChunk & { number: number }): Uint8Array {
  return sha256(subLeafPrefix(of, of.chunk, number), bytes)
}

/** Hashes of a chunk's sub-leaves, the last of which is shorter. */
export function subLeafHashes({ bytes, ...of }: VectorChunk): Uint8Array[] {
  return Array.from({ length: Math.ceil(bytes.length / subLeafBytes) }, (_, number) => {
    const at = number * subLeafBytes
    return subLeafHash({ ...of, number, bytes: bytes.subarray(at, at + subLeafBytes) })
  })
}

/** Leaf of one chunk of a packed vector: the root over its sub-leaves of 16 KiB (protocol, §10). */
export function vectorLeaf(of: VectorChunk): Uint8Array {
  return MerkleTree.from(subLeafHashes(of)).root
}

/**
 * Hashes a whole vector as it passes by, in pieces of any size, without keeping it. A sub-leaf is gathered behind its prefix
 * and hashed in one call: a copy costs a tenth of what a hash of several pieces does beside the hash itself.
 */
export class VectorHasher {
  readonly #chunkBytes: number
  readonly #firstChunk: number
  readonly #leaves: Uint8Array[] = []
  /** As large as a sub-leaf from the first piece on that does not fit: most short vectors need no 16 KiB. */
  #subLeaf = new Uint8Array(prefixBytes + smallSubLeafBytes)
  #prefix = new DataView(this.#subLeaf.buffer)
  #subLeaves: Uint8Array[] = []
  #filled = prefixBytes
  #inChunk = 0

  /** `chunkBytes` is the packed size of every chunk but the last; `firstChunk` the place of what is hashed in the whole vector (0). */
  constructor({
    attemptId,
    member,
    chunkBytes,
    firstChunk = 0
  }: VectorPlace & { chunkBytes: number; firstChunk?: number }) {
    uint32(chunkBytes, 'the size of a chunk')
    if (chunkBytes === 0) throw new RangeError('a chunk has at least one byte')
    this.#subLeaf.set(subLeafPrefix({ attemptId, member }, 0, 0))
    this.#chunkBytes = chunkBytes
    this.#firstChunk = firstChunk
  }

  update(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      const room = Math.min(prefixBytes + subLeafBytes - this.#filled, this.#chunkBytes - this.#inChunk)
      const piece = bytes.subarray(at, at + room)
      if (this.#filled + piece.length > this.#subLeaf.length) this.#grow()
      this.#subLeaf.set(piece, this.#filled)
      this.#filled += piece.length
      this.#inChunk += piece.length
      at += piece.length
      if (this.#filled === prefixBytes + subLeafBytes) this.#closeSubLeaf()
      if (this.#inChunk === this.#chunkBytes) this.#closeChunk()
    }
  }

  /** The root over the leaves of all chunks, and those leaves. The hasher cannot be used after it. */
  finish(): { root: Uint8Array; leaves: Uint8Array[] } {
    if (this.#inChunk > 0) this.#closeChunk()
    return { root: MerkleTree.from(this.#leaves).root, leaves: this.#leaves }
  }

  #grow(): void {
    const before = this.#subLeaf.subarray(0, this.#filled)
    this.#subLeaf = new Uint8Array(prefixBytes + subLeafBytes)
    this.#subLeaf.set(before)
    this.#prefix = new DataView(this.#subLeaf.buffer)
  }

  #closeSubLeaf(): void {
    this.#prefix.setUint32(5 + hashLength, this.#firstChunk + this.#leaves.length)
    this.#prefix.setUint32(9 + hashLength, this.#subLeaves.length)
    this.#subLeaves.push(sha256(this.#subLeaf.subarray(0, this.#filled)))
    this.#filled = prefixBytes
  }

  #closeChunk(): void {
    if (this.#filled > prefixBytes) this.#closeSubLeaf()
    this.#leaves.push(MerkleTree.from(this.#subLeaves).root)
    this.#subLeaves = []
    this.#inChunk = 0
  }
}
