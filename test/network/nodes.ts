import { generateKeyPair } from '@libp2p/crypto/keys'
import { createNode } from '../../nodes/daemon/libp2p.ts'
import type { NodeOptions, SecaggNode } from '../../nodes/daemon/libp2p.ts'
import type { AnnouncementComponents } from '../../src/network/gossip.ts'
import type { Connection, Stream } from '@libp2p/interface'

/** Nodes that a test started, and their end. */
export class Network {
  readonly nodes: SecaggNode[] = []

  async add(options: Partial<NodeOptions> = {}): Promise<SecaggNode> {
    const node = await createNode({
      privateKey: await generateKeyPair('Ed25519'),
      listen: options.memory === true ? [`/memory/${crypto.randomUUID()}`] : ['/ip4/127.0.0.1/tcp/0'],
      bootstrap: [],
      local: true,
      ...options
    })
    this.nodes.push(node)
    return node
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.splice(0).map(async (node) => node.stop()))
  }
}

/** Open connections, as text: the comparison of libp2p's own objects, where it fails, takes all memory there is. */
export function openTo(node: SecaggNode, peer?: SecaggNode): string[] {
  return node
    .getConnections(peer?.peerId)
    .filter(({ status }) => status === 'open')
    .map(({ direction, remoteAddr }) => `${direction} ${remoteAddr.toString()}`)
}

/** What libp2p hands to its services: announcements are made of it. */
export function componentsOf(node: SecaggNode): AnnouncementComponents {
  const { connectionManager, registrar, events } = (node as unknown as { components: AnnouncementComponents })
    .components
  return { pubsub: node.services.pubsub, connectionManager, registrar, events }
}

/** Both ends of one stream of `protocol` from the first node to the second. */
export async function streamBetween(from: SecaggNode, to: SecaggNode, protocol: string): Promise<[Stream, Stream]> {
  const { promise, resolve } = Promise.withResolvers<Stream>()
  await to.handle(protocol, (stream: Stream, _connection: Connection) => resolve(stream))
  const outgoing = await from.dialProtocol(to.getMultiaddrs(), protocol)
  const incoming = await promise
  await to.unhandle(protocol)
  return [outgoing, incoming]
}

/** Waits until `condition` holds, for what happens on the other side of a network. */
export async function until(condition: () => boolean, what: string, patience = 15_000): Promise<void> {
  const end = Date.now() + patience
  while (!condition()) {
    if (Date.now() > end) throw new Error(`waited in vain until ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
