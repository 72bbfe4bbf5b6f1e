import { peerIdFromString } from '@libp2p/peer-id'
import { NotFoundError, UnsupportedProtocolError } from '@libp2p/interface'
import { PING_PROTOCOL } from '@libp2p/ping'
import { CODE_P2P } from '@multiformats/multiaddr'
import { pEvent } from 'p-event'
import type {
  ComponentLogger,
  Connection,
  Libp2pEvents,
  Logger,
  PeerId,
  PeerInfo,
  PeerRouting,
  PeerStore,
  Startable
} from '@libp2p/interface'
import type { ConnectionManager } from '@libp2p/interface-internal'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { TypedEventTarget } from 'main-event'

export interface LinksComponents {
  peerId: PeerId
  connectionManager: ConnectionManager
  peerRouting: PeerRouting
  peerStore: PeerStore
  events: TypedEventTarget<Libp2pEvents>
  logger: ComponentLogger
}

export interface LinksOptions {
  /** Addresses, each ending in /p2p/<peer id>, of peers to stay connected to whoever is in the roster. */
  bootstrap?: Multiaddr[]
  /** Dials at once; 16 if left out. */
  concurrency?: number
  /** Milliseconds before the first repeated dial, doubled for each further one; 200 if left out. */
  minDelay?: number
  /** Milliseconds; 5,000 if left out. */
  maxDelay?: number
  /** Milliseconds that a dial may take, the search for addresses included; 5,000 if left out. */
  dialTimeout?: number
  /** Numbers in [0, 1) for jitter, which is no secret. */
  jitter?: () => number
}

/** How long the member with the higher id leaves dialling to the other, in units of the least pause. */
const TURN = 6

/** How long a peer that answers on one connection may take to answer on another one, in milliseconds. */
const ANSWER_MS = 5_000

/** Bytes of a ping (libp2p specs, ping/ping.md). */
const PING_LENGTH = 32

/** Failures that count as had when a peer is connected through a relay: pauses begin at a second. */
const MEETING = 3

/** Failures after which the page with the higher id arranges streams, too: the other one may know no address for that. */
const ARRANGING = 7

/** Milliseconds between two attempts at a way past a relay, at most. */
const IMPROVING_MS = 60_000

/** A peer that is to be connected: how often that failed in a row, and the timer of the next attempt. */
interface Link {
  failures: number
  timer?: NodeJS.Timeout
  dialling: boolean
  /** When the present or last connection opened, in milliseconds of the process. */
  since?: number
}

/**
 * Keeps a connection to every peer that it was told to follow: dials it by peer id (addresses come from the peer store
 * or peer routing), again and again with growing pauses, and anew when the connection breaks.
 *
 * Of two members the one with the lower id dials first and the other waits a little, so that a pair rarely ends up
 * with two connections.
 */
export class Links implements Startable {
  readonly #components: LinksComponents
  readonly #log: Logger
  readonly #bootstrap = new Map<string, Multiaddr[]>()
  readonly #links = new Map<string, Link>()
  readonly #concurrency: number
  readonly #minDelay: number
  readonly #maxDelay: number
  readonly #dialTimeout: number
  readonly #jitter: () => number
  readonly #due: string[] = []
  readonly #peerIds = new Map<string, PeerId>()
  #followed = new Set<string>()
  #dialling = 0
  #stopping?: AbortController

  constructor(components: LinksComponents, options: LinksOptions = {}) {
    this.#components = components
    this.#log = components.logger.forComponent('libp2p:secagg:links')
    this.#concurrency = options.concurrency ?? 16
    this.#minDelay = options.minDelay ?? 200
    this.#maxDelay = options.maxDelay ?? 5_000
    this.#dialTimeout = options.dialTimeout ?? 5_000
    this.#jitter = options.jitter ?? Math.random
    for (const address of options.bootstrap ?? []) {
      const id = address.getComponents().findLast((part) => part.code === CODE_P2P)?.value
      if (id !== undefined) this.#bootstrap.set(id, [...(this.#bootstrap.get(id) ?? []), address])
    }
  }

  /** Nothing is dialled before the node listens. */
  start(): void {}

