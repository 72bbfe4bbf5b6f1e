import { move } from 'piscina'
import { pairwiseMaskSeeds } from './key-agreement.ts'
import type { Partner } from './key-agreement.ts'
import { addMasks } from './mask-stream.ts'
import type { Lanes, Mask } from './mask-stream.ts'
import { Secret } from './secret.ts'

/** The worker's side of the thread pool. */

const seedBytes = 32
const maskBytes = seedBytes + 1

/** Part of a vector, in memory that goes to the worker and comes back. */
export interface MaskTask {
  kind: 'mask'
  /** The lanes, from its first byte on. */
  slab: ArrayBuffer
  length: number
  bits: 16 | 32
  /** Place of the first lane in the whole vector. */
  offset: number
  /** `shareMasks` of all masks. */
  masks: SharedArrayBuffer
}

/** The seeds of one member's masks with its partners. */
export interface AgreeTask {
  kind: 'agree'
  /** The member's mask key; the seeds, in the partners' order, take its place and what is behind it. */
  shared: SharedArrayBuffer
  self: Uint8Array
  attemptId: Uint8Array
  maskingSetHash: Uint8Array
  partners: Partner[]
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

/** One task of either kind: the slab of masked lanes goes back. Nobody else is waiting for this thread, so it never pauses. */
export default function work(task: MaskTask | AgreeTask): Promise<ArrayBuffer | void> {
  return task.kind === 'mask' ? mask(task) : agree(task)
}

/** Adds the masks to the lanes of the slab. Where that fails the slab is wiped, for it does not go back. */
async function mask({ slab, length, bits, offset, masks: shared }: MaskTask): Promise<ArrayBuffer> {
  const masks = readMasks(shared)
  const lanes: Lanes = bits === 16 ? new Uint16Array(slab, 0, length) : new Uint32Array(slab, 0, length)
  try {
    await addMasks(lanes, masks, { offset, pause: () => Promise.resolve() })
    return move(slab) as ArrayBuffer
  } catch (error) {
    lanes.fill(0)
    throw error
  } finally {
    for (const { seed } of masks) (seed as Uint8Array).fill(0)
  }
}

async function agree({ shared, ...context }: AgreeTask): Promise<void> {
  const bytes = new Uint8Array(shared)
  const secret = new Secret(bytes.slice(0, seedBytes))
  try {
    const seeds = pairwiseMaskSeeds({ ...context, secret })
    for (const [place, seed] of seeds.entries()) {
      bytes.set(seed.expose(), seedBytes * place)
      seed.wipe()
    }
  } finally {
    secret.wipe()
  }
}
