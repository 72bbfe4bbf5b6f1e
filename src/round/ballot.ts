import * as dagCbor from '@ipld/dag-cbor'
import { bytesToHex } from '@noble/hashes/utils.js'
import { BallotError } from '../errors.ts'
import type { Journal } from '../journal/journal.ts'
import { decodeSet } from '../membership/member-set.ts'
import * as agreement from './agreement.ts'
import type { AgreementState, Step } from './agreement.ts'
import { checkDecision, checkLock, choiceOf } from './certificates.ts'
import type { Electorate } from './certificates.ts'
import { cutHash, encodeMessage, inclusionOf, signedBytes, valueHash } from './messages.ts'
import type { AgreementName, Body, Cut, Lock, Message, MessageType, RoundContext, Value } from './messages.ts'
import type { Sign } from './ports.ts'

/**
 * What this member may still sign or reveal in one round (§6, rules S1 to S6): the trusted core. Everything that could
 * expose a member if done twice, out of order or after a crash goes through here, and is on disk before it is returned.
 */

type ByAgreement<T> = Readonly<Record<string, T>>

/** What survives a crash. Hashes are hex. */
interface BallotState {
  /** The last ViewChange that this member has signed, if any. */
  change: Body<'ViewChange'> | null
  /** The attempts that it has entered, in order, by their attemptId: their last is the high-water mark (S5). */
  attempts: string[]
  agreements: ByAgreement<AgreementState>
  /** The agreements' locks as certificates, to be shown to the next leader. */
  locks: ByAgreement<Lock>
  decisions: ByAgreement<Body<'Decision'>>
}

/** The half of a member's secrets that a cut opens: its self-mask seed if it is included, its mask key if it dropped. */
export type Side = 'seed' | 'key'

/** What a member says at most once an attempt, whatever it is asked (S1, S2). */
type OnceAnAttempt = 'KeyAdvert' | 'ShareRoot' | 'MaskedHeader'

export interface BallotOptions {
  journal: Journal
  /** Where in the journal this round's ballot lies. */
  key: string
  context: RoundContext
  electorate: Electorate
  /** This member's roster index. */
  me: number
  sign: Sign
}

export class Ballot {
  readonly #options: BallotOptions
  #state: BallotState
  /** Attempts entered before a restart: nothing in them is advertised, shared, masked or revealed again (S5). */
  readonly #restored: number
  readonly #resumed: boolean
  /** `signedView` as a restart found it; what is signed since then bars from nothing. */
  readonly #signedBefore: number
  readonly #said = new Map<string, { body: string; message: Promise<Message> }>()
  readonly #sides = new Map<string, Side>()
  #written: Promise<void> = Promise.resolve()

  private constructor(options: BallotOptions, journaled: BallotState | undefined) {
    this.#options = options
    this.#state = journaled ?? { change: null, attempts: [], agreements: {}, locks: {}, decisions: {} }
    this.#resumed = journaled !== undefined
    this.#restored = this.#state.attempts.length
    this.#signedBefore = this.signedView
  }

  /** Takes up the round where the journal left it, or begins it. */
  static async open(options: BallotOptions): Promise<Ballot> {
    const journaled = await options.journal.get(options.key)
    return new Ballot(options, journaled && dagCbor.decode<BallotState>(journaled))
  }

