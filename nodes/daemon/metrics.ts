// The exposition format, and what every Node process has to tell.
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import { evidenceKinds } from '../../src/round/evidence.ts'
import { burnedReason, burnedReasons } from '../../src/round/burned-reasons.ts'
import { phases } from './launcher-messages.ts'
import type { Daemon } from './daemon.ts'
import { EventLoopDelay } from './event-loop-delay.ts'
import type { FeedEvent, FeedEvents } from './feed.ts'

const seconds = [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300]

/** A node's metrics, in a registry of their own. Names are for operators; see nodes/daemon/README.md. */
export class Metrics {
  readonly #registry = new Registry()
  readonly #ignore: () => void
  readonly #delay = new EventLoopDelay(20)
  readonly #rounds: Counter<'outcome' | 'reason'>
  readonly #roundSeconds: Histogram
  readonly #phaseSeconds: Histogram<'phase'>
  readonly #maskingSeconds: Histogram
  readonly #inputs: Counter<'outcome'>
  readonly #evidence: Counter<'kind'>
  readonly #audits: Counter<'outcome'>
  readonly #auditedChunks: Counter
  readonly #viewChanges: Counter

  constructor(daemon: Daemon) {
    const registers = [this.#registry]
    collectDefaultMetrics({ register: this.#registry })
    this.#rounds = new Counter({
      name: 'secagg_rounds_total',
      help: 'Rounds that were closed, by outcome (summed, burned) and, where burned, by reason',
      labelNames: ['outcome', 'reason'],
      registers
    })
    this.#roundSeconds = new Histogram({
      name: 'secagg_round_seconds',
      help: 'How long rounds took from opening to closing',
      buckets: seconds,
      registers
    })
    this.#phaseSeconds = new Histogram({
      name: 'secagg_phase_seconds',
      help: 'How long the phases of rounds took at this node',
      labelNames: ['phase'],
      buckets: seconds,
      registers
    })
    this.#maskingSeconds = new Histogram({
      name: 'secagg_masking_seconds',
      help: 'How long this node computed the masks of its own vector, in a round',
      buckets: seconds,
      registers
    })
    this.#inputs = new Counter({
      name: 'secagg_inputs_total',
      help: 'What became of this node’s own vectors (summed, not included, burned)',
      labelNames: ['outcome'],
      registers
    })
    this.#evidence = new Counter({
      name: 'secagg_evidence_total',
      help: 'Proofs that a member broke the protocol, by kind',
      labelNames: ['kind'],
      registers
    })
    this.#audits = new Counter({
      name: 'secagg_audits_total',
      help: 'Sums that this node has recomputed in part or whole before it voted for them, by outcome (passed, failed)',
      labelNames: ['outcome'],
      registers
    })
    this.#auditedChunks = new Counter({
      name: 'secagg_audited_chunks_total',
      help: 'Chunks of sums that this node has recomputed and found right',
      registers
    })
    this.#viewChanges = new Counter({
      name: 'secagg_view_changes_total',
      help: 'Leaders that were left for the next in line, in closed rounds',
      registers
    })
    this.#watchNode(daemon)
    this.#showZeros()
    this.#delay.begin()
    this.#ignore = daemon.feed.listen((event) => this.#take(event))
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  text(): Promise<string> {
    return this.#registry.metrics()
  }

  stop(): void {
    this.#ignore()
    this.#delay.end()
    this.#registry.clear()
  }

  /** What is asked of the node when somebody looks. */
  #watchNode(daemon: Daemon): void {
    const registers = [this.#registry]
    const delay = this.#delay
    new Gauge({
      name: 'secagg_members',
      help: 'Members by state: connected (this node counted), disconnected, leaving, suspended',
      labelNames: ['state'],
      registers,
      collect() {
        for (const [state, count] of Object.entries(byState(daemon.members))) this.set({ state }, count)
      }
    })
    const gauges: [string, string, () => number][] = [
      ['secagg_quorum_members', 'Members that must be here for a decision', () => daemon.standing.quorum],
      ['secagg_epoch', 'The epoch of the roster in effect', () => daemon.standing.epoch],
      ['secagg_closed_round', 'The last round that is over', () => daemon.standing.closedRound],
      ['secagg_round_running', '1 while a round runs', () => (daemon.standing.runningRound === undefined ? 0 : 1)]
    ]
    for (const [name, help, read] of gauges)
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(read())
        }
      })
    for (const [name, way] of [
      ['secagg_sent_bytes_total', 'sent'],
      ['secagg_received_bytes_total', 'received']
    ] as const)
      new Counter({
        name,
        help: `Bytes of frames that were ${way} on the project’s protocol streams`,
        registers,
        collect() {
          this.reset()
          this.inc(daemon.traffic[way])
        }
      })
    new Gauge({
      name: 'secagg_event_loop_delay_seconds',
      help: 'How late the event loop was since the last scrape',
      labelNames: ['quantile'],
      registers,
      collect() {
        for (const quantile of [0.5, 0.99, 1]) this.set({ quantile: String(quantile) }, delay.at(quantile) / 1000)
        delay.begin()
      }
    })
    new Gauge({
      name: 'secagg_privacy_epsilon',
      help: 'In a task with privacy: the ε that this node’s vectors have reached in all rounds so far, at the task’s δ',
      labelNames: ['delta'],
      registers,
      async collect() {
        const spent = await daemon.privacySpent()
        if (spent !== undefined) this.set({ delta: String(spent.delta) }, spent.epsilon)
      }
    })
    const { name: task, id } = daemon.task
    new Gauge({
      name: 'secagg_info',
      help: 'Always 1; what this node is',
      labelNames: ['peer', 'task', 'task_id'],
      registers
    }).set({ peer: daemon.id, task, task_id: id }, 1)
  }

  /** A counter that appears with its first event shows no increase for it. */
  #showZeros(): void {
    this.#rounds.inc({ outcome: 'summed', reason: '' }, 0)
    for (const reason of burnedReasons) this.#rounds.inc({ outcome: 'burned', reason }, 0)
    for (const outcome of ['summed', 'not included', 'burned']) this.#inputs.inc({ outcome }, 0)
    for (const outcome of ['passed', 'failed']) this.#audits.inc({ outcome }, 0)
    for (const kind of evidenceKinds) this.#evidence.inc({ kind }, 0)
    for (const phase of phases) this.#phaseSeconds.zero({ phase })
  }

  #take({ name, data }: FeedEvent): void {
    if (name === 'round:closed') this.#closed(data)
    else if (name === 'evidence') this.#evidence.inc({ kind: data.kind })
    else if (name === 'audit') this.#audited(data)
    else if (name === 'input') this.#inputs.inc({ outcome: data.status })
  }

  #audited({ passed, chunks = 0 }: FeedEvents['audit']): void {
    this.#audits.inc({ outcome: passed ? 'passed' : 'failed' })
    if (passed) this.#auditedChunks.inc(chunks)
  }

  #closed({ status, reason, durationMs, phaseMs, maskingMs, views }: FeedEvents['round:closed']): void {
    this.#rounds.inc({ outcome: status, reason: status === 'summed' ? '' : burnedReason(reason) })
    this.#roundSeconds.observe(durationMs / 1000)
    for (const [phase, ms] of Object.entries(phaseMs)) this.#phaseSeconds.observe({ phase }, ms / 1000)
    if (maskingMs !== undefined) this.#maskingSeconds.observe(maskingMs / 1000)
    this.#viewChanges.inc(views - 1)
  }
}

function byState({ members }: FeedEvents['members']): Record<string, number> {
  const counts = { connected: 0, disconnected: 0, leaving: 0, suspended: 0 }
  for (const { state, connected } of members)
    counts[state === 'member' ? (connected ? 'connected' : 'disconnected') : state]++
  return counts
}
