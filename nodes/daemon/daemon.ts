import { setTimeout as sleep } from 'node:timers/promises'
import { pEvent } from 'p-event'
import { createEncoder } from '../../src/encoding/encoder.ts'
import { SecureAggregationError } from '../../src/errors.ts'
import type { FileVectorStore } from '../../src/journal/file-vector-store.ts'
import type { LevelJournal } from '../../src/journal/level-journal.ts'
import { Asking } from '../../src/network/asking.ts'
import type { SecureAggregation } from '../../src/network/service.ts'
import type { Input } from '../../src/network/contributions.ts'
import type { Session } from '../../src/network/session.ts'
import { WrongSum } from '../../src/round/auditor.ts'
import { ChunkMissing } from '../../src/round/chunk-fetch.ts'
import type { RoundOutcome } from '../../src/round/outcome.ts'
import type { PrivacySpent } from '../../src/round/privacy-ledger.ts'
import type { HeldRound } from '../../src/round/record.ts'
import type { Task } from '../../src/task/task.ts'
import { writeNpy } from '../npy.ts'
import type { RoundArchive } from './archive.ts'
import { Contributions } from './contributions.ts'
import type { Contribution } from './contributions.ts'
import type { DaemonOptions, Standing } from './daemon-options.ts'
import { Feed } from './feed.ts'
import type { FeedEvents } from './feed.ts'
import { Glimpse } from './glimpse.ts'
import type { Isolation } from './isolation.ts'
import type { Exported } from './launcher-messages.ts'
import type { SecaggNode } from './libp2p.ts'
import { openMemberNode } from './member-node.ts'
import type { MemberNode } from './member-node.ts'
import { outline, OUTLINE_POINTS } from './outline.ts'
import { RoundMeasures } from './round-measures.ts'
import { closedEvent, recordOf } from './round-record.ts'
import { RoundWatch } from './round-watch.ts'
import { StagedInputs } from './staged-inputs.ts'

/** Closed rounds that the feed of a restarted node begins with. */
const PAST_ROUNDS_TOLD = 50
/** Elements. */
const LONGEST_SUM_TOLD = 2 ** 17

/** One member of one task as a program runs it: identity, journal and vectors under one folder, a libp2p node, the service. */
export class Daemon {
  /** What happens here, as it happens. */
  readonly feed = new Feed()
  /** The closed rounds and their sums. */
  readonly archive: RoundArchive
  readonly #options: DaemonOptions
  readonly #node: SecaggNode<{ aggregation: SecureAggregation }>
  readonly #journal: LevelJournal
  readonly #vectors: FileVectorStore
  readonly #isolation: Isolation
  readonly #watch: RoundWatch
  readonly #contributions: Contributions
  readonly #asking: Asking
  readonly #staged: StagedInputs
  readonly #measures: RoundMeasures
  readonly #glimpse: Glimpse
  #recorded: Promise<void> = Promise.resolve()

