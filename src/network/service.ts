import { serviceCapabilities, serviceDependencies } from '@libp2p/interface'
import type { AbortOptions, CounterGroup, Metrics, Startable } from '@libp2p/interface'
import { TypedEventEmitter } from 'main-event'
import { raceSignal } from 'race-signal'
import type { Vector } from '../encoding/encoder.ts'
import { TaskError } from '../errors.ts'
import { MemoryJournal } from '../journal/journal.ts'
import type { Journal } from '../journal/journal.ts'
import { MemoryVectorStore } from '../journal/vector-store.ts'
import type { VectorStore } from '../journal/vector-store.ts'
import type { Roster } from '../membership/roster.ts'
import { encodeEvidence } from '../round/evidence.ts'
import type { Evidence, EvidenceKind } from '../round/evidence.ts'
import { proofOf } from '../round/third-party.ts'
import type { EvidenceProof, Verdict } from '../round/third-party.ts'
import type { ProvisionalSum, RoundOutcome } from '../round/outcome.ts'
import type { Compute, Observer, Phase } from '../round/ports.ts'
import { createTask } from '../task/task.ts'
import type { Task, TaskInput } from '../task/task.ts'
import type { ContributeOptions, Sum } from './contributions.ts'
import { Session } from './session.ts'
import type { RoundHandler, SessionComponents } from './session.ts'

/** What the service uses of a libp2p node. */
export interface SecureAggregationComponents extends SessionComponents {
  /** Where the host application measures itself: rounds closed, by outcome. */
  metrics?: Metrics
}

/** Which tasks a node takes part in, and what they may use of it. */
export interface SecureAggregationInit {
  /** The tasks that this node is a member of, or is to become one of where their admission policy lets it. */
  tasks: Array<Task | TaskInput>
  /**
   * What must survive a crash (votes, locks, marks). In memory if left out: then a restarted process must not take part in
   * a round that it was in before, so a node that is to be restarted needs one on disk (`secagg/node`, `secagg/browser`).
   * One serves all tasks of a node; whoever opened it closes it, after the node has stopped.
   */
  journal?: Journal
  /** Where masked vectors and sums lie, packed; in memory if left out. */
  vectors?: VectorStore
  /**
   * Threads that lay masks on long vectors (`ThreadPool` of `secagg/node`), for this node alone: it closes them when it stops. On
   * the node's own thread, in slices, if left out.
   */
  compute?: Compute
  /**
   * What the members' updates start from in a round, 32 bytes; members of different contexts are never summed together. A
   * round opens here when it is known.
   */
  contextHash?: (taskId: string, round: number) => Uint8Array | Promise<Uint8Array>
  /** Of how many late rounds this node asks for the sums that it missed while it was away; 100 if left out. */
  keepRounds?: number
  /** Sees the phases of this member's rounds, and may hold them: for launchers and dashboards. */
  observer?: (taskId: string) => Observer
}

/** Events of the service, with the id of their task. */
export interface SecureAggregationEvents {
  /** A round has opened here. */
  'round:open': CustomEvent<{ task: string; round: number }>
  /** This member is about to send its first message of a phase. */
  'round:phase': CustomEvent<{ task: string; round: number; phase: Phase }>
  /**
   * This node has audited the sum of a round, and a quorum has prepared it: `sum()` of the service decodes it. Provisional
   * until the round is closed, which the event `sum` tells of the same round, or `sum:withdrawn`.
   */
  'sum:provisional': CustomEvent<ProvisionalSum & { task: string }>
  /** The round was closed after all without the sum that `sum:provisional` told of, or with another. */
  'sum:withdrawn': CustomEvent<ProvisionalSum & { task: string }>
  /** A round was closed with a sum, which is final; `sum()` of the service decodes it. */
  sum: CustomEvent<RoundOutcome & { task: string }>
  /** A round that was closed while this node was away: its sum is here now, where it has one. `sum` and `round:burned` do not tell of it. */
  'round:missed': CustomEvent<RoundOutcome & { task: string }>
  /** A round was closed without a sum. */
  'round:burned': CustomEvent<RoundOutcome & { task: string }>
  /** A member that this node met has told how far the rounds have come: what was closed meanwhile is known here. */
  'member:answered': CustomEvent<{ task: string; member: string }>
  /** A roster has taken effect; peer ids. */
  roster: CustomEvent<{ task: string; epoch: number; members: string[]; suspended: string[] }>
  /** A member broke the protocol. */
  evidence: CustomEvent<EvidenceDetail>
}

/** A member broke the protocol, and leads no more in this epoch. */
export interface EvidenceDetail {
  /** The task's id. */
  task: string
  /** The round in which it did. */
  round: number
  /** What it did. */
  kind: EvidenceKind
  /** Its peer id. */
  culprit: string
  /**
   * What proves it to any third party (protocol, §8), in canonical bytes: to `verifyEvidence`, which for later rosters than
   * the task's takes what `evidence()` of the service gives.
   */
  evidence: Uint8Array
}

