import { burnedReason } from '../round/burned-reasons.ts'
import type { RoundOutcome } from '../round/outcome.ts'

/** Between two rounds that a member asks for in vain. */
const LONGEST_WAIT_MS = 60_000

interface AskingOptions {
  /** Asks for the next round. */
  want: () => Promise<void>
  /** Whether a vector waits for one. */
  isDue: () => boolean
  deadlineMs: number
  /** It could not be asked for. */
  refused: (error: Error) => void
}

/**
 * Asks for a round while a vector waits: at once, and ever more seldom where this member's rounds are burned because too few
 * others have an input. A round that another member asks for takes the vector as well.
 */
export class Asking {
  readonly #options: AskingOptions
  #inVain = 0
  #timer?: NodeJS.Timeout

  constructor(options: AskingOptions) {
    this.#options = options
  }

  /** For a vector that has just come. */
  async now(): Promise<void> {
    this.stop()
    this.#inVain = 0
    await this.#options.want()
  }

  again(): void {
    this.stop()
    if (!this.#options.isDue()) return
    this.#options.want().catch(this.#options.refused)
  }

  /** A round that this member had no vector in tells nothing of one that it has. */
  closed({ status, reason, input }: RoundOutcome): void {
    const isLonely = status === 'burned' && input !== 'none' && burnedReason(reason) === 'too_few_inputs'
    this.#inVain = isLonely ? this.#inVain + 1 : 0
    if (!isLonely) return this.again()
    this.stop()
    // Nothing waits, or the node was stopped meanwhile: no timer is to outlive it.
    if (!this.#options.isDue()) return
    const waitMs = Math.min(LONGEST_WAIT_MS, this.#options.deadlineMs * 2 ** (this.#inVain - 1))
    this.#timer = setTimeout(() => this.again(), waitMs)
  }

  stop(): void {
    clearTimeout(this.#timer)
  }
}