  private constructor(options: DaemonOptions, { node, journal, vectors, archive, isolation }: MemberNode) {
    this.#options = options
    this.#node = node
    this.#journal = journal
    this.#vectors = vectors
    this.archive = archive
    this.#isolation = isolation
    const connected = (): string[] => node.services.links.connected()
    this.#watch = new RoundWatch(this.feed, this.#session, vectors, connected)
    this.#contributions = new Contributions(() => this.#session.member)
    this.#asking = new Asking({
      want: () => this.want(),
      isDue: () => this.#contributions.waiting && this.#session.member.me >= 0,
      deadlineMs: options.task.deadlineMs,
      refused: ({ message }) => options.logger.warn({ reason: message }, 'could not ask for a round')
    })
    this.#staged = new StagedInputs(options.task)
    this.#measures = new RoundMeasures(() => this.#session.traffic)
    this.#glimpse = new Glimpse(options.task, vectors)
  }

  /** @throws SecureAggregationError: no identity, a folder in use, an address in use; TaskError; MessageError STRANGER where this is no member */
  static async start(options: DaemonOptions): Promise<Daemon> {
    const started: { daemon?: Daemon } = {}
    const live = (tell: (daemon: Daemon) => void): void => {
      if (started.daemon !== undefined) tell(started.daemon)
    }
    const own = await openMemberNode(options, {
      expects: (peer) => started.daemon?.expects(peer),
      phase: (phase, round, leading) => live((daemon) => daemon.#watch.phase(phase, round, leading)),
      refused: (error) => live((daemon) => daemon.#auditFailed(error)),
      masked: (elapsedMs) => live((daemon) => daemon.#measures.masked(elapsedMs)),
      received: (round, member, name) =>
        live((daemon) => {
          void daemon.#glimpse.received(round, member, name)
          daemon.#watch.received(round, member, name)
        })
    })
    const daemon = new Daemon(options, own)
    started.daemon = daemon
    try {
      await daemon.#listen()
      return daemon
    } catch (error) {
      await daemon.stop()
      throw error
    }
  }

  get id(): string {
    return this.#node.peerId.toString()
  }

  /** Where this member can be dialled, peer id included. */
  get addresses(): string[] {
    return this.#node.getMultiaddrs().map(String)
  }

  /** Takes a .npy file as this member's input of a round. @throws InputError */
  stage(round: number, file: string, weight?: number): Promise<void> {
    return this.#staged.add(round, file, weight)
  }

  get task(): Task {
    return this.#session.member.task
  }

  /**
   * Takes a vector for the round named, or for the next that takes one, and asks for that round. `ended` resolves with the
   * round that summed it; aborting the signal withdraws it where no round has taken it yet.
   *
   * @throws InputError; SecureAggregationError NOT_A_MEMBER, ALREADY_CONTRIBUTED, ROUND_OVER, ROUND_NOT_OPEN
   */
  async contribute(
    input: Input,
    { round, signal }: { round?: number; signal?: AbortSignal } = {}
  ): Promise<{ contribution: Contribution; ended: Promise<number> }> {
    this.roundFor(round)
    // Refused at the border; the round encodes it, because masks are laid in place.
    await createEncoder(this.task, 0).check(input.vector, { weight: input.weight })
    const added = this.#contributions.add(input, round, signal)
    await this.#asking.now()
    // Before its end is known, what was summed is in the archive.
    const ended = added.ended.then(async (summed) => this.#recorded.then(() => summed))
    ended.catch(() => {})
    return { ...added, ended }
  }

  /** The round that a contribution made now would be for. @throws as `contribute` does */
  roundFor(named?: number): number {
    if (this.#session.member.me < 0)
      throw new SecureAggregationError(
        'NOT_A_MEMBER',
        `this node (${this.id}) is no member of the task ${this.task.name} now; it contributes once it is in the roster`
      )
    return this.#contributions.roundFor(named)
  }

  contribution(id: string): Contribution | undefined {
    return this.#contributions.get(id)
  }

  /** Where this node stands among the others. */
  get standing(): Standing {
    const { member, participant } = this.#session
    const { roster } = participant
    const here = (ids: Iterable<string>) => new Set([...ids, this.id].filter((id) => roster.indexOf(id) >= 0)).size
    return {
      me: member.me,
      epoch: roster.epoch,
      members: roster.members.length,
      quorum: member.task.thresholds.quorum,
      connected: here(this.#node.services.links.connected()),
      answered: here(this.#session.answered),
      closedRound: member.closedRound,
      runningRound: member.runningRound
    }
  }

  /** The roster in effect, and who of it is connected. */
  get members(): FeedEvents['members'] {
    return this.#watch.list()
  }

  /** Frame bytes of this node's protocol streams since it was started. */
  get traffic(): { sent: number; received: number } {
    return this.#session.traffic
  }

  /** Where the task has privacy: what this node's vectors may have given away so far. */
  privacySpent(): Promise<PrivacySpent | undefined> {
    return this.#session.privacySpent()
  }

  async want(): Promise<void> {
    await this.#node.services.aggregation.want(this.#options.task.id)
  }

  /** Loses every connection, and has no new ones, until it is told otherwise. */
  isolate(isolated: boolean): void {
    this.#isolation.set(isolated, this.#node.getConnections())
  }

  status(): { connected: string[]; subscribed: string[]; closedRound: number; runningRound?: number } {
    const { member } = this.#session
    return {
      connected: this.#node.services.links.connected(),
      subscribed: this.#session.subscribers(),
      closedRound: member.closedRound,
      runningRound: member.runningRound
    }
  }

  /** What is held of a round: what is public of it, its sum, and masked vectors until it is closed. @throws as the archive does */
  held(round: number): Promise<HeldRound> {
    return this.archive.held(round, this.id)
  }

  /** All evidence that is held here, with what verifies it anywhere. */
  evidence(): ReturnType<SecureAggregation['evidence']> {
    return this.#node.services.aggregation.evidence(this.#options.task.id)
  }

  /** Writes the sum of a round as .npy, int64 for integer tasks, else float64; what no element tells is returned. */
  async export(round: number, file: string): Promise<Exported> {
    await this.#recorded
    const { values, clippedFraction } = await this.archive.sum(round)
    await writeNpy(file, values)
    return { clippedFraction }
  }

  /** As the aggregator of a round: what it received of one member, by roster index, at some places of the vector. */
  glimpse(member: number, indices: number[], tell: (round: number, values: number[]) => void): void {
    this.#glimpse.of(member, indices, tell)
  }

  /** Waits until the running round is closed, for `ms` milliseconds at most. @returns whether it is */
  async roundClosed(ms: number): Promise<boolean> {
    const { runningRound } = this.status()
    if (runningRound === undefined) return true
    const { aggregation } = this.#node.services
    const end = AbortSignal.timeout(ms)
    const isClosed = (): boolean => this.status().closedRound >= runningRound
    while (!isClosed() && !end.aborted)
      await pEvent(aggregation, ['sum', 'round:burned'], { signal: end }).catch(() => {})
    // Members still listening to this leader are given a moment to hear how it ended.
    if (isClosed()) await sleep(this.#options.task.deadlineMs / 10, undefined, { signal: end }).catch(() => {})
    return isClosed()
  }

  async stop(): Promise<void> {
    this.#measures.stop()
    this.#contributions.stop()
    await this.#node.stop()
    this.#asking.stop()
    await this.#recorded
    await this.#journal.close()
  }

  /** Whether a peer has a reason to be connected. */
  expects(peer: string): boolean {
    return this.#session.expects(peer)
  }

  get #session(): Session {
    return this.#node.services.aggregation.session(this.#options.task.id)
  }

  async #listen(): Promise<void> {
    const { aggregation, links } = this.#node.services
    const { task } = this.#options
    const { roster } = this.#session.participant
    const { application } = this.#options
    await application?.started({
      node: this.#node,
      session: this.#session,
      journal: this.#journal,
      vectors: this.#vectors
    })
    aggregation.addEventListener('member:answered', () => application?.caughtUp())
    // The first may have answered before anybody listened here.
    application?.caughtUp()
    links.follow([...roster.members, ...roster.suspended].map(({ id }) => id))
    aggregation.addEventListener('roster', ({ detail: { epoch, members, suspended } }) => {
      this.#options.logger.info({ epoch, members: members.length, suspended: suspended.length }, 'roster changed')
      // Who is suspended comes back by asking, so its connection is kept up as well.
      links.follow([...members, ...suspended])
      this.#watch.members()
      this.#asking.again()
    })
    aggregation.onRound(task.id, async ({ round, signal }) => {
      if (application !== undefined) return application.input({ round, signal })
      const staged = this.#staged.of(round)
      if (staged !== undefined || this.#options.awaitsInputs !== true) return staged
      const input = await this.#contributions.take(round, signal)
      return input && { ...input, refused: (error) => this.#contributions.refuse(round, error) }
    })
    aggregation.addEventListener('round:open', ({ detail: { round } }) => {
      this.#measures.opened()
      this.#watch.opened(round)
      this.#options.logger.info({ round }, 'round opened')
    })
    const closed = ({ detail }: CustomEvent<RoundOutcome & { task: string }>): void => this.#closed(detail)
    aggregation.addEventListener('sum', closed)
    aggregation.addEventListener('round:burned', closed)
    aggregation.addEventListener('sum:provisional', ({ detail: { round, included, audit } }) => {
      this.feed.emit('sum:provisional', { round, included, audit: { ...audit } })
      this.#options.logger.info({ round, included: included.length, ...audit }, 'provisional sum')
    })
    aggregation.addEventListener('sum:withdrawn', ({ detail: { round } }) => {
      this.feed.emit('sum:withdrawn', { round })
      this.#options.logger.warn({ round }, 'provisional sum withdrawn')
    })
    aggregation.addEventListener('round:missed', ({ detail }) => this.#missed(detail))
    aggregation.addEventListener('evidence', ({ detail: { round, kind, culprit } }) => {
      this.feed.emit('evidence', { round, kind, culprit })
      this.#options.logger.warn({ round, kind, culprit }, 'a member broke the protocol and leads no more')
    })
    await this.#tellPast()
    for (const change of ['connection:open', 'connection:close'] as const)
      this.#node.addEventListener(change, () => this.#watch.members())
    this.#watch.members()
  }

  /** A node that was restarted tells its past from its journal. */
  async #tellPast(): Promise<void> {
    for (const record of (await this.archive.list(PAST_ROUNDS_TOLD)).reverse())
      this.feed.emit('round:closed', closedEvent(record))
  }

  /** Of what is refused, what an audit of the running round's sum found (§10). */
  #auditFailed(error: Error): void {
    const round = this.status().runningRound
    if (round === undefined || !(error instanceof WrongSum || error instanceof ChunkMissing)) return
    this.feed.emit('audit', { round, passed: false, reason: error.message })
  }

  #closed(outcome: RoundOutcome): void {
    this.#staged.closed(outcome.round)
    this.#options.application?.closed(outcome)
    const { maskingMs, ...measured } = this.#measures.closed()
    const { round, status, reason, views, durationMs } = outcome
    this.#options.logger.info({ round, status, reason, views, durationMs: Math.round(durationMs) }, 'round closed')
    const terms = this.#session.participant.terms(outcome.epoch)
    const record = recordOf(outcome, terms, { ...measured, maskingMs })
    this.#recorded = this.#recorded
      .then(() => this.archive.add(record, terms, outcome.sum !== undefined))
      .catch((error: Error) => this.#options.logger.error({ round, reason: error.message }, 'a round was not recorded'))
      .then(() => {
        this.feed.emit('round:closed', closedEvent(record))
        if (record.audit !== undefined && record.audit.chunks > 0)
          this.feed.emit('audit', { round, passed: true, ...record.audit })
        if (outcome.sum !== undefined) void this.#tellSum(round).catch(() => {})
        if (outcome.input !== 'none') this.feed.emit('input', { round, status: outcome.input })
      })
    this.#options.closed?.({ ...outcome, ...measured })
    this.#contributions.closed(outcome)
    this.#asking.closed(outcome)
  }

  /** Of a round that was closed while this node was away it has the sum now. */
  #missed(outcome: RoundOutcome): void {
    const { round, status } = outcome
    this.#options.logger.info({ round, status }, 'a round that was missed is here now')
    const terms = this.#session.participant.terms(outcome.epoch)
    const record = recordOf(outcome, terms, { bytesSent: 0, bytesReceived: 0 })
    this.#recorded = this.#recorded
      .then(() => this.archive.add(record, terms, outcome.sum !== undefined))
      .catch((error: Error) => this.#options.logger.error({ round, reason: error.message }, 'a round was not recorded'))
  }

  /** A long sum is not read for a page that may not be open. */
  async #tellSum(round: number): Promise<void> {
    if (this.task.length > LONGEST_SUM_TOLD) return
    const { values } = await this.archive.sum(round)
    this.feed.emit('sum', { round, length: values.length, values: outline(values, OUTLINE_POINTS) })
  }
}
