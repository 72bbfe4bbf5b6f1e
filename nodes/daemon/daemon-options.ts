import type { ComponentLogger } from '@libp2p/interface'
import type { Logger } from 'pino'
import type { Journal } from '../../src/journal/journal.ts'
import type { VectorStore } from '../../src/journal/vector-store.ts'
import type { RoundHandler, Session } from '../../src/network/session.ts'
import type { RoundOutcome } from '../../src/round/outcome.ts'
import type { Phase } from '../../src/round/ports.ts'
import type { Task } from '../../src/task/task.ts'
import type { Retention } from './archive.ts'
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
  /** Whether members look for each other by peer id; so unless false. */
  routing?: boolean
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
  /** 99 of 100 times it was not later than this. */
  eventLoopP99Ms: number
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
