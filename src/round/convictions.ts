import { MessageError } from '../errors.ts'
import type { Journal } from '../journal/journal.ts'
import { decodeEvidence, encodeEvidence, verifyEvidence } from './evidence.ts'
import type { Evidence } from './evidence.ts'
import type { Message } from './messages.ts'
import type { RoundRules } from './transcript.ts'

/** Evidence that this member holds, in its journal as well: whoever is convicted leads no more in that epoch (§6, §7). */

/**
 * The evidence that a member brings, verified: what it proves stands on its own, and a forged accusation is the fault of
 * whoever brings it.
 *
 * @param rules of the round that the message is of
 * @throws MessageError MALFORMED, OVERSIZED, INVALID, the bringer being the culprit
 */
export function readEvidence({ from, body }: Message<'Evidence'>, rules: RoundRules): Evidence {
  try {
    const evidence = decodeEvidence(body.evidence)
    verifyEvidence(evidence, rules)
    return evidence
  } catch (cause) {
    if (!(cause instanceof MessageError)) throw cause
    const culprit = rules.roster.members[from].id
    throw new MessageError(cause.code, `member ${from} brings a false accusation: ${cause.message}`, { culprit, cause })
  }
}

export interface ConvictionsOptions {
  journal: Journal
  taskId: string
  /** Tells the others, before it is written down here: what is in the journal was said. */
  tell: (evidence: Evidence) => Promise<void>
}

export class Convictions {
  readonly #options: ConvictionsOptions
  /** One for each kind of offence of each member of an epoch: a thousand rounds of it take no more room than one. */
  readonly #held = new Map<string, Evidence>()
  readonly #convicted = new Set<string>()

  constructor(options: ConvictionsOptions) {
    this.#options = options
  }

  /** Takes up what an earlier life of the process held. */
  async load(): Promise<void> {
    for await (const [, encoded] of this.#options.journal.entries(this.#folder)) this.#hold(decodeEvidence(encoded))
  }

  /** Whether there is evidence against a member of an epoch, by its roster index. */
  isConvicted(epoch: number, member: number): boolean {
    return this.#convicted.has(`${epoch}/${member}`)
  }

  get all(): Evidence[] {
    return [...this.#held.values()]
  }

  /**
   * Notes verified evidence: it counts from now on, and is told and written down if it is new.
   *
   * @returns whether it is new
   */
  async note(evidence: Evidence): Promise<boolean> {
    const offence = offenceOf(evidence)
    if (this.#held.has(offence)) return false
    this.#hold(evidence)
    await this.#options.tell(evidence)
    await this.#options.journal.put(`${this.#folder}${offence}`, encodeEvidence(evidence))
    return true
  }

  #hold(evidence: Evidence): void {
    this.#held.set(offenceOf(evidence), evidence)
    this.#convicted.add(`${evidence.epoch}/${evidence.culprit}`)
  }

  get #folder(): string {
    return `${this.#options.taskId}/evidence/`
  }
}

function offenceOf({ epoch, culprit, kind }: Evidence): string {
  return `${String(epoch).padStart(10, '0')}/${String(culprit).padStart(5, '0')}/${kind}`
}
