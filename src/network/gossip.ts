import { TopicValidatorResult } from '@chainsafe/libp2p-gossipsub'
import { MessageError } from '../errors.ts'
import type { GossipSub, Message } from '@chainsafe/libp2p-gossipsub'
import type { Connection, Libp2pEvents, PeerId, Stream } from '@libp2p/interface'
import type { ConnectionManager, Registrar } from '@libp2p/interface-internal'
import type { TypedEventTarget } from 'main-event'

/** Most bytes of an announcement; whatever is larger is fetched by stream (protocol, section 4). */
export const MAX_ANNOUNCEMENT = 64 << 10

export type Verdict = 'accept' | 'ignore' | 'reject'

export interface AnnouncementHandlers {
  /** Whether gossip with this peer is to be kept up. */
  isMember(peer: string): boolean
  /**
   * Judges an announcement before it is passed on: `accept` delivers and forwards it, `ignore` drops it, `reject` also
   * lowers the score of the neighbour that forwarded it. Must be quick; one that throws ignores.
   * `from` is the peer id that signed the announcement, not the neighbour that forwarded it.
   */
  validate(from: string, bytes: Uint8Array): Verdict | Promise<Verdict>
  /** Called once for each accepted announcement of another member. */
  deliver?(from: string, bytes: Uint8Array): void
}

/** What gossip between members needs of a libp2p node. */
export interface AnnouncementComponents {
  pubsub: GossipSub
  connectionManager: ConnectionManager
  registrar: Registrar
  events: TypedEventTarget<Libp2pEvents>
}

/** The streams that gossipsub believes to have, by peer id; public in its class, though not in its interface. */
interface GossipStreams {
  streamsOutbound: Map<string, unknown>
  streamsInbound: Map<string, { rawStream: Stream }>
}

/** How often it is looked whether gossip reaches all connected members, in milliseconds. */
const REPAIR_MS = 3_000

