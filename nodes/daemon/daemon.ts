import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import type { ComponentLogger } from '@libp2p/interface'
import { pEvent } from 'p-event'
import type { Logger } from 'pino'
import { laneBytes, release } from '../../src/crypto/mask-stream.ts'
import { ThreadPool } from '../../src/crypto/thread-pool.ts'
import { unpack } from '../../src/encoding/packing.ts'
import { createEncoder } from '../../src/encoding/encoder.ts'
import { InputError, SecureAggregationError } from '../../src/errors.ts'
import { FileVectorStore } from '../../src/journal/file-vector-store.ts'
import type { Journal } from '../../src/journal/journal.ts'
import { LevelJournal } from '../../src/journal/level-journal.ts'
import type { VectorStore } from '../../src/journal/vector-store.ts'
import { rosterGater } from '../../src/network/admission.ts'
import { secureAggregation } from '../../src/network/service.ts'
import type { SecureAggregation } from '../../src/network/service.ts'
import type { Input, LazyInput } from '../../src/network/contributions.ts'
import type { RoundHandler, Session } from '../../src/network/session.ts'
import { WrongSum } from '../../src/round/auditor.ts'
import { ChunkMissing } from '../../src/round/chunk-fetch.ts'
import type { RoundOutcome } from '../../src/round/outcome.ts'
import type { HeldRound } from '../../src/round/record.ts'
import type { Phase } from '../../src/round/ports.ts'
import type { Task } from '../../src/task/task.ts'
import { readNpy, writeNpy } from '../npy.ts'
import { defaultRetention, RoundArchive } from './archive.ts'
import type { Retention } from './archive.ts'
import { Contributions } from './contributions.ts'
import type { Contribution } from './contributions.ts'
import { Feed } from './feed.ts'
import type { FeedEvents } from './feed.ts'
import { readIdentity } from './identity.ts'
import { Isolation } from './isolation.ts'
import { createNode } from './libp2p.ts'
import type { RelayOptions, SecaggNode } from './libp2p.ts'
import { outline, OUTLINE_POINTS } from './outline.ts'
import { closedEvent, recordOf } from './round-record.ts'
import { RoundWatch } from './round-watch.ts'

export interface DaemonOptions {
  dataDir: string
  task: Task
  listen: string[]
  bootstrap: string[]
  mdns: boolean
  /** All members share one address, as on loopback. */
  local: boolean
  /** The in-memory transport, for members of one process. */
  memory?: boolean
  /** Inputs may come at any time, so a round that opens waits a moment for one; left out, only what was staged counts. */
  awaitsInputs?: boolean
  retention?: Retention
  /** Addresses at which others reach this member beside those it listens on. */
  announce?: string[]
  /** The key of a private network. */
  networkKey?: Uint8Array
  relay?: RelayOptions
  /** Where libp2p and the network layer log to; nowhere if left out. */
  componentLogger?: ComponentLogger
  /** Awaited before a phase's first message leaves: the round is held meanwhile. */
  phase?: (phase: Phase, round: number, leading: boolean) => Promise<void> | void
  closed?: (outcome: DaemonOutcome) => void
  /** What answers each round instead of inputs from outside. */
  application?: Application
  logger: Logger
}

/** A program on top of a member, which knows by itself what to contribute. */
export interface Application {
  /** What the members' updates start from in a round, 32 bytes. */
  contextHash(round: number): Uint8Array | Promise<Uint8Array>
  input: RoundHandler
  /** Told before the node's other peers are met. */
  started(host: ApplicationHost): Promise<void> | void
  /** A member has told how far the rounds have come. */
  caughtUp(): void
  /** Told of each round that this member saw the end of, in turn, and what became of it. */
  closed(outcome: RoundOutcome): void
}

export interface ApplicationHost {
  readonly node: SecaggNode
  readonly session: Session
  readonly journal: Journal
  readonly vectors: VectorStore
}

