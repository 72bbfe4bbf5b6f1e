import { availableParallelism } from 'node:os'
// A pool of worker threads with a queue and cancellation.
import { Piscina } from 'piscina'
import type { Candidates } from './search-worker.ts'

/** Some hundredths of a second. */
const perTask = 2 ** 16
const here = import.meta.filename.endsWith('.ts') ? '.ts' : '.js'

export interface Found {
  /** The word whose key stream explains the target; undefined where no candidate does. */
  word?: number
  tried: number
  seconds: number
}

/** Tries seeds on all processors. */
export class SeedSearch {
  readonly threads = Math.min(availableParallelism(), 8)
  readonly #pool = new Piscina<Candidates, number | undefined>({
    filename: new URL(`./search-worker${here}`, import.meta.url).href,
    minThreads: this.threads,
    maxThreads: this.threads
  })

  /** Candidates a second, all threads together, once they are warm. */
  async measure(): Promise<number> {
    const nothing = { at: 0, elements: [0, 0, 0, 0], bits: 32, zeros: [] }
    const each = 4
    const tasks = () =>
      Promise.all(
        Array.from({ length: each * this.threads }, () => this.#pool.run({ from: 0, count: perTask, ...nothing }))
      )
    await tasks()
    const began = performance.now()
    await tasks()
    return (each * this.threads * perTask * 1000) / (performance.now() - began)
  }

  /**
   * The seed among the words below 2^`width` under which the four `elements` from element `at` on (a multiple of four: one
   * block of AES) all become one of `zeros`. Every task that has begun is finished, so the rate stays honest.
   */
  async find(
    target: Omit<Candidates, 'from' | 'count'>,
    width: number,
    progress: (tried: number, of: number) => void
  ): Promise<Found> {
    const of = 2 ** width
    const began = performance.now()
    let next = 0
    let tried = 0
    let word: number | undefined
    const work = async (): Promise<void> => {
      while (next < of && word === undefined) {
        const count = Math.min(perTask, of - next)
        const from = next
        next += count
        word = (await this.#pool.run({ from, count, ...target })) ?? word
        tried += count
        progress(tried, of)
      }
    }
    await Promise.all(Array.from({ length: this.threads }, work))
    return { word, tried, seconds: (performance.now() - began) / 1000 }
  }

  async stop(): Promise<void> {
    await this.#pool.destroy()
  }
}
