import { MessageError } from '../errors.ts'
import { signRequest, signVouch } from '../membership/requests.ts'
import type { Action } from '../membership/requests.ts'
import { taskOf } from '../membership/roster-change.ts'
import type { RosterChange } from '../membership/roster-change.ts'
import { parsePeer } from '../membership/roster.ts'
import type { Roster } from '../membership/roster.ts'
import type { Task } from '../task/task.ts'
import { absentees } from './absences.ts'
import { authenticate } from './certificates.ts'
import { Chronicle } from './chronicle.ts'
import { Convictions } from './convictions.ts'
import type { Evidence } from './evidence.ts'
import { decodeMessage, encodeMessage } from './messages.ts'
import type { AnyMessage, Message } from './messages.ts'
import { Missed } from './missed.ts'
import { Member } from './member.ts'
import type { MemberOptions } from './member.ts'
import type { RoundOutcome } from './outcome.ts'
import { Petitions } from './petitions.ts'
import type { Channel, Frame } from './ports.ts'
import { changeRules, removals } from './removals.ts'
import type { Ports } from './round.ts'

/** How a peer reaches the others, named by their peer ids: indices are different in every epoch. */
export interface PeerNetwork {
  converse(leader: string, signal: AbortSignal): Promise<Channel>
  deliver(to: string, message: Uint8Array, signal: AbortSignal): Promise<void>
  ask(to: string, request: Uint8Array, signal: AbortSignal): Promise<AsyncIterable<Frame>>
  announce(message: Uint8Array): void
}

export interface ParticipantOptions extends Pick<
  MemberOptions,
  'task' | 'id' | 'input' | 'contextHash' | 'opened' | 'locked' | 'closed' | 'convicted'
> {
  ports: Omit<Ports, 'links'>
  links: PeerNetwork
  /** A roster has taken effect. */
  epoch?: (roster: Roster) => void
  /** A round that was closed while this member was away: its sum is here now, where it has one. */
  missed?: (outcome: RoundOutcome) => void
  /** Of how many late rounds it asks for what it has missed; 100 if left out. */
  keepRounds?: number
}

const KEPT_ROUNDS = 100

const outsideRecord = (taskId: string) => `${taskId}/left`
const vouchedPrefix = (taskId: string) => `${taskId}/vouched/`

/**
 * One peer in one task, from epoch to epoch: a member while the roster has it, else one that follows what the members
 * decide, and asks to be let in where the task may admit it (§7). Whoever has left, or was removed, does not ask again.
 */
export class Participant {
  readonly task: Task
  readonly id: string
  readonly chronicle: Chronicle
  readonly #options: ParticipantOptions
  readonly #convictions: Convictions
  readonly #stop = new AbortController()
  #member: Member
  #former?: Member
  /** Resolved when the member of another epoch has taken over. */
  #turn = Promise.withResolvers<void>()
  #petitions: Petitions
  readonly #missed: Missed
  /** It has asked to leave, or has left. */
  #leaves = false
  readonly #vouchedFor = new Set<string>()
  #asking = false
  #loaded?: Promise<void>

