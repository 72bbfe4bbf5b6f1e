import type { ComponentLogger, Connection, Logger, PeerId, PrivateKey } from '@libp2p/interface'
// As libp2p itself ends a wait by a signal, without leaving a listener on it.
import { raceSignal } from 'race-signal'
import { release } from '../crypto/mask-stream.ts'
import { ed25519Signer, randomBytes } from '../crypto/primitives.ts'
import { createEncoder } from '../encoding/encoder.ts'
import { MessageError, RoundError, TaskError } from '../errors.ts'
import type { Journal } from '../journal/journal.ts'
import type { VectorStore } from '../journal/vector-store.ts'
import type { Evidence } from '../round/evidence.ts'
import type { Roster } from '../membership/roster.ts'
import type { Member } from '../round/member.ts'
import type { ProvisionalSum, RoundOutcome } from '../round/outcome.ts'
import { PrivacyLedger, privateTerms } from '../round/privacy-ledger.ts'
import type { PrivacySpent } from '../round/privacy-ledger.ts'
import { Participant } from '../round/participant.ts'
import { onThisThread } from '../round/ports.ts'
import type { Compute, Observer, Phase, Sign } from '../round/ports.ts'
import type { RoundInput } from '../round/round.ts'
import type { Task } from '../task/task.ts'
import { mayConnect } from './admission.ts'
import { systemClock } from './clock.ts'
import { Contributions } from './contributions.ts'
import type { ContributeOptions, Contribution, Input, LazyInput, Sum } from './contributions.ts'
import { Asking } from './asking.ts'
import { CatchingUp } from './catching-up.ts'
import { Announcements } from './gossip.ts'
import type { AnnouncementComponents } from './gossip.ts'
import { Provisional } from './provisional.ts'
import { Streams } from './streams.ts'
import { readSum } from './sums.ts'
import type { StreamComponents } from './streams.ts'

/** What each task uses of a libp2p node. */
export interface SessionComponents extends StreamComponents, AnnouncementComponents {
  peerId: PeerId
  privateKey: PrivateKey
  logger: ComponentLogger
}

/** Answers a round as it opens: the input, or undefined to hold shares and vote only. */
export type RoundHandler = (round: {
  round: number
  /** Aborted when an answer would come too late, and when the node stops. */
  signal: AbortSignal
}) => Promise<LazyInput | undefined> | LazyInput | undefined

export interface SessionOptions {
  task: Task
  journal: Journal
  vectors: VectorStore
  observer: Observer
  /** On this thread if left out. */
  compute?: Compute
  contextHash?: (round: number) => Uint8Array | Promise<Uint8Array>
  /** The application's answer to rounds for which no vector waits. */
  handler(): RoundHandler | undefined
  opened(round: number): void
  /** A sum may be had before its round is closed with it. */
  locked?(sum: ProvisionalSum): void
  /** A sum that was had so is not the round's after all. */
  withdrawn?(sum: ProvisionalSum): void
  closed(outcome: RoundOutcome): void
  /** A round that was closed while this member was away. */
  missed?(outcome: RoundOutcome): void
  /** Of how many late rounds what was missed is asked for. */
  keepRounds?: number
  convicted(evidence: Evidence): void
  /** A member has told how far the rounds have come. */
  caughtUp?(member: string): void
  /** A roster has taken effect. */
  epoch?(roster: Roster): void
}

/** One task on one libp2p node: the member, its protocols and its gossip, and the inputs that wait for a round. */
export class Session {
  readonly task: Task
  readonly participant: Participant
  readonly #asking: Asking
  readonly #catchingUp: CatchingUp
  readonly #streams: Streams
  readonly #announcements: Announcements
  readonly #options: SessionOptions
  readonly #log: Logger
  readonly #contributions = new Contributions()
  readonly #stop = new AbortController()
  #running = false
  readonly #connections: () => Connection[]
  /** Where the task has privacy: what this member's vectors have given away so far. */
  readonly #ledger?: PrivacyLedger
  /** Done when the last closed round is in that account. */
  #accounted: Promise<void> = Promise.resolve()