export interface DaemonOutcome extends RoundOutcome {
  /** Frame bytes of this member's protocol streams during the round. */
  bytesSent: number
  bytesReceived: number
  /** Peak resident memory of the process so far. */
  maxRssBytes: number
  /** The longest that the event loop stood still during the round, in milliseconds. */
  eventLoopMaxMs: number
}

/** Where a node stands among the others, itself counted. */
export interface Standing {
  /** Its roster index; −1 outside. */
  me: number
  epoch: number
  members: number
  quorum: number
  /** Members that are connected, and those that have said how far the rounds have come. */
  connected: number
  answered: number
  closedRound: number
  runningRound?: number
}

/** How often members that have not said how far the rounds have come are asked again. */
const ASK_AGAIN_MS = 1000

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
  readonly #staged = new Map<number, LazyInput>()
  readonly #contributions: Contributions
  /** Members that have said how far the rounds have come. */
  readonly #answered = new Set<string>()
  readonly #asking = new Set<string>()
  #askAgain?: NodeJS.Timeout
  #recorded: Promise<void> = Promise.resolve()
  #maskingMs?: number
  readonly #delay = monitorEventLoopDelay({ resolution: 5 })
  #traffic = { sent: 0, received: 0 }
  #glimpse?: { member: number; indices: number[]; tell: (round: number, values: number[]) => void }

  private constructor(
    options: DaemonOptions,
    node: SecaggNode<{ aggregation: SecureAggregation }>,
    journal: LevelJournal,
    vectors: FileVectorStore,
    archive: RoundArchive,
    isolation: Isolation
  ) {
    this.#options = options
    this.#node = node
    this.#journal = journal
    this.#vectors = vectors
    this.archive = archive
    this.#isolation = isolation
    this.#watch = new RoundWatch(this.feed, this.#session, vectors, () => node.services.links.connected())
    this.#contributions = new Contributions(() => this.#session.member)
  }

  /** @throws SecureAggregationError: no identity, a folder in use, an address in use; TaskError; MessageError STRANGER where this is no member */
  static async start(options: DaemonOptions): Promise<Daemon> {
    const { dataDir, task, bootstrap, logger } = options
    const privateKey = await readIdentity(dataDir)
    const id = peerIdFromPrivateKey(privateKey).toString()
    // Where there is a policy, the members decide who is let in.
    if (!task.members.includes(id) && task.admission === undefined) {
      throw new SecureAggregationError(
        'NOT_A_MEMBER',
        `${id}, the identity in ${dataDir}, is not among the members of the task ${task.name}; add it to the task or use another folder`
      )
    }
    const journal = await LevelJournal.open(join(dataDir, 'journal'))
    try {
      const vectors = await FileVectorStore.open(join(dataDir, 'vectors'))
      const archive = await RoundArchive.open(journal, vectors, task.id, options.retention)
      await archive.keepTask(task)
      const started: { daemon?: Daemon } = {}
      const live = (tell: (daemon: Daemon) => void): void => {
        if (started.daemon !== undefined) tell(started.daemon)
      }
      const observer = () => ({
        phase: (phase: Phase, round: number, leading: boolean) => {
          logger.debug({ phase, round, leading }, 'phase')
          live((daemon) => daemon.#watch.phase(phase, round, leading))
          return options.phase?.(phase, round, leading)
        },
        refused: (error: Error) => {
          live((daemon) => daemon.#auditFailed(error))
          logger.warn(
            {
              reason: error.message,
              code: (error as SecureAggregationError).code,
              culprit: (error as SecureAggregationError).culprit
            },
            'refused'
          )
        },
        view: (round: number, view: number, why: string) => logger.info({ round, view, why }, 'view changed'),
        masked: (_round: number, elapsedMs: number) => live((daemon) => daemon.#masked(elapsedMs)),
        received: (round: number, member: number, name: string) => {
          live((daemon) => {
            void daemon.#tellGlimpse(round, member, name)
            daemon.#watch.received(round, member, name)
          })
        }
      })
      const compute = new ThreadPool()
      // Before the first round, so that it does not wait for threads to load.
      compute.start(task.members.length * task.laneCount * laneBytes(task.bits))
      const aggregation = secureAggregation({
        tasks: [task],
        journal,
        vectors,
        observer,
        compute,
        keepRounds: (options.retention ?? defaultRetention).keepSums,
        contextHash: options.application && ((_, round) => options.application!.contextHash(round))
      })
      const members = new Set(task.members)
      const admission = rosterGater((peer) => started.daemon?.expects(peer) ?? members.has(peer), {
        // Of an address through a relay the relay is let in as well.
        bootstrap: [...bootstrap, ...(options.relay?.use ?? [])]
          .flatMap((address) => address.split('/p2p/').slice(1))
          .map((rest) => rest.split('/')[0])
      })
      const isolation = new Isolation()
      const node = await createNode({
        ...options,
        privateKey,
        logger: options.componentLogger,
        connectionGater: isolation.gater(admission),
        services: { aggregation }
      })
      const daemon = new Daemon(options, node, journal, vectors, archive, isolation)
      started.daemon = daemon
      await daemon.#listen()
      return daemon
    } catch (error) {
      await journal.close()
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
  async stage(round: number, file: string, weight?: number): Promise<void> {
    const { values } = await readNpy(file)
    try {
      await createEncoder(this.#options.task, round).check(values, { weight })
    } catch (error) {
      if (error instanceof InputError) throw new InputError(error.code, `${file}: ${error.message}`, { cause: error })
      throw error
    } finally {
      release(values)
    }
    // Read again when the round needs it: a long vector is not kept in memory until then.
    this.#staged.set(round, { vector: async () => (await readNpy(file)).values, weight })
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
    await this.want()
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
      answered: here(this.#answered),
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

  /** Writes the sum of a round as .npy: int64 for integer tasks, else float64. */
  async export(round: number, file: string): Promise<void> {
    const { values } = await this.archive.sum(round)
    await writeNpy(file, values)
  }

  /** As the aggregator of a round: what it received of one member, by roster index, at some places of the vector. */
  glimpse(member: number, indices: number[], tell: (round: number, values: number[]) => void): void {
    this.#glimpse = { member, indices, tell }
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
    this.#delay.disable()
    clearInterval(this.#askAgain)
    this.#contributions.stop()
    await this.#node.stop()
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
    links.follow([...roster.members, ...roster.suspended].map(({ id }) => id))
    aggregation.addEventListener('roster', ({ detail: { epoch, members, suspended } }) => {
      this.#options.logger.info({ epoch, members: members.length, suspended: suspended.length }, 'roster changed')
      // Who is suspended comes back by asking, so its connection is kept up as well.
      links.follow([...members, ...suspended])
      this.#watch.members()
      this.#wantWhatWaits()
    })
    aggregation.onRound(task.id, async ({ round, signal }) => {
      if (application !== undefined) return application.input({ round, signal })
      const staged = this.#staged.get(round)
      if (staged !== undefined || this.#options.awaitsInputs !== true) return staged
      const input = await this.#contributions.take(round, signal)
      return input && { ...input, refused: (error) => this.#contributions.refuse(round, error) }
    })
    aggregation.addEventListener('round:open', ({ detail: { round } }) => {
      this.#delay.reset()
      this.#delay.enable()
      this.#traffic = this.#session.traffic
      this.#maskingMs = undefined
      this.#watch.opened(round)
      this.#options.logger.info({ round }, 'round opened')
    })
    const closed = ({ detail }: CustomEvent<RoundOutcome & { task: string }>): void => this.#closed(detail)
    aggregation.addEventListener('sum', closed)
    aggregation.addEventListener('round:burned', closed)
    aggregation.addEventListener('round:missed', ({ detail }) => this.#missed(detail))
    aggregation.addEventListener('evidence', ({ detail: { round, kind, culprit } }) => {
      this.feed.emit('evidence', { round, kind, culprit })
      this.#options.logger.warn({ round, kind, culprit }, 'a member broke the protocol and leads no more')
    })
    await this.#tellPast()
    for (const change of ['connection:open', 'connection:close'] as const)
      this.#node.addEventListener(change, () => this.#watch.members())
    this.#watch.members()
    // A member that was away asks whoever it meets first how far the rounds have come.
    this.#node.addEventListener('peer:identify', ({ detail: { peerId } }) => void this.#catchUp(peerId.toString()))
    this.#askAgain = setInterval(() => this.#askTheRest(), ASK_AGAIN_MS)
  }

  async #catchUp(peer: string): Promise<void> {
    if (this.#session.member.roster.indexOf(peer) < 0 || this.#asking.has(peer)) return
    this.#asking.add(peer)
    try {
      await this.#session.participant.catchUp(peer)
      this.#answered.add(peer)
      this.#options.application?.caughtUp()
    } catch (error) {
      this.#options.logger.debug({ peer, reason: (error as Error).message }, 'could not catch up')
    } finally {
      this.#asking.delete(peer)
    }
  }

  /** Who was met before this node listened, or did not answer, is asked again. */
  #askTheRest(): void {
    for (const peer of this.#node.services.links.connected()) if (!this.#answered.has(peer)) void this.#catchUp(peer)
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

  #masked(elapsedMs: number): void {
    this.#maskingMs = (this.#maskingMs ?? 0) + elapsedMs
  }

  #wantWhatWaits(): void {
    if (!this.#contributions.waiting || this.#session.member.me < 0) return
    void this.want().catch((error: Error) =>
      this.#options.logger.warn({ reason: error.message }, 'could not ask for a round')
    )
  }

  #closed(outcome: RoundOutcome): void {
    this.#staged.delete(outcome.round)
    this.#options.application?.closed(outcome)
    const { sent, received } = this.#session.traffic
    const measured = {
      bytesSent: sent - this.#traffic.sent,
      bytesReceived: received - this.#traffic.received,
      maxRssBytes: process.resourceUsage().maxRSS * 1024,
      eventLoopMaxMs: this.#delay.max / 1e6
    }
    this.#delay.disable()
    const { round, status, reason, views, durationMs } = outcome
    this.#options.logger.info({ round, status, reason, views, durationMs: Math.round(durationMs) }, 'round closed')
    const terms = this.#session.participant.terms(outcome.epoch)
    const record = recordOf(outcome, terms, { ...measured, maskingMs: this.#maskingMs })
    this.#recorded = this.#recorded
      .then(() => this.archive.add(record, terms, outcome.sum !== undefined))
      .catch((error: Error) => this.#options.logger.error({ round, reason: error.message }, 'a round was not recorded'))
      .then(() => {
        this.feed.emit('round:closed', closedEvent(record))
        if (record.audit !== undefined && record.audit.chunks > 0)
          this.feed.emit('audit', { round, passed: true, ...record.audit })
        if (outcome.sum !== undefined) void this.#tellSum(round).catch(() => {})
        if (outcome.input !== 'none') this.feed.emit('input', { round, status: outcome.input })
        this.#options.closed?.({ ...outcome, ...measured })
      })
    this.#contributions.closed(outcome)
    this.#wantWhatWaits()
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

  async #tellGlimpse(round: number, member: number, name: string): Promise<void> {
    const glimpse = this.#glimpse
    if (glimpse === undefined || glimpse.member !== member) return
    const { laneCount, bits } = this.#session.member.task
    const packed = await this.#vectors.readRange(name, 0, (await this.#vectors.size(name))!)
    const lanes = unpack(packed, laneCount, bits)
    glimpse.tell(
      round,
      glimpse.indices.map((index) => lanes[index])
    )
  }
}
