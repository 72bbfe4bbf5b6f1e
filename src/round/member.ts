import * as dagCbor from '@ipld/dag-cbor'
import { hexToBytes } from '@noble/hashes/utils.js'
import { MessageError, RoundError } from '../errors.ts'
import { genesisBeacon } from '../membership/beacon.ts'
import { deal, decodeDeck, deckHash, encodeDeck, initialDeck, leaderOrder } from '../membership/deck.ts'
import type { Deck } from '../membership/deck.ts'
import { decodeSet } from '../membership/member-set.ts'
import { createRoster } from '../membership/roster.ts'
import type { Roster } from '../membership/roster.ts'
import type { Task } from '../task/task.ts'
import { Ballot } from './ballot.ts'
import { authenticate, checkDecision } from './certificates.ts'
import { Convictions, readEvidence } from './convictions.ts'
import { sameBytes } from './dealing.ts'
import { encodeEvidence } from './evidence.ts'
import type { Evidence } from './evidence.ts'
import { cutHash, decodeMessage, encodeMessage, MAX_MESSAGE_BYTES, signedBytes } from './messages.ts'
import type { AnyMessage, Body, Message, MessageType, RoundContext } from './messages.ts'
import type { Channel, Frame, Network, Phase } from './ports.ts'
import { folderOf, Round, sumKey, sumName } from './round.ts'
import type { Ports, RoundInput } from './round.ts'
import { signingAs } from './signatures.ts'
import type { RoundRules } from './transcript.ts'
import { receiveVector, vectorFrames } from './vectors.ts'

/** What became of a round, as this member tells its application. Members are roster indices. */
export interface RoundOutcome {
  round: number
  status: 'summed' | 'burned'
  reason?: string
  /** Who led the view in which the sum was accepted, or the first view of a burned round. */
  aggregator: number
  views: number
  attempts: number
  included: number[]
  dropped: number[]
  /** Members that were out before the masking set. */
  missing: number[]
  /** What became of this member's input, if it had one in the round. */
  input: 'summed' | 'not included' | 'burned' | 'none'
  /** Name of the packed sum in the vector store; undefined while it is not here. */
  sum?: string
  phaseMs: Partial<Record<Phase, number>>
  durationMs: number
  decision: Uint8Array
}

export interface MemberNetwork extends Network {
  /** One request to one member, answered by frames. */
  ask(member: number, request: Uint8Array, signal: AbortSignal): Promise<AsyncIterable<Frame>>
}

export interface MemberOptions {
  task: Task
  /** This member's peer id. */
  id: string
  ports: Ports
  links: MemberNetwork
  /** The application's input for a round; undefined where it has none. Waits for it as long as the signal lets it. */
  input: (round: number, signal: AbortSignal) => Promise<RoundInput | undefined>
  contextHash?: (round: number) => Uint8Array
  opened?: (round: number) => void
  closed?: (outcome: RoundOutcome) => void
  /** There is new evidence that a member broke the protocol; it leads no more in this epoch. */
  convicted?: (evidence: Evidence) => void
}

/** Largest message that is gossiped; a larger one goes to each member directly (§4). */
const MAX_GOSSIP_BYTES = 64 * 1024

/** What of all evidence a member that was away is told at once: it must fit into one message. */
const MAX_CATCH_UP_BYTES = MAX_MESSAGE_BYTES / 2

/** The rounds that are over, as far as they decide what comes next. */
interface Closed {
  round: number
  decision: Message<'Decision'> | null
  beacon: Uint8Array
  deck: Deck
}

const closedRecord = (taskId: string) => `${taskId}/closed`
const ballotKey = (taskId: string, round: number) => `${taskId}/ballot/${String(round).padStart(15, '0')}`

const control = ({ encoded }: { encoded: Uint8Array }): Frame => ({ kind: 'control', payload: encoded })

/** Whether a vector of this member's in the last attempt may have left; before a restart nobody remembers (S5). */
function mayHaveMasked(round: Round | undefined): boolean {
  return round !== undefined && (round.running?.header !== undefined || round.ballot.sitsOut(round.attemptNumber))
}

