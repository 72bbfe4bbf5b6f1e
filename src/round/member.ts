import { MessageError } from '../errors.ts'
import { deal, leaderOfView, leaderOrder } from '../membership/deck.ts'
import type { Deck } from '../membership/deck.ts'
import { drawGroups } from '../membership/groups.ts'
import type { Groups } from '../membership/groups.ts'
import { taskOf } from '../membership/roster-change.ts'
import type { RosterChange } from '../membership/roster-change.ts'
import type { Roster } from '../membership/roster.ts'
import { sha256 } from '../crypto/primitives.ts'
import { dataDeadlineMs } from '../task/task.ts'
import type { Task } from '../task/task.ts'
import { answers } from './answers.ts'
import type { Answering } from './answers.ts'
import { askInTime } from './ask-in-time.ts'
import { Ballot } from './ballot.ts'
import { authenticate, authenticatePeer, checkDecision } from './certificates.ts'
import { closingValue } from './chain.ts'
import type { Chronicle, Closed } from './chronicle.ts'
import { readEvidence } from './convictions.ts'
import type { Convictions } from './convictions.ts'
import { decodeEvidence, encodeEvidence, MAX_EVIDENCE_BYTES } from './evidence.ts'
import type { Evidence } from './evidence.ts'
import { decodeMessage, encodeMessage, MAX_MESSAGE_BYTES, signedBytes } from './messages.ts'
import type { AnyMessage, Body, Message, MessageType, RoundContext } from './messages.ts'
import { MAX_GOSSIP_BYTES } from './ports.ts'
import type { Channel, Frame, Network } from './ports.ts'
import { mayHaveMasked, outcomeOf } from './outcome.ts'
import type { ProvisionalSum, RoundOutcome } from './outcome.ts'
import { LargeEvidence } from './large-evidence.ts'
import { closeTranscript } from './record.ts'
import { changeRules } from './removals.ts'
import type { SumChunks } from './sum-chunks.ts'
import { sumHeader } from './sums.ts'
import type { DecidedSum } from './sums.ts'
import { folderOf, Round } from './round.ts'
import type { Ports, RoundInput, RoundOptions } from './round.ts'
import { rulesIn, rulesOf } from './transcript.ts'
import type { RoundRules } from './transcript.ts'
import { Slots } from './slots.ts'
import { isStatement } from './statements.ts'
import { signingAs } from './signatures.ts'

export interface MemberOptions {
  /** As it began; the member runs it with the roster in effect. */
  task: Task
  chronicle: Chronicle
  /** This member's peer id. */
  id: string
  ports: Ports
  links: Network
  /** The application's input for a round; undefined where it has none. Waits for it as long as the signal lets it. */
  input: (round: number, signal: AbortSignal, task: Task) => Promise<RoundInput | undefined>
  contextHash?: (round: number) => Uint8Array | Promise<Uint8Array>
  opened?: (round: number) => void
  /** A sum that the application may have before the round is closed. */
  locked?: (sum: ProvisionalSum) => void
  closed?: (outcome: RoundOutcome) => void
  /** What is known against members, from epoch to epoch. */
  convictions: Convictions
  /** There is new evidence that a member broke the protocol; it leads no more in this epoch. */
  convicted?: (evidence: Evidence) => void
  /** What this member, as a leader, would change of the roster (§7). */
  wanted(isHere: (member: number) => boolean): Promise<RosterChange | undefined>
  /** Another roster has taken effect: whoever runs this member goes on with another, and with what asked for the round. */
  turned(ahead?: AnyMessage): Promise<void>
  /** A member speaks of another epoch. */
  otherEpoch(peer: string, epoch: number): Promise<void>
}

/** What of all evidence a member that was away is told at once: it must fit into one message. */
const MAX_CATCH_UP_BYTES = MAX_MESSAGE_BYTES / 2

const ballotKey = (taskId: string, round: number) => `${taskId}/ballot/${String(round).padStart(15, '0')}`

/** Of later rounds than the next only the one after it is spoken of: this member may be about to close one. */
const MOST_AHEAD = 2

/** Large evidence goes to as many at the same time. */
const EVIDENCE_AT_ONCE = 4

/** What may come by gossip; beside these decisions, evidence, verified before it is passed on, and statements of leaders. */
const announced: ReadonlySet<MessageType> = new Set<MessageType>(['Want', 'ViewChange'])