  /** The highest view that this member has signed in, in any agreement or by a ViewChange. */
  get signedView(): number {
    return Math.max(this.changedTo, ...Object.values(this.#state.agreements).map(({ signedView }) => signedView))
  }

  /** The highest view that this member has signed a ViewChange to; 0 where it has signed none. */
  get changedTo(): number {
    return this.#state.change?.view ?? 0
  }

  lock(name: AgreementName): Lock | undefined {
    return this.#state.locks[name]
  }

  locks(): Lock[] {
    return Object.values(this.#state.locks)
  }

  decision(name: AgreementName): Body<'Decision'> | undefined {
    return this.#state.decisions[name]
  }

  /** All decisions that it knows. */
  decisions(): Body<'Decision'>[] {
    return Object.values(this.#state.decisions)
  }

  /** Whether this attempt was entered in an earlier life of the process, so that this member sits it out (S5). */
  sitsOut(attempt: number): boolean {
    return attempt < this.#restored
  }

  /**
   * S5, S6: the high-water mark is on disk before the first signed message of an attempt leaves; an attempt is entered
   * once, under one attemptId, and only with the decision `retry` for every attempt before it.
   */
  async enter(attempt: number, attemptId: Uint8Array): Promise<void> {
    const id = bytesToHex(attemptId)
    const { attempts } = this.#state
    if (this.sitsOut(attempt))
      throw new BallotError(`attempt ${attempt} was entered before a restart, so this member sits it out`)
    if (attempt < attempts.length) {
      if (attempts[attempt] !== id) throw new BallotError(`attempt ${attempt} was entered under another id`)
      return this.#written
    }
    for (let earlier = 0; earlier < attempt; earlier++) {
      if (this.decision(inclusionOf(earlier))?.value.kind !== 'retry')
        throw new BallotError(`attempt ${attempt} comes without the decision to retry attempt ${earlier}`)
    }
    // Attempts that went by without this member stay empty.
    const missed = Array.from({ length: attempt - attempts.length }, () => '')
    await this.#journal({ ...this.#state, attempts: [...attempts, ...missed, id] })
  }

  /** Where a restart found this round begun, it leads no view up to the one that it had signed in before (S5). */
  mayLead(view: number): boolean {
    return !this.#resumed || view > this.#signedBefore
  }

  /** S1, S2: one advert, one dealing and one masked vector an attempt; asked again, the same bytes; asked for others, a refusal. */
  async sayOnce<T extends OnceAnAttempt>(type: T, attempt: number, body: Body<T>): Promise<Message<T>> {
    if (this.sitsOut(attempt) || this.#state.attempts[attempt] !== bytesToHex(body.attemptId)) {
      throw new BallotError(`a ${type} is for an attempt that this member has not entered`)
    }
    const key = `${type}/${attempt}`
    const encoded = bytesToHex(dagCbor.encode(body))
    const before = this.#said.get(key)
    if (before !== undefined) {
      if (before.body !== encoded) throw new BallotError(`another ${type} was signed in attempt ${attempt}`)
      return before.message as Promise<Message<T>>
    }
    const message = this.#sign(type, body)
    // Reserved before the signature exists, so that a second, different one cannot slip in between.
    this.#said.set(key, { body: encoded, message: message })
    return message
  }

  /** Signs `Prepare(view, value)` if the rules of §6 allow it; `passesChecks` is this member's own verdict on the value. */
  async prepare(
    name: AgreementName,
    proposal: { view: number; value: Value; root?: Uint8Array; passesChecks: boolean; lock?: Lock }
  ): Promise<Message<'Prepare'>> {
    const { view, value, root, passesChecks, lock } = proposal
    if (lock !== undefined) this.#checkLock(name, lock)
    const hash = valueHash(value)
    const step = agreement.prepare(this.#agreement(name), {
      view,
      value: bytesToHex(hash),
      root: root && bytesToHex(root),
      passesChecks,
      shownLock: lock && choiceOf(lock.certificate),
      changedTo: this.changedTo
    })
    await this.#take(name, step)
    return this.#sign('Prepare', { agreement: name, view, value: hash, root: root ?? null })
  }

  /** Shown a lock: journals it as this member's own and signs `Commit(view, value)` if the rules of §6 allow it. */
  async commit(lock: Lock): Promise<Message<'Commit'>> {
    const { view, value, root, ...certificate } = lock.certificate
    const name = certificate.agreement as AgreementName
    this.#checkLock(name, lock)
    const step = agreement.commit(this.#agreement(name), choiceOf(lock.certificate), this.changedTo)
    await this.#take(name, step, { locks: { ...this.#state.locks, [name]: lock } })
    return this.#sign('Commit', { agreement: name, view, value, root })
  }

  /** Signed once a view for the whole round; counts in all its agreements. Asked again, the same bytes. */
  async changeView(view: number): Promise<Message<'ViewChange'>> {
    if (view < 1) throw new BallotError('the first view is entered without a change')
    if (view < this.changedTo) throw new BallotError(`has signed a change to view ${this.changedTo}, after ${view}`)
    if (view > this.changedTo) {
      const locks = this.locks().map(({ certificate: { agreement, view, value } }) => ({ agreement, view, value }))
      await this.#journal({ ...this.#state, change: { view, locks } })
    }
    return this.#sign('ViewChange', this.#state.change!)
  }

  /** Takes note of a decision for ever, after checking its certificate. */
  async decide(decision: Body<'Decision'>): Promise<void> {
    const name = decision.commits.agreement as AgreementName
    const known = this.decision(name)
    if (known !== undefined && bytesToHex(known.commits.value) === bytesToHex(valueHash(decision.value)))
      return this.#written
    checkDecision(decision, this.#options.context, this.#options.electorate)
    const step = agreement.decide(this.#agreement(name), bytesToHex(decision.commits.value))
    await this.#take(name, step, { decisions: { ...this.#state.decisions, [name]: decision } })
  }

  /**
   * S4: one side of one member's secrets leaves only with the decision for a cut, only the side that the cut dictates,
   * never both. The caller has checked the cut against its own state (§5).
   */
  release(attempt: number, cut: Cut, member: number, side: Side): void {
    if (this.sitsOut(attempt) || this.#state.attempts[attempt] !== bytesToHex(cut.attemptId)) {
      throw new BallotError(`a reveal is for an attempt that this member has not entered`)
    }
    const decided = this.decision(inclusionOf(attempt))?.value
    if (decided?.kind !== 'cut' || bytesToHex(decided.cutHash) !== bytesToHex(cutHash(cut)))
      throw new BallotError('a reveal comes without the decision for its cut')
    const included = decodeSet(cut.included, this.#options.electorate.roster.members.length)
    if (side !== (included.includes(member) ? 'seed' : 'key'))
      throw new BallotError(`the cut does not open the ${side} side of member ${member}`)
    const key = `${attempt}/${member}`
    const before = this.#sides.get(key)
    if (before !== undefined && before !== side)
      throw new BallotError(`the ${before} side of member ${member} was revealed`)
    this.#sides.set(key, side)
  }

  #agreement(name: AgreementName): AgreementState {
    return this.#state.agreements[name] ?? agreement.nothingSigned
  }

  #checkLock(name: AgreementName, lock: Lock): void {
    if (lock.certificate.agreement !== name)
      throw new BallotError(`a lock of ${lock.certificate.agreement} was shown for ${name}`)
    checkLock(lock, this.#options.context, this.#options.electorate)
  }

  async #take(name: AgreementName, step: Step, more: Partial<BallotState> = {}): Promise<void> {
    if ('refusal' in step) throw new BallotError(`${name}: ${step.refusal}`)
    if (step.state === this.#agreement(name)) return this.#written
    await this.#journal({ ...this.#state, ...more, agreements: { ...this.#state.agreements, [name]: step.state } })
  }

  /** S3. The state counts from now on; whoever asked goes on only when it is on disk. Writes keep their order. */
  #journal(state: BallotState): Promise<void> {
    this.#state = state
    this.#written = this.#written.then(() => this.#options.journal.put(this.#options.key, dagCbor.encode(state)))
    return this.#written
  }

  /** Signs only when all that was journaled so far is on disk; a journal that fails silences this member. */
  async #sign<T extends MessageType>(type: T, body: Body<T>): Promise<Message<T>> {
    await this.#written
    const { context, me, sign } = this.#options
    return encodeMessage(type, context, me, body, await sign(signedBytes(type, context, body)))
  }
}
