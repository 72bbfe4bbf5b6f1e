import { onThisThread } from '../../src/round/ports.ts'
import { MessageError } from '../../src/errors.ts'
import { createEncoder } from '../../src/encoding/encoder.ts'
import { unpack } from '../../src/encoding/packing.ts'
import type { Decoded } from '../../src/encoding/encoder.ts'
import type { Lanes } from '../../src/crypto/mask-stream.ts'
import { MemoryJournal } from '../../src/journal/journal.ts'
import { MemoryVectorStore } from '../../src/journal/vector-store.ts'
import { systemClock } from '../../src/network/clock.ts'
import { Announcements } from '../../src/network/gossip.ts'
import type { Verdict } from '../../src/network/gossip.ts'
import type { SessionComponents } from '../../src/network/session.ts'
import { Streams } from '../../src/network/streams.ts'
import { decodeMessage } from '../../src/round/messages.ts'
import type { Message } from '../../src/round/messages.ts'
import type { RoundOutcome } from '../../src/round/outcome.ts'
import { Participant } from '../../src/round/participant.ts'
import type { Random } from '../../src/round/ports.ts'
import { sumKey } from '../../src/round/round.ts'
import type { Task } from '../../src/task/task.ts'
import type { Eavesdropper } from './eavesdropper.ts'

export interface LaboratorySettings {
  task: Task
  /** Its input in every round, encoded: what it contributes is known here and nowhere else. */
  lanes: Lanes
  /** Where its secrets come from: a weakened build has another source. */
  random: Random
  ear: Eavesdropper
  closed: (outcome: RoundOutcome) => void
}

/**
 * A member as the service `secureAggregation` makes it, of the same parts, but that its conversations as an aggregator are
 * listened to, and that its secrets may come from a weak source: neither can be had from the library.
 */
export class LaboratoryMember {
  readonly participant: Participant
  readonly #settings: LaboratorySettings
  readonly #streams: Streams
  readonly #announcements: Announcements
  readonly #journal = new MemoryJournal()
  readonly #vectors = new MemoryVectorStore()

  constructor(components: SessionComponents, settings: LaboratorySettings) {
    const { task, lanes, random, ear, closed } = settings
    this.#settings = settings
    const hear = (from: string, bytes: Uint8Array): void => void this.participant.hear(from, bytes).catch(() => {})
    this.#streams = new Streams(components, task.id, {
      converse: (from, channel) => this.participant.converse(from, ear.on(channel)),
      deliver: (from, message) => this.participant.hear(from, message),
      answer: (from, request) => this.participant.answer(from, request)
    })
    this.#announcements = new Announcements(components, task.idBytes, {
      isMember: (peer) => this.participant.expects(peer),
      validate: (from, bytes) => this.#verdictOn(from, bytes),
      deliver: hear
    })
    this.participant = new Participant({
      task,
      id: components.peerId.toString(),
      ports: {
        clock: systemClock,
        random,
        sign: (bytes) => components.privateKey.sign(bytes),
        journal: this.#journal,
        vectors: this.#vectors,
        compute: onThisThread,
        observer: {}
      },
      links: {
        converse: (leader, signal) => this.#streams.converse(leader, signal),
        deliver: (to, message, signal) => this.#streams.deliver(to, message, signal),
        ask: (to, request, signal) => this.#streams.ask(to, request, signal),
        announce: (message) => void this.#announcements.publish(message).catch(() => {})
      },
      // Masks are laid in place, so each round has its own copy.
      input: async () => ({ lanes: async () => lanes.slice() }),
      closed
    })
  }

  async start(): Promise<void> {}

  async afterStart(): Promise<void> {
    await this.#streams.start()
    this.#announcements.start()
    await this.participant.start()
  }

  async beforeStop(): Promise<void> {
    await this.participant.stop()
    this.#announcements.stop()
    await this.#streams.stop()
  }

  async stop(): Promise<void> {}

  get subscribers(): string[] {
    return this.#announcements.subscribers()
  }

  /** What every member is told with a sum: the cut, and the seeds and keys that took its masks off. */
  async opened(round: number): Promise<Message<'SumHeader'>> {
    const header = await this.#journal.get(sumKey(this.#settings.task.id, round))
    return decodeMessage(header!) as Message<'SumHeader'>
  }

  async sum({ round, sum, included }: RoundOutcome): Promise<Decoded> {
    const { task } = this.#settings
    const packed = await this.#vectors.readRange(sum!, 0, (await this.#vectors.size(sum!))!)
    return createEncoder(task, round).decode(unpack(packed, task.laneCount, task.bits), included.length)
  }

  #verdictOn(from: string, bytes: Uint8Array): Verdict {
    try {
      return this.participant.check(from, bytes) ? 'accept' : 'ignore'
    } catch (error) {
      if (error instanceof MessageError) return 'reject'
      throw error
    }
  }
}
