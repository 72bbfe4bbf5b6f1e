import { serviceCapabilities, serviceDependencies } from '@libp2p/interface'
import type { AbortOptions, Startable } from '@libp2p/interface'
import { TypedEventEmitter } from 'main-event'
import { CustomProgressEvent } from 'progress-events'
import type { ProgressEvent, ProgressOptions } from 'progress-events'
import { TaskError } from '../errors.ts'
import { MemoryJournal } from '../journal/journal.ts'
import type { Journal } from '../journal/journal.ts'
import { MemoryVectorStore } from '../journal/vector-store.ts'
import type { VectorStore } from '../journal/vector-store.ts'
import { encodeEvidence } from '../round/evidence.ts'
import type { EvidenceKind } from '../round/evidence.ts'
import type { RoundOutcome } from '../round/outcome.ts'
import type { Observer, Phase } from '../round/ports.ts'
import { createTask } from '../task/task.ts'
import type { Task, TaskInput } from '../task/task.ts'
import { Session } from './session.ts'
import type { RoundHandler, SessionComponents, Sum } from './session.ts'
import type { Vector } from '../encoding/encoder.ts'

export type SecureAggregationComponents = SessionComponents

export interface SecureAggregationInit {
  /** The tasks that this node is a member of, or is to become one of where their admission policy lets it. */
  tasks: Array<Task | TaskInput>
  /**
   * What must survive a crash (votes, locks, marks). In memory if left out: then a restarted process must not take part in
   * a round that it was in before, so a node that is to be restarted needs one on disk.
   */
  journal?: Journal
  /** Where masked vectors and sums lie; in memory if left out. */
  vectors?: VectorStore
  /**
   * What the members' updates start from in a round, 32 bytes; members of different contexts are never summed together. A
   * round opens here when it is known.
   */
  contextHash?: (taskId: string, round: number) => Uint8Array | Promise<Uint8Array>
  /** Sees the phases of this member's rounds, and may hold them: for launchers and dashboards. */
  observer?: (taskId: string) => Observer
}

export type ContributeProgress = ProgressEvent<'secagg:phase', Phase>

export interface ContributeOptions extends AbortOptions, ProgressOptions<ContributeProgress> {
  /** A whole number from 1 to the task's largest weight; weighted tasks only. */
  weight?: number
}

export interface SecureAggregationEvents {
  'round:open': CustomEvent<{ task: string; round: number }>
  'round:phase': CustomEvent<{ task: string; round: number; phase: Phase }>
  sum: CustomEvent<RoundOutcome & { task: string }>
  'round:burned': CustomEvent<RoundOutcome & { task: string }>
  /** A roster has taken effect; peer ids. */
  roster: CustomEvent<{ task: string; epoch: number; members: string[]; suspended: string[] }>
  evidence: CustomEvent<EvidenceDetail>
}

/** A member broke the protocol, and leads no more in this epoch. */
export interface EvidenceDetail {
  task: string
  round: number
  kind: EvidenceKind
  /** Its peer id. */
  culprit: string
  /** What proves it to any third party, as `decodeEvidence` and `verifyEvidence` read it. */
  evidence: Uint8Array
}

/** Secure aggregation on a libp2p node: the sum of all members' vectors, and nobody learns a single one. */
export class SecureAggregation extends TypedEventEmitter<SecureAggregationEvents> implements Startable {
  readonly [Symbol.toStringTag] = '@secagg/secure-aggregation'
  readonly [serviceCapabilities]: string[] = ['@secagg/secure-aggregation']
  readonly [serviceDependencies]: string[] = ['@libp2p/identify', '@libp2p/pubsub']
  readonly #sessions = new Map<string, Session>()
  readonly #progress = new Map<string, Set<(phase: Phase) => void>>()

