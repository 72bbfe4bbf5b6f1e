// A member in a process of its own, for libp2p.test.ts: argv is the secret key (hex), the bootstrap address or '',
// and the ids of all members; it prints one JSON object a line.
import { componentsOf } from '../network/nodes.ts'
import { privateKeyFromRaw } from '@libp2p/crypto/keys'
import { createNode } from '../../nodes/daemon/libp2p.ts'
import { Announcements } from '../../src/network/gossip.ts'

const [secret, bootstrap, ...members] = process.argv.slice(2)
const print = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`)

const node = await createNode({
  privateKey: privateKeyFromRaw(Buffer.from(secret, 'hex')),
  listen: ['/ip4/127.0.0.1/tcp/0'],
  bootstrap: bootstrap === '' ? [] : [bootstrap],
  local: true
})
const announcements = new Announcements(componentsOf(node), new Uint8Array(32).fill(7), {
  isMember: () => true,
  validate: () => 'accept',
  deliver: (from) => print({ heard: from })
})
announcements.start()
print({ address: node.getMultiaddrs()[0].toString(), cpu: process.cpuUsage() })
node.services.links.follow(members)
await node.services.links.waitFor(members)
print({
  connected: node.services.links.connected(),
  connections: node.getConnections().length,
  cpu: process.cpuUsage()
})

process.stdin.on('data', () => void announcements.publish(new Uint8Array([1])))
process.stdin.on('end', () => process.exit(0))
