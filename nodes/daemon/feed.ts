import type { Phase } from '../../src/round/ports.ts'

/**
 * What `GET /v1/events` streams and the dashboard shows, by event name. Members are indices in the roster of the round's epoch,
 * times milliseconds.
 */
export interface FeedEvents {
  members: {
    task: string
    epoch: number
    /** −1 for a node outside the roster. */
    me: number
    members: {
      index: number
      id: string
      connected: boolean
      state: 'member' | 'suspended' | 'leaving'
      /** Where members have other names than their numbers. */
      name?: string
    }[]
  }
  /** `order`: the leaders in turn; view v is led by place v. */
  'round:open': { round: number; epoch: number; order: number[] }
  /** `atMs` counts from the opening of the round. */
  'round:phase': {
    round: number
    phase: Phase
    view: number
    leader: number
    leading: boolean
    atMs: number
  }
  /** Only from the node that leads: a masked vector as it came. `preview`: base64 of at most 256 bytes of its beginning. */
  vector: { round: number; member: number; bytes: number; preview: string }
  /** Only from the node that leads: the sum so far, likewise, still masked. */
  progress: { round: number; received: number[]; of: number; preview: string }
  /** This node has audited a sum and a quorum has prepared it: the round closes with it, unless it is withdrawn. */
  'sum:provisional': { round: number; included: number[]; audit: { chunks: number; of: number } }
  /** The round was closed without that sum, or with another. */
  'sum:withdrawn': { round: number }
  'round:closed': {
    round: number
    epoch: number
    status: 'summed' | 'burned'
    reason?: string
    aggregator: number
    aggregatorId: string
    views: number
    attempts: number
    included: number[]
    dropped: number[]
    missing: number[]
    durationMs: number
    phaseMs: Partial<Record<Phase, number>>
    /** How long this node computed its own masks; left out where it masked nothing. */
    maskingMs?: number
    bytesSent: number
    bytesReceived: number
    /** How many chunks of the sum this node recomputed, of how many; the aggregator all. */
    audit?: { chunks: number; of: number }
  }
  /** This node has checked a sum: it is the true one as far as it looked, or why it is not, or could not be checked. */
  audit: { round: number; passed: boolean; chunks?: number; of?: number; reason?: string }
  /** The decoded sum, drawn with few points: each is the mean of as many neighbouring elements. */
  sum: { round: number; length: number; values: number[] }
  evidence: { round: number; kind: string; culprit: string }
  /** What became of this member's own input. */
  input: { round: number; status: 'summed' | 'not included' | 'burned' }
}

export type FeedName = keyof FeedEvents
export type FeedEvent = { [Name in FeedName]: { id: number; name: Name; data: FeedEvents[Name] } }[FeedName]
export type FeedListener = (event: FeedEvent) => void

/** Rounds that a new listener is told of, and of how many of them the noise as well. */
const ROUNDS_KEPT = 50
const NOISY_ROUNDS_KEPT = 2
const EVIDENCE_KEPT = 100

/** A daemon's events, as they happen, and the last of them for whoever comes later. */
export class Feed {
  readonly #listeners = new Set<FeedListener>()
  /** Counts on from the time, so that ids of a restarted node lie above those it gave before. */
  #lastId = Date.now()
  #kept: FeedEvent[] = []

  emit<Name extends FeedName>(name: Name, data: FeedEvents[Name]): void {
    const event = { id: ++this.#lastId, name, data } as FeedEvent
    this.#kept.push(event)
    this.#forget(event)
    for (const listener of this.#listeners) listener(event)
  }

  /** What is kept, oldest first: all of it, or what came after the event `since`. */
  history(since = 0): FeedEvent[] {
    return this.#kept.filter(({ id }) => id > since)
  }

  /** @returns what ends it */
  listen(listener: FeedListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #forget({ name, data }: FeedEvent): void {
    if (name === 'members') this.#kept = this.#kept.filter((event, at) => event.name !== name || this.#isLast(at))
    if (name === 'evidence') this.#forgetOldest(name, EVIDENCE_KEPT)
    if (name === 'round:open') {
      this.#kept = this.#kept.filter((event) => {
        if (event.name === 'members' || event.name === 'evidence') return true
        const age = data.round - event.data.round
        return age < (event.name === 'vector' || event.name === 'progress' ? NOISY_ROUNDS_KEPT : ROUNDS_KEPT + 1)
      })
    }
  }

  #isLast(at: number): boolean {
    return at === this.#kept.length - 1
  }

  #forgetOldest(name: FeedName, most: number): void {
    let surplus = this.#kept.filter((event) => event.name === name).length - most
    this.#kept = this.#kept.filter((event) => event.name !== name || surplus-- <= 0)
  }
}
