import type { Clock } from '../../src/round/ports.ts'

interface Timer {
  at: number
  order: number
  fire: () => void
  stopped: boolean
}

/** A hundred times what a long round of few members takes: whatever goes on for ever fails before it fills the memory. */
export const MOST_EVENTS = 2_000_000

/** Time that passes only when nothing is left to do: a network's minutes take the time of its computing. */
export class VirtualClock implements Clock {
  #now = 0
  #order = 0
  readonly #timers = new Timers()
  readonly #mostEvents: number

  /** @param mostEvents in one run */
  constructor(mostEvents = MOST_EVENTS) {
    this.#mostEvents = mostEvents
  }

  now(): number {
    return this.#now
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason as Error)
      const timer: Timer = { at: this.#now + Math.max(0, ms), order: this.#order++, fire: resolve, stopped: false }
      this.#timers.add(timer)
      if (signal === undefined) return
      const abort = () => {
        timer.stopped = true
        reject(signal.reason as Error)
      }
      timer.fire = () => {
        signal.removeEventListener('abort', abort)
        resolve()
      }
      signal.addEventListener('abort', abort, { once: true })
    })
  }

  async pause(): Promise<void> {}

  /**
   * Runs until `done`; whatever is due at one moment happens in the order it was planned. Between two events everything
   * finishes that only waits for promises.
   */
  async run(done: () => boolean, limitMs: number): Promise<void> {
    for (let events = 0; ; events++) {
      if (events > this.#mostEvents)
        throw new Error(`not done after ${events} events, at ${this.#now} ms of virtual time`)
      await new Promise((resolve) => setImmediate(resolve))
      if (done()) return
      const next = this.#timers.first()
      if (next === undefined) throw new Error('nothing is planned any more, and the run is not done')
      if (next.at > limitMs) throw new Error(`not done after ${limitMs} ms of virtual time`)
      this.#timers.removeFirst()
      this.#now = next.at
      next.fire()
    }
  }
}

/** A binary heap: a network has thousands of timers, most of which are stopped before they are due. */
class Timers {
  readonly #heap: Timer[] = []

  add(timer: Timer): void {
    const heap = this.#heap
    let at = heap.length
    for (let above = (at - 1) >> 1; at > 0 && isBefore(timer, heap[above]); above = (at - 1) >> 1) {
      heap[at] = heap[above]
      at = above
    }
    heap[at] = timer
  }

  first(): Timer | undefined {
    while (this.#heap.length > 0 && this.#heap[0].stopped) this.removeFirst()
    return this.#heap.at(0)
  }

  removeFirst(): void {
    const heap = this.#heap
    const last = heap.pop()!
    if (heap.length === 0) return
    let at = 0
    for (;;) {
      let below = 2 * at + 1
      if (below + 1 < heap.length && isBefore(heap[below + 1], heap[below])) below++
      if (below >= heap.length || !isBefore(heap[below], last)) break
      heap[at] = heap[below]
      at = below
    }
    heap[at] = last
  }
}

const isBefore = (a: Timer, b: Timer): boolean => a.at < b.at || (a.at === b.at && a.order < b.order)
