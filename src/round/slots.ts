import type { Clock } from './ports.ts'

/** A few at a time, in the order they came: what keeps a leader's memory the same however many members there are. */
export class Slots {
  #free: number
  readonly #leaseMs: number
  readonly #clock: Clock
  readonly #waiting: Array<() => void> = []

  /** @param leaseMs after so long a slot is given to the next as well: whoever stalls holds up nobody for ever */
  constructor(free: number, leaseMs: number, clock: Clock) {
    this.#free = free
    this.#leaseMs = leaseMs
    this.#clock = clock
  }

  /** Resolves with what gives the slot back. */
  async take(): Promise<() => void> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    const returned = new AbortController()
    let held = true
    const release = (): void => {
      if (!held) return
      held = false
      returned.abort()
      const next = this.#waiting.shift()
      if (next === undefined) this.#free++
      else next()
    }
    void this.#clock.sleep(this.#leaseMs, returned.signal).then(release, () => {})
    return release
  }
}