  constructor(components: SecureAggregationComponents, init: SecureAggregationInit) {
    super()
    const { journal = new MemoryJournal(), vectors = new MemoryVectorStore() } = init
    for (const given of init.tasks) {
      const task = 'idBytes' in given ? given : createTask(given)
      const observer = init.observer?.(task.id) ?? {}
      const session = new Session(components, {
        task,
        journal,
        vectors,
        contextHash: init.contextHash && ((round) => init.contextHash!(task.id, round)),
        observer: {
          ...observer,
          phase: (phase, round, leading) => {
            this.safeDispatchEvent('round:phase', { detail: { task: task.id, round, phase } })
            for (const tell of this.#progress.get(task.id) ?? []) tell(phase)
            return observer.phase?.(phase, round, leading)
          }
        },
        opened: (round) => this.safeDispatchEvent('round:open', { detail: { task: task.id, round } }),
        closed: (outcome) =>
          this.safeDispatchEvent(outcome.status === 'summed' ? 'sum' : 'round:burned', {
            detail: { ...outcome, task: task.id }
          }),
        convicted: (evidence) => {
          const { round, kind } = evidence
          const culprit = session.member.roster.members[evidence.culprit].id
          const detail = { task: task.id, round, kind, culprit, evidence: encodeEvidence(evidence) }
          this.safeDispatchEvent('evidence', { detail })
        },
        epoch: ({ epoch, members, suspended }) =>
          this.safeDispatchEvent('roster', {
            detail: {
              task: task.id,
              epoch,
              members: members.map(({ id }) => id),
              suspended: suspended.map(({ id }) => id)
            }
          })
      })
      this.#sessions.set(task.id, session)
    }
  }

  start(): void {}

  async afterStart(): Promise<void> {
    for (const session of this.#sessions.values()) await session.start()
  }

  async beforeStop(): Promise<void> {
    for (const session of this.#sessions.values()) await session.stop()
  }

  stop(): void {}

  /**
   * Adds a vector to the next round's sum and resolves with that sum.
   *
   * @param taskId `task.id`
   * @param vector `task.length` elements
   * @throws TaskError TASK_UNKNOWN, InputError (nothing has left this node), RoundError BURNED
   */
  async contribute(taskId: string, vector: Vector, options: ContributeOptions = {}): Promise<Sum> {
    const { weight, signal, onProgress } = options
    const session = this.session(taskId)
    const tell = (phase: Phase): void =>
      onProgress?.(new CustomProgressEvent<Phase>('secagg:phase', phase) as ContributeProgress)
    const listeners = this.#progress.get(taskId) ?? new Set()
    this.#progress.set(taskId, listeners)
    listeners.add(tell)
    try {
      return await session.contribute({ vector, weight }, signal)
    } finally {
      listeners.delete(tell)
    }
  }

  /** Answers each round of a task as it opens, instead of vectors handed over by `contribute`. */
  onRound(taskId: string, handler: RoundHandler): void {
    this.session(taskId).onRound(handler)
  }

  /** Asks for a round of a task, for everyone. */
  async want(taskId: string): Promise<void> {
    await this.session(taskId).member.want()
  }

  /**
   * Asks to be taken out of a task's roster, which happens with the next rounds; until then this node is a member like the
   * others. A node outside asks to be let in by itself, unless it has left.
   */
  async leave(taskId: string): Promise<void> {
    await this.session(taskId).participant.leave()
  }

  /** Asks to be let in again after having left. */
  async join(taskId: string): Promise<void> {
    await this.session(taskId).participant.join()
  }

  /** Vouches for a peer that is to become a member, where the task's admission policy asks for that (§7). */
  async vouch(taskId: string, peerId: string): Promise<void> {
    await this.session(taskId).participant.vouch(peerId)
  }

  session(taskId: string): Session {
    const session = this.#sessions.get(taskId)
    if (session === undefined) throw new TaskError('TASK_UNKNOWN', `this node is no member of a task ${taskId}`)
    return session
  }
}

/**
 * The libp2p service: `services: { identify: identify(), pubsub: gossipsub(), aggregation: secureAggregation({ tasks }) }`.
 *
 * @throws TaskError where a task cannot be run, when the node is created
 */
export function secureAggregation(
  init: SecureAggregationInit
): (components: SecureAggregationComponents) => SecureAggregation {
  return (components) => new SecureAggregation(components, init)
}
