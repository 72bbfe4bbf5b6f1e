import { setTimeout as sleep } from 'node:timers/promises'
import type { Task } from '../../src/task/task.ts'
import { Feed } from '../daemon/feed.ts'
import type { Happening } from '../daemon/launcher-messages.ts'
import { outline, OUTLINE_POINTS } from '../daemon/outline.ts'
import { readNpy } from '../npy.ts'
import { serveFeed } from './feed-server.ts'
import type { FeedServer } from './feed-server.ts'
import type { LocalNetwork, Watch } from './network.ts'
import type { RoundReport } from './report.ts'

/** How long a network waits for somebody to open the page before its first round. */
const patienceMs = 2_000

/**
 * The dashboard of a whole network: one feed of what all members tell, each thing once, by whoever tells it first, with
 * members numbered as in peer-N. No member sees as much: the vectors are known to those that lead alone.
 */
export class NetworkPage {
  readonly watch: Watch
  readonly #feed: Feed
  readonly #server: FeedServer
  readonly #told = new Set<string>()
  #network?: { task: Task; numbers: readonly number[] }
  #running: number[] = []
  #round = { round: 0, view: 0, began: 0 }

  private constructor(feed: Feed, server: FeedServer) {
    this.#feed = feed
    this.#server = server
    this.watch = {
      happened: (event) => this.#happened(event),
      running: (numbers) => {
        this.#running = numbers
        this.#tellMembers()
      }
    }
  }

  static async open(): Promise<NetworkPage> {
    const feed = new Feed()
    return new NetworkPage(feed, await serveFeed(feed))
  }

  get url(): string {
    return this.#server.url
  }

  /** Resolves when somebody looks, or soon. */
  async started(task: Task, { numbers }: LocalNetwork): Promise<void> {
    this.#network = { task, numbers }
    this.#tellMembers()
    const given = new AbortController()
    const enough = sleep(patienceMs, undefined, { signal: given.signal }).catch(() => {})
    await Promise.race([this.#server.watched, enough])
    given.abort()
  }

  /** Tells how a round ended: what the members agree on, not what one of them says. */
  async closed(report: RoundReport, sumFile: string | undefined): Promise<void> {
    const { round, status, reason, views, attempts, included, dropped, missing, durationMs, phaseMs } = report
    const total = (counts: number[]): number => counts.reduce((sum, count) => sum + count, 0)
    if (sumFile !== undefined) {
      const { values } = await readNpy(sumFile)
      this.#feed.emit('sum', { round, length: values.length, values: outline(values, OUTLINE_POINTS) })
    }
    const aggregator = report.aggregatorIndex ?? -1
    const { task, numbers } = this.#network!
    this.#feed.emit('round:closed', {
      ...{ round, epoch: 0, status, reason, views, attempts, included, dropped, missing, durationMs, phaseMs },
      ...{ aggregator, aggregatorId: task.members[numbers.indexOf(aggregator)] ?? '' },
      bytesSent: total(report.bytesSent),
      bytesReceived: total(report.bytesReceived)
    })
  }

  close(): Promise<void> {
    return this.#server.close()
  }

  #tellMembers(): void {
    if (this.#network === undefined) return
    const { task, numbers } = this.#network
    const members = task.members.map((id, at) => {
      const index = numbers[at]
      return { index, id, name: `peer-${index}`, connected: this.#running.includes(index), state: 'member' as const }
    })
    members.sort((one, other) => one.index - other.index)
    this.#feed.emit('members', { task: task.name, epoch: 0, me: -1, members })
  }

  #happened({ name, data }: Happening): void {
    switch (name) {
      case 'round:open':
        if (this.#isNews(name, data.round)) this.#opened(data.round, data.order)
        return
      case 'round:phase': {
        const { round, view, phase } = data
        const current = this.#round
        // Who was slow still tells of a view that the others have left.
        if (round !== current.round || view < current.view || !this.#isNews(round, view, phase)) return
        current.view = view
        const atMs = Math.round(performance.now() - current.began)
        return this.#feed.emit(name, { ...data, leader: this.#number(data.leader), atMs })
      }
      case 'vector':
        return this.#feed.emit(name, { ...data, member: this.#number(data.member) })
      case 'progress':
        return this.#feed.emit(name, { ...data, received: data.received.map((index) => this.#number(index)) })
      case 'audit':
        if (!data.passed && this.#isNews('audit', data.round, data.reason ?? '')) this.#feed.emit(name, data)
        return
      case 'evidence':
        if (this.#isNews(data.round, data.kind, data.culprit)) this.#feed.emit(name, data)
    }
  }

  #opened(round: number, order: number[]): void {
    this.#round = { round, view: 0, began: performance.now() }
    this.#feed.emit('round:open', { round, epoch: 0, order: order.map((index) => this.#number(index)) })
  }

  #number(index: number): number {
    return this.#network?.numbers[index] ?? index
  }

  #isNews(...what: (string | number)[]): boolean {
    const key = what.join(':')
    if (this.#told.has(key)) return false
    this.#told.add(key)
    return true
  }
}
