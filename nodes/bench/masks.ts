import { createCipheriv } from 'node:crypto'
import { addMasks, createLanes, laneBytes, release } from '../../src/crypto/mask-stream.ts'
import type { Mask } from '../../src/crypto/mask-stream.ts'
import { randomBytes } from '../../src/crypto/primitives.ts'
import { ThreadPool } from '../../src/crypto/thread-pool.ts'
import { median, medians, report } from './measure.ts'

const masks = 128
const elements = 1_048_576

/** The cipher alone, in calls of `size` bytes; as fast as it can be had, so each call gets the memory of the last. */
function cipherAlone(bytes: number, size: number): void {
  const zeros = new Uint8Array(size)
  const cipher = createCipheriv('aes-256-ctr', new Uint8Array(32), new Uint8Array(16))
  for (let done = 0; done < bytes; done += size) release(cipher.update(zeros))
}

async function fastestCall(bytes: number): Promise<number> {
  let best = { size: 0, ms: Infinity }
  for (let size = 16 * 1024; size <= 1024 * 1024; size *= 2) {
    const ms = await median(3, () => cipherAlone(bytes, size))
    if (ms < best.ms) best = { size, ms }
  }
  return best.size
}

/** Masks laid on one vector: on this thread and in the pool, beside the cipher alone; in lanes of 32 bits, and of 16. */
export async function benchMasks(): Promise<void> {
  const pool = new ThreadPool()
  await benchLanes(pool, 25, '')
  await benchLanes(pool, 16, '.16')
  await pool.close()
}

async function benchLanes(pool: ThreadPool, bits: number, suffix: string): Promise<void> {
  const bytes = masks * elements * laneBytes(bits)
  const size = await fastestCall(bytes)
  const lanes = createLanes(bits, elements)
  const seeds = Array.from({ length: masks }, (_, at): Mask => ({ seed: randomBytes(32), sign: at % 2 === 0 ? 1 : -1 }))
  const works = [() => cipherAlone(bytes, size), () => addMasks(lanes, seeds), () => pool.addMasks(lanes, seeds)]
  const [floor, expand, pooled] = await medians(7, works)
  report(`floor.aes${suffix}`, floor, { bytes, callBytes: size })
  report(`mask.expand${suffix}`, expand, { masks, elements, bits, overFloor: expand / floor })
  const overFloor = pooled / floor
  report(`mask.expand${suffix}.pool`, pooled, { masks, elements, bits, threads: pool.threads, overFloor })
}