/** What a peer answers with is its own fault where it does not hold. */
async function shownByPeer<T>(culprit: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (cause) {
    if (!(cause instanceof MessageError)) throw cause
    throw new MessageError(cause.code, `${culprit} answers wrongly: ${cause.message}`, { culprit, cause })
  }
}

/**
 * One member of one task while one roster is in effect: round after round, and what it does for members that are behind.
 * A peer outside the roster only follows what the members decide.
 */
export class Member {
  readonly task: Task
  readonly roster: Roster
  /** Its roster index; −1 for a peer outside. */
  readonly me: number
  readonly #options: MemberOptions
  readonly #chronicle: Chronicle
  readonly #ports: Ports
  #running?: { round: Round; began: number; done: Promise<void> }
  /** Resolves when what the last round left behind is erased (S7). */
  #ended: Promise<void> = Promise.resolve()
  readonly #convictions: Convictions
  readonly #largeEvidence: LargeEvidence
  readonly #evidenceSlots: Slots
  readonly #stop = new AbortController()
  /** The last round whose closing decision came from another member. */
  #heardClosing = 0
  /** What asked for a later round while an earlier one was still running here. */
  #ahead?: AnyMessage
  #opening: Promise<unknown> = Promise.resolve()
  /** Rounds begin and end one after the other: none begins while a closing is written. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(options: MemberOptions) {
    const { task, chronicle, id, ports } = options
    this.#chronicle = chronicle
    this.roster = chronicle.roster
    this.task = taskOf(task, this.roster)
    this.me = this.roster.indexOf(id)
    this.#options = options
    // A peer outside signs nothing that others of this process would verify again.
    const sign = this.me < 0 ? ports.sign : signingAs(this.roster.members[this.me].publicKey, ports.sign)
    this.#ports = { ...ports, sign }
    this.#convictions = options.convictions
    this.#evidenceSlots = new Slots(EVIDENCE_AT_ONCE, this.task.deadlineMs, ports.clock)
    this.#largeEvidence = new LargeEvidence({
      members: this.roster.members.length,
      isHeld: (culprit) => this.#convictions.holds({ epoch: this.roster.epoch, culprit, kind: 'wrong-sum' }),
      ask: async ({ from, round, body: { hash } }, signal) => {
        const request = await this.#sign('EvidenceRequest', this.#context(round), { hash })
        const ends = AbortSignal.any([signal, this.#stop.signal])
        return options.links.ask(this.roster.members[from].id, request.encoded, ends)
      },
      take: async (evidence, { from, round }) =>
        void (await this.#convictions.note(readEvidence(from, evidence, await this.#rulesOf(round)))),
      refused: (error) => ports.observer.refused?.(error),
      peerOf: (member) => this.roster.members[member].id,
      clock: ports.clock,
      // As long as a whole round's vectors may take.
      patience: dataDeadlineMs(this.task)
    })
  }

  /** All evidence that is held here, of whatever epoch. */
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

  /** The view that the running round is in, as far as this member knows. */
  get runningView(): number | undefined {
    return this.#running?.round.views.current
  }

  /** Takes up where the journal left it: a round that was running goes on (§6, S5). */
  async start(): Promise<void> {
    const begun = await this.#ports.journal.get(ballotKey(this.task.id, this.#closed.round + 1))
    if (begun !== undefined) await this.want()
    else await this.#ports.vectors.remove(`${folderOf(this.task.id)}/round-`)
  }

