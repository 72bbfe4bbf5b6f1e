import { pino } from 'pino'
import { readTask } from '../daemon/config.ts'
import { Daemon } from '../daemon/daemon.ts'
import { happenings } from '../daemon/launcher-messages.ts'
import { reportedOutcome } from '../daemon/reported-outcome.ts'
import type { Exported, ReportedStatus } from '../daemon/launcher-messages.ts'
import type { Peer, PeerEvents, PeerSettings } from './peer.ts'

/** A member in this process, over libp2p's in-memory transport. */
export class InProcessPeer implements Peer {
  readonly #daemon: Daemon
  readonly #events: PeerEvents

  private constructor(daemon: Daemon, events: PeerEvents) {
    this.#daemon = daemon
    this.#events = events
  }

  static async start(settings: PeerSettings, events: PeerEvents): Promise<InProcessPeer> {
    const { folder: dataDir, taskFile, listen, bootstrap } = settings
    const daemon = await Daemon.start({
      dataDir,
      task: await readTask(taskFile),
      listen,
      bootstrap,
      mdns: false,
      local: true,
      memory: true,
      // Each is told where all before it are.
      routing: false,
      phase: (phase, round, leading) => events.phase({ phase, round, leading }),
      closed: (outcome) => events.outcome(reportedOutcome(outcome)),
      logger: pino({ level: 'silent' })
    })
    return new InProcessPeer(daemon, events)
  }

  get id(): string {
    return this.#daemon.id
  }

  get addresses(): string[] {
    return this.#daemon.addresses
  }

  input(round: number, file: string, weight?: number): Promise<void> {
    return this.#daemon.stage(round, file, weight)
  }

  want(): Promise<void> {
    return this.#daemon.want()
  }

  async status(): Promise<ReportedStatus> {
    return this.#daemon.status()
  }

  export(round: number, file: string): Promise<Exported> {
    return this.#daemon.export(round, file)
  }

  glimpse(member: number, indices: number[]): void {
    this.#daemon.glimpse(member, indices, (round, values) => this.#events.glimpse({ round, member, values }))
  }

  feed(): void {
    happenings(this.#daemon.feed, (event) => this.#events.happened(event))
  }

  stop(): Promise<void> {
    return this.#daemon.stop()
  }
}
