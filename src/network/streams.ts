import { peerIdFromString } from '@libp2p/peer-id'
import type { Connection, Stream } from '@libp2p/interface'
import type { ConnectionManager, Registrar } from '@libp2p/interface-internal'
// As libp2p itself ends a wait by a signal, without leaving a listener on it.
import { raceSignal } from 'race-signal'
import { MAX_MESSAGE_BYTES } from '../round/messages.ts'
import type { Channel, Frame } from '../round/ports.ts'
import { Conversation } from './conversation.ts'

/** What streams between members need of a libp2p node. */
export interface StreamComponents {
  connectionManager: ConnectionManager
  registrar: Registrar
}

export interface StreamHandlers {
  /** A member wants to speak with this one as its leader. */
  converse(from: string, channel: Channel): Promise<void>
  /** One direct message. Throwing costs the sender its stream. */
  deliver(from: string, message: Uint8Array): Promise<void>
  /** A request, to be answered by frames. */
  answer(from: string, request: Uint8Array): AsyncIterable<Frame>
  /** There is a new connection to a peer of this task, or the last one is gone. */
  met?(peer: string): void
  parted?(peer: string): void
}

/**
 * Streams that one peer may have open to us at once, by protocol: one conversation and the one that replaces it, one for
 * direct messages likewise, and a few requests.
 */
const LIMITS = { round: 4, direct: 4, ask: 8 }

/** Direct messages are small, shares and announcements, but for evidence that is too large for gossip. */
const MAX_DIRECT = MAX_MESSAGE_BYTES

type Use = keyof typeof LIMITS

/** The three protocols of a task, over whatever transports the host application chose. */
export class Streams {
  readonly #components: StreamComponents
  readonly #task: string
  readonly #handlers: StreamHandlers
  readonly #open = new Set<Conversation>()
  readonly #direct = new Map<string, Promise<Conversation>>()
  readonly #gone = { sent: 0, received: 0 }
  #stopping = new AbortController()
  #topology?: string

  constructor(components: StreamComponents, taskId: string, handlers: StreamHandlers) {
    this.#components = components
    this.#task = taskId.slice(0, 16)
    this.#handlers = handlers
  }

  async start(): Promise<void> {
    this.#stopping = new AbortController()
    const handle = (use: Use, run: (from: string, conversation: Conversation) => Promise<void>) =>
      this.#components.registrar.handle(
        this.#protocol(use),
        (stream: Stream, connection: Connection) => {
          const from = connection.remotePeer.toString()
          const conversation = this.#wrap(stream, from, use)
          run(from, conversation).catch((error: Error) => conversation.abort(error))
        },
        { maxInboundStreams: LIMITS[use], maxOutboundStreams: LIMITS[use] }
      )
    await handle('round', (from, conversation) => this.#handlers.converse(from, channelOf(conversation)))
    await handle('direct', async (from, conversation) => {
      for await (const { payload } of conversation.frames()) await this.#handlers.deliver(from, payload)
      await conversation.close()
    })
    await handle('ask', async (from, conversation) => {
      for await (const { payload } of conversation.frames())
        return conversation.sink(this.#handlers.answer(from, payload))
    })
    // libp2p tells of a connection again whenever the peer identifies itself anew, as it does when its addresses change.
    const known = new WeakSet<Connection>()
    this.#topology = await this.#components.registrar.register(this.#protocol('ask'), {
      onConnect: (peer, connection) => {
        if (known.has(connection)) return
        known.add(connection)
        this.#handlers.met?.(peer.toString())
      },
      onDisconnect: (peer) => this.#handlers.parted?.(peer.toString())
    })
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the service has stopped'))
    if (this.#topology !== undefined) this.#components.registrar.unregister(this.#topology)
    for (const use of Object.keys(LIMITS) as Use[]) await this.#components.registrar.unhandle(this.#protocol(use))
    this.#direct.clear()
  }

