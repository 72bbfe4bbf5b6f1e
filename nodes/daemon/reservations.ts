import type { ComponentLogger, Libp2pEvents, Logger, PeerId, Startable } from '@libp2p/interface'
import type { ConnectionManager, TransportManager } from '@libp2p/interface-internal'
import { CODE_P2P } from '@multiformats/multiaddr'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { TypedEventTarget } from 'main-event'

export interface ReservationComponents {
  peerId: PeerId
  connectionManager: ConnectionManager
  transportManager: TransportManager
  events: TypedEventTarget<Libp2pEvents>
  logger: ComponentLogger
}

/** Milliseconds between two tries at a relay that is connected and has no place for us. */
const RETRY_MS = 5_000

/**
 * Has a place at each of these relays, so that others reach this node through them: asked for when a relay is connected (which
 * `Links` sees to), and anew whenever it is connected again. libp2p's own search for relays is not used: where no peer is
 * known yet, its random walk never yields to the event loop.
 */
export class Reservations implements Startable {
  readonly #components: ReservationComponents
  readonly #log: Logger
  readonly #relays = new Map<string, Multiaddr>()
  readonly #timers = new Map<string, NodeJS.Timeout>()
  #started = false

  /** `relays`: addresses, each ending in /p2p/<peer id>; this node's own may be among them. */
  constructor(components: ReservationComponents, relays: Multiaddr[]) {
    this.#components = components
    this.#log = components.logger.forComponent('libp2p:secagg:reservations')
    for (const address of relays) {
      const id = address.getComponents().findLast((part) => part.code === CODE_P2P)!.value!
      if (id !== components.peerId.toString()) this.#relays.set(id, address)
    }
  }

  start(): void {}

  afterStart(): void {
    this.#started = true
    this.#components.events.addEventListener('peer:connect', this.#onConnect)
    for (const { remotePeer } of this.#components.connectionManager.getConnections())
      void this.#reserve(remotePeer.toString())
  }

  stop(): void {
    this.#started = false
    this.#components.events.removeEventListener('peer:connect', this.#onConnect)
    for (const timer of this.#timers.values()) clearTimeout(timer)
    this.#timers.clear()
  }

  readonly #onConnect = ({ detail }: CustomEvent<PeerId>): void => void this.#reserve(detail.toString())

  async #reserve(relay: string): Promise<void> {
    const address = this.#relays.get(relay)
    if (address === undefined || !this.#started) return
    clearTimeout(this.#timers.get(relay))
    try {
      await this.#components.transportManager.listen([address.encapsulate('/p2p-circuit')])
    } catch (error) {
      this.#log('no place at the relay %s - %e', relay, error)
      if (!this.#started || !this.#isConnected(relay)) return
      this.#timers.set(
        relay,
        setTimeout(() => void this.#reserve(relay), RETRY_MS)
      )
    }
  }

  #isConnected(relay: string): boolean {
    return this.#components.connectionManager.getConnections().some(({ remotePeer }) => remotePeer.toString() === relay)
  }
}
