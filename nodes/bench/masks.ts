import { createCipheriv } from 'node:crypto'
import { addMasks, createLanes, release } from '../../src/crypto/mask-stream.ts'
import type { Mask } from '../../src/crypto/mask-stream.ts'
import { randomBytes } from '../../src/crypto/primitives.ts'
import { ThreadPool } from '../../src/crypto/thread-pool.ts'
import { median, medians, report } from './measure.ts'

const masks = 128
const elements = 1_048_576
const bits = 25
const bytes = masks * elements * 4

/** The cipher alone, in calls of `size` bytes; as fast as it can be had, so each call gets the memory of the last. */
function cipherAlone(size: number): void {
  const zeros = new Uint8Array(size)
  const cipher = createCipheriv('aes-256-ctr', new Uint8Array(32), new Uint8Array(16))
  for (let done = 0; done < bytes; done += size) release(cipher.update(zeros))
}

async function fastestCall(): Promise<number> {
  let best = { size: 0, ms: Infinity }
  for (let size = 16 * 1024; size <= 1024 * 1024; size *= 2) {
    const ms = await median(3, () => cipherAlone(size))
    if (ms < best.ms) best = { size, ms }
  }
  return best.size
}

/** Masks laid on one vector: on this thread and in the pool, beside the cipher alone. */
export async function benchMasks(): Promise<void> {
  const size = await fastestCall()
  const lanes = createLanes(bits, elements)
  const seeds = Array.from({ length: masks }, (_, at): Mask => ({ seed: randomBytes(32), sign: at % 2 === 0 ? 1 : -1 }))
  const pool = new ThreadPool()
  const works = [() => cipherAlone(size), () => addMasks(lanes, seeds), () => pool.addMasks(lanes, seeds)]
  const [floor, expand, pooled] = await medians(7, works)
  await pool.close()
  report('floor.aes', floor, { bytes, callBytes: size })
  report('mask.expand', expand, { masks, elements, bits, overFloor: expand / floor })
  report('mask.expand.pool', pooled, { masks, elements, bits, threads: pool.threads, overFloor: pooled / floor })
}
