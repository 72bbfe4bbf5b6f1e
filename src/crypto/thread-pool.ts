import { availableParallelism } from 'node:os'
// Starts worker threads, hands tasks to whichever is free, and tells when one dies.
import { Piscina } from 'piscina'
import { SecureAggregationError } from '../errors.ts'
import { agreeAll } from './key-agreement.ts'
import type { Agreements } from './key-agreement.ts'
import { addLanes, addMasks } from './mask-stream.ts'
import type { Lanes, Mask, MaskOptions } from './mask-stream.ts'
import { shareMasks } from './mask-worker.ts'
import type { AgreeTask, MaskTask } from './mask-worker.ts'
import { Secret } from './secret.ts'

type Threads = Piscina<MaskTask | AgreeTask, ArrayBuffer | void>

/** Lanes that a thread takes at a time. A key is set up for each mask of each part, which costs as much as 80 KiB of it. */
const partBytes = 1_048_576
/** Key stream of a few milliseconds: less is not worth another thread. */
const smallWorkBytes = 8 * 2 ** 20
/** Key stream of one task where masks are parted. */
const groupBytes = 32 * 2 ** 20
/** Pairs of keys of a few milliseconds. */
const smallAgreements = 100
const mostThreads = 8

// The twin of this file: a `.ts` in a checkout, a `.js` where it was built.
const worker = new URL(import.meta.url.endsWith('.ts') ? './mask-worker.ts' : './mask-worker.js', import.meta.url)

/**
 * Lays masks on long vectors in worker threads (Node), so that the thread of the caller stays free. The threads start with the
 * first long vector, or with `start`; after `close` the next one starts them again.
 */
export class ThreadPool {
  readonly #threads: number
  #pool?: Threads

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
   * What `addMasks` of the mask stream does, bit for bit: on copies of parts of the lanes, or where the lanes are short and
   * the masks many, by a part of the masks each. After a failure the lanes are useless.
   *
   * @throws SecureAggregationError WORKER_FAILED where a thread died; the signal's reason
   * @internal
   */
  async addMasks(lanes: Lanes, masks: Mask[], options: MaskOptions = {}): Promise<void> {
    if (lanes.byteLength * masks.length <= smallWorkBytes) return addMasks(lanes, masks, options)
    const pool = this.#running()
    return lanes.byteLength <= partBytes
      ? this.#addShort(pool, lanes, masks, options)
      : this.#addLong(pool, lanes, masks, options)
  }

  /**
   * What `pairwiseMaskSeeds` gives for each of several members, in their order.
   *
   * @throws SecureAggregationError WORKER_FAILED where a thread died
   * @internal
   */
  async agree(members: Agreements[], pause?: () => Promise<void>): Promise<Secret[][]> {
    const pairs = members.reduce((sum, { partners }) => sum + partners.length, 0)
    if (pairs <= smallAgreements) return agreeAll(members, pause)
    const pool = this.#running()
    return Promise.all(members.map((member) => agree(pool, member)))
  }