const results: Record<Verdict, TopicValidatorResult> = {
  accept: TopicValidatorResult.Accept,
  ignore: TopicValidatorResult.Ignore,
  reject: TopicValidatorResult.Reject
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** The small announcements of one task, by gossip. What is announced must be signed and bound to its round by itself. */
export class Announcements {
  readonly topic: string
  readonly #components: AnnouncementComponents
  readonly #pubsub: GossipSub
  readonly #handlers: AnnouncementHandlers
  #timer?: NodeJS.Timeout

  constructor(components: AnnouncementComponents, taskId: Uint8Array, handlers: AnnouncementHandlers) {
    this.topic = `/secagg/1/${hex(taskId)}`
    this.#components = components
    this.#pubsub = components.pubsub
    this.#handlers = handlers
  }

  start(): void {
    if (this.#timer !== undefined) return
    this.#timer = setInterval(this.#repair, REPAIR_MS)
    ;(this.#timer as { unref?: () => void }).unref?.()
    this.#components.events.addEventListener('connection:open', this.#onConnection)
    this.#components.events.addEventListener('connection:close', this.#onClose)
    this.#pubsub.topicValidators.set(this.topic, this.#validate)
    this.#pubsub.addEventListener('message', this.#onMessage)
    this.#pubsub.subscribe(this.topic)
    this.#repair()
  }

  stop(): void {
    if (this.#timer === undefined) return
    clearInterval(this.#timer)
    this.#components.events.removeEventListener('connection:open', this.#onConnection)
    this.#components.events.removeEventListener('connection:close', this.#onClose)
    this.#timer = undefined
    this.#pubsub.unsubscribe(this.topic)
    this.#pubsub.removeEventListener('message', this.#onMessage)
    this.#pubsub.topicValidators.delete(this.topic)
  }

  /**
   * Sends an announcement to every subscriber that is connected, and through them to the others. Returns how many
   * neighbours it went to: 0 if nobody is subscribed yet, which is not an error.
   * Throws MessageError OVERSIZED above 64 KiB, which gossip would drop without a word.
   */
  async publish(bytes: Uint8Array): Promise<number> {
    if (bytes.length > MAX_ANNOUNCEMENT) {
      const sentence = `an announcement of ${bytes.length} bytes is over the limit of ${MAX_ANNOUNCEMENT}`
      throw new MessageError('OVERSIZED', `${sentence}; announce its hash and serve it by stream`)
    }
    try {
      const { recipients } = await this.#pubsub.publish(this.topic, bytes)
      return recipients.length
    } catch (error) {
      // Thrown unless the node was made with `allowPublishToZeroTopicPeers`; gossipsub has no class for it.
      if (error instanceof Error && error.message === 'PublishError.NoPeersSubscribedToTopic') return 0
      throw error
    }
  }

  /** Peer ids of the connected members that listen to this task. */
  subscribers(): string[] {
    return this.#pubsub.getSubscribers(this.topic).map((peer) => peer.toString())
  }

  /** gossipsub drops a stream that comes before it was told of the peer, so it is told before the peer is identified. */
  #introduce(connection: Connection): void {
    const { remotePeer, status, limits } = connection
    // A connection through a relay carries no gossip.
    if (status !== 'open' || limits !== undefined || !this.#handlers.isMember(remotePeer.toString())) return
    const { pubsub, registrar } = this.#components
    const topologies = new Set(pubsub.protocols.flatMap((protocol) => registrar.getTopologies(protocol)))
    for (const topology of topologies) void topology.onConnect?.(remotePeer, connection)
  }

  /**
   * gossipsub opens its stream to a peer once, and never again if that failed; it keeps one that ended while it was
   * opened, and forgets one that came too early. On a machine whose cores are all taken each of these happens, and two
   * members would be connected for good without hearing each other.
   */
  readonly #repair = (): void => {
    const { connectionManager } = this.#components
    const connections = Map.groupBy(connectionManager.getConnections(), ({ remotePeer }) => remotePeer.toString())
    for (const [peer, all] of connections) if (this.#handlers.isMember(peer)) this.#mend(peer, all)
  }

  #mend(peer: string, connections: Connection[]): void {
    const { pubsub } = this.#components
    const { streamsInbound, streamsOutbound } = pubsub as unknown as GossipStreams
    // A stream that was closed in the one direction it is used in counts as open until the other one is, too.
    const isOpen = ({ protocol, status, direction, writeStatus, readStatus }: Stream): boolean =>
      status === 'open' &&
      (direction === 'outbound' ? writeStatus === 'writable' : readStatus === 'readable') &&
      pubsub.protocols.includes(protocol)
    const streams = connections.flatMap(({ streams }) => streams.filter(isOpen))
    if (!streams.some(({ direction }) => direction === 'outbound')) streamsOutbound.delete(peer)
    if (streamsInbound.get(peer)?.rawStream.status !== 'open')
      for (const stream of streams)
        if (stream.direction === 'inbound') stream.abort(new Error('nobody reads this stream; open another'))
    this.#introduce(connections.find(({ limits }) => limits === undefined) ?? connections[0])
  }

  readonly #onConnection = (event: CustomEvent<Connection>): void => this.#introduce(event.detail)

  /** Gossip that went over this connection goes on over another one at once, where there is one. */
  readonly #onClose = ({ detail: { remotePeer } }: CustomEvent<Connection>): void => {
    const peer = remotePeer.toString()
    const left = this.#components.connectionManager.getConnections(remotePeer).filter(({ status }) => status === 'open')
    if (left.length > 0 && this.#handlers.isMember(peer)) this.#mend(peer, left)
  }

  readonly #validate = async (_neighbour: PeerId, message: Message): Promise<TopicValidatorResult> => {
    if (message.type !== 'signed' || message.data.length > MAX_ANNOUNCEMENT) return TopicValidatorResult.Reject
    return results[await this.#handlers.validate(message.from.toString(), message.data)]
  }

  readonly #onMessage = (event: CustomEvent<Message>): void => {
    const message = event.detail
    if (message.topic !== this.topic || message.type !== 'signed') return
    this.#handlers.deliver?.(message.from.toString(), message.data)
  }
}
