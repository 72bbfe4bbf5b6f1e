import type { Logger } from 'pino'
import type { Session } from '../../src/network/session.ts'

/** How often members that have not said how far the rounds have come are asked again. */
const ASK_AGAIN_MS = 1000

interface CatchingUpOptions {
  /** Told each time that a member has answered. */
  caughtUp: () => void
  logger: Logger
}

/** A member that was away asks each that it meets how far the rounds have come (§7). */
export class CatchingUp {
  readonly #session: Session
  readonly #connected: () => string[]
  readonly #options: CatchingUpOptions
  readonly #answered = new Set<string>()
  readonly #asking = new Set<string>()
  #askAgain?: NodeJS.Timeout

  constructor(session: Session, connected: () => string[], options: CatchingUpOptions) {
    this.#session = session
    this.#connected = connected
    this.#options = options
  }

  /** Members that have said how far the rounds have come. */
  get answered(): ReadonlySet<string> {
    return this.#answered
  }

  /** Who was met before this node listened, or did not answer, is asked again. */
  start(): void {
    this.#askAgain = setInterval(() => {
      for (const peer of this.#connected()) if (!this.#answered.has(peer)) void this.ask(peer)
    }, ASK_AGAIN_MS)
  }

  stop(): void {
    clearInterval(this.#askAgain)
  }

  async ask(peer: string): Promise<void> {
    if (this.#session.member.roster.indexOf(peer) < 0 || this.#asking.has(peer)) return
    this.#asking.add(peer)
    try {
      await this.#session.participant.catchUp(peer)
      this.#answered.add(peer)
      this.#options.caughtUp()
    } catch (error) {
      this.#options.logger.debug({ peer, reason: (error as Error).message }, 'could not catch up')
    } finally {
      this.#asking.delete(peer)
    }
  }
}
