import { gossipsub } from '@chainsafe/libp2p-gossipsub'
import { noise } from '@chainsafe/libp2p-noise'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import type { Libp2p } from '@libp2p/interface'
import { memory } from '@libp2p/memory'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import { createTask, secureAggregation } from '../../src/index.ts'
import type { SecureAggregation, SecureAggregationInit, Task, TaskInput } from '../../src/index.ts'

export type Node = Libp2p<{ aggregation: SecureAggregation }>

let networks = 0

/** Nodes as an application makes them, all connected, with the service and nothing else of ours. */
export function network(members: number, ...terms: Terms[]) {
  return networkWith({}, members, ...terms)
}

type Terms = Partial<TaskInput> | ((ids: string[]) => Partial<TaskInput>)

export async function networkWith(init: Partial<SecureAggregationInit>, members: number, ...terms: Terms[]) {
  const number = networks++
  const keys = await Promise.all(Array.from({ length: members }, () => generateKeyPair('Ed25519')))
  const ids = keys.map((key) => peerIdFromPrivateKey(key).toString())
  const tasks = terms.map((more, index) =>
    createTask({
      name: `task-${index}`,
      members: ids,
      length: 4,
      encoding: { type: 'integer', max: 100 },
      ...(typeof more === 'function' ? more(ids) : more)
    })
  )
  // One factory for all: what a node keeps is its own.
  const aggregation = secureAggregation({ ...init, tasks })
  const nodes: Node[] = []
  for (const [index, privateKey] of keys.entries()) {
    nodes.push(
      await createLibp2p({
        privateKey,
        addresses: { listen: [`/memory/service-${number}-${index}`] },
        transports: [memory()],
        connectionEncrypters: [noise()],
        streamMuxers: [yamux()],
        services: {
          identify: identify(),
          pubsub: gossipsub({ allowPublishToZeroTopicPeers: true }),
          aggregation
        }
      })
    )
  }
  await connect(nodes)
  await heard(nodes, tasks)
  return { nodes, tasks, ids, keys, stop: () => Promise.all(nodes.map(async (node) => node.stop())) }
}

export async function connect(nodes: Node[]): Promise<void> {
  for (const [index, node] of nodes.entries())
    for (const other of nodes.slice(0, index)) await node.dial(other.getMultiaddrs())
}

/** Resolves when every node listens to every other. */
export async function heard(nodes: Node[], tasks: Task[]): Promise<void> {
  const all = () =>
    nodes.every(({ services }) =>
      tasks.every(({ id }) => services.aggregation.session(id).subscribers().length === nodes.length - 1)
    )
  while (!all()) await new Promise((resolve) => setTimeout(resolve, 20))
}
