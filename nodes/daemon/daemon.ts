import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import type { ComponentLogger } from '@libp2p/interface'
import { pEvent } from 'p-event'
import type { Logger } from 'pino'
import { unpack } from '../../src/encoding/packing.ts'
import type { Vector } from '../../src/encoding/encoder.ts'
import { createEncoder } from '../../src/encoding/encoder.ts'
import { InputError, SecureAggregationError } from '../../src/errors.ts'
import { FileVectorStore } from '../../src/journal/file-vector-store.ts'
import type { Journal } from '../../src/journal/journal.ts'
import { LevelJournal } from '../../src/journal/level-journal.ts'
import type { VectorStore } from '../../src/journal/vector-store.ts'
import { rosterGater } from '../../src/network/admission.ts'
import { secureAggregation } from '../../src/network/service.ts'
import type { SecureAggregation } from '../../src/network/service.ts'
import type { RoundHandler, Session } from '../../src/network/session.ts'
import type { RoundOutcome } from '../../src/round/outcome.ts'
import type { Phase } from '../../src/round/ports.ts'
import type { Task } from '../../src/task/task.ts'
import { readNpy, writeNpy } from '../npy.ts'
import { readIdentity } from './identity.ts'
import { Isolation } from './isolation.ts'
import { createNode } from './libp2p.ts'
import type { RelayOptions, SecaggNode } from './libp2p.ts'

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

/** One member of one task as a program runs it: identity, journal and vectors under one folder, a libp2p node, the service. */
export class Daemon {
  readonly #options: DaemonOptions
  readonly #node: SecaggNode<{ aggregation: SecureAggregation }>
  readonly #journal: LevelJournal
  readonly #vectors: FileVectorStore
  readonly #isolation: Isolation
  readonly #inputs = new Map<number, { vector: Vector; weight?: number }>()
  readonly #outcomes = new Map<number, RoundOutcome>()
  readonly #delay = monitorEventLoopDelay({ resolution: 5 })
  #traffic = { sent: 0, received: 0 }
  #glimpse?: { member: number; indices: number[]; tell: (round: number, values: number[]) => void }

  private constructor(
    options: DaemonOptions,
    node: SecaggNode<{ aggregation: SecureAggregation }>,
    journal: LevelJournal,
    vectors: FileVectorStore,
    isolation: Isolation
  ) {
    this.#options = options
    this.#node = node
    this.#journal = journal
    this.#vectors = vectors
    this.#isolation = isolation
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
      const started: { daemon?: Daemon } = {}
      const observer = () => ({
        phase: (phase: Phase, round: number, leading: boolean) => {
          logger.debug({ phase, round, leading }, 'phase')
          return options.phase?.(phase, round, leading)
        },
        refused: (error: Error) =>
          logger.warn(
            {
              reason: error.message,
              code: (error as SecureAggregationError).code,
              culprit: (error as SecureAggregationError).culprit
            },
            'refused'
          ),
        view: (round: number, view: number, why: string) => logger.info({ round, view, why }, 'view changed'),
        received: (round: number, member: number, name: string) => void started.daemon?.tellGlimpse(round, member, name)
      })
      const aggregation = secureAggregation({
        tasks: [task],
        journal,
        vectors,
        observer,
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
      const daemon = new Daemon(options, node, journal, vectors, isolation)
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
    }
    this.#inputs.set(round, { vector: values, weight })
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

  /** Writes the sum of a round as .npy: int64 for integer tasks, else float64. */
  async export(round: number, file: string): Promise<void> {
    const outcome = this.#outcomes.get(round)
    if (outcome?.sum === undefined)
      throw new SecureAggregationError('SUM_MISSING', `there is no sum of round ${round} here`)
    const { values } = await this.#session.sum(outcome)
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
    await this.#node.stop()
    await this.#journal.close()
  }

  /** Whether a peer has a reason to be connected. */
  expects(peer: string): boolean {
    return this.#session.expects(peer)
  }

  get #session() {
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
    })
    aggregation.onRound(task.id, (opened) => this.#inputs.get(opened.round) ?? application?.input(opened))
    aggregation.addEventListener('round:open', ({ detail: { round } }) => {
      this.#delay.reset()
      this.#delay.enable()
      this.#traffic = this.#session.traffic
      this.#options.logger.info({ round }, 'round opened')
    })
    const closed = ({ detail }: CustomEvent<RoundOutcome & { task: string }>): void => this.#closed(detail)
    aggregation.addEventListener('sum', closed)
    aggregation.addEventListener('round:burned', closed)
    aggregation.addEventListener('evidence', ({ detail: { round, kind, culprit } }) =>
      this.#options.logger.warn({ round, kind, culprit }, 'a member broke the protocol and leads no more')
    )
    // A member that was away asks whoever it meets first how far the rounds have come.
    this.#node.addEventListener('peer:identify', ({ detail: { peerId } }) => void this.#catchUp(peerId.toString()))
  }

  async #catchUp(peer: string): Promise<void> {
    if (this.#session.member.roster.indexOf(peer) < 0) return
    await this.#session.participant
      .catchUp(peer)
      .then(() => this.#options.application?.caughtUp())
      .catch((error: Error) => this.#options.logger.debug({ peer, reason: error.message }, 'could not catch up'))
  }

  #closed(outcome: RoundOutcome): void {
    this.#outcomes.set(outcome.round, outcome)
    this.#inputs.delete(outcome.round)
    this.#options.application?.closed(outcome)
    const { sent, received } = this.#session.traffic
    const eventLoopMaxMs = this.#delay.max / 1e6
    this.#delay.disable()
    const { round, status, reason, views, durationMs } = outcome
    this.#options.logger.info({ round, status, reason, views, durationMs: Math.round(durationMs) }, 'round closed')
    this.#options.closed?.({
      ...outcome,
      bytesSent: sent - this.#traffic.sent,
      bytesReceived: received - this.#traffic.received,
      maxRssBytes: process.resourceUsage().maxRSS * 1024,
      eventLoopMaxMs
    })
  }

  private async tellGlimpse(round: number, member: number, name: string): Promise<void> {
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
