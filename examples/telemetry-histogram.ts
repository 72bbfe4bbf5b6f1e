// Telemetry that knows nobody: each app counts its own response times in buckets, and the developers learn the histogram of
// all. The members answer every round as it opens, and one of them asks for rounds.
import { gossipsub } from '@chainsafe/libp2p-gossipsub'
import { noise } from '@chainsafe/libp2p-noise'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import { createTask, secureAggregation } from '../src/index.ts' // 'secagg' in a project of your own

const buckets = [5, 10, 20, 50, 100, 200, 500, Infinity] // milliseconds, upper ends
const apps = 6

const keys = await Promise.all(Array.from({ length: apps }, () => generateKeyPair('Ed25519')))
const histogram = createTask({
  name: 'response-times',
  members: keys.map((key) => peerIdFromPrivateKey(key).toString()),
  length: buckets.length,
  encoding: { type: 'integer', max: 10_000 },
  threat: { corrupt: 0.2, dropout: 0.2 } // one of them may be a spy, and another one may vanish
})

/** What one app saw since the last round; it stays on the device. */
function measure(app: number): number[] {
  const counts = buckets.map(() => 0)
  for (let request = 0; request < 100; request++) {
    const ms = 4 * (app + 1) * Math.exp(2 * Math.random())
    counts[buckets.findIndex((end) => ms <= end)]++
  }
  return counts
}

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
        aggregation: secureAggregation({ tasks: [histogram] })
      }
    })
  )
)
for (const node of nodes) for (const other of nodes) if (other !== node) await node.dial(other.getMultiaddrs())

const services = nodes.map((node) => node.services.aggregation)
for (const [app, service] of services.entries()) service.onRound(histogram.id, () => ({ vector: measure(app) }))

const [reader] = services
for (let round = 1; round <= 2; round++) {
  const summed = new Promise<void>((resolve) => {
    reader.addEventListener('sum', ({ detail }) => void reader.sum(histogram.id, detail).then(print).then(resolve), {
      once: true
    })
  })
  await reader.want(histogram.id)
  await summed
}
for (const node of nodes) await node.stop()

function print({ round, values, included }: Awaited<ReturnType<typeof reader.sum>>): void {
  const counts = Array.from(values, Number)
  const total = counts.reduce((sum, count) => sum + count, 0)
  console.log(`round ${round}: ${total} requests of ${included.length} apps`)
  for (const [index, count] of counts.entries())
    console.log(`${label(index).padStart(10)} ${'█'.repeat((60 * count) / total)} ${count}`)
}

function label(bucket: number): string {
  return bucket < buckets.length - 1 ? `≤ ${buckets[bucket]} ms` : 'slower'
}
