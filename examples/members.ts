// The members of a task, as each of the examples wants them: every one a libp2p node with an identity of its own. In an
// application each runs on somebody's own device and finds the others there; here they share a process and are introduced.
import { gossipsub } from '@chainsafe/libp2p-gossipsub'
import { noise } from '@chainsafe/libp2p-noise'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import { createTask, secureAggregation } from '../src/index.ts' // 'secagg' in a project of your own
import type { TaskInput } from '../src/index.ts'

export async function startMembers(count: number, terms: Omit<TaskInput, 'members'>) {
  const keys = await Promise.all(Array.from({ length: count }, () => generateKeyPair('Ed25519')))
  // All members agree on the task, word by word: it says who is in it and what may be contributed.
  const task = createTask({ ...terms, members: keys.map((key) => peerIdFromPrivateKey(key).toString()) })
  const nodes = await Promise.all(
    keys.map((privateKey) =>
      createLibp2p({
        privateKey,
        addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
        transports: [tcp()],
        connectionEncrypters: [noise()],
        streamMuxers: [yamux()],
        services: {
          identify: identify(),
          pubsub: gossipsub(),
          aggregation: secureAggregation({ tasks: [task] })
        }
      })
    )
  )
  for (const node of nodes) for (const other of nodes) if (other !== node) await node.dial(other.getMultiaddrs())
  return {
    task,
    /** The service of each node. */
    members: nodes.map((node) => node.services.aggregation),
    stop: async () => {
      for (const node of nodes) await node.stop()
    }
  }
}