  /** What asked for a round that this member could not open before its roster was replaced. */
  async open(why: AnyMessage): Promise<void> {
    await this.#open(why)
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error('stopped'))
    await this.#ended
  }

  /** Asks for the next round, for everyone (§4 phase 0). A round that is running goes on instead. */
  async want(): Promise<void> {
    if (this.#running !== undefined || this.me < 0 || this.#isOver) return
    const context = this.#context(this.#closed.round + 1)
    const want = await this.#sign('Want', context, {})
    await this.#open(want)
    this.#options.links.announce(want.encoded)
  }

  /**
   * Whether an announcement is worth passing on: signed by a member of this task, and nothing that everybody has been told. False
   * also where that takes what is looked up first: evidence of a wrong sum of groups, or on a sparse graph, in a round that is
   * over. Throws MessageError where no member says it.
   */
  check(encoded: Uint8Array): boolean {
    const message = decodeMessage(encoded)
    authenticate(message, this.#context(message.round), this.roster)
    switch (message.type) {
      case 'Evidence': {
        const rules = this.#rules(message.round)
        if (rules.shape === undefined && decodeEvidence(message.body.evidence).kind === 'wrong-sum') return false
        // Whoever holds evidence has announced it.
        return !this.#convictions.holds(this.#convictions.read(message, rules))
      }
      case 'EvidenceNotice':
        this.#largeEvidence.check(message)
        return !this.#convictions.holds({ epoch: message.epoch, culprit: message.body.culprit, kind: 'wrong-sum' })
      case 'Decision':
        // How the last round was closed others may not know yet.
        return message.round >= this.#closed.round
      default:
        if (!announced.has(message.type) && !isStatement(message))
          throw this.#fault('OUT_OF_PHASE', message.from, `announces a ${message.type}`)
        return message.round > this.#closed.round && message.round <= this.#closed.round + MOST_AHEAD
    }
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
        if (message.round <= this.#closed.round) return this.#answerBehind(from)
        if (message.round > this.#closed.round + 1) {
          // If the round before is just being closed here, this one is heard again when it is.
          this.#ahead = message
          await this.catchUp(from ?? message.from)
          if (message.round > this.#closed.round + 1 || this.#isOver) return
        }
        await this.#open(message)
        if (message.type === 'ViewChange') this.#running?.round.views.takeChange(message)
        return
      case 'Decision':
        return this.#hearDecision(message, from)
      case 'Reveal':
        if (message.from !== from) throw this.#fault('IMPERSONATION', from, 'reveals in the name of another')
        if (message.round === this.runningRound) this.#running?.round.hearReveal(message)
        return
      case 'Evidence':
        await this.#convictions.note(this.#convictions.read(message, await this.#rulesOf(message.round)))
        return
      case 'EvidenceNotice':
        // A peer outside would be given none.
        if (this.me >= 0) this.#largeEvidence.heard(message)
        return
      default:
        // A leader's word that a member refused: those who were shown another have evidence.
        if (isStatement(message)) return void (message.round === this.runningRound && this.#running?.round.saw(message))
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
      if (join.epoch !== this.roster.epoch) {
        await this.#options.otherEpoch(this.roster.members[from].id, join.epoch)
        return channel.abort(new Error(`epoch ${join.epoch} is not the one in effect`))
      }
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
  async *answer(peer: string, encoded: Uint8Array): AsyncGenerator<Frame> {
    const request = decodeMessage(encoded)
    authenticatePeer(request, this.task.idBytes, peer)
    const { roster, me } = this
    const here: Answering = {
      taskId: this.task.id,
      me,
      roster,
      chronicle: this.#chronicle,
      ports: this.#ports,
      running: this.#running?.round,
      evidence: () => this.#toldOfEvidence(),
      evidenceWith: (hash) => {
        const held = this.#convictions.withHash(hash)
        return held && encodeEvidence(held)
      },
      slots: this.#evidenceSlots,
      sign: (type, round, body) => this.#sign(type, this.#context(round), body)
    }
    yield* answers(here, peer, request)
  }

  /** Asks one member, by index or peer id, how far the rounds have come, and believes what quorums have signed. */
  async catchUp(member: number | string): Promise<void> {
    const peer = typeof member === 'string' ? member : this.roster.members[member].id
    if (this.me >= 0 && peer === this.roster.members[this.me].id) return
    const reply = await this.#askHowFar(peer)
    if (reply === undefined) return
    if (reply.body.decision !== null && reply.round > this.#closed.round) await this.#catchUpTo(reply, peer)
    for (const announcement of reply.body.announcements) await this.#hearLater(peer, announcement)
  }

  async #askHowFar(peer: string): Promise<Message<'Closed'> | undefined> {
    const request = await this.#sign('CatchUp', this.#context(this.#closed.round), {})
    const asking = { task: this.task, links: this.#options.links, clock: this.#ports.clock }
    for await (const frame of askInTime(asking, peer, request.encoded, this.#stop.signal)) {
      const reply = decodeMessage(frame.payload)
      authenticatePeer(reply, this.task.idBytes, peer)
      if (reply.type !== 'Closed')
        throw new MessageError('OUT_OF_PHASE', `${peer} answers with a ${reply.type}`, { culprit: peer })
      this.#chronicle.offer(reply.body)
      return reply
    }
    return undefined
  }

  async #catchUpTo({ body, round }: Message<'Closed'>, peer: string): Promise<void> {
    const decision = decodeMessage(body.decision!)
    if (decision.type !== 'Decision' || decision.round !== round)
      throw new MessageError('INVALID', `${peer} answers with something that closes no round`, { culprit: peer })
    if (round === this.#closed.round + 1 && decision.epoch === this.roster.epoch) {
      authenticate(decision, this.#context(round), this.roster)
      return this.#hearDecision(decision, undefined)
    }
    const behind = await this.#inTurn(async () => {
      // It was asked from here: another roster has taken effect since, or the round is over.
      if (this.#isOver || round <= this.#closed.round) return undefined
      if (!(await shownByPeer(peer, () => this.#chronicle.follow(body)))) return undefined
      const running = this.#running
      this.#running = undefined
      return running
    })
    if (behind !== undefined) await this.#abandon(behind, decision)
    await this.#turnIfOver()
  }

  /** From a member that is ahead: announcements of the next round, heard once the rounds before are closed here. */
  async #hearLater(peer: string, announcement: Uint8Array): Promise<void> {
    const message = decodeMessage(announcement)
    if (this.#isOver || message.epoch !== this.roster.epoch) return
    const from = this.roster.indexOf(peer)
    if (message.type === 'Evidence' || message.type === 'EvidenceNotice')
      return this.hear(from < 0 ? undefined : from, announcement)
    if (message.round === this.#closed.round + 1 && (message.type === 'Want' || message.type === 'ViewChange'))
      await this.hear(from < 0 ? undefined : from, announcement)
  }

  async #hearDecision(message: Message<'Decision'>, from: number | undefined): Promise<void> {
    if (message.round === this.#closed.round) return this.#noteHeard(message)
    if (message.round <= this.#closed.round || this.#isOver) return
    if (message.round > this.#closed.round + 1) return this.catchUp(from ?? message.from)
    if (this.#running !== undefined) {
      await this.#running.round.learn(message)
      if (message.body.commits.agreement === 'closing') this.#heardClosing = message.round
      return
    }
    if (message.body.commits.agreement !== 'closing') return
    checkDecision(message.body, message, this.#electorate)
    const { deck, beacon } = this.#closed
    const order = leaderOrder(deck, this.roster, beacon, message.round)
    const isClosed = await this.#close(message, deal(deck, order, this.roster.members.length), undefined)
    // Opened here meanwhile: that round ends.
    if (!isClosed) return this.#hearDecision(message, from)
    // A peer outside has no part in the round, and nobody gives it the sum.
    if (this.me >= 0) this.#options.closed?.(await this.#outcome(message, (view) => leaderOfView(order, view)))
    await this.#turnIfOver()
  }

  /** Others know how the last round was closed. */
  #noteHeard(message: Message<'Decision'>): void {
    if (message.body.commits.agreement !== 'closing') return
    checkDecision(message.body, message, this.#electorate)
    this.#heardClosing = message.round
  }

  /** A member that speaks of a round that is over is told how it ended: who brings the word, not whose word it once was. */
  async #answerBehind(member: number | undefined): Promise<void> {
    const { decision } = this.#closed
    if (decision !== null && member !== undefined && member !== this.me)
      await this.#options.links.deliver(member, decision.encoded, this.#stop.signal).catch(() => {})
  }

  async #inTurn<T>(step: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(step)
    this.#turn = done.catch(() => {})
    return done
  }

  /** Opens the next round once, whoever asked for it first. */
  #open(why: AnyMessage): Promise<void> {
    const opened = this.#opening.then(async () => {
      if (!this.#mayOpen(why.round)) return
      const { me } = this
      const rules = this.#rules(why.round)
      const { journal, sign } = this.#ports
      const key = ballotKey(this.task.id, why.round)
      const ballot = await Ballot.open({ journal, key, context: rules.context, electorate: this.#electorate, me, sign })
      const contextHash = (await this.#options.contextHash?.(why.round)) ?? new Uint8Array(32)
      // The others may have closed it meanwhile.
      await this.#inTurn(async () => this.#mayOpen(why.round) && this.#begin(why, { rules, ballot, contextHash }))
    })
    this.#opening = opened.catch(() => {})
    return opened
  }

  #mayOpen(round: number): boolean {
    const isFree = this.#running === undefined && this.me >= 0 && !this.#isOver && !this.#stop.signal.aborted
    return isFree && round === this.#closed.round + 1
  }

  #begin(
    why: AnyMessage,
    { rules, ballot, contextHash }: Pick<RoundOptions, 'rules' | 'ballot' | 'contextHash'>
  ): void {
    const { task, me } = this
    const { beacon, deck, decision } = this.#closed
    const round = new Round({
      task,
      rules,
      me,
      beacon,
      deck,
      succession: this.#chronicle.succession,
      changes: {
        rules: changeRules(this.#options.task, this.#chronicle),
        keep: (next) => this.#chronicle.keep(next),
        wanted: (isHere) => this.#options.wanted(isHere)
      },
      contextHash,
      previous: decision?.encoded ?? null,
      ballot,
      convictions: this.#convictions,
      ports: this.#ports,
      input: (signal) => this.#options.input(why.round, signal, task),
      why: why.encoded,
      locked: this.#options.locked
    })
    this.#running = { round, began: this.#ports.clock.now(), done: Promise.resolve() }
    this.#running.done = this.#run(round).catch((error: Error) => this.#ports.observer.refused?.(error))
    this.#ended = this.#running.done
    this.#options.opened?.(why.round)
  }

  async #run(round: Round): Promise<void> {
    const began = this.#ports.clock.now()
    if (round.ballot.decisions().length > 0) await round.restore()
    await round.views.run(this.#stop.signal)
    if (this.#stop.signal.aborted) return round.views.end(new Error('stopped'))
    const decision = await round.closed
    const leads = round.leader(round.views.current) === this.me
    if (leads) this.#options.links.announce(decision.encoded)
    await this.#finish(round, decision, round.nextDeck, began)
    // n members that announce the same at the same time cost more than the rest of a short round.
    if (!leads && this.#heardClosing < decision.round) this.#options.links.announce(decision.encoded)
  }

  async #finish(round: Round, decision: Message<'Decision'>, deck: Deck, began: number): Promise<void> {
    if (!(await this.#close(decision, deck, round))) return
    const { root } = decision.body.commits
    const here = root === null ? undefined : round.sums.find(root)
    round.wipe()
    this.#options.closed?.(await this.#outcome(decision, (view) => round.leader(view), { round, began, here }))
    const ahead = this.#ahead
    this.#ahead = undefined
    if (this.#isOver) await this.#options.turned(ahead)
    else if (ahead?.round === decision.round + 1) await this.#open(ahead)
    // Members still listening to this leader are given a moment to hear how it ended.
    await this.#ports.clock.sleep(this.task.deadlineMs / 10, this.#stop.signal).catch(() => {})
    round.views.end(new Error(`round ${decision.round} is closed`))
    await round.erase()
  }

  /** A round that was closed while this member was away: what became of it is not known here. */
  async #abandon({ round, began }: { round: Round; began: number }, later: Message<'Decision'>): Promise<void> {
    round.views.end(new Error(`round ${later.round} is closed`))
    round.wipe()
    const { task, roster, me } = this
    const durationMs = this.#ports.clock.now() - began
    const leader = (view: number): number => round.leader(view)
    const outcome = outcomeOf(later, { header: undefined, round, leader, roster, me, task, durationMs })
    await round.erase()
    const input = mayHaveMasked(round) ? 'burned' : 'not included'
    this.#options.closed?.({
      ...outcome,
      round: round.rules.context.round,
      status: 'burned',
      reason: 'this member was away when the round was closed',
      dropped: [],
      missing: [],
      input,
      sum: undefined
    })
  }

  /**
   * On disk first: from here on the round is over for this member, whatever happens.
   *
   * @param round as it runs here; undefined where it does not
   * @returns false where that is so no more
   */
  async #close(decision: Message<'Decision'>, deck: Deck, round: Round | undefined): Promise<boolean> {
    const roster = await this.#rosterAfter(decision)
    return this.#inTurn(async () => {
      if (roster === undefined || this.#running?.round !== round || decision.round <= this.#closed.round) return false
      const ballot = ballotKey(this.task.id, decision.round)
      const transcript = await closeTranscript(this.#ports.journal, this.task.id, decision)
      await this.#chronicle.close(decision, deck, roster, [{ type: 'del', key: ballot }, ...transcript])
      this.#running = undefined
      return true
    })
  }

  /** Whoever was not shown the proposal that changed the roster has it from those that were; undefined once the round is over. */
  async #rosterAfter(decision: Message<'Decision'>): Promise<Roster | undefined> {
    const hash = closingValue(decision).value.rosterHash
    while (decision.round > this.#closed.round) {
      for (const { id, index } of this.roster.members) {
        const roster = await this.#chronicle.named(hash)
        if (roster !== undefined) return roster
        this.#stop.signal.throwIfAborted()
        if (index !== this.me) await this.#askHowFar(id).catch((error: Error) => this.#ports.observer.refused?.(error))
      }
      await this.#ports.clock.sleep(this.task.deadlineMs / 10, this.#stop.signal)
    }
    return undefined
  }

  /** Another roster is in effect than this member's. */
  get #isOver(): boolean {
    return this.#chronicle.roster !== this.roster
  }

  async #turnIfOver(): Promise<void> {
    if (this.#isOver) await this.#options.turned()
  }

  get #closed(): Closed {
    return this.#chronicle.closed
  }

  async #outcome(
    decision: Message<'Decision'>,
    leader: (view: number) => number,
    { round, began = 0, here }: { round?: Round; began?: number; here?: SumChunks } = {}
  ): Promise<RoundOutcome> {
    const { value, commits } = decision.body
    const { task, roster, me } = this
    const header =
      value.kind === 'summed'
        ? await this.#sumHeader({ round: decision.round, root: commits.root!, hashOfCut: value.cutHash }, here)
        : undefined
    // One that was shown another cut, set or book than the rest, and then nothing more, learns of it here.
    if (header !== undefined) round?.saw(header)
    const durationMs = this.#ports.clock.now() - began
    const groups = round?.rules.groups ?? (await this.#groupsOf(decision.round))
    return outcomeOf(decision, { header, round, leader, roster, me, task, groups, durationMs })
  }

  async #groupsOf(round: number): Promise<Groups | undefined> {
    const { groups } = this.task
    const beacon = groups && (await this.#chronicle.beaconOf(round))
    return beacon && drawGroups(this.roster, { beacon, round, count: groups.count })
  }

  #sumHeader(decided: DecidedSum, here?: SumChunks): Promise<Message<'SumHeader'> | undefined> {
    const { task, roster, me } = this
    const { links } = this.#options
    const request = (round: number, body: Body<'SumRequest'>) => this.#sign('SumRequest', this.#context(round), body)
    return sumHeader({ task, roster, me, ports: this.#ports, links, request, signal: this.#stop.signal, here }, decided)
  }

  /** Acts on new evidence, and passes it on. */
  async tellEvidence(evidence: Evidence): Promise<void> {
    this.#running?.round.refute(evidence)
    this.#running?.round.views.leaveBarred()
    const { links, convicted } = this.#options
    const { encoded } = await this.#evidenceMessage(evidence)
    if (encoded.length <= MAX_GOSSIP_BYTES) links.announce(encoded)
    else
      for (const { index } of this.roster.members)
        if (index !== this.me) void links.deliver(index, encoded, this.#stop.signal).catch(() => {})
    convicted?.(evidence)
  }

  /** It as a whole, or where that does not fit into a message, word of it. */
  #evidenceMessage(evidence: Evidence): Promise<Message<'Evidence'> | Message<'EvidenceNotice'>> {
    const context = this.#context(evidence.round)
    const encoded = encodeEvidence(evidence)
    if (encoded.length <= MAX_EVIDENCE_BYTES) return this.#sign('Evidence', context, { evidence: encoded })
    const { culprit } = evidence
    return this.#sign('EvidenceNotice', context, { culprit, hash: sha256(encoded), bytes: encoded.length })
  }

  async #toldOfEvidence(): Promise<Uint8Array[]> {
    // Of a peer outside nobody takes an announcement.
    if (this.me < 0) return []
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

  /** With what follows from its beacon, where that is known here. */
  async #rulesOf(round: number): Promise<RoundRules> {
    const rules = this.#rules(round)
    const beacon = rules.shape === undefined ? await this.#chronicle.beaconOf(round) : undefined
    return beacon === undefined ? rules : rulesIn(rules, this.task, beacon)
  }

  #rules(round: number): RoundRules {
    const running = this.#running?.round.rules
    if (running?.context.round === round) return running
    return rulesOf(this.#context(round), this.roster, this.task)
  }

  async #sign<
    T extends
      | 'Want'
      | 'Evidence'
      | 'EvidenceNotice'
      | 'EvidenceRequest'
      | 'CatchUp'
      | 'SumRequest'
      | 'Closed'
      | 'Refusal'
      | 'Record'
  >(type: T, context: RoundContext, body: Body<T>): Promise<Message<T>> {
    // A peer outside has no index: what it asks is known to be its own by its key.
    return encodeMessage(
      type,
      context,
      Math.max(this.me, 0),
      body,
      await this.#ports.sign(signedBytes(type, context, body))
    )
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