  /** Frame bytes of all streams of this task so far. */
  get traffic(): { sent: number; received: number } {
    const total = { ...this.#gone }
    for (const { bytesSent, bytesReceived } of this.#open) {
      total.sent += bytesSent
      total.received += bytesReceived
    }
    return total
  }

  async converse(to: string, signal: AbortSignal): Promise<Channel> {
    return channelOf(await this.#dial(to, 'round', signal))
  }

  /** One message over the stream that is kept open to each peer; resolves when it is on its way. */
  async deliver(to: string, message: Uint8Array, signal: AbortSignal): Promise<void> {
    const known = this.#direct.get(to)
    const opening = known ?? this.#openDirect(to, signal)
    try {
      const conversation = await raceSignal(opening, signal)
      const written = conversation.write({ kind: 'control', payload: message })
      await raceSignal(written, signal).catch((error: Error) => {
        // Whoever reads nothing is to hold up nobody, nor to have more and more kept for it.
        if (conversation.isHeldUp) conversation.abort(error)
        throw error
      })
    } catch (error) {
      if (signal.aborted) throw error
      if (this.#direct.get(to) === opening) this.#direct.delete(to)
      // The stream that was kept may have died unseen: once more over a new one.
      if (known !== undefined) return this.deliver(to, message, signal)
      throw error
    }
  }

  #openDirect(to: string, signal: AbortSignal): Promise<Conversation> {
    const opening = this.#dial(to, 'direct', signal)
    this.#direct.set(to, opening)
    opening.catch(() => this.#direct.get(to) === opening && this.#direct.delete(to))
    return opening
  }

  async ask(to: string, request: Uint8Array, signal: AbortSignal): Promise<AsyncIterable<Frame>> {
    const conversation = await this.#dial(to, 'ask', signal)
    // Whoever asks may stop listening before all has come: then nobody goes on sending.
    const stop = (): void => conversation.abort(signal.reason as Error)
    signal.addEventListener('abort', stop, { once: true })
    await conversation.write({ kind: 'control', payload: request })
    await conversation.close()
    return framesUntil(conversation.frames(), () => signal.removeEventListener('abort', stop))
  }

  async #dial(to: string, use: Use, signal: AbortSignal): Promise<Conversation> {
    const ends = AbortSignal.any([signal, this.#stopping.signal])
    const stream = await this.#components.connectionManager.openStream(peerIdFromString(to), this.#protocol(use), {
      signal: ends,
      maxOutboundStreams: LIMITS[use]
    })
    // A request is over when nobody waits for its answer; conversations and direct streams outlive what they were opened for.
    return this.#wrap(stream, to, use, use === 'ask' ? ends : undefined)
  }

  #wrap(stream: Stream, peer: string, use: Use, signal = this.#stopping.signal): Conversation {
    const limits = use === 'direct' ? { maxControl: MAX_DIRECT, maxData: 0 } : {}
    const conversation = new Conversation(stream, { peer, signal, ...limits })
    this.#open.add(conversation)
    stream.addEventListener('close', () => {
      if (!this.#open.delete(conversation)) return
      this.#gone.sent += conversation.bytesSent
      this.#gone.received += conversation.bytesReceived
      if (use === 'direct') this.#forget(peer, conversation)
    })
    return conversation
  }

  #forget(peer: string, conversation: Conversation): void {
    const kept = this.#direct.get(peer)
    void kept?.then(
      (current) => {
        if (current === conversation && this.#direct.get(peer) === kept) this.#direct.delete(peer)
      },
      () => {}
    )
  }

  #protocol(use: Use): string {
    return `/secagg/1.0.0/${use}/${this.#task}`
  }
}

async function* framesUntil(frames: AsyncIterable<Frame>, done: () => void): AsyncGenerator<Frame> {
  try {
    yield* frames
  } finally {
    done()
  }
}

function channelOf(conversation: Conversation): Channel {
  return { source: conversation.frames(), sink: conversation.sink, abort: (reason) => conversation.abort(reason) }
}
