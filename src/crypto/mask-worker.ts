import { addMasks } from './mask-stream.ts'
import type { Mask } from './mask-stream.ts'

/** The worker's side of the thread pool. */

const seedBytes = 32
const maskBytes = seedBytes + 1

/** Part of a vector, in memory that both threads see. */
export interface MaskTask {
  /** The lanes, from its first byte on. */
  slab: SharedArrayBuffer
  length: number
  bits: 16 | 32
  /** Place of the first lane in the whole vector. */
  offset: number
  /** `shareMasks` of all masks. */
  masks: SharedArrayBuffer
}

/** Seeds and signs as both threads see them: 33 bytes a mask. Whoever made it wipes it. */
export function shareMasks(masks: Mask[]): SharedArrayBuffer {
  const shared = new SharedArrayBuffer(maskBytes * masks.length)
  const bytes = new Uint8Array(shared)
  masks.forEach(({ seed, sign }, place) => {
    bytes.set(seed instanceof Uint8Array ? seed : seed.expose(), maskBytes * place)
    bytes[maskBytes * place + seedBytes] = sign === 1 ? 1 : 0
  })
  return shared
}

function readMasks(shared: SharedArrayBuffer): Mask[] {
  const bytes = new Uint8Array(shared)
  return Array.from({ length: bytes.length / maskBytes }, (_, place): Mask => {
    const mask = bytes.subarray(maskBytes * place, maskBytes * (place + 1))
    return { seed: mask.slice(0, seedBytes), sign: mask[seedBytes] === 1 ? 1 : -1 }
  })
}

/** Adds the masks to the lanes of the slab. Nobody else is waiting for this thread, so it never pauses. */
export default async function work({ slab, length, bits, offset, masks: shared }: MaskTask): Promise<void> {
  const masks = readMasks(shared)
  const lanes = bits === 16 ? new Uint16Array(slab, 0, length) : new Uint32Array(slab, 0, length)
  try {
    await addMasks(lanes, masks, { offset, pause: () => Promise.resolve() })
  } finally {
    for (const { seed } of masks) (seed as Uint8Array).fill(0)
  }
}
