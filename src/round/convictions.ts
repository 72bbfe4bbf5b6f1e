import { bytesToHex } from '@noble/hashes/utils.js'
import { sha256 } from '../crypto/primitives.ts'
import { MessageError } from '../errors.ts'
import type { Journal } from '../journal/journal.ts'
import { decodeEvidence, encodeEvidence, verifyEvidence } from './evidence.ts'
import type { Evidence } from './evidence.ts'
import type { Message } from './messages.ts'
import type { RoundRules } from './transcript.ts'

/** Evidence that this member holds, in its journal as well: whoever is convicted leads no more in that epoch (§6, §7). */

class UnknownRound extends MessageError {}

/**
 * The evidence that a member brings, verified: what it proves stands on its own, and a forged accusation is the fault of
 * whoever brings it.
 *
 * @param from who brings it
 * @param rules of the round that the message is of
 * @throws MessageError MALFORMED, OVERSIZED, INVALID, the bringer being the culprit
 */
export function readEvidence(from: number, encoded: Uint8Array, rules: RoundRules): Evidence {
  try {
    const evidence = decodeEvidence(encoded)
    // Of a round that is not known here: nobody is at fault.
    if (evidence.kind === 'wrong-sum' && rules.shape === undefined)
      throw new UnknownRound('INVALID', `the sum of round ${rules.context.round} cannot be judged here`)
    verifyEvidence(evidence, rules)
    return evidence
  } catch (cause) {
    if (!(cause instanceof MessageError) || cause instanceof UnknownRound) throw cause
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
  /** The offences by the hash of their encoded evidence: the same comes from every member that it was new to. */
  readonly #offences = new Map<string, string>()
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

  /**
   * The evidence that a member brings, verified; what is held already, to the last bit, was.
   *
   * @throws MessageError as {@link readEvidence}
   */
  read({ from, body }: Message<'Evidence'>, rules: RoundRules): Evidence {
    return this.withHash(sha256(body.evidence)) ?? readEvidence(from, body.evidence, rules)
  }

  /** The evidence with this hash, encoded as it is told. */
  withHash(hash: Uint8Array): Evidence | undefined {
    return this.#held.get(this.#offences.get(bytesToHex(hash)) ?? '')
  }

  /** Whether there is evidence of this kind against a member of an epoch. */
  holds(offence: Pick<Evidence, 'epoch' | 'culprit' | 'kind'>): boolean {
    return this.#held.has(offenceOf(offence))
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
    const offence = offenceOf(evidence)
    this.#held.set(offence, evidence)
    this.#offences.set(hashOf(encodeEvidence(evidence)), offence)
    this.#convicted.add(`${evidence.epoch}/${evidence.culprit}`)
  }

  get #folder(): string {
    return `${this.#options.taskId}/evidence/`
  }
}

const hashOf = (encoded: Uint8Array): string => bytesToHex(sha256(encoded))

function offenceOf({ epoch, culprit, kind }: Pick<Evidence, 'epoch' | 'culprit' | 'kind'>): string {
  return `${String(epoch).padStart(10, '0')}/${String(culprit).padStart(5, '0')}/${kind}`
}
