import { H } from '../../crypto/hash.ts'
import { aesCtr } from '../../crypto/primitives.ts'

/**
 * A random rotation that everybody knows (§12): it spreads a vector over all its elements, so that none stands out and a
 * few bits an element suffice. Blocks of 2^14 (of the next power of two, for a shorter vector) have their signs flipped
 * by a PRG whose seed is the round's, then go through the orthonormal Walsh-Hadamard transform.
 */

const LARGEST_BLOCK = 2 ** 14

export function rotationBlock(length: number): number {
  return Math.min(LARGEST_BLOCK, 2 ** Math.ceil(Math.log2(length)))
}

/** d: the length with its last block filled up. */
export function paddedLength(length: number): number {
  const block = rotationBlock(length)
  return Math.ceil(length / block) * block
}

export interface Rotation {
  /** Rotates block number `index`, in place. */
  apply(block: Float64Array, index: number): Promise<void>
  /** Turns it back. */
  undo(block: Float64Array, index: number): Promise<void>
}

/** The rotation of one round: `seed = H("rotate", taskId, round)`. */
export function createRotation(taskId: Uint8Array, round: number): Rotation {
  const seed = H('rotate', taskId, round)
  const signs = async (index: number, length: number): Promise<Uint8Array> => {
    const bytes = Math.ceil(length / 8)
    // Every block has counters of its own, however short it is.
    return aesCtr(seed, counterOf((index * LARGEST_BLOCK) / 8 / 16), new Uint8Array(bytes))
  }
  return {
    async apply(block, index) {
      flip(block, await signs(index, block.length))
      transform(block)
    },
    async undo(block, index) {
      transform(block)
      flip(block, await signs(index, block.length))
    }
  }
}

function counterOf(block: number): Uint8Array {
  const counter = new Uint8Array(16)
  new DataView(counter.buffer).setBigUint64(8, BigInt(block))
  return counter
}

function flip(block: Float64Array, signs: Uint8Array): void {
  for (let i = 0; i < block.length; i++) if ((signs[i >>> 3] >>> (i & 7)) & 1) block[i] = -block[i]
}

/** The orthonormal fast Walsh-Hadamard transform, its own inverse. The length is a power of two. */
function transform(block: Float64Array): void {
  const { length } = block
  for (let half = 1; half < length; half *= 2) {
    for (let start = 0; start < length; start += 2 * half) {
      for (let i = start; i < start + half; i++) {
        const x = block[i]
        const y = block[i + half]
        block[i] = x + y
        block[i + half] = x - y
      }
    }
  }
  const scale = 1 / Math.sqrt(length)
  for (let i = 0; i < length; i++) block[i] *= scale
}
