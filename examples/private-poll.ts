// A poll without a ballot box: five people answer three questions by yes (1) or no (0), and each of them learns how many
// said yes, but no answer of anybody else. Each would run one node on a device of its own; here they share a process.
import { gossipsub } from '@chainsafe/libp2p-gossipsub'
import { noise } from '@chainsafe/libp2p-noise'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import { createTask, secureAggregation } from '../src/index.ts' // 'secagg' in a project of your own

const questions = ['Shall the library open on Sundays?', 'Shall the square be closed to cars?', 'A new playground?']
const answers = {
  Ada: [1, 0, 1],
  Ben: [1, 1, 1],
  Cleo: [0, 1, 1],
  Dan: [1, 0, 0],
  Eve: [1, 1, 0]
}

// Every member has a libp2p identity, and all agree on the task, word by word: it says who is in it and what may be said.
const keys = await Promise.all(Object.keys(answers).map(() => generateKeyPair('Ed25519')))
const poll = createTask({
  name: 'town-poll',
  members: keys.map((key) => peerIdFromPrivateKey(key).toString()),
  length: questions.length,
  encoding: { type: 'integer', min: 0, max: 1 },
  threat: { corrupt: 0.2, dropout: 0 } // safe against any one of the five
})

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
        aggregation: secureAggregation({ tasks: [poll] })
      }
    })
  )
)
for (const node of nodes) for (const other of nodes) if (other !== node) await node.dial(other.getMultiaddrs())

// Whoever votes first asks for the round, and everybody gets the same counts. An answer of 2 would be refused right here.
const [counts] = await Promise.all(
  Object.values(answers).map((answer, member) => nodes[member].services.aggregation.contribute(poll.id, answer))
)
for (const [index, question] of questions.entries())
  console.log(`${question} ${counts.values[index]} of ${counts.included.length} say yes`)

for (const node of nodes) await node.stop()
