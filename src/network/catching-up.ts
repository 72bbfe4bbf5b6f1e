/** How often members that have not said how far the rounds have come are asked again. */
const ASK_AGAIN_MS = 1000

interface CatchingUpOptions {
  /** The members that are connected now. */
  connected(): Iterable<string>
  /** Asks one how far the rounds have come, and takes in what it tells. */
  ask(member: string): Promise<void>
  /** One has answered. */
  caughtUp(member: string): void
  failed(member: string, error: Error): void
}

/**
 * Whoever may have been away asks each member that it meets how far the rounds have come (§7), and both sides of a new
 * connection ask: once a round is over nobody else speaks to one that lost its power before.
 */
export class CatchingUp {
  readonly #options: CatchingUpOptions
  readonly #answered = new Set<string>()
  readonly #asking = new Set<string>()
  /** Those that have answered since they were last met. */
  readonly #upToDate = new Set<string>()
  #askAgain?: ReturnType<typeof setInterval>

  constructor(options: CatchingUpOptions) {
    this.#options = options
  }

  /** Members that have said how far the rounds have come. */
  get answered(): ReadonlySet<string> {
    return this.#answered
  }

  start(): void {
    this.#askAgain = setInterval(() => this.#askAll(), ASK_AGAIN_MS)
    this.#askAll()
  }

  stop(): void {
    clearInterval(this.#askAgain)
    this.#askAgain = undefined
  }

  /** There is a new connection to a member. */
  met(member: string): void {
    this.#upToDate.delete(member)
    if (this.#askAgain !== undefined) this.#askAll()
  }

  /** The last connection to it is gone. */
  parted(member: string): void {
    this.#upToDate.delete(member)
  }

  #askAll(): void {
    for (const member of this.#options.connected())
      if (!this.#upToDate.has(member) && !this.#asking.has(member)) void this.#ask(member)
  }

  async #ask(member: string): Promise<void> {
    this.#asking.add(member)
    try {
      await this.#options.ask(member)
      this.#upToDate.add(member)
      this.#answered.add(member)
      this.#options.caughtUp(member)
    } catch (error) {
      this.#options.failed(member, error as Error)
    } finally {
      this.#asking.delete(member)
    }
  }
}
