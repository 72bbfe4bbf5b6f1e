import type { Channel, Frame } from './ports.ts'

/** A queue with one reader. `push` resolves when the reader has taken the item: back-pressure without a buffer. */
export class Queue<T> implements AsyncIterable<T> {
  readonly #items: Array<{ item: T; taken: () => void; lost: (reason: Error) => void }> = []
  #wake?: () => void
  #ended = false
  #error?: Error

  push(item: T): Promise<void> {
    if (this.#error !== undefined) return Promise.reject(this.#error)
    if (this.#ended) return Promise.reject(new Error('the other end has closed'))
    return new Promise((taken, lost) => {
      this.#items.push({ item, taken, lost })
      this.#wake?.()
    })
  }

  end(): void {
    this.#ended = true
    this.#wake?.()
  }

  fail(error: Error): void {
    this.#error ??= error
    for (const { lost } of this.#items.splice(0)) lost(this.#error)
    this.#wake?.()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    try {
      for (;;) {
        if (this.#error !== undefined) throw this.#error
        const next = this.#items.shift()
        if (next !== undefined) {
          next.taken()
          yield next.item
        } else if (this.#ended) {
          return
        } else {
          await new Promise<void>((resolve) => (this.#wake = resolve))
          this.#wake = undefined
        }
      }
    } finally {
      this.fail(new Error('the other end has stopped reading'))
    }
  }
}

type FrameQueue = Queue<Frame>

function end(incoming: FrameQueue, outgoing: FrameQueue): Channel {
  return {
    source: incoming,
    async sink(source) {
      try {
        for await (const frame of source) await outgoing.push(frame)
        outgoing.end()
      } catch (error) {
        outgoing.fail(error as Error)
        throw error
      }
    },
    abort(reason) {
      incoming.fail(reason)
      outgoing.fail(reason)
    }
  }
}

/** Two ends of a conversation inside one process: how a leader speaks with itself. */
export function channelPair(): [Channel, Channel] {
  const there: FrameQueue = new Queue()
  const back: FrameQueue = new Queue()
  return [end(back, there), end(there, back)]
}
