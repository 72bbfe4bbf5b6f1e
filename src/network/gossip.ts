import { TopicValidatorResult } from '@chainsafe/libp2p-gossipsub'
import { MessageError } from '../errors.ts'
import type { GossipSub, Message } from '@chainsafe/libp2p-gossipsub'
import type { PeerId } from '@libp2p/interface'

/** Most bytes of an announcement; whatever is larger is fetched by stream (protocol, section 4). */
export const MAX_ANNOUNCEMENT = 64 << 10

export type Verdict = 'accept' | 'ignore' | 'reject'

export interface AnnouncementHandlers {
  /**
   * Judges an announcement before it is passed on: `accept` delivers and forwards it, `ignore` drops it, `reject` also
   * lowers the score of the neighbour that forwarded it. Must be quick; one that throws ignores.
   * `from` is the peer id that signed the announcement, not the neighbour that forwarded it.
   */
  validate(from: string, bytes: Uint8Array): Verdict | Promise<Verdict>
  /** Called once for each accepted announcement of another member. */
  deliver?(from: string, bytes: Uint8Array): void
}

export interface AnnouncementComponents {
  pubsub: GossipSub
}

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
  readonly #pubsub: GossipSub
  readonly #handlers: AnnouncementHandlers
  #started = false

  constructor(components: AnnouncementComponents, taskId: Uint8Array, handlers: AnnouncementHandlers) {
    this.topic = `/secagg/1/${hex(taskId)}`
    this.#pubsub = components.pubsub
    this.#handlers = handlers
  }

  start(): void {
    if (this.#started) return
    this.#started = true
    this.#pubsub.topicValidators.set(this.topic, this.#validate)
    this.#pubsub.addEventListener('message', this.#onMessage)
    this.#pubsub.subscribe(this.topic)
  }

  stop(): void {
    if (!this.#started) return
    this.#started = false
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