/** Who is in a task, as this node knows it. Peer ids. */
export interface Members {
  /** How often the roster has changed. */
  epoch: number
  /** In roster order, by which events number them. */
  members: string[]
  /** Absent for long, and back as soon as they ask. */
  suspended: string[]
  /** The other members that are connected now and listen to this task. */
  listening: string[]
}

/** Secure aggregation on a libp2p node: the sum of all members' vectors, and nobody learns a single one. */
export class SecureAggregation extends TypedEventEmitter<SecureAggregationEvents> implements Startable {
  readonly [Symbol.toStringTag] = '@secagg/secure-aggregation'
  readonly [serviceCapabilities]: string[] = ['@secagg/secure-aggregation']
  readonly [serviceDependencies]: string[] = ['@libp2p/identify', '@libp2p/pubsub']
  readonly #components: SecureAggregationComponents
  readonly #init: SecureAggregationInit
  readonly #journal: Journal
  readonly #vectors: VectorStore
  readonly #rounds?: CounterGroup
  readonly #sessions = new Map<string, Session>()
  readonly #handlers = new Map<string, RoundHandler>()

  /** @throws TaskError where a task cannot be run, or is given twice */
  constructor(components: SecureAggregationComponents, init: SecureAggregationInit) {
    super()
    this.#components = components
    this.#init = init
    this.#journal = init.journal ?? new MemoryJournal()
    this.#vectors = init.vectors ?? new MemoryVectorStore()
    this.#rounds = components.metrics?.registerCounterGroup('secagg_rounds_total', {
      label: 'outcome',
      help: 'Rounds of secure aggregation that this node saw closed'
    })
    for (const given of init.tasks) {
      const task = 'idBytes' in given ? given : createTask(given)
      if (this.#sessions.has(task.id))
        throw new TaskError('TASK_INVALID', `the task ${task.name} is given twice; give each task once`)
      this.#sessions.set(task.id, this.#begin(task))
    }
  }

  /** Begins anew, from the journal, what was stopped before. */
  async start(): Promise<void> {
    for (const [id, { isOver, task }] of this.#sessions) if (isOver) this.#sessions.set(id, this.#begin(task))
    for (const session of this.#sessions.values()) await session.listen()
  }

  /** Speaks, once the transports do. */
  async afterStart(): Promise<void> {
    for (const session of this.#sessions.values()) await session.start()
  }

  /** Abandons the rounds that run, while the connections are still there. */
  async beforeStop(): Promise<void> {
    await Promise.all([...this.#sessions.values()].map((session) => session.stop()))
  }

  /** Nothing else is left to stop: `beforeStop` has. */
  async stop(): Promise<void> {
    await this.#init.compute?.close?.()
  }

  /**
   * Adds a vector to the sum of the next round that has room for it, and resolves with that sum. Asks for a round where
   * none is running, ever more seldom where too few others have an input. Vectors that wait come before what `onRound` would answer.
   *
   * Aborted before its vector is masked, nothing of it leaves this node. Later it may be in the sum, as the event of the
   * round tells by `input`.
   *
   * @param taskId `task.id`
   * @param vector `task.length` elements; not to be changed while the promise is pending
   * @throws TaskError TASK_UNKNOWN, NOT_A_MEMBER; InputError (nothing has left this node); RoundError BURNED, STOPPED; the
   *   signal's reason
   */
  async contribute(taskId: string, vector: Vector, options: ContributeOptions = {}): Promise<Sum> {
    return this.session(taskId).contribute({ vector, weight: options.weight }, options)
  }

  /**
   * Answers each round of a task as it opens, instead of vectors handed over by `contribute`. A later handler replaces an
   * earlier one, and `undefined` takes it away. An answer must come within a quarter of the task's deadline; one that
   * throws, or is refused, is logged and leaves the round to the others.
   *
   * @throws TaskError TASK_UNKNOWN
   */
  onRound(taskId: string, handler: RoundHandler | undefined): void {
    this.session(taskId)
    if (handler === undefined) this.#handlers.delete(taskId)
    else this.#handlers.set(taskId, handler)
  }

  /** The sum of a round, of which an event told that it is here. @throws TaskError TASK_UNKNOWN; RoundError NOT_INCLUDED */
  async sum(taskId: string, outcome: RoundOutcome | ProvisionalSum): Promise<Sum> {
    return this.session(taskId).sum(outcome)
  }

  /** Who is in a task, and who of them can hear this node now. @throws TaskError TASK_UNKNOWN */
  members(taskId: string): Members {
    const session = this.session(taskId)
    const { epoch, members, suspended } = idsOf(session.participant.roster)
    return { epoch, members, suspended, listening: session.subscribers().filter((peer) => members.includes(peer)) }
  }

  /**
   * All evidence that this node holds, with what `verifyEvidence` takes anywhere, each with what it proves.
   *
   * @throws TaskError TASK_UNKNOWN
   */
  async evidence(taskId: string): Promise<Array<Verdict & EvidenceProof>> {
    const { participant, member, task } = this.session(taskId)
    const { chronicle } = participant
    return Promise.all(
      member.evidence.map(async (held) => {
        const { kind, epoch, round } = held
        const culprit = chronicle.rosterOf(epoch)!.members[held.culprit].id
        return { kind, culprit, epoch, round, ...(await proofOf(held, task, chronicle)) }
      })
    )
  }

  /** Asks for a round of a task, for everyone; one that runs goes on. @throws TaskError TASK_UNKNOWN */
  async want(taskId: string, options: AbortOptions = {}): Promise<void> {
    await this.#ask(taskId, ({ participant }) => participant.want(), options)
  }

  /**
   * Asks to be taken out of a task's roster, which happens with the next rounds; until then this node is a member like the
   * others. A node outside asks to be let in by itself, unless it has left.
   *
   * @throws TaskError TASK_UNKNOWN
   */
  async leave(taskId: string, options: AbortOptions = {}): Promise<void> {
    await this.#ask(taskId, ({ participant }) => participant.leave(), options)
  }

  /** Asks to be let in again after having left. @throws TaskError TASK_UNKNOWN */
  async join(taskId: string, options: AbortOptions = {}): Promise<void> {
    await this.#ask(taskId, ({ participant }) => participant.join(), options)
  }

  /** Vouches for a peer that is to become a member, where the task's admission policy asks for that (§7). */
  async vouch(taskId: string, peerId: string, options: AbortOptions = {}): Promise<void> {
    await this.#ask(taskId, ({ participant }) => participant.vouch(peerId), options)
  }

  /** One task's part of this node. @internal */
  session(taskId: string): Session {
    const session = this.#sessions.get(taskId)
    if (session === undefined) throw new TaskError('TASK_UNKNOWN', `this node is no member of a task ${taskId}`)
    return session
  }

  /** What is asked is signed, kept and announced in a moment; a signal ends the wait for it, and nothing before that begins. */
  async #ask(taskId: string, what: (session: Session) => Promise<void>, { signal }: AbortOptions): Promise<void> {
    signal?.throwIfAborted()
    await raceSignal(what(this.session(taskId)), signal)
  }

  #begin(task: Task): Session {
    const { contextHash } = this.#init
    const observer = this.#init.observer?.(task.id) ?? {}
    const session: Session = new Session(this.#components, {
      task,
      journal: this.#journal,
      vectors: this.#vectors,
      compute: this.#init.compute,
      contextHash: contextHash && ((round) => contextHash(task.id, round)),
      handler: () => this.#handlers.get(task.id),
      observer: {
        ...observer,
        phase: (phase, round, leading) => {
          this.safeDispatchEvent('round:phase', { detail: { task: task.id, round, phase } })
          return observer.phase?.(phase, round, leading)
        }
      },
      opened: (round) => this.safeDispatchEvent('round:open', { detail: { task: task.id, round } }),
      locked: (sum) => this.safeDispatchEvent('sum:provisional', { detail: { ...sum, task: task.id } }),
      withdrawn: (sum) => this.safeDispatchEvent('sum:withdrawn', { detail: { ...sum, task: task.id } }),
      closed: (outcome) => this.#closed(task, outcome),
      missed: (outcome) => this.safeDispatchEvent('round:missed', { detail: { ...outcome, task: task.id } }),
      keepRounds: this.#init.keepRounds,
      convicted: (evidence) => this.#convicted(session, evidence),
      caughtUp: (member) => this.safeDispatchEvent('member:answered', { detail: { task: task.id, member } }),
      epoch: (roster) => this.safeDispatchEvent('roster', { detail: { task: task.id, ...idsOf(roster) } })
    })
    return session
  }

  #closed(task: Task, outcome: RoundOutcome): void {
    this.#rounds?.increment({ [outcome.status]: 1 })
    const type = outcome.status === 'summed' ? 'sum' : 'round:burned'
    this.safeDispatchEvent(type, { detail: { ...outcome, task: task.id } })
  }

  #convicted({ task, participant }: Session, evidence: Evidence): void {
    const { round, kind } = evidence
    const culprit = participant.chronicle.rosterOf(evidence.epoch)!.members[evidence.culprit].id
    const detail = { task: task.id, round, kind, culprit, evidence: encodeEvidence(evidence) }
    this.safeDispatchEvent('evidence', { detail })
  }
}

function idsOf({ epoch, members, suspended }: Roster): Omit<Members, 'listening'> {
  return { epoch, members: members.map(({ id }) => id), suspended: suspended.map(({ id }) => id) }
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
