import { createLanes } from '../../src/crypto/mask-stream.ts'
import type { Lanes } from '../../src/crypto/mask-stream.ts'
import { pack, packedLength, unpackAdd } from '../../src/encoding/packing.ts'
import type { VectorStore } from '../../src/journal/vector-store.ts'
import { leaderOfView, leaderOrder } from '../../src/membership/deck.ts'
import type { Session } from '../../src/network/session.ts'
import type { Phase } from '../../src/round/ports.ts'
import type { Feed, FeedEvents } from './feed.ts'

/** Bytes of a vector that the feed shows. */
const PREVIEW_BYTES = 256

interface Running {
  round: number
  began: number
  order: number[]
  /** The leader's: what it has received in this view, and the beginning of their sum. */
  received: { view: number; members: number[]; lanes: Lanes }
}

/** Tells the feed what happens in the running round. It only looks on. */
export class RoundWatch {
  readonly #feed: Feed
  readonly #session: Session
  readonly #vectors: VectorStore
  readonly #connected: () => string[]
  #running?: Running
  #looking: Promise<void> = Promise.resolve()
  #lastMembers = ''

  constructor(feed: Feed, session: Session, vectors: VectorStore, connected: () => string[]) {
    this.#feed = feed
    this.#session = session
    this.#vectors = vectors
    this.#connected = connected
  }

  /** Says who is here, if that is news. */
  members(): void {
    const data = this.list()
    const text = JSON.stringify(data)
    if (text === this.#lastMembers) return
    this.#lastMembers = text
    this.#feed.emit('members', data)
  }

  /** The roster in effect, and who of it is connected. */
  list(): FeedEvents['members'] {
    const { participant, member, task } = this.#session
    const { roster, pending } = participant.chronicle.succession
    const connected = new Set([...this.#connected(), participant.id])
    const stay = (id: string): boolean => pending === undefined || pending.roster.indexOf(id) >= 0
    const members = roster.members.map(({ index, id }) => ({
      index,
      id,
      connected: connected.has(id),
      state: stay(id) ? ('member' as const) : ('leaving' as const)
    }))
    const suspended = roster.suspended.map(({ id }) => ({
      index: -1,
      id,
      connected: connected.has(id),
      state: 'suspended' as const
    }))
    return { task: task.name, epoch: roster.epoch, me: member.me, members: [...members, ...suspended] }
  }

  opened(round: number): Running {
    if (this.#running?.round === round) return this.#running
    const { roster, closed } = this.#session.participant.chronicle
    const order = leaderOrder(closed.deck, roster, closed.beacon, round)
    this.#running = { round, began: performance.now(), order, received: this.#nothing(0) }
    this.members()
    this.#feed.emit('round:open', { round, epoch: roster.epoch, order })
    return this.#running
  }

  phase(phase: Phase, round: number, leading: boolean): void {
    // The first phase may be reached before anybody is told that the round has opened.
    const { order, began } = this.opened(round)
    const view = this.#view
    const atMs = Math.round(performance.now() - began)
    this.#feed.emit('round:phase', { round, phase, view, leader: leaderOfView(order, view), leading, atMs })
  }

  /** As the leader: a masked vector has come. */
  received(round: number, member: number, name: string): void {
    const view = this.#view
    this.#looking = this.#looking.then(() => this.#look(round, view, member, name)).catch(() => {})
  }

  get #view(): number {
    return this.#session.member.runningView ?? 0
  }

  #nothing(view: number): Running['received'] {
    const { bits } = this.#session.member.task
    return { view, members: [], lanes: createLanes(bits, this.#previewElements) }
  }

  /** Whole bytes of whole elements. */
  get #previewElements(): number {
    const { bits, laneCount } = this.#session.member.task
    return Math.min(laneCount, 8 * Math.floor(PREVIEW_BYTES / bits))
  }

  async #look(round: number, view: number, member: number, name: string): Promise<void> {
    const bytes = await this.#vectors.size(name)
    const running = this.#running
    if (running?.round !== round || bytes === undefined) return
    const { bits, members } = this.#session.member.task
    const part = await this.#vectors.readRange(name, 0, packedLength(this.#previewElements, bits))
    this.#feed.emit('vector', { round, member, bytes, preview: Buffer.from(part).toString('base64') })
    if (running.received.view !== view) running.received = this.#nothing(view)
    const { received } = running
    if (received.members.includes(member)) return
    received.members.push(member)
    unpackAdd(part, bits, received.lanes, 0)
    const preview = Buffer.from(pack(received.lanes, bits)).toString('base64')
    this.#feed.emit('progress', { round, received: [...received.members], of: members.length, preview })
  }
}