  afterStart(): void {
    if (this.#stopping !== undefined) return
    this.#stopping = new AbortController()
    this.#components.events.addEventListener('connection:open', this.#onConnect)
    this.#components.events.addEventListener('connection:close', this.#onDisconnect)
    this.#components.events.addEventListener('peer:discovery', this.#onDiscovery)
    this.#update()
  }

  /** Leaves no timer and no dial; connections stay. */
  stop(): void {
    this.#stopping?.abort()
    this.#stopping = undefined
    this.#components.events.removeEventListener('connection:open', this.#onConnect)
    this.#components.events.removeEventListener('connection:close', this.#onDisconnect)
    this.#components.events.removeEventListener('peer:discovery', this.#onDiscovery)
    for (const id of [...this.#links.keys()]) this.#drop(id)
  }

  /** Follow these peers, and no longer those followed before. This node's own id may be among them. */
  follow(ids: Iterable<string>): void {
    this.#followed = new Set(ids)
    this.#followed.delete(this.#components.peerId.toString())
    this.#update()
  }

  /** The followed peers that are connected now. */
  connected(): string[] {
    return [...this.#followed].filter((id) => this.#isConnected(id))
  }

  /** Resolves once all of `ids` are connected at the same time; rejects with the signal's reason. */
  async waitFor(ids: Iterable<string>, options: { signal?: AbortSignal } = {}): Promise<void> {
    const self = this.#components.peerId.toString()
    const wanted = [...ids].filter((id) => id !== self)
    const { signal } = options
    const { events } = this.#components
    signal?.throwIfAborted()
    if (wanted.every((id) => this.#isConnected(id))) return
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const check = (): void => {
      if (wanted.every((id) => this.#isConnected(id))) resolve()
    }
    const abort = (): void => reject(signal?.reason as Error)
    events.addEventListener('connection:open', check)
    signal?.addEventListener('abort', abort)
    try {
      await promise
    } finally {
      events.removeEventListener('connection:open', check)
      signal?.removeEventListener('abort', abort)
    }
  }

  /** A connection through a relay is for arranging a direct one (WebRTC, hole punching) and carries nothing of a round. */
  #isConnected(id: string): boolean {
    return this.#components.connectionManager
      .getConnections(this.#peerId(id))
      .some(({ status, limits }) => status === 'open' && limits === undefined)
  }

  /** Whether there is nothing better to be had than the connection to this peer. */
  #isDirect(id: string): boolean {
    return this.#components.connectionManager
      .getConnections(this.#peerId(id))
      .some(({ status, limits, direct }) => status === 'open' && limits === undefined && direct)
  }

  /** Asked for at every connection that opens or breaks, of every peer: the text is taken apart once. */
  #peerId(id: string): PeerId {
    const known = this.#peerIds.get(id) ?? peerIdFromString(id)
    this.#peerIds.set(id, known)
    return known
  }

  #isWanted(id: string): boolean {
    return this.#followed.has(id) || (this.#bootstrap.has(id) && id !== this.#components.peerId.toString())
  }

  #update(): void {
    if (this.#stopping === undefined) return
    for (const id of [...this.#links.keys()]) if (!this.#isWanted(id)) this.#drop(id)
    for (const id of [...this.#bootstrap.keys(), ...this.#followed]) if (this.#isWanted(id)) this.#open(id)
  }

  #drop(id: string): void {
    clearTimeout(this.#links.get(id)?.timer)
    this.#links.delete(id)
    this.#peerIds.delete(id)
  }

  #open(id: string): void {
    if (this.#links.has(id)) return
    const link: Link = { failures: 0, dialling: false }
    this.#links.set(id, link)
    if (this.#isConnected(id)) link.since = performance.now()
    if (!this.#isDirect(id)) this.#schedule(id, link)
  }

  /** The next attempt, after a pause that grows with the failures; give or take a quarter. */
  #schedule(id: string, link: Link): void {
    const first = this.#bootstrap.has(id) || this.#components.peerId.toString() < id
    const turn = first ? 0 : this.#minDelay * TURN
    const longest = this.#isConnected(id) ? IMPROVING_MS : this.#maxDelay
    const backOff = link.failures === 0 ? 0 : Math.min(longest, this.#minDelay * 2 ** (link.failures - 1))
    const dial = (): void => {
      link.timer = undefined
      this.#due.push(id)
      this.#dialDue()
    }
    clearTimeout(link.timer)
    link.timer = setTimeout(dial, Math.max(turn, backOff) * (0.75 + this.#jitter() / 2))
  }

  /** Looks for a way past the relay, once the peer has had time to tell its addresses. */
  #improve(id: string, link: Link): void {
    link.failures = MEETING
    this.#schedule(id, link)
  }

  #dialDue(): void {
    while (this.#dialling < this.#concurrency && this.#due.length > 0) {
      const id = this.#due.shift()!
      const link = this.#links.get(id)
      if (link === undefined || link.dialling || this.#stopping === undefined || this.#isDirect(id)) continue
      this.#dialling++
      link.dialling = true
      void this.#dial(id, link, this.#stopping.signal).finally(() => {
        this.#dialling--
        link.dialling = false
        this.#dialDue()
      })
    }
  }

  async #dial(id: string, link: Link, stopping: AbortSignal): Promise<void> {
    const peer = this.#peerId(id)
    const signal = AbortSignal.any([stopping, AbortSignal.timeout(this.#dialTimeout)])
    try {
      await this.#components.connectionManager.openConnection(await this.#target(peer, link, signal), { signal })
      // Where a relay was joined, what looks for a better way may have been due during this very dial.
      const isRelayed = this.#isConnected(id) && !this.#isDirect(id)
      if (isRelayed && link.timer === undefined && this.#links.get(id) === link && !stopping.aborted)
        this.#improve(id, link)
    } catch (error) {
      if (this.#links.get(id) !== link || stopping.aborted || this.#isDirect(id)) return
      link.failures++
      this.#log('could not reach %p, attempt %d - %e', peer, link.failures, error)
      this.#schedule(id, link)
    }
  }

  /**
   * The peer id alone lets libp2p ask peer routing only where it knows no address at all; after a failure the known
   * ones may be those from before a restart, so every other attempt asks for new ones.
   */
  async #target(peer: PeerId, link: Link, signal: AbortSignal): Promise<PeerId | Multiaddr[]> {
    const known = this.#bootstrap.get(peer.toString())
    if (known !== undefined) return known
    if (this.#isConnected(peer.toString())) return this.#directAddresses(peer, link)
    if (link.failures % 2 === 0) return peer
    const { multiaddrs } = await this.#components.peerRouting.findPeer(peer, { signal, useCache: false })
    return multiaddrs.length === 0 ? peer : multiaddrs.map((address) => withPeer(address, peer))
  }

  /**
   * Ways to a peer without a relay between. Streams between pages are arranged through a relay: of two pages the one with the
   * lower id dials first and the other much later, or each would close the other's. @throws NotFoundError where none is known
   */
  async #directAddresses(peer: PeerId, { failures }: Link): Promise<Multiaddr[]> {
    const { addresses } = await this.#components.peerStore.get(peer)
    const mayArrange = this.#components.peerId.toString() < peer.toString() || failures >= ARRANGING
    const ways = addresses.map(({ multiaddr }) => multiaddr.getComponents().map(({ name }) => name))
    const direct = addresses.filter(
      (_, number) => !ways[number].includes('p2p-circuit') || (mayArrange && ways[number].includes('webrtc'))
    )
    if (direct.length === 0) throw new NotFoundError('no address of this peer is known that leads past the relay')
    return direct.map(({ multiaddr }) => withPeer(multiaddr, peer))
  }

  readonly #onConnect = ({ detail }: CustomEvent<Connection>): void => {
    const id = detail.remotePeer.toString()
    const link = this.#links.get(id)
    if (link === undefined || detail.limits !== undefined) return
    clearTimeout(link.timer)
    link.timer = undefined
    link.since = performance.now()
    if (!this.#isDirect(id)) this.#improve(id, link)
    void this.#endDead(detail.remotePeer)
  }

  /**
   * Of several connections to a peer some may be dead without a sign: those from before its restart, or one of two that were
   * dialled at once, which the other side has closed as one too many (WebRTC tells that late). What is sent over them is lost
   * until libp2p gives them up. Those on which the peer does not answer, though it does on another, are ended.
   */
  async #endDead(peer: PeerId): Promise<void> {
    const stopping = this.#stopping!.signal
    const all = this.#components.connectionManager.getConnections(peer)
    const open = all.filter(({ status, limits }) => status === 'open' && limits === undefined)
    if (open.length < 2) return
    const alive = await Promise.all(open.map((connection) => answers(connection, stopping)))
    if (stopping.aborted || !alive.includes(true)) return
    for (const [number, connection] of open.entries()) {
      if (alive[number] || connection.status !== 'open') continue
      this.#log('%p answers elsewhere, and not on %a', peer, connection.remoteAddr)
      connection.abort(new Error('the peer does not answer on this connection, and does on another'))
    }
  }

  /** A connection that broke at once was refused by the other side's gater: that counts as a failure, too. */
  readonly #onDisconnect = ({ detail }: CustomEvent<Connection>): void => {
    const id = detail.remotePeer.toString()
    const link = this.#links.get(id)
    if (link === undefined || detail.limits !== undefined || this.#isDirect(id)) return
    if (this.#isConnected(id)) return this.#improve(id, link)
    const brief = link.since === undefined || performance.now() - link.since < this.#maxDelay
    link.failures = brief ? link.failures + 1 : 0
    this.#schedule(id, link)
  }

  /** Its addresses have just become known: no reason to wait any longer. */
  readonly #onDiscovery = (event: CustomEvent<PeerInfo>): void => {
    const id = event.detail.id.toString()
    const link = this.#links.get(id)
    if (link === undefined || link.dialling || link.since !== undefined) return
    if (link.failures === 0 || event.detail.multiaddrs.length === 0) return
    link.failures = 0
    this.#schedule(id, link)
  }
}

/** Whether the peer gives a sign of life on this very connection, if only that it does not know pings. */
async function answers(connection: Connection, stopping: AbortSignal): Promise<boolean> {
  const signal = AbortSignal.any([stopping, AbortSignal.timeout(ANSWER_MS)])
  try {
    const stream = await connection.newStream(PING_PROTOCOL, { signal })
    try {
      stream.send(crypto.getRandomValues(new Uint8Array(PING_LENGTH)))
      await pEvent(stream, 'message', { rejectionEvents: ['close'], signal })
    } finally {
      stream.abort(new Error('one answer is enough'))
    }
  } catch (error) {
    return error instanceof UnsupportedProtocolError
  }
  return true
}

function withPeer(address: Multiaddr, peer: PeerId): Multiaddr {
  const ends = address.getComponents().some((part) => part.code === CODE_P2P)
  return ends ? address : address.encapsulate(`/p2p/${peer.toString()}`)
}
