import { monitorEventLoopDelay } from 'node:perf_hooks'

const MS_PER_NS = 1e-6

/** How late the event loop was. Node measures from one look to the next, which an idle process has as well. */
export class EventLoopDelay {
  readonly #resolutionMs: number
  readonly #measured: ReturnType<typeof monitorEventLoopDelay>

  /** `resolutionMs`: between two looks. */
  constructor(resolutionMs: number) {
    this.#resolutionMs = resolutionMs
    this.#measured = monitorEventLoopDelay({ resolution: resolutionMs })
  }

  /** Forgets what was. */
  begin(): void {
    this.#measured.reset()
    this.#measured.enable()
  }

  end(): void {
    this.#measured.disable()
  }

  /** In milliseconds; `quantile` from 0 to 1. */
  at(quantile: number): number {
    const measured = quantile === 1 ? this.#measured.max : this.#measured.percentile(100 * quantile)
    return Math.max(0, measured * MS_PER_NS - this.#resolutionMs)
  }
}
