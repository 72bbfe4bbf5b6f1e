import { generateKeyPair } from '@libp2p/crypto/keys'
import { Network } from '../network/nodes.ts'
const network = new Network()
const keys = await Promise.all(Array.from({ length: 16 }, () => generateKeyPair('Ed25519')))
const c0 = process.cpuUsage()
for (const privateKey of keys)
  await network.add({
    privateKey,
    bootstrap: network.nodes.length ? [network.nodes[0].getMultiaddrs()[0].toString()] : []
  })
const ids = network.nodes.map((n) => n.peerId.toString())
const t = performance.now()
const c = process.cpuUsage()
for (const n of network.nodes) n.services.links.follow(ids)
await Promise.all(network.nodes.map((n) => n.services.links.waitFor(ids)))
console.log(
  'create',
  (c.user + c.system - c0.user - c0.system) / 1000,
  'connect',
  performance.now() - t,
  process.cpuUsage(c).user / 1000,
  network.nodes.map((n) => n.getConnections().length).join(' ')
)
await new Promise((r) => setTimeout(r, 3000))
console.log('3s later', process.cpuUsage(c).user / 1000, network.nodes.map((n) => n.getConnections().length).join(' '))
await network.stop()
process.exit(0)
