import type { Phase } from '../../src/round/ports.ts'
import type { Daemon } from './daemon.ts'
import type { DaemonOptions } from './daemon-options.ts'
import { happenings, toNodeSchema } from './launcher-messages.ts'
import type { ToLauncher, ToNode } from './launcher-messages.ts'
import { reportedOutcome } from './reported-outcome.ts'

/** What a launcher can ask of a node. */
export type Ordered = Pick<
  Daemon,
  'id' | 'addresses' | 'feed' | 'stage' | 'want' | 'isolate' | 'status' | 'export' | 'glimpse'
>

const place = (phase: Phase, round: number): string => `${phase}:${round}`

/** A node's side of the IPC channel to the launcher that started it. Where that channel ends, so does the process. */
export class LauncherLink {
  #holds = new Set<string>()
  readonly #held = new Map<string, () => void>()
  readonly #permitted = Promise.withResolvers<void>()
  readonly #daemon = Promise.withResolvers<Ordered>()
  readonly #stopped = Promise.withResolvers<void>()

  constructor() {
    this.#daemon.promise.catch(() => {})
    process.on('disconnect', () => process.exit(1))
    process.on('message', (message) => this.#take(toNodeSchema.parse(message)))
  }

  /** Until the launcher has said which phases to hold: no round may begin before. */
  permitted(): Promise<void> {
    return this.#permitted.promise
  }

  readonly hooks: Pick<DaemonOptions, 'phase' | 'closed'> = {
    phase: async (phase, round, leading) => {
      const held = this.#holds.has(place(phase, round))
      const word = held ? new Promise<void>((resolve) => this.#held.set(place(phase, round), resolve)) : undefined
      this.#send({ type: 'phase', phase, round, leading })
      await word
    },
    closed: (outcome) => this.#send({ type: 'outcome', outcome: reportedOutcome(outcome) })
  }

  /** Serves the launcher until it says stop. */
  async serve(daemon: Ordered): Promise<void> {
    this.#send({ type: 'ready', id: daemon.id, addresses: daemon.addresses })
    this.#daemon.resolve(daemon)
    await this.#stopped.promise
  }

  failed(error: Error): void {
    this.#send({ type: 'failed', message: error.message })
  }

  #send(message: ToLauncher): void {
    if (process.connected) process.send!(message)
  }

  #take(message: ToNode): void {
    switch (message.type) {
      case 'hold':
        this.#holds = new Set(message.holds.map(({ phase, round }) => place(phase, round)))
        return this.#permitted.resolve()
      case 'go':
        this.#holds.delete(place(message.phase, message.round))
        return this.#held.get(place(message.phase, message.round))?.()
      case 'stop':
        return this.#stopped.resolve()
      default:
        void this.#daemon.promise
          .then((daemon) => this.#answer(daemon, message))
          .catch((error: Error) => this.failed(error))
    }
  }

  async #answer(daemon: Ordered, message: Exclude<ToNode, { type: 'hold' | 'go' | 'stop' }>): Promise<void> {
    switch (message.type) {
      case 'input':
        return this.#stage(daemon, message)
      case 'want':
        return daemon.want()
      case 'isolate':
        return daemon.isolate(message.isolated)
      case 'status':
        return this.#send({ type: 'status', status: daemon.status() })
      case 'export':
        return this.#send({
          type: 'exported',
          round: message.round,
          ...(await daemon.export(message.round, message.file))
        })
      case 'feed':
        return happenings(daemon.feed, (event) => this.#send({ type: 'feed', event }))
      case 'glimpse': {
        const { member, indices } = message
        return daemon.glimpse(member, indices, (round, values) =>
          this.#send({ type: 'glimpse', round, member, values })
        )
      }
    }
  }

  async #stage(daemon: Ordered, { round, file, weight }: Extract<ToNode, { type: 'input' }>): Promise<void> {
    try {
      await daemon.stage(round, file, weight)
      this.#send({ type: 'staged', round })
    } catch (error) {
      this.#send({ type: 'refused', round, message: (error as Error).message })
    }
  }
}