/** What may come by gossip; beside these evidence, which is verified before it is passed on. */
const announced: ReadonlySet<MessageType> = new Set<MessageType>(['Want', 'ViewChange', 'Decision', 'RoundPlan'])

const rosters = new WeakMap<Task, Roster>()

/** The roster that the task begins with; its keys are checked once, however many members run in this process. */
function genesisRoster(task: Task): Roster {
  const roster = rosters.get(task) ?? createRoster({ epoch: 0, members: [...task.members] })
  rosters.set(task, roster)
  return roster
}

/** One member of one task: round after round, and what it does for members that are behind. */
export class Member {
  readonly task: Task
  readonly roster: Roster
  readonly me: number
  readonly #options: MemberOptions
  readonly #ports: Ports
  #closed: Closed
  #running?: { round: Round; began: number; done: Promise<void> }
  readonly #convictions: Convictions
  readonly #stop = new AbortController()
  /** What asked for a later round while an earlier one was still running here. */
  #ahead?: AnyMessage
  #opening: Promise<unknown> = Promise.resolve()

  constructor(options: MemberOptions) {
    const { task, id, ports } = options
    this.task = task
    this.roster = genesisRoster(task)
    this.me = this.roster.indexOf(id)
    if (this.me < 0) throw new MessageError('STRANGER', `${id} is no member of the task ${task.name}`)
    this.#options = options
    this.#ports = { ...ports, sign: signingAs(this.roster.members[this.me].publicKey, ports.sign) }
    const beacon = genesisBeacon(
      task.idBytes,
      this.roster.hash,
      task.randomness === undefined ? undefined : hexToBytes(task.randomness)
    )
    this.#closed = { round: 0, decision: null, beacon, deck: initialDeck() }
    this.#convictions = new Convictions({
      journal: ports.journal,
      taskId: task.id,
      tell: (evidence) => this.#tellEvidence(evidence)
    })
  }

  /** All evidence that this member holds. */
  get evidence(): Evidence[] {
    return this.#convictions.all
  }

  /** The last round that is over; 0 before the first. */
  get closedRound(): number {
    return this.#closed.round
  }

  get runningRound(): number | undefined {
    return this.#running?.round.rules.context.round
  }

  /** Takes up where the journal left it: a round that was running goes on (§6, S5). */
  async start(): Promise<void> {
    await this.#convictions.load()
    const record = await this.#ports.journal.get(closedRecord(this.task.id))
    if (record !== undefined) {
      const { decision, deck } = dagCbor.decode<{ decision: Uint8Array; deck: Uint8Array }>(record)
      this.#adopt(decodeMessage(decision) as Message<'Decision'>, decodeDeck(deck, this.roster.members.length))
    }
    const begun = await this.#ports.journal.get(ballotKey(this.task.id, this.#closed.round + 1))
    if (begun !== undefined) await this.want()
    else await this.#ports.vectors.remove(`${folderOf(this.task.id)}/round-`)
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error('stopped'))
    await this.#running?.done
  }

  /** Asks for the next round, for everyone (§4 phase 0). A round that is running goes on instead. */
  async want(): Promise<void> {
    if (this.#running !== undefined) return
    const context = this.#context(this.#closed.round + 1)
    const want = await this.#sign('Want', context, {})
    await this.#open(want)
    this.#options.links.announce(want.encoded)
  }

  /** Whether an announcement is worth passing on: signed by a member of this task. @throws MessageError where it is not */
  check(encoded: Uint8Array): void {
    const message = decodeMessage(encoded)
    authenticate(message, this.#context(message.round), this.roster)
    if (message.type === 'Evidence') return void readEvidence(message, this.#rules(message.round))
    if (!announced.has(message.type)) throw this.#fault('OUT_OF_PHASE', message.from, `announces a ${message.type}`)
  }

  /**
   * A message that came by gossip, or directly.
   *
   * @throws MessageError where it is to be refused
   */
  async hear(from: number | undefined, encoded: Uint8Array): Promise<void> {
    const message = decodeMessage(encoded)
    authenticate(message, this.#context(message.round), this.roster)
    switch (message.type) {
      case 'ShareDelivery':
        if (message.body.dealer !== from)
          throw this.#fault('IMPERSONATION', from, 'delivers a share in the name of another')
        return this.#running?.round.deliver(message)
      case 'Want':
      case 'ViewChange':
        if (message.round <= this.#closed.round) return this.#answerBehind(message.from)
        if (message.round > this.#closed.round + 1) {
          // If the round before is just being closed here, this one is heard again when it is.
          this.#ahead = message
          await this.catchUp(from ?? message.from)
          if (message.round > this.#closed.round + 1) return
        }
        await this.#open(message)
        if (message.type === 'ViewChange') this.#running?.round.views.takeChange(message)
        return
      case 'Decision':
        return this.#hearDecision(message, from)
      case 'Evidence':
        await this.#convictions.note(readEvidence(message, this.#rules(message.round)))
        return
      case 'RoundPlan':
        // Refused by whoever passes it on: those who were shown another have evidence.
        if (message.round === this.runningRound) this.#running?.round.saw(message)
        return
      default:
        throw this.#fault('OUT_OF_PHASE', from, `sent a ${message.type} outside a conversation`)
    }
  }

  /** Another member opens a conversation with this one as its leader. */
  async converse(from: number, channel: Channel): Promise<void> {
    try {
      const frames = channel.source[Symbol.asyncIterator]()
      const first = await frames.next()
      if (first.done === true) return
      if (first.value.kind !== 'control')
        throw this.#fault('OUT_OF_PHASE', from, 'opens a conversation with a piece of a vector')
      const join = decodeMessage(first.value.payload)
      authenticate(join, this.#context(join.round), this.roster, from)
      if (join.type !== 'Join') throw this.#fault('OUT_OF_PHASE', from, `opens a conversation with a ${join.type}`)
      if (join.round <= this.#closed.round) {
        await this.#answerBehind(from)
        return channel.abort(new Error(`round ${join.round} is closed`))
      }
      await this.hear(from, join.body.why)
      const round = this.#running?.round
      if (round?.rules.context.round !== join.round)
        return channel.abort(new Error(`round ${join.round} is not running here`))
      round.saw(join)
      await round.views.seat(from, join.body, {
        source: { [Symbol.asyncIterator]: () => frames },
        sink: (source) => channel.sink(source),
        abort: (reason) => channel.abort(reason)
      })
    } catch (error) {
      channel.abort(error as Error)
      this.#ports.observer.refused?.(error as Error)
    }
  }

  /** Answers what a member asks that is behind, or lacks a sum. */
  async *answer(from: number, encoded: Uint8Array): AsyncGenerator<Frame> {
    const request = decodeMessage(encoded)
    authenticate(request, this.#context(request.round), this.roster, from)
    if (request.type === 'CatchUp') {
      const { round, decision, deck } = this.#closed
      const running = this.#running?.round
      const announcements = [...(running === undefined ? [] : running.views.changes), ...(await this.#toldOfEvidence())]
      const closed = { decision: decision?.encoded ?? null, deck: encodeDeck(deck), announcements }
      yield control(await this.#sign('Closed', this.#context(round), closed))
    } else if (request.type === 'SumRequest') {
      const header = await this.#ports.journal.get(sumKey(this.task.id, request.round))
      if (header === undefined) {
        const reason = `member ${this.me} holds no sum of round ${request.round}`
        yield control(await this.#sign('Refusal', this.#context(request.round), { reason }))
        return
      }
      yield { kind: 'control', payload: header }
      yield* vectorFrames(this.#ports.vectors, sumName(this.task.id, request.round))
    } else {
      throw this.#fault('OUT_OF_PHASE', from, `asks with a ${request.type}`)
    }
  }

  /** Asks one member how far the rounds have come, and believes what a quorum has signed. */
  async catchUp(member: number): Promise<void> {
    if (member === this.me) return
    const context = this.#context(this.#closed.round)
    const request = await this.#sign('CatchUp', context, {})
    const frames = await this.#options.links.ask(member, request.encoded, this.#stop.signal)
    for await (const frame of frames) {
      const reply = decodeMessage(frame.payload)
      authenticate(reply, this.#context(reply.round), this.roster, member)
      if (reply.type !== 'Closed') throw this.#fault('OUT_OF_PHASE', member, `answers with a ${reply.type}`)
      if (reply.body.decision !== null && reply.round > this.#closed.round)
        await this.#catchUpTo(reply.body, reply.round, member)
      for (const announcement of reply.body.announcements) await this.#hearLater(member, announcement)
      return
    }
  }

  async #catchUpTo({ decision, deck }: Body<'Closed'>, round: number, member: number): Promise<void> {
    const message = decodeMessage(decision!)
    if (message.type !== 'Decision' || message.round !== round)
      throw this.#fault('INVALID', member, 'answers with something that closes no round')
    authenticate(message, this.#context(round), this.roster)
    const next = decodeDeck(deck, this.roster.members.length)
    checkDecision(message.body, message, this.#electorate)
    const { value } = message.body
    if ((value.kind !== 'summed' && value.kind !== 'burned') || !sameBytes(value.deckHash, deckHash(next)))
      throw this.#fault('INVALID', member, 'answers with a deck that no decision names')
    if (round === this.#closed.round + 1) return this.#hearDecision(message, member)
    const behind = this.#running
    await this.#close(message, next)
    if (behind !== undefined) await this.#abandon(behind, message)
  }

  /** From a member that is ahead: announcements of the next round, heard once the rounds before are closed here. */
  async #hearLater(member: number, announcement: Uint8Array): Promise<void> {
    const message = decodeMessage(announcement)
    if (message.type === 'Evidence') return this.hear(member, announcement)
    if (message.round === this.#closed.round + 1 && (message.type === 'Want' || message.type === 'ViewChange'))
      await this.hear(member, announcement)
  }

  async #hearDecision(message: Message<'Decision'>, from: number | undefined): Promise<void> {
    if (message.round <= this.#closed.round) return
    if (message.round > this.#closed.round + 1) return this.catchUp(from ?? message.from)
    const running = this.#running
    if (running !== undefined) return running.round.learn(message)
    if (message.body.commits.agreement !== 'closing') return
    checkDecision(message.body, message, this.#electorate)
    const { deck, beacon } = this.#closed
    const next = deal(deck, leaderOrder(deck, this.roster, beacon, message.round), this.roster.members.length)
    await this.#close(message, next)
    this.#options.closed?.(await this.#outcome(message, undefined, 0))
  }

  /** A member that speaks of a round that is over is told how it ended. */
  async #answerBehind(member: number): Promise<void> {
    const { decision } = this.#closed
    if (decision !== null && member !== this.me)
      await this.#options.links.deliver(member, decision.encoded, this.#stop.signal).catch(() => {})
  }

  /** Opens the next round once, whoever asked for it first. */
  #open(why: AnyMessage): Promise<void> {
    const opened = this.#opening.then(async () => {
      if (this.#running !== undefined || this.#stop.signal.aborted || why.round !== this.#closed.round + 1) return
      const { task, me } = this
      const rules = this.#rules(why.round)
      const { context } = rules
      const { journal, sign, clock } = this.#ports
      const ballot = await Ballot.open({
        journal,
        key: ballotKey(task.id, why.round),
        context,
        electorate: this.#electorate,
        me,
        sign
      })
      const contextHash = this.#options.contextHash?.(why.round) ?? new Uint8Array(32)
      const input = (signal: AbortSignal) => this.#options.input(why.round, signal)
      const { beacon, deck, decision } = this.#closed
      const round = new Round({
        task,
        rules,
        me,
        beacon,
        deck,
        contextHash,
        previous: decision?.encoded ?? null,
        ballot,
        convictions: this.#convictions,
        ports: this.#ports,
        input,
        why: why.encoded
      })
      this.#running = { round, began: clock.now(), done: Promise.resolve() }
      this.#running.done = this.#run(round).catch((error: Error) => this.#ports.observer.refused?.(error))
      this.#options.opened?.(why.round)
    })
    this.#opening = opened.catch(() => {})
    return opened
  }

  async #run(round: Round): Promise<void> {
    const began = this.#ports.clock.now()
    await round.views.run(this.#stop.signal)
    if (this.#stop.signal.aborted) return round.views.end(new Error('stopped'))
    const decision = await round.closed
    this.#options.links.announce(decision.encoded)
    await this.#finish(round, decision, round.nextDeck, began)
  }

  async #finish(round: Round, decision: Message<'Decision'>, deck: Deck, began: number): Promise<void> {
    if (decision.round <= this.#closed.round) return
    await this.#close(decision, deck)
    this.#running = undefined
    round.wipe()
    this.#options.closed?.(await this.#outcome(decision, round, began))
    const ahead = this.#ahead
    this.#ahead = undefined
    if (ahead?.round === decision.round + 1) await this.#open(ahead)
    // Members still listening to this leader are given a moment to hear how it ended.
    await this.#ports.clock.sleep(this.task.deadlineMs / 10, this.#stop.signal).catch(() => {})
    round.views.end(new Error(`round ${decision.round} is closed`))
    await round.erase()
  }

  /** A round that was closed while this member was away: what became of it is not known here. */
  async #abandon({ round, began }: { round: Round; began: number }, later: Message<'Decision'>): Promise<void> {
    this.#running = undefined
    round.views.end(new Error(`round ${later.round} is closed`))
    round.wipe()
    const outcome = await this.#outcome(later, round, began)
    await round.erase()
    const input = mayHaveMasked(round) ? 'burned' : 'not included'
    this.#options.closed?.({
      ...outcome,
      round: round.rules.context.round,
      status: 'burned',
      reason: 'this member was away when the round was closed',
      input,
      sum: undefined
    })
  }

  /** On disk first: from here on the round is over for this member, whatever happens. */
  async #close(decision: Message<'Decision'>, deck: Deck): Promise<void> {
    const value = dagCbor.encode({ decision: decision.encoded, deck: encodeDeck(deck) })
    await this.#ports.journal.batch([
      { type: 'put', key: closedRecord(this.task.id), value },
      { type: 'del', key: ballotKey(this.task.id, decision.round) }
    ])
    this.#adopt(decision, deck)
  }

  #adopt(decision: Message<'Decision'>, deck: Deck): void {
    const { value } = decision.body
    if (value.kind !== 'summed' && value.kind !== 'burned')
      throw new MessageError('INVALID', 'a round is closed as summed or burned')
    this.#closed = { round: decision.round, decision, beacon: value.beacon, deck }
  }

  async #outcome(
    { round: number, body, encoded }: Message<'Decision'>,
    round: Round | undefined,
    began: number
  ): Promise<RoundOutcome> {
    const { value, reason, commits } = body
    const summed = value.kind === 'summed'
    const header = summed ? await this.#sumHeader(number, commits.root!, value.cutHash) : undefined
    const attempt = round?.running
    const n = this.roster.members.length
    const included = header === undefined ? [] : decodeSet(header.body.cut.included, n)
    const set = attempt?.set?.members ?? included
    return {
      round: number,
      status: summed ? 'summed' : 'burned',
      ...(summed ? {} : { reason }),
      aggregator: (summed ? round?.leader(commits.view) : round?.leader(0)) ?? header?.from ?? this.me,
      views: (round?.views.current ?? commits.view) + 1,
      attempts: (round?.attemptNumber ?? 0) + 1,
      included,
      dropped: summed ? set.filter((member) => !included.includes(member)) : [],
      missing: summed ? this.roster.members.map(({ index }) => index).filter((member) => !set.includes(member)) : [],
      input: included.includes(this.me)
        ? 'summed'
        : mayHaveMasked(round)
          ? summed
            ? 'not included'
            : 'burned'
          : round === undefined
            ? 'none'
            : 'not included',
      sum: header === undefined ? undefined : sumName(this.task.id, number),
      phaseMs: round?.phaseMs() ?? {},
      durationMs: round === undefined ? 0 : this.#ports.clock.now() - began,
      decision: encoded
    }
  }

  /** The header of the sum that was decided: this member's own, or one fetched from whoever has it. */
  async #sumHeader(round: number, root: Uint8Array, hashOfCut: Uint8Array): Promise<Message<'SumHeader'> | undefined> {
    const stored = await this.#ports.journal.get(sumKey(this.task.id, round))
    // The vector lies elsewhere than the journal and may be gone where that is not.
    if (stored !== undefined && (await this.#ports.vectors.size(sumName(this.task.id, round))) !== undefined) {
      const header = decodeMessage(stored) as Message<'SumHeader'>
      if (sameBytes(header.body.root, root)) return header
    }
    for (const { index } of this.roster.members) {
      if (index === this.me || this.#stop.signal.aborted) continue
      try {
        return await this.#fetchSum(index, round, root, hashOfCut)
      } catch (error) {
        this.#ports.observer.refused?.(error as Error)
      }
    }
    return undefined
  }

  async #fetchSum(
    member: number,
    round: number,
    root: Uint8Array,
    hashOfCut: Uint8Array
  ): Promise<Message<'SumHeader'>> {
    const request = await this.#sign('SumRequest', this.#context(round), {})
    const answer = await this.#options.links.ask(member, request.encoded, this.#stop.signal)
    const frames = answer[Symbol.asyncIterator]()
    const first = await frames.next()
    if (first.done === true) throw this.#fault('TRUNCATED', member, 'was asked for a sum and hung up')
    const header = decodeMessage(first.value.payload)
    authenticate(header, this.#context(round), this.roster)
    if (header.type === 'Refusal') throw new RoundError('NOT_INCLUDED', header.body.reason, round)
    if (
      header.type !== 'SumHeader' ||
      !sameBytes(header.body.root, root) ||
      !sameBytes(cutHash(header.body.cut), hashOfCut)
    ) {
      throw this.#fault('INVALID', member, 'was asked for a sum and sent another')
    }
    const owner = { attemptId: header.body.cut.attemptId, member: this.roster.members.length, root }
    const { laneCount: elements, bits } = this.task
    await receiveVector(
      frames,
      this.#ports.vectors,
      sumName(this.task.id, round),
      owner,
      { elements, bits },
      { sync: true }
    )
    await this.#ports.journal.put(sumKey(this.task.id, round), header.encoded)
    return header
  }

  async #tellEvidence(evidence: Evidence): Promise<void> {
    this.#running?.round.views.leaveBarred()
    const { links, convicted } = this.#options
    const { encoded } = await this.#evidenceMessage(evidence)
    if (encoded.length <= MAX_GOSSIP_BYTES) links.announce(encoded)
    else
      for (const { index } of this.roster.members)
        if (index !== this.me) void links.deliver(index, encoded, this.#stop.signal).catch(() => {})
    convicted?.(evidence)
  }

  #evidenceMessage(evidence: Evidence): Promise<Message<'Evidence'>> {
    return this.#sign('Evidence', this.#context(evidence.round), { evidence: encodeEvidence(evidence) })
  }

  async #toldOfEvidence(): Promise<Uint8Array[]> {
    const told: Uint8Array[] = []
    let left = MAX_CATCH_UP_BYTES
    for (const evidence of this.evidence.filter(({ epoch }) => epoch === this.roster.epoch)) {
      const { encoded } = await this.#evidenceMessage(evidence)
      left -= encoded.length
      if (left >= 0) told.push(encoded)
    }
    return told
  }

  get #electorate() {
    return { roster: this.roster, quorum: this.task.thresholds.quorum }
  }

  #context(round: number): RoundContext {
    return { task: this.task.idBytes, epoch: this.roster.epoch, round }
  }

  #rules(round: number): RoundRules {
    return { context: this.#context(round), roster: this.roster, thresholds: this.task.thresholds }
  }

  async #sign<T extends 'Want' | 'Evidence' | 'CatchUp' | 'SumRequest' | 'Closed' | 'Refusal'>(
    type: T,
    context: RoundContext,
    body: Body<T>
  ): Promise<Message<T>> {
    return encodeMessage(type, context, this.me, body, await this.#ports.sign(signedBytes(type, context, body)))
  }

  #fault(
    code: 'OUT_OF_PHASE' | 'IMPERSONATION' | 'INVALID' | 'TRUNCATED',
    member: number | undefined,
    sentence: string
  ): MessageError {
    const culprit = member === undefined ? undefined : this.roster.members[member].id
    return new MessageError(code, `member ${member ?? 'unknown'} ${sentence}`, { culprit })
  }
}
