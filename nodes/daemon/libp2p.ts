import { bootstrap } from '@libp2p/bootstrap'
import { circuitRelayServer, circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { dcutr } from '@libp2p/dcutr'
import { memory } from '@libp2p/memory'
import { preSharedKey } from '@libp2p/pnet'
import { tcp } from '@libp2p/tcp'
import { webSockets } from '@libp2p/websockets'
import { CODE_P2P, multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { SecureAggregationError } from '../../src/errors.ts'
import { Links } from '../../src/network/links.ts'
import { acquaintance, gossip, multiplexer, peerRouting } from '../network-settings.ts'
import { encryption } from '../packets.ts'
import { HolePunching } from './hole-punching.ts'
import { Reservations } from './reservations.ts'
import type { ReservationComponents } from './reservations.ts'
import type { GossipSub } from '@chainsafe/libp2p-gossipsub'
import type { Identify } from '@libp2p/identify'
import type {
  ComponentLogger,
  ConnectionGater,
  Libp2p,
  Libp2pEvents,
  PeerDiscovery,
  PrivateKey,
  ServiceMap
} from '@libp2p/interface'
import type { AddressManager } from '@libp2p/interface-internal'
import type { KadDHT } from '@libp2p/kad-dht'
import type { Ping } from '@libp2p/ping'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { Libp2pOptions, ServiceFactoryMap } from 'libp2p'
import type { TypedEventTarget } from 'main-event'

/** Twice the members of the largest roster. */
const MOST_RELAYED = 256

/** Without routing, a peer of unknown address comes by itself: each dial before only takes time from the others. */
const unsought = { maxDelay: 60_000 }

/** What a further service is built from: libp2p's own components and the services that every node has. */
export type ServiceComponents = Parameters<ServiceFactoryMap<NodeServices>['pubsub']>[0]

export interface NodeOptions<T extends ServiceMap = Record<never, never>> {
  /** Ed25519; the peer id follows from it. */
  privateKey: PrivateKey
  /** Addresses to listen on: /ip4/…/tcp/…, with /ws for browsers, or /memory/… with `memory`. */
  listen: string[]
  /** Addresses of peers to meet the others through, each ending in /p2p/<peer id>. One's own may be among them. */
  bootstrap: string[]
  /** Look for peers on the local network segment. */
  mdns?: boolean
  /** All peers share one address, as on loopback: lifts the limits on peers of one address. Never on the internet. */
  local?: boolean
  /** The in-memory transport, for nodes of one process. */
  memory?: boolean
  /** Look for peers by their id, and help others to: so unless false, where all know each other's addresses. */
  routing?: boolean
  /** Addresses at which others reach this node beside those it listens on: a public one in front of it. */
  announce?: string[]
  /** The key of a private network, 95 bytes as libp2p writes them: peers without it cannot connect. */
  networkKey?: Uint8Array
  relay?: RelayOptions
  /** Who may connect; anybody if left out. */
  connectionGater?: ConnectionGater
  /** Further services, by name. */
  services?: { [name in keyof T]: (components: ServiceComponents) => T[name] }
  logger?: ComponentLogger
}

interface ListeningComponents {
  addressManager: AddressManager
  events: TypedEventTarget<Libp2pEvents>
}

export interface RelayOptions {
  /** Relay for others, without a limit on time or bytes: vectors pass through. `connectionGater` says for whom. */
  serve?: boolean
  /** Addresses of relays, each ending in /p2p/<peer id>, through which others reach this node. */
  use?: string[]
}

/** What every node has, beside the services it was given. */
export interface NodeServices extends ServiceMap {
  identify: Identify
  ping: Ping
  pubsub: GossipSub
  dht?: KadDHT
  links: Links
}

export type SecaggNode<T extends ServiceMap = Record<never, never>> = Libp2p<NodeServices & T>

/**
 * A started libp2p node: TCP, WebSockets and relays (or memory), Noise, Yamux, gossip, and peer routing in a network of our
 * own, so that members who know one address find each other by peer id.
 * Throws SecureAggregationError LISTEN_FAILED or ADDRESS_INVALID.
 */
export async function createNode<T extends ServiceMap = Record<never, never>>(
  options: NodeOptions<T>
): Promise<SecaggNode<T>> {
  const listen = options.listen.map(parseListen)
  const relays = (options.relay?.use ?? []).map((address) => parseKnown(address, 'relay.use'))
  const known = [...options.bootstrap.map((address) => parseKnown(address, 'bootstrap')), ...relays]
  // Holes are punched where there may be routers between members.
  const punching = relays.length > 0 && options.local !== true ? await HolePunching.through(relays) : undefined
  const gated = options.connectionGater !== undefined
  const own = {
    ...acquaintance(),
    // Where a gater says who may connect, many peers of one address are members behind one router or relay.
    pubsub: gossip(options.local === true || gated),
    ...(options.routing !== false && { dht: peerRouting({ clientMode: false }) }),
    ...(options.memory === true ? {} : behindRouters(options, relays, punching)),
    links: (components: ConstructorParameters<typeof Links>[0]) =>
      new Links(components, { bootstrap: known, ...(options.routing === false && unsought) })
  }
  const settings = {
    privateKey: options.privateKey,
    addresses: {
      listen,
      appendAnnounce: (options.announce ?? []).map((address) => parseAddress(address, 'announce').toString())
    },
    transports:
      options.memory === true ? [memory()] : [punching?.transport() ?? tcp(), webSockets(), circuitRelayTransport()],
    ...(options.networkKey && { connectionProtector: preSharedKey({ psk: options.networkKey }) }),
    connectionEncrypters: [encryption()],
    streamMuxers: [multiplexer()],
    peerDiscovery: await discovery(known, options.mdns === true),
    connectionManager: connectionLimits(options.local === true),
    connectionMonitor: connectionChecks(options.memory === true),
    connectionGater: options.connectionGater,
    services: { ...own, ...options.services },
    logger: options.logger,
    start: false
  }
  const node = await createLibp2p(settings as unknown as Libp2pOptions<NodeServices & T>)
  try {
    await node.start()
  } catch (error) {
    throw listenError(error, listen)
  }
  return node
}

/**
 * Ways to members behind routers. Streams of the protocol, of gossip and of peer routing do not run over a connection that
 * its relay limits, by libp2p's default: a relay of strangers (128 KiB, 2 minutes) serves to punch a hole, and what passes
 * through it is nothing of a round. A relay that is a member sets no limits, and what it relays is a connection like any other.
 */
function behindRouters(
  { relay, local }: Pick<NodeOptions, 'relay' | 'local'>,
  relays: Multiaddr[],
  punching?: HolePunching
): ServiceFactoryMap {
  return {
    listening: announceListening,
    ...(relay?.serve === true && {
      relay: circuitRelayServer({
        maxInboundHopStreams: 1_024,
        maxOutboundHopStreams: 1_024,
        maxOutboundStopStreams: 1_024,
        reservations: { maxReservations: MOST_RELAYED, applyDefaultLimit: false }
      })
    }),
    ...(relays.length > 0 && {
      reservations: (components: ReservationComponents) => new Reservations(components, relays)
    }),
    ...(local !== true && { dcutr: punching?.service() ?? dcutr() })
  }
}

/**
 * Tells others every address that this node listens on. libp2p keeps public ones to itself until strangers have dialled them
 * back (AutoNAT), and then relays would offer places without an address.
 */
function announceListening({ addressManager, events }: ListeningComponents): object {
  events.addEventListener('transport:listening', ({ detail: listener }) => {
    for (const address of listener.getAddrs()) addressManager.confirmObservedAddr(address, { type: 'transport' })
  })
  return {}
}

/** libp2p's defaults are 5 connections a second from one address, 10 pending and 300 in all. */
function connectionLimits(local: boolean): NonNullable<Libp2pOptions['connectionManager']> {
  const limits = { maxConnections: 2_048, maxIncomingPendingConnections: 256 }
  return local ? { ...limits, inboundConnectionThreshold: Infinity } : limits
}

/**
 * Event loops of a busy machine may stand still for seconds; a peer that died closes its socket anyway. In one process
 * nothing dies by itself, and a ping every ten seconds over each of thousands of connections takes more than all the rest.
 */
function connectionChecks(memory: boolean): NonNullable<Libp2pOptions['connectionMonitor']> {
  return memory ? { enabled: false } : { pingTimeout: { minTimeout: 20_000, maxTimeout: 60_000 } }
}

async function discovery(known: Multiaddr[], mdns: boolean): Promise<Discovery[]> {
  const found: Discovery[] = []
  const list = known.map(String)
  // Puts the addresses into the peer store and dials them once; `Links` keeps the connections.
  if (list.length > 0) found.push(bootstrap({ list, timeout: 0, tagTTL: Infinity }))
  if (mdns) found.push((await import('@libp2p/mdns')).mdns())
  return found
}

type Discovery = (components: never) => PeerDiscovery

function parseAddress(address: string, field: string): Multiaddr {
  try {
    return multiaddr(address)
  } catch (cause) {
    const sentence = `\`${field}\` has ${JSON.stringify(address)}, which is no address; write it like /ip4/127.0.0.1/tcp/4001`
    throw new SecureAggregationError('ADDRESS_INVALID', sentence, { cause })
  }
}

function parseListen(address: string): string {
  const parsed = parseAddress(address, 'listen').toString()
  if (!parsed.includes('/p2p-circuit')) return parsed
  throw new SecureAggregationError(
    'ADDRESS_INVALID',
    `\`listen\` has ${address}; name the relay in \`relay.use\` instead`
  )
}

/** Whether one of the transports listens there: TCP or WebSockets. */
export function isListenable(address: string): boolean {
  const names = multiaddr(address)
    .getComponents()
    .map(({ name }) => name)
    .filter((name) => name !== 'p2p')
  return ['tcp', 'ws', 'wss', 'unix'].includes(names.at(-1) ?? '')
}

function parseKnown(address: string, field: string): Multiaddr {
  const parsed = parseAddress(address, field)
  if (parsed.getComponents().some((part) => part.code === CODE_P2P)) return parsed
  const sentence = `\`${field}\` has ${address} without a peer id; add /p2p/ and the id that the peer prints at its start`
  throw new SecureAggregationError('ADDRESS_INVALID', sentence)
}

/** libp2p answers with stacks over several lines; only why and where are of use. */
function listenError(error: unknown, listen: string[]): unknown {
  if (!(error instanceof Error) || error.name !== 'UnsupportedListenAddressesError') return error
  const reasons: [RegExp, string][] = [
    [/EADDRINUSE|already in use/, 'is in use; choose another in `listen`, or end the program that has it'],
    [/EACCES/, 'is not allowed to this user; choose a port of 1024 or more in `listen`'],
    [/EADDRNOTAVAIL/, 'is no address of this machine; name one that is in `listen`']
  ]
  const why = reasons.find(([pattern]) => pattern.test(error.message))?.[1] ?? 'cannot be used; check `listen`'
  const where = listen.find((address) => error.message.includes(`${address}:`)) ?? listen.join(', ')
  return new SecureAggregationError('LISTEN_FAILED', `the address ${where} ${why}`, { cause: error })
}
