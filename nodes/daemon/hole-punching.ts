import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { dcutr } from '@libp2p/dcutr'
import type { DCUtRServiceComponents } from '@libp2p/dcutr'
import { InvalidMultiaddrError } from '@libp2p/interface'
import type { Connection, IdentifyResult, Libp2pEvents, PeerId, Transport, Upgrader } from '@libp2p/interface'
import type { AddressManager, ConnectionManager } from '@libp2p/interface-internal'
import { peerIdFromString } from '@libp2p/peer-id'
import { tcp } from '@libp2p/tcp'
import { CODE_P2P, CODE_P2P_CIRCUIT, CODE_TCP } from '@multiformats/multiaddr'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { TypedEventTarget } from 'main-event'

interface PunchingComponents extends DCUtRServiceComponents {
  peerId: PeerId
  upgrader: Upgrader
  events: TypedEventTarget<Libp2pEvents>
}

type TcpTransport = ReturnType<ReturnType<typeof tcp>>

/** What `net.connect` says where the port, or the way from it to that address, is taken. */
const TAKEN = new Set(['EADDRINUSE', 'EADDRNOTAVAIL'])

/** Addresses that are dialled at once: the other side names them, and may name anybody's. */
const MOST_ADDRESSES = 4

/**
 * Direct connections between two members behind routers, which a relay has brought together: both dial at the same time, and
 * either router takes the other side's packets for answers (TCP's simultaneous open). libp2p's DCUtR service arranges that;
 * this adds what it lacks in libp2p 3, where it never comes to pass:
 *
 * - a router passes answers to one port, and libp2p dials from a new one each time; so relays are dialled from one port, and
 *   peers behind routers from the same;
 * - identify passes by how relays see a TCP address, for the same reason; it is what the other side has to dial;
 * - the dial queue forgets who is to speak first, and both would; as would both multiplexers, even so.
 */
export class HolePunching {
  readonly #port: number
  readonly #relays: ReadonlySet<string>
  readonly #attempts = new Map<string, Promise<Connection>>()
  #dialTcp?: TcpTransport['dial']
  #observed?: Multiaddr

  private constructor(port: number, relays: ReadonlySet<string>) {
    this.#port = port
    this.#relays = relays
  }

  /** For a node that others reach through these relays: addresses, each ending in /p2p/<peer id>. */
  static async through(relays: Multiaddr[]): Promise<HolePunching> {
    return new HolePunching(await freePort(), new Set(relays.map((relay) => peerOf(relay)!)))
  }

  /** libp2p's TCP transport, which dials relays from one port. */
  transport(): (components: Parameters<ReturnType<typeof tcp>>[0]) => Transport {
    return (components) => {
      const transport: TcpTransport = tcp()(components)
      const dial = transport.dial.bind(transport)
      this.#dialTcp = dial
      transport.dial = async (address, options) => {
        if (!this.#relays.has(peerOf(address) ?? '')) return dial(address, options)
        try {
          return await dial(address, this.#fromPort(options))
        } catch (error) {
          // Where it was connected until a minute ago, the system may still hold that way.
          if (!TAKEN.has((error as NodeJS.ErrnoException).code ?? '')) throw error
          return dial(address, options)
        }
      }
      return transport
    }
  }

  /** libp2p's DCUtR service, told how relays see this node, and dialling as that takes. */
  service(): (components: PunchingComponents) => unknown {
    return (components) => {
      const { addressManager, connectionManager, events, peerId } = components
      events.addEventListener('peer:identify', ({ detail }) => this.#identified(detail))
      const openConnection: ConnectionManager['openConnection'] = (target, options) =>
        // Only what DCUtR has arranged with the other side has a priority.
        options?.priority === undefined
          ? connectionManager.openConnection(target, options)
          : this.#punch(components, [target].flat() as Multiaddr[], options.signal!)
      const getAddresses = (): Multiaddr[] =>
        this.#observed === undefined
          ? addressManager.getAddresses()
          : [this.#observed.encapsulate(`/p2p/${peerId.toString()}`)]
      const { logger, peerStore, registrar, transportManager } = components
      return dcutr()({
        ...{ logger, peerStore, registrar, transportManager },
        connectionManager: { openConnection } as ConnectionManager,
        addressManager: { getAddresses } as AddressManager
      })
    }
  }

  #identified({ connection, observedAddr }: IdentifyResult): void {
    if (observedAddr === undefined || !this.#relays.has(connection.remotePeer.toString())) return
    const codes = observedAddr.getComponents().map(({ code }) => code)
    if (codes[1] === CODE_TCP && !isRelayed(connection)) this.#observed = observedAddr.decapsulateCode(CODE_P2P)
  }

  /** Both sides may have dialled the other through a relay: one attempt, and one direct connection, is enough. */
  async #punch(components: PunchingComponents, addresses: Multiaddr[], signal: AbortSignal): Promise<Connection> {
    const peer = peerOf(addresses[0])
    if (peer === undefined) throw new InvalidMultiaddrError('addresses to punch a hole to must name the peer')
    const direct = components.connectionManager
      .getConnections(peerIdFromString(peer))
      .find((connection) => connection.status === 'open' && !isRelayed(connection))
    if (direct !== undefined) return direct
    const ways = addresses.filter((address) => peerOf(address) === peer).slice(0, MOST_ADDRESSES)
    const attempt = this.#attempts.get(peer) ?? this.#dial(components, ways, signal)
    this.#attempts.set(peer, attempt)
    return attempt.finally(() => this.#attempts.delete(peer))
  }

  /** Who speaks first follows from the ids, so that it is the same whoever asked. */
  #dial({ peerId, upgrader }: PunchingComponents, addresses: Multiaddr[], signal: AbortSignal): Promise<Connection> {
    const dial = (address: Multiaddr): Promise<Connection> => {
      const speaksFirst = peerId.toString() < peerOf(address)!
      return this.#dialTcp!(address, this.#fromPort({ signal, upgrader: speaksFirst ? upgrader : answering(upgrader) }))
    }
    return Promise.any(addresses.map(dial))
  }

  #fromPort<T>(options: T): T & { localPort: number } {
    return { ...options, localPort: this.#port }
  }
}

function peerOf(address: Multiaddr): string | undefined {
  return address.getComponents().findLast(({ code }) => code === CODE_P2P)?.value
}

/** Makes of a connection that was dialled one in which the other side speaks first, in each layer. */
function answering(upgrader: Upgrader): Upgrader {
  const upgradeOutbound: Upgrader['upgradeOutbound'] = (connection, options) =>
    upgrader.upgradeOutbound(Object.assign(connection, { direction: 'inbound' }), { ...options, initiator: false })
  return { upgradeOutbound } as Upgrader
}

function isRelayed({ remoteAddr }: Connection): boolean {
  return remoteAddr.getComponents().some(({ code }) => code === CODE_P2P_CIRCUIT)
}

/** A TCP port of this machine that nobody listens on. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
