import type { Clock } from '../../src/round/ports.ts'

/** Time that passes only when nothing is left to do: a network's minutes take the time of its computing. */
export class VirtualClock implements Clock {
  #now = 0
  #order = 0
  readonly #timers: Array<{ at: number; order: number; fire: () => void }> = []

  now(): number {
    return this.#now
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason as Error)
      const timer = { at: this.#now + Math.max(0, ms), order: this.#order++, fire: () => {} }
      const abort = () => {
        this.#timers.splice(this.#timers.indexOf(timer), 1)
        reject(signal!.reason as Error)
      }
      timer.fire = () => {
        signal?.removeEventListener('abort', abort)
        resolve()
      }
      signal?.addEventListener('abort', abort, { once: true })
      this.#timers.push(timer)
    })
  }

  async pause(): Promise<void> {}

  /** Runs until `done` or until nothing is planned any more; whatever is due at one moment happens in the order it was planned. */
  async run(done: () => boolean, limitMs: number): Promise<void> {
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve))
      if (done()) return
      if (this.#timers.length === 0) throw new Error('nothing is planned any more, and the run is not done')
      let next = 0
      for (let i = 1; i < this.#timers.length; i++) {
        const [a, b] = [this.#timers[i], this.#timers[next]]
        if (a.at < b.at || (a.at === b.at && a.order < b.order)) next = i
      }
      const [timer] = this.#timers.splice(next, 1)
      if (timer.at > limitMs) throw new Error(`not done after ${limitMs} ms of virtual time`)
      this.#now = timer.at
      timer.fire()
    }
  }
}