  constructor(options: ParticipantOptions) {
    this.#options = options
    this.task = options.task
    this.id = options.id
    this.chronicle = new Chronicle(options.task, options.ports.journal)
    this.#convictions = new Convictions({
      journal: options.ports.journal,
      taskId: options.task.id,
      tell: (evidence) => this.#tellEvidence(evidence)
    })
    const { task, id, chronicle } = this
    const { links, keepRounds: keep = KEPT_ROUNDS, missed: found } = options
    const unused = () => Promise.reject(new Error('only questions are asked'))
    const asking = { ...links, converse: unused, deliver: unused }
    this.#missed = new Missed({ task, id, chronicle, ports: { ...options.ports, links: asking }, keep, found })
    this.#member = this.#begin()
    this.#petitions = new Petitions(this.task, this.roster)
  }

  /** What it is in the epoch in effect. */
  get member(): Member {
    return this.#member
  }

  get roster(): Roster {
    return this.chronicle.roster
  }

  /** The task as the members of an epoch ran it. Throws where that epoch is not known. */
  terms(epoch: number): Task {
    return taskOf(this.task, this.chronicle.rosterOf(epoch)!)
  }

  /** What it knows from its journal. Before that is read it would take an old message for a new one. */
  load(): Promise<void> {
    return (this.#loaded ??= this.#load())
  }

  async #load(): Promise<void> {
    await this.chronicle.load()
    await this.#convictions.load()
    const { journal } = this.#options.ports
    this.#leaves = (await journal.get(outsideRecord(this.task.id))) !== undefined
    const prefix = vouchedPrefix(this.task.id)
    for await (const [key] of journal.entries(prefix)) this.#vouchedFor.add(key.slice(prefix.length))
    this.#beginEpoch()
  }

  /** Asks for the next round, for everyone. Before its journal is read it would take one that is over for the next (S5). */
  async want(): Promise<void> {
    await this.load()
    await this.#member.want()
  }

  /** Goes on where its journal ends, and asks for what it wants. */
  async start(): Promise<void> {
    await this.load()
    await this.#member.start()
    await this.#renewVouches()
    this.#ask()
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error('stopped'))
    this.#turn.resolve()
    await Promise.all([this.#member.stop(), this.#former?.stop(), this.#missed.stop()])
  }

  /** Asks to be taken out of the roster, again in each epoch until it is. Until then it is a member like the others. */
  async leave(): Promise<void> {
    await this.load()
    await this.#options.ports.journal.put(outsideRecord(this.task.id), new Uint8Array(1))
    this.#leaves = true
    this.#ask()
  }

  /** Asks to be let in again after it has left. */
  async join(): Promise<void> {
    await this.load()
    await this.#options.ports.journal.delete(outsideRecord(this.task.id))
    this.#leaves = false
    this.#ask()
  }

  /** Vouches for a peer that is to become a member, in each epoch until it is, restarts or not. */
  async vouch(peer: string): Promise<void> {
    parsePeer(peer)
    await this.load()
    await this.#options.ports.journal.put(vouchedPrefix(this.task.id) + peer, new Uint8Array(1))
    this.#vouchedFor.add(peer)
    await this.#renewVouches()
  }

  /** Whether this peer has a reason to be connected: a member now or soon, suspended, or one that may be admitted. */
  expects(peer: string): boolean {
    const { roster, pending } = this.chronicle.succession
    if (this.isBarred(peer)) return false
    return (
      [roster, ...(pending === undefined ? [] : [pending.roster])].some(
        (one) => one.indexOf(peer) >= 0 || one.isSuspended(peer)
      ) || this.task.admission?.allow?.includes(peer) === true
    )
  }

  /** Whether this peer is a member, or has asked to become one. */
  get hasPlace(): boolean {
    return this.#member.me >= 0 || (this.#wish !== undefined && this.#wish !== 'leave')
  }

  /** Whether this peer was removed for breaking the protocol. */
  isBarred(peer: string): boolean {
    return this.roster.isRemoved(peer)
  }

  /** Whether anybody may come to ask, for whom members can vouch. */
  get isOpen(): boolean {
    return this.task.admission?.vouches !== undefined
  }

  /**
   * Whether what a peer announces is worth passing on; false where it is not, or that cannot be told: it is of another epoch, is
   * known to everybody, or comes from somebody who has no part in the task, and may say again what a member once said. What of
   * it is worth hearing is for {@link hear}. Throws MessageError where no honest peer says it.
   */
  check(peer: string, encoded: Uint8Array): boolean {
    const message = decodeMessage(encoded)
    const { roster } = this.#member
    if (message.epoch !== roster.epoch) return false
    if (message.type === 'RosterRequest' || message.type === 'RosterVouch') return this.#takePetition(message)
    return this.#member.check(encoded) && roster.indexOf(peer) >= 0
  }

  /** A message that came by gossip or directly. Throws MessageError where it is to be refused. */
  async hear(peer: string, encoded: Uint8Array): Promise<void> {
    const message = decodeMessage(encoded)
    if (message.epoch > this.roster.epoch) await this.#catchUp(peer)
    await this.#hasTurned()
    if (message.epoch > this.roster.epoch) return
    // A decision of an epoch that is over is no question: answered by another one, two peers would never stop.
    if (message.epoch < this.roster.epoch) return message.type === 'Decision' ? undefined : this.#tellEnd(peer)
    if (message.type === 'RosterRequest' || message.type === 'RosterVouch') {
      if (this.#takePetition(message)) this.#options.links.announce(encoded)
      return
    }
    const from = this.roster.indexOf(peer)
    await this.#member.hear(from < 0 ? undefined : from, encoded)
  }

  async converse(peer: string, channel: Channel): Promise<void> {
    await this.#hasTurned()
    const from = this.roster.indexOf(peer)
    if (from >= 0) return this.#member.converse(from, channel)
    channel.abort(new MessageError('STRANGER', `${peer} is no member in epoch ${this.roster.epoch}`, { culprit: peer }))
    await this.#tellEnd(peer)
  }

  answer(peer: string, request: Uint8Array): AsyncGenerator<Frame> {
    return this.#member.answer(peer, request)
  }

  /** Asks a peer how far the rounds have come, until it has nothing more to tell. */
  async catchUp(peer: string): Promise<void> {
    if (peer === this.id) return
    for (let before = -1; before !== this.roster.epoch;) {
      before = this.roster.epoch
      await this.#member.catchUp(peer)
    }
    this.#missed.look()
  }

  #catchUp(peer: string): Promise<void> {
    return this.catchUp(peer).catch((error: Error) => this.#options.ports.observer.refused?.(error))
  }

  /** Whoever speaks of an epoch that is over is told how it ended. */
  async #tellEnd(peer: string): Promise<void> {
    const { decision } = this.chronicle.closed
    if (decision !== null && peer !== this.id)
      await this.#options.links.deliver(peer, decision.encoded, this.#stop.signal).catch(() => {})
  }

  #begin(): Member {
    const { ports, links } = this.#options
    const { roster } = this.chronicle
    const peer = (index: number): string => roster.members[index].id
    const byIndex = {
      converse: (leader: number, signal: AbortSignal) => links.converse(peer(leader), signal),
      deliver: (to: number, message: Uint8Array, signal: AbortSignal) => links.deliver(peer(to), message, signal),
      ask: (to: string, request: Uint8Array, signal: AbortSignal) => links.ask(to, request, signal),
      announce: (message: Uint8Array) => links.announce(message)
    }
    return new Member({
      ...this.#options,
      chronicle: this.chronicle,
      convictions: this.#convictions,
      ports: { ...ports, links: byIndex },
      links: byIndex,
      closed: (outcome) => {
        this.#options.closed?.(outcome)
        this.#missed.look()
      },
      wanted: (isHere) => this.#wanted(isHere),
      turned: (ahead) => this.#turned(ahead),
      otherEpoch: (from, epoch) => (epoch > this.roster.epoch ? this.#catchUp(from) : this.#tellEnd(from))
    })
  }

  /** Another member for another roster; the one before ends by itself, once those that still listen have been told. */
  #beginEpoch(): boolean {
    if (this.#member.roster === this.roster) return false
    this.#former = this.#member
    this.#member = this.#begin()
    this.#petitions = new Petitions(this.task, this.roster)
    return true
  }

  /** The chain may be an epoch ahead of the member, which still tells how its last round ended: to it, indices are others. */
  async #hasTurned(): Promise<void> {
    while (this.#member.roster !== this.roster && !this.#stop.signal.aborted) await this.#turn.promise
  }

  async #turned(ahead?: AnyMessage): Promise<void> {
    if (!this.#beginEpoch()) return
    this.#turn.resolve()
    this.#turn = Promise.withResolvers()
    if (this.#stop.signal.aborted) return
    this.#options.epoch?.(this.roster)
    if (ahead?.epoch === this.roster.epoch) await this.#member.open(ahead)
    await this.#renewVouches()
    this.#ask()
  }

  async #wanted(isHere: (member: number) => boolean): Promise<RosterChange | undefined> {
    const { task, chronicle } = this
    const away = await absentees({ task, chronicle, journal: this.#options.ports.journal }, isHere)
    // With groups or on a sparse graph a wrong sum cannot be shown by the chain of rosters alone.
    const isPlain = ({ groups, thresholds }: Task) => groups === undefined && thresholds.graph === undefined
    const shown = this.#convictions.all.filter(({ kind, epoch }) => kind !== 'wrong-sum' || isPlain(this.terms(epoch)))
    const culprits = removals(shown, chronicle)
    return this.#petitions.change({ ...away, removals: culprits }, changeRules(task, chronicle))
  }

  /** As a member of the epoch that it is of: in another one, indices name others, and this peer may be outside. */
  async #tellEvidence(evidence: Evidence): Promise<void> {
    const teller = [this.#member, this.#former].find((member) => member?.roster.epoch === evidence.epoch)
    if (teller !== undefined && teller.me >= 0) return teller.tellEvidence(evidence)
    this.#options.convicted?.(evidence)
  }

  #takePetition(message: Message<'RosterRequest'> | Message<'RosterVouch'>): boolean {
    // Signed within, for this roster: around it nothing is left to choose.
    if (message.from !== 0) throw new MessageError('MALFORMED', `a ${message.type} names a member beside its signer`)
    authenticate(message, this.#context, this.roster)
    return message.type === 'RosterRequest'
      ? this.#petitions.takeRequest(message.body)
      : this.#petitions.takeVouch(message.body)
  }

  get #context() {
    return { task: this.task.idBytes, epoch: this.roster.epoch, round: 0 }
  }

  get #to() {
    return { taskId: this.task.idBytes, rosterHash: this.roster.hash }
  }

  /** What this peer would ask of the roster in effect. */
  get #wish(): Action | undefined {
    const { roster, id, task } = this
    if (this.#leaves) return roster.indexOf(id) >= 0 || roster.isSuspended(id) ? 'leave' : undefined
    if (roster.indexOf(id) >= 0) return undefined
    if (roster.isSuspended(id)) return 'return'
    if (roster.isRemoved(id)) return undefined
    return this.isOpen || task.admission?.allow?.includes(id) === true ? 'join' : undefined
  }

  /** Asks, and where it is outside follows what is decided, once a phase until nothing is left to ask for. */
  #ask(): void {
    if (this.#asking) return
    this.#asking = true
    void this.#askAgainAndAgain()
      .catch((error: Error) => this.#options.ports.observer.refused?.(error))
      .finally(() => (this.#asking = false))
  }

  async #askAgainAndAgain(): Promise<void> {
    const { ports } = this.#options
    const { signal } = this.#stop
    while (!signal.aborted && !this.roster.isRemoved(this.id) && (this.#wish !== undefined || this.#member.me < 0)) {
      if (this.#member.me < 0) await this.#followMembers()
      if (this.#wish !== undefined) await this.#tellWish(this.#wish)
      await ports.clock.sleep(this.task.deadlineMs, signal).catch(() => {})
    }
  }

  /** A peer outside may hear no gossip: it asks the members, until one has answered. */
  async #followMembers(): Promise<void> {
    for (const { id } of this.roster.members) {
      if (this.#stop.signal.aborted) return
      const answered = await this.catchUp(id).then(
        () => true,
        () => false
      )
      if (answered) return
    }
  }

  async #tellWish(action: Action): Promise<void> {
    const { ports, links } = this.#options
    const { bytes } = parsePeer(this.id)
    const body = await signRequest(action, bytes, this.#to, ports.sign)
    const message = encodeMessage('RosterRequest', this.#context, 0, body)
    this.#petitions.takeRequest(body)
    links.announce(message.encoded)
    const told = this.roster.members.filter(({ id }) => id !== this.id)
    await Promise.all(told.map(({ id }) => links.deliver(id, message.encoded, this.#stop.signal).catch(() => {})))
  }

  async #renewVouches(): Promise<void> {
    const { ports, links } = this.#options
    if (this.#member.me < 0) return
    const { bytes } = parsePeer(this.id)
    for (const peer of [...this.#vouchedFor]) {
      if (this.roster.indexOf(peer) >= 0 || this.roster.isRemoved(peer)) {
        this.#vouchedFor.delete(peer)
        await ports.journal.delete(vouchedPrefix(this.task.id) + peer)
        continue
      }
      const body = await signVouch(bytes, parsePeer(peer).bytes, this.#to, ports.sign)
      this.#petitions.takeVouch(body)
      links.announce(encodeMessage('RosterVouch', this.#context, 0, body).encoded)
    }
  }
}
