import { bootstrap } from '@libp2p/bootstrap'
import { circuitRelayTransport } from '@libp2p/circuit-relay-v2'
// Streams between pages, which nobody can dial otherwise.
import { webRTC } from '@libp2p/webrtc'
import { webSockets } from '@libp2p/websockets'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import type { ConnectionGater, PrivateKey } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { rosterGater } from '../../src/network/admission.ts'
import { Links } from '../../src/network/links.ts'
import { secureAggregation } from '../../src/network/service.ts'
import type { SecureAggregationInit } from '../../src/network/service.ts'
import { Reservations } from '../daemon/reservations.ts'
import type { ReservationComponents } from '../daemon/reservations.ts'
import { acquaintance, gossip, multiplexer, peerRouting } from '../network-settings.ts'
import { encryption } from '../packets.ts'

/** A dial of another page goes through a relay, finds ways between the two and tries them. */
const WEBRTC_MS = 20_000

export interface PageNodeOptions {
  privateKey: PrivateKey
  /** WebSocket addresses of daemons, each ending in /p2p/<peer id>. */
  bootstrap: string[]
  /** All is on one machine or a local network: lets the page dial without TLS. */
  local: boolean
  /** STUN and TURN servers for streams between pages; with none, pages meet only where their addresses reach each other. */
  iceServers: RTCIceServer[]
  /** Whether a peer has a reason to be connected. */
  expects: (peer: string) => boolean
  aggregation: SecureAggregationInit
}

export type PageNode = Awaited<ReturnType<typeof createPageNode>>

/**
 * A libp2p node as a page can have one: it dials daemons by WebSocket and other pages by WebRTC, for which it takes a
 * place at each bootstrap daemon that relays. Where WebRTC finds no way, a relay without limits carries the rest.
 */
export async function createPageNode(options: PageNodeOptions) {
  const { privateKey, local, iceServers, expects, aggregation } = options
  const known = options.bootstrap.map((address) => multiaddr(address))
  return createLibp2p({
    privateKey,
    addresses: { listen: ['/webrtc'] },
    transports: [webSockets(), circuitRelayTransport(), webRTC({ rtcConfiguration: { iceServers } })],
    connectionEncrypters: [encryption()],
    streamMuxers: [multiplexer()],
    // `Links` keeps the connections up.
    peerDiscovery: known.length === 0 ? [] : [bootstrap({ list: options.bootstrap, timeout: 0, tagTTL: Infinity })],
    connectionGater: gater(options.bootstrap, expects, local),
    // A tab that is not looked at may be slow to answer; one that was closed takes its sockets along.
    connectionMonitor: { pingTimeout: { minTimeout: 20_000, maxTimeout: 60_000 } },
    services: {
      ...acquaintance(),
      // The gater says who may connect, so that many peers of one address are members behind one relay.
      pubsub: gossip(true),
      dht: peerRouting({ clientMode: true }),
      links: (components: ConstructorParameters<typeof Links>[0]) =>
        new Links(components, { bootstrap: known, dialTimeout: WEBRTC_MS }),
      reservations: (components: ReservationComponents) => new Reservations(components, known),
      aggregation: secureAggregation(aggregation)
    }
  })
}

function gater(addresses: string[], isMember: (peer: string) => boolean, local: boolean): ConnectionGater {
  const bootstrap = addresses.map((address) => address.split('/p2p/').at(-1)!)
  // Browsers refuse plain WebSockets from pages that came by https, and log an error for each.
  const insecure = (names: string[]): boolean => names.includes('ws') && !names.includes('tls')
  return {
    ...rosterGater(isMember, { bootstrap }),
    denyDialMultiaddr: (address: Multiaddr) => {
      const names = address.getComponents().map(({ name }) => name)
      return !local && insecure(names)
    }
  }
}
