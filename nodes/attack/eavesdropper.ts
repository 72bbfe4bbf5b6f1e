import { decodeMessage } from '../../src/round/messages.ts'
import type { Message } from '../../src/round/messages.ts'
import type { Channel, Frame } from '../../src/round/ports.ts'

/** What an aggregator writes down of one round. */
export interface Heard {
  /** The mask keys that the members advertised, by roster index. */
  maskKeys: ReadonlyMap<number, Uint8Array>
  /** The packed masked vector of the victim, as it came in; empty where none did. */
  vector: Uint8Array
}

/**
 * A corrupt aggregator's ear: every frame that a member sends it is written down before the honest code has it. With
 * `late`, the victim's vector never gets there, so that the round goes on as if it had come too late.
 */
export class Eavesdropper {
  late = false
  readonly #victim: number
  #maskKeys: Heard['maskKeys'] = new Map()
  #parts: Uint8Array[] = []

  /** `victim` is a roster index. */
  constructor(victim: number) {
    this.#victim = victim
  }

  get heard(): Heard {
    return { maskKeys: this.#maskKeys, vector: Buffer.concat(this.#parts) }
  }

  forget(): void {
    this.#maskKeys = new Map()
    this.#parts = []
  }

  on(channel: Channel): Channel {
    return {
      source: this.#listen(channel.source),
      sink: (source) => channel.sink(this.#note(source)),
      abort: (reason) => channel.abort(reason)
    }
  }

  async *#listen(source: AsyncIterable<Frame>): AsyncGenerator<Frame> {
    let isVictim = false
    let swallowed = false
    let parts: Uint8Array[] = []
    for await (const frame of source) {
      const message = frame.kind === 'control' ? decodeMessage(frame.payload) : undefined
      if (message?.type === 'Vector') {
        isVictim = message.body.member === this.#victim
        // A member whose conversation broke off sends the same again.
        if (isVictim) this.#parts = parts = []
      }
      if (message === undefined && isVictim) {
        parts.push(frame.payload.slice())
        swallowed ||= this.late
      }
      // What comes behind a vector that never ends cannot get through either.
      if (!swallowed) yield frame
    }
  }

  /** It knows what it says itself: the key book holds everybody's keys, its own too. */
  async *#note(source: AsyncIterable<Frame>): AsyncGenerator<Frame> {
    for await (const frame of source) {
      const message = frame.kind === 'control' ? decodeMessage(frame.payload) : undefined
      if (message?.type === 'KeyBook') {
        const adverts = message.body.adverts.map((advert) => decodeMessage(advert) as Message<'KeyAdvert'>)
        this.#maskKeys = new Map(adverts.map(({ from, body }) => [from, body.maskKey]))
      }
      yield frame
    }
  }
}