  constructor(components: SessionComponents, options: SessionOptions) {
    const { task } = options
    this.task = task
    this.#options = options
    const privately = privateTerms(task)
    if (privately !== undefined) this.#ledger = new PrivacyLedger(privately, options.journal)
    this.#connections = () => components.connectionManager.getConnections()
    this.#log = components.logger.forComponent(`libp2p:secagg:${task.name}`)
    const refused = (error: Error): void => {
      this.#log('refused - %e', error)
      options.observer.refused?.(error)
    }
    this.#asking = new Asking({
      want: () => this.participant.want(),
      isDue: () => this.#contributions.size > 0 && this.#running,
      deadlineMs: task.deadlineMs,
      refused
    })
    this.#streams = new Streams(components, task.id, {
      converse: (from, channel) => this.participant.converse(from, channel),
      deliver: async (from, message) => {
        try {
          await this.participant.hear(from, message)
        } catch (error) {
          refused(error as Error)
          if (error instanceof MessageError) throw error
        }
      },
      answer: (from, request) => this.participant.answer(from, request),
      met: (peer) => this.#catchingUp.met(peer),
      parted: (peer) => this.#catchingUp.parted(peer)
    })
    this.#catchingUp = new CatchingUp({
      connected: () => this.#connectedMembers(),
      ask: (member) => this.participant.catchUp(member),
      caughtUp: (member) => options.caughtUp?.(member),
      failed: (member, error) => this.#log('could not ask %s how far the rounds are - %e', member, error)
    })
    this.#announcements = new Announcements(components, task.idBytes, {
      isMember: (peer) => this.expects(peer),
      validate: (from, bytes) => {
        try {
          if (this.participant.check(from, bytes)) return 'accept'
          // It may be of an epoch that began without this peer, or of a round that whoever says it does not know to be over.
          void this.participant.hear(from, bytes).catch(refused)
          return 'ignore'
        } catch (error) {
          refused(error as Error)
          return 'reject'
        }
      },
      deliver: (from, bytes) => {
        void this.participant.hear(from, bytes).catch(refused)
      }
    })
    const links = {
      converse: (leader: string, signal: AbortSignal) => this.#streams.converse(leader, signal),
      deliver: (to: string, message: Uint8Array, signal: AbortSignal) => this.#streams.deliver(to, message, signal),
      ask: (to: string, request: Uint8Array, signal: AbortSignal) => this.#streams.ask(to, request, signal),
      announce: (message: Uint8Array) => void this.#announcements.publish(message).catch(refused)
    }
    const { journal, vectors, observer, contextHash, compute = onThisThread } = options
    const provisional = new Provisional(
      (sum) => options.locked?.(sum),
      (sum) => options.withdrawn?.(sum)
    )
    this.participant = new Participant({
      task,
      id: components.peerId.toString(),
      ports: {
        clock: systemClock,
        random: randomBytes,
        sign: signingWith(components.privateKey),
        journal,
        vectors,
        compute,
        observer: { ...observer, refused, phase: (...reached) => this.#reached(...reached) }
      },
      links,
      input: (round, signal, terms) => this.#input(round, signal, terms),
      contextHash,
      opened: (round) => options.opened(round),
      locked: (sum) => provisional.take(sum),
      closed: (outcome) => {
        provisional.conclude(outcome)
        this.#accounted = this.#close(outcome)
        options.closed(outcome)
        void this.#settle(outcome).catch(refused)
      },
      missed: (outcome) => options.missed?.(outcome),
      keepRounds: options.keepRounds,
      convicted: (evidence) => options.convicted(evidence),
      epoch: (roster) => {
        options.epoch?.(roster)
        if (!this.participant.hasPlace) this.#contributions.rejectWaiting(this.#noPlace)
        // An input that waited outside is due with the first round inside.
        this.#asking.again()
      }
    })
  }

  /** Has its protocols answered, as soon as the journal is read. */
  async listen(): Promise<void> {
    await this.participant.load()
    await this.#streams.start()
  }

  async start(): Promise<void> {
    this.#announcements.start()
    await this.participant.start()
    this.#running = true
    this.#catchingUp.start()
  }

  async stop(): Promise<void> {
    this.#running = false
    this.#catchingUp.stop()
    this.#asking.stop()
    this.#stop.abort(new Error('the service has stopped'))
    this.#contributions.rejectAll(({ round, masked }) =>
      masked === true ? burned(round!, 'was left when the node stopped') : this.#stopped
    )
    await this.participant.stop()
    this.#announcements.stop()
    await this.#streams.stop()
  }

  /** It was stopped, and another one begins where it ended. */
  get isOver(): boolean {
    return this.#stop.signal.aborted
  }

  /** What this peer is in the epoch in effect; outside the roster it only follows. */
  get member(): Member {
    return this.participant.member
  }

  /** Whether this peer has a reason to be connected: it is a member, now or soon, or may ask to become one. */
  expects(peer: string): boolean {
    return mayConnect(peer, this.participant, this.#connected())
  }

  /** Put together only when it is read: members are asked about again and again, and their standing does not need it. */
  *#connected(): Iterable<string> {
    for (const { remotePeer } of this.#connections()) yield remotePeer.toString()
  }

  /** Through a relay nobody is asked anything. */
  *#connectedMembers(): Iterable<string> {
    const { roster } = this.member
    for (const { remotePeer, limits } of this.#connections())
      if (limits === undefined && roster.indexOf(remotePeer.toString()) >= 0) yield remotePeer.toString()
  }

  /** Members that have told how far the rounds have come, since this node was started. */
  get answered(): ReadonlySet<string> {
    return this.#catchingUp.answered
  }

  get traffic(): { sent: number; received: number } {
    return this.#streams.traffic
  }

  /** Peer ids of the connected members that listen to this task. */
  subscribers(): string[] {
    return this.#announcements.subscribers()
  }

  /**
   * Hands a vector over for the next round that takes it; asks for a round if none is running.
   *
   * @throws InputError, TaskError NOT_A_MEMBER or RoundError STOPPED at once; RoundError BURNED where the round ended without
   *   a sum after the vector had been masked; the signal's reason
   */
  async contribute(input: Input, options: ContributeOptions = {}): Promise<Sum> {
    const { signal } = options
    signal?.throwIfAborted()
    // Refused at the border; the round encodes it, because masks are laid in place.
    await raceSignal(createEncoder(this.member.task, 0).check(input.vector, { weight: input.weight }), signal)
    if (!this.#running) throw this.#stopped
    if (!this.participant.hasPlace) throw this.#noPlace
    const summed = this.#contributions.add(input, options)
    void this.#asking.now().catch((error: Error) => this.#contributions.rejectWaiting(error))
    return summed
  }

  /** The sum of a round that this member has. @throws RoundError where it has none */
  async sum(outcome: RoundOutcome | ProvisionalSum): Promise<Sum> {
    return readSum(outcome, this.participant.terms(outcome.epoch), this.#options.vectors, this.#ledger)
  }

  /** Where the task has privacy: what this member's vectors may have given away in all rounds so far (§12). */
  async privacySpent(): Promise<PrivacySpent | undefined> {
    // One that could not be entered stays as dear as it was before.
    await this.#accounted.catch(() => {})
    return this.#ledger?.spent()
  }

  async #input(round: number, late: AbortSignal, terms: Task): Promise<RoundInput | undefined> {
    const handler = this.#options.handler()
    const one =
      this.#contributions.take(round) ??
      (handler === undefined ? await this.#contributions.takeNext(round, late) : undefined)
    if (one !== undefined && round <= this.member.closedRound) return void this.#giveBack(one, round)
    this.#tell(one, 'secagg:taken', { round })
    const input = one ?? (await handler?.({ round, signal: AbortSignal.any([late, this.#stop.signal]) }))
    if (input === undefined) return undefined
    const { vector, weight } = input
    const refused = one === undefined ? input.refused : (error: RoundError) => this.#refuse(one, error)
    return {
      signal: one?.signal,
      lanes: async () => {
        await this.#account(round, terms, refused)
        if (typeof vector !== 'function') return (await createEncoder(terms, round).encode(vector, { weight })).lanes
        const own = await vector()
        try {
          return (await createEncoder(terms, round).encode(own, { weight })).lanes
        } finally {
          release(own)
        }
      }
    }
  }

  /** With privacy, what a round may give away is on disk before a vector is encoded for it; or the budget is spent. */
  async #account(round: number, terms: Task, refused: Input['refused']): Promise<void> {
    const privately = privateTerms(terms)
    if (privately === undefined) return
    try {
      await this.#ledger!.enter(round, privately)
    } catch (error) {
      if (error instanceof RoundError) refused?.(error)
      throw error
    }
  }

  #refuse(one: Contribution, error: RoundError): void {
    this.#contributions.remove(one)
    one.reject(error)
  }

  /** It is in no sum of this round: it waits for the next. */
  #giveBack(one: Contribution, round: number): void {
    one.round = undefined
    one.masked = false
    this.#tell(one, 'secagg:again', { round })
  }

  #reached(phase: Phase, round: number, leading: boolean): Promise<void> | void {
    const one = this.#contributions.of(round)
    if (one !== undefined && phase === 'mask') one.masked = true
    this.#tell(one, 'secagg:phase', { round, phase })
    return this.#options.observer.phase?.(phase, round, leading)
  }

  /** A listener that throws is the application's own fault, and no reason to leave a round. */
  #tell(one: Contribution | undefined, ...event: Parameters<Contribution['tell']>): void {
    try {
      one?.tell(...event)
    } catch (error) {
      this.#log.error('onProgress of a contribution threw - %e', error)
    }
  }

  get #stopped(): RoundError {
    const next = this.member.closedRound + 1
    return new RoundError('STOPPED', 'the node is not running, and the vector is in no sum: start it first', next)
  }

  get #noPlace(): TaskError {
    const sentence = `this node is no member of the task ${this.task.name} and has not asked to become one: join it first`
    return new TaskError('NOT_A_MEMBER', sentence)
  }

  /** With privacy, what a closed round has cost. */
  async #close(outcome: RoundOutcome): Promise<void> {
    const privately = privateTerms(this.participant.terms(outcome.epoch))
    if (privately !== undefined) await this.#ledger!.settle(outcome, privately, this.participant.member.me)
  }

  /** Tells whoever contributed what became of it; what was never opened stays for the next round. */
  async #settle(outcome: RoundOutcome): Promise<void> {
    const { round, status, input } = outcome
    await this.#accounted
    const one = this.#contributions.of(round)
    if (one !== undefined && input !== 'summed' && input !== 'burned') {
      this.#giveBack(one, round)
    } else if (one !== undefined) {
      this.#contributions.remove(one)
      const why =
        status === 'summed'
          ? 'was summed, and its sum cannot be had'
          : `was burned (${outcome.reason ?? 'no reason given'})`
      if (input === 'burned') one.reject(burned(round, why))
      else await this.sum(outcome).then(one.resolve, one.reject)
    }
    this.#asking.closed(outcome)
  }
}

function burned(round: number, why: string): RoundError {
  const sentence = `round ${round} ${why}; contributing the same values again can reveal a difference`
  return new RoundError('BURNED', sentence, round)
}

/** libp2p imports its key anew for each signature. An identity of another kind is in no roster. */
function signingWith(key: PrivateKey): Sign {
  if (key.type !== 'Ed25519') return (bytes) => key.sign(bytes)
  // The raw key is the seed, and behind it the public key.
  const sign = ed25519Signer(key.raw.subarray(0, 32))
  return (bytes) => sign(bytes)
}
