import { peerIdFromString } from '@libp2p/peer-id'
import type { Connection, Stream } from '@libp2p/interface'
import { MessageError } from '../../src/errors.ts'
import { Conversation } from '../../src/network/conversation.ts'
import type { Frame } from '../../src/round/ports.ts'
import type { SecaggNode } from '../daemon/libp2p.ts'

/** Members that may ask one member at a time, each once. */
const STREAMS = 1
const FRAME_BYTES = 128 * 1024
const ASK_MS = 20_000

/** The current model, from member to member: an empty request, the answer in frames, none where there is no model yet. */
export class ModelExchange {
  readonly #node: SecaggNode
  readonly #protocol: string

  constructor(node: SecaggNode, taskId: string) {
    this.#node = node
    this.#protocol = `/secagg/1.0.0/model/${taskId.slice(0, 16)}`
  }

  /** Answers peers that may have it with what `current` gives. */
  async serve(mayHave: (peer: string) => boolean, current: () => Uint8Array | undefined): Promise<void> {
    const answer = (stream: Stream, { remotePeer }: Connection): void => {
      const peer = remotePeer.toString()
      const conversation = new Conversation(stream, { peer, signal: AbortSignal.timeout(ASK_MS) })
      if (!mayHave(peer)) return conversation.abort(new MessageError('STRANGER', `${peer} asks for a model of others`))
      conversation.sink(pieces(current() ?? new Uint8Array())).catch(() => {})
    }
    await this.#node.handle(this.#protocol, answer, { maxInboundStreams: STREAMS, maxOutboundStreams: STREAMS })
  }

  /** What a peer holds, of `limit` bytes at most; undefined where it holds nothing. Throws where it cannot be asked. */
  async ask(peer: string, limit: number): Promise<Uint8Array | undefined> {
    const signal = AbortSignal.timeout(ASK_MS)
    const stream = await this.#node.dialProtocol(peerIdFromString(peer), this.#protocol, { signal })
    const conversation = new Conversation(stream, { peer, signal, maxControl: 0, maxData: FRAME_BYTES })
    // The other side hears of the stream with the first bytes on it.
    await conversation.write({ kind: 'control', payload: new Uint8Array() })
    await conversation.close()
    const parts: Uint8Array[] = []
    let length = 0
    for await (const { payload } of conversation.frames()) {
      length += payload.length
      if (length > limit) {
        const error = new MessageError('OVERSIZED', `${peer} sends a model of more than ${limit} bytes`, {
          culprit: peer
        })
        conversation.abort(error)
        throw error
      }
      parts.push(payload)
    }
    return length === 0 ? undefined : Buffer.concat(parts)
  }
}

async function* pieces(bytes: Uint8Array): AsyncGenerator<Frame> {
  for (let at = 0; at < bytes.length; at += FRAME_BYTES)
    yield { kind: 'data', payload: bytes.subarray(at, at + FRAME_BYTES) }
}
