import { availableParallelism } from 'node:os'
// Starts worker threads, hands tasks to whichever is free, and tells when one dies.
import { Piscina } from 'piscina'
import { SecureAggregationError } from '../errors.ts'
import { addMasks } from './mask-stream.ts'
import type { Lanes, Mask, MaskOptions } from './mask-stream.ts'
import { shareMasks } from './mask-worker.ts'
import type { MaskTask } from './mask-worker.ts'

/** Lanes that a thread takes at a time. */
const partBytes = 524_288
/** Key stream of a few milliseconds: less is not worth another thread. */
const smallWorkBytes = 8 * 2 ** 20
const mostThreads = 8

// The twin of this file: a `.ts` in a checkout, a `.js` where it was built.
const worker = new URL(import.meta.url.endsWith('.ts') ? './mask-worker.ts' : './mask-worker.js', import.meta.url)

/**
 * Lays masks on long vectors in worker threads (Node), so that the thread of the caller stays free. The threads start with the
 * first long vector, or with `start`; after `close` the next one starts them again.
 */
export class ThreadPool {
  readonly #threads: number
  #pool?: Piscina<MaskTask, void>

  /** As many threads as there are processors, at most 8, unless told otherwise. */
  constructor({ threads = Math.min(availableParallelism(), mostThreads) }: { threads?: number } = {}) {
    if (!Number.isInteger(threads) || threads < 1)
      throw new RangeError(`a pool has a whole number of threads from 1, not ${threads}`)
    this.#threads = threads
  }

  /** How many threads there are, or would be. */
  get threads(): number {
    return this.#threads
  }

  /** Starts the threads now, where the masks to come have enough bytes to be worth it. */
  start(maskBytes = Infinity): void {
    if (maskBytes > smallWorkBytes) this.#running()
  }

  /**
   * What `addMasks` of the mask stream does, bit for bit, on copies of parts of the lanes. After a failure the lanes are useless.
   *
   * @throws SecureAggregationError WORKER_FAILED where a thread died; the signal's reason
   * @internal
   */
  async addMasks(lanes: Lanes, masks: Mask[], options: MaskOptions = {}): Promise<void> {
    if (lanes.byteLength * masks.length <= smallWorkBytes) return addMasks(lanes, masks, options)
    const { offset = 0, signal } = options
    const pool = this.#running()
    const shared = shareMasks(masks)
    const parts = partsOf(lanes, this.#threads)
    const run = async (): Promise<void> => {
      const slab = new SharedArrayBuffer(Math.min(partBytes, lanes.byteLength))
      try {
        for (let part = parts.next(); part.done !== true; part = parts.next()) {
          signal?.throwIfAborted()
          await mask(pool, { slab, masks: shared, part: part.value, offset: offset + part.value.start })
        }
      } catch (error) {
        parts.return()
        throw error
      } finally {
        new Uint8Array(slab).fill(0)
      }
    }
    // One more than there are threads: none waits for this one to hand it the next part.
    const runs = await Promise.allSettled(Array.from({ length: this.#threads + 1 }, run))
    new Uint8Array(shared).fill(0)
    const failed = runs.find((settled) => settled.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }

  /** Ends the threads. What they still work on fails with WORKER_FAILED. */
  async close(): Promise<void> {
    const pool = this.#pool
    this.#pool = undefined
    await pool?.destroy()
  }

  #running(): Piscina<MaskTask, void> {
    if (this.#pool !== undefined) return this.#pool
    const threads = this.#threads
    const pool = new Piscina<MaskTask, void>({ filename: worker.href, minThreads: threads, maxThreads: threads })
    // The task of a thread that died is rejected; one that died idle is replaced, and nobody was waiting for it.
    pool.on('error', () => {})
    return (this.#pool = pool)
  }
}

interface Part {
  start: number
  lanes: Lanes
}

/** Parts of about the same size, at least one for each thread. */
function* partsOf(lanes: Lanes, threads: number): Generator<Part, void> {
  const count = Math.max(Math.ceil(lanes.byteLength / partBytes), threads)
  const length = Math.ceil(lanes.length / count)
  for (let start = 0; start < lanes.length; start += length)
    yield { start, lanes: lanes.subarray(start, start + length) }
}

async function mask(
  pool: Piscina<MaskTask, void>,
  { slab, masks, part: { lanes }, offset }: Pick<MaskTask, 'slab' | 'masks' | 'offset'> & { part: Part }
): Promise<void> {
  const own = new Uint8Array(lanes.buffer, lanes.byteOffset, lanes.byteLength)
  const theirs = new Uint8Array(slab, 0, lanes.byteLength)
  theirs.set(own)
  try {
    await pool.run({ slab, masks, length: lanes.length, bits: lanes.BYTES_PER_ELEMENT === 2 ? 16 : 32, offset })
  } catch (cause) {
    const sentence = `a worker thread ended in the middle of masking (${(cause as Error).message}); the vector stays unmasked`
    throw new SecureAggregationError('WORKER_FAILED', sentence, { cause })
  }
  own.set(theirs)
}
