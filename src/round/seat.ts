import { vectorFrames } from './vectors.ts'
import type { VectorStore } from '../journal/vector-store.ts'
import type { Message } from './messages.ts'
import type { Channel, Frame } from './ports.ts'
import type { Slots } from './slots.ts'

type Item = { message: Message } | { vector: string }

/**
 * One member's place at the leader's table: what was said to it, in order. A member that lost its stream and opens
 * another is told everything again, and answers as it did before.
 */
export class Seat {
  readonly member: number
  readonly #store: VectorStore
  /** Long vectors are sent to a few members at a time. */
  readonly #slots: Slots
  readonly #said: Item[] = []
  #channel?: Channel
  #wake: Array<() => void> = []
  #closed = false
  /** Why this member has lost its place in the round, if it has. */
  fault?: Error

  constructor(member: number, store: VectorStore, slots: Slots) {
    this.member = member
    this.#store = store
    this.#slots = slots
  }

  get connected(): boolean {
    return this.#channel !== undefined
  }

  /** Takes the newest conversation; resolves with a function that ends it. */
  attach(channel: Channel): () => void {
    this.#channel?.abort(new Error('the member opened another conversation'))
    this.#channel = channel
    return () => {
      if (this.#channel === channel) this.#channel = undefined
    }
  }

  say(message: Message): void {
    this.#push({ message })
  }

  /** The vector's frames follow; it must stay in the store until the table is cleared. */
  sayVector(name: string): void {
    this.#push({ vector: name })
  }

  /** Everything said, from the beginning, and what is still to be said. */
  async *speech(channel: Channel): AsyncGenerator<Frame> {
    for (let next = 0; this.#channel === channel;) {
      if (next < this.#said.length) {
        const item = this.#said[next++]
        if ('vector' in item) yield* this.#vector(item.vector)
        else yield { kind: 'control', payload: item.message.encoded }
      } else if (this.#closed) {
        return
      } else {
        await new Promise<void>((resolve) => this.#wake.push(resolve))
      }
    }
  }

  async *#vector(name: string): AsyncGenerator<Frame> {
    const release = await this.#slots.take()
    try {
      yield* vectorFrames(this.#store, name)
    } finally {
      release()
    }
  }

  /** Nothing more will be said; what was said is still sent. */
  close(): void {
    this.#closed = true
    this.#rouse()
  }

  abort(reason: Error): void {
    this.#closed = true
    this.#channel?.abort(reason)
    this.#channel = undefined
    this.#rouse()
  }

  #push(item: Item): void {
    this.#said.push(item)
    this.#rouse()
  }

  #rouse(): void {
    for (const wake of this.#wake.splice(0)) wake()
  }
}
