import { sameBytes } from '../round/dealing.ts'
import { decodeMessage } from '../round/messages.ts'
import type { Message } from '../round/messages.ts'
import type { ProvisionalSum, RoundOutcome } from '../round/outcome.ts'

/** The sum that an application has before its round is closed, until the closing confirms or withdraws it. */
export class Provisional {
  readonly #told: (sum: ProvisionalSum) => void
  readonly #withdrawn: (sum: ProvisionalSum) => void
  #sum?: ProvisionalSum

  constructor(told: (sum: ProvisionalSum) => void, withdrawn: (sum: ProvisionalSum) => void) {
    this.#told = told
    this.#withdrawn = withdrawn
  }

  /** A lock names a sum: another one than before takes its place. */
  take(sum: ProvisionalSum): void {
    this.#withdraw()
    this.#sum = sum
    this.#told(sum)
  }

  /** The round is closed: with just this sum, or it is withdrawn. */
  conclude({ decision, round }: Pick<RoundOutcome, 'decision' | 'round'>): void {
    const { root } = (decodeMessage(decision) as Message<'Decision'>).body.commits
    if (this.#sum?.round === round && root !== null && sameBytes(root, this.#sum.root)) this.#sum = undefined
    else this.#withdraw()
  }

  #withdraw(): void {
    const before = this.#sum
    this.#sum = undefined
    if (before !== undefined) this.#withdrawn(before)
  }
}