  async #addLong(pool: Threads, lanes: Lanes, masks: Mask[], { offset = 0, signal }: MaskOptions): Promise<void> {
    const shared = shareMasks(masks)
    const parts = partsOf(lanes, 2 * this.#threads)
    try {
      await this.#each(parts, lanes.byteLength, signal, async (slab, part) => {
        const own = new Uint8Array(part.lanes.buffer, part.lanes.byteOffset, part.lanes.byteLength)
        new Uint8Array(slab, 0, own.length).set(own)
        const back = await mask(pool, maskTask(slab, part.lanes, shared, offset + part.start))
        own.set(new Uint8Array(back, 0, own.length))
        return back
      })
    } finally {
      new Uint8Array(shared).fill(0)
    }
  }

  /** Each slab sums up what its tasks add: the masks, and never the lanes. */
  async #addShort(pool: Threads, lanes: Lanes, masks: Mask[], { offset = 0, signal }: MaskOptions): Promise<void> {
    const Lanes = lanes.BYTES_PER_ELEMENT === 2 ? Uint16Array : Uint32Array
    await this.#each(
      groupsOf(masks, lanes.byteLength, 2 * this.#threads),
      lanes.byteLength,
      signal,
      async (slab, group) => {
        const shared = shareMasks(group)
        try {
          return await mask(pool, maskTask(slab, lanes, shared, offset))
        } finally {
          new Uint8Array(shared).fill(0)
        }
      },
      (slab) => addLanes(lanes, new Lanes(slab, 0, lanes.length))
    )
  }

  /** Hands out the work, each piece with a slab that goes to a thread and comes back, and is no other's at the same time. */
  async #each<T>(
    works: Generator<T, void>,
    byteLength: number,
    signal: AbortSignal | undefined,
    work: (slab: ArrayBuffer, piece: T) => Promise<ArrayBuffer>,
    done: (slab: ArrayBuffer) => void = () => {}
  ): Promise<void> {
    const loop = async (): Promise<void> => {
      let slab = new ArrayBuffer(0)
      try {
        for (let piece = works.next(); piece.done !== true; piece = works.next()) {
          signal?.throwIfAborted()
          if (slab.byteLength === 0) slab = new ArrayBuffer(Math.min(partBytes, byteLength))
          slab = await work(slab, piece.value)
        }
        if (slab.byteLength > 0) done(slab)
      } catch (error) {
        works.return()
        throw error
      } finally {
        // A thread that died has taken it along.
        if (!slab.detached) new Uint8Array(slab).fill(0)
      }
    }
    // One more than there are threads: none waits for this one to hand it the next part.
    const loops = await Promise.allSettled(Array.from({ length: this.#threads + 1 }, loop))
    const failed = loops.find((settled) => settled.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }

  /** Ends the threads. What they still work on fails with WORKER_FAILED. */
  async close(): Promise<void> {
    const pool = this.#pool
    this.#pool = undefined
    await pool?.destroy()
  }

  #running(): Threads {
    if (this.#pool !== undefined) return this.#pool
    const threads = this.#threads
    const pool = new Piscina<MaskTask | AgreeTask, ArrayBuffer | void>({
      filename: worker.href,
      minThreads: threads,
      maxThreads: threads
    })
    // The task of a thread that died is rejected; one that died idle is replaced, and nobody was waiting for it.
    pool.on('error', () => {})
    return (this.#pool = pool)
  }
}

interface Part {
  start: number
  lanes: Lanes
}

/** Parts of about the same size, at least so many, so that no thread is left with much more than another. */
function* partsOf(lanes: Lanes, least: number): Generator<Part, void> {
  const count = Math.max(Math.ceil(lanes.byteLength / partBytes), least)
  const length = Math.ceil(lanes.length / count)
  for (let start = 0; start < lanes.length; start += length)
    yield { start, lanes: lanes.subarray(start, start + length) }
}

/** Masks that are worth a task of some milliseconds, and at least so many groups, so that all threads end at the same time. */
function* groupsOf(masks: Mask[], byteLength: number, least: number): Generator<Mask[], void> {
  const length = Math.min(Math.ceil(groupBytes / byteLength), Math.ceil(masks.length / least))
  for (let start = 0; start < masks.length; start += length) yield masks.slice(start, start + length)
}

function maskTask(slab: ArrayBuffer, lanes: Lanes, masks: SharedArrayBuffer, offset: number): MaskTask {
  return { kind: 'mask', slab, masks, length: lanes.length, bits: lanes.BYTES_PER_ELEMENT === 2 ? 16 : 32, offset }
}

async function agree(pool: Threads, { secret, partners, ...context }: Agreements): Promise<Secret[]> {
  if (partners.length === 0) return []
  const shared = new SharedArrayBuffer(32 * partners.length)
  const bytes = new Uint8Array(shared)
  try {
    bytes.set(secret.expose())
    await run(pool, { kind: 'agree', shared, partners, ...context })
    return partners.map((_, place) => new Secret(bytes.slice(32 * place, 32 * (place + 1))))
  } finally {
    bytes.fill(0)
  }
}

/** The slab as it comes back. */
async function mask(pool: Threads, task: MaskTask): Promise<ArrayBuffer> {
  return (await run(pool, task, [task.slab])) as ArrayBuffer
}

async function run(
  pool: Threads,
  task: MaskTask | AgreeTask,
  transferList?: ArrayBuffer[]
): Promise<ArrayBuffer | void> {
  try {
    return await pool.run(task, { transferList })
  } catch (cause) {
    const sentence = `a worker thread ended in the middle of masking (${(cause as Error).message}); the vector stays unmasked`
    throw new SecureAggregationError('WORKER_FAILED', sentence, { cause })
  }
}
