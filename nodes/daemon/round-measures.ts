import { EventLoopDelay } from './event-loop-delay.ts'

interface Traffic {
  sent: number
  received: number
}

/** What a round costs this node. */
export class RoundMeasures {
  readonly #traffic: () => Traffic
  readonly #delay = new EventLoopDelay(5)
  #before: Traffic = { sent: 0, received: 0 }
  #maskingMs?: number

  /** `traffic`: frame bytes since the node was started. */
  constructor(traffic: () => Traffic) {
    this.#traffic = traffic
  }

  opened(): void {
    this.#delay.begin()
    this.#before = this.#traffic()
    this.#maskingMs = undefined
  }

  masked(elapsedMs: number): void {
    this.#maskingMs = (this.#maskingMs ?? 0) + elapsedMs
  }

  /** Of the round that was opened last. */
  closed() {
    const { sent, received } = this.#traffic()
    const measured = {
      bytesSent: sent - this.#before.sent,
      bytesReceived: received - this.#before.received,
      maxRssBytes: process.resourceUsage().maxRSS * 1024,
      eventLoopMaxMs: this.#delay.at(1),
      eventLoopP99Ms: this.#delay.at(0.99),
      maskingMs: this.#maskingMs
    }
    this.#delay.end()
    return measured
  }

  stop(): void {
    this.#delay.end()
  }
}
