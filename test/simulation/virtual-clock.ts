import type { Clock } from '../../src/round/ports.ts'

interface Timer {
  at: number
  order: number
  fire: () => void
}

/** Time that passes only when nothing is left to do: a network's minutes take the time of its computing. */
export class VirtualClock implements Clock {
  #now = 0
  #order = 0
  readonly #timers = new Set<Timer>()

  now(): number {
    return this.#now
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason as Error)
      const timer: Timer = { at: this.#now + Math.max(0, ms), order: this.#order++, fire: resolve }
      this.#timers.add(timer)
      if (signal === undefined) return
      const abort = () => {
        this.#timers.delete(timer)
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
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve))
      if (done()) return
      const next = this.#next()
      if (next === undefined) throw new Error('nothing is planned any more, and the run is not done')
      if (next.at > limitMs) throw new Error(`not done after ${limitMs} ms of virtual time`)
      this.#timers.delete(next)
      this.#now = next.at
      next.fire()
    }
  }

  #next(): Timer | undefined {
    let first: Timer | undefined
    for (const timer of this.#timers)
      if (first === undefined || timer.at < first.at || (timer.at === first.at && timer.order < first.order))
        first = timer
    return first
  }
}
