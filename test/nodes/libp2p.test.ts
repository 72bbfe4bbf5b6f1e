import assert from 'node:assert/strict'
import { once } from 'node:events'
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { createNode } from '../../nodes/daemon/libp2p.ts'
import { SecureAggregationError } from '../../src/errors.ts'
import { Announcements } from '../../src/network/gossip.ts'
import { componentsOf, Network, until } from '../network/nodes.ts'
import type { ChildProcess } from 'node:child_process'
import type { Ed25519PrivateKey } from '@libp2p/interface'
import type { SecaggNode } from '../../nodes/daemon/libp2p.ts'

interface Line {
  address?: string
  connected?: string[]
  heard?: string
}

/** A member in a process of its own, and what it printed. */
function startMember(
  key: Ed25519PrivateKey,
  bootstrap: string,
  members: string[]
): { child: ChildProcess; lines: Line[] } {
  const program = new URL('member-process.ts', import.meta.url).pathname
  const child = spawn(process.execPath, [program, Buffer.from(key.raw).toString('hex'), bootstrap, ...members], {
    stdio: ['pipe', 'pipe', 'inherit']
  })
  const lines: Line[] = []
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(JSON.parse(line) as Line))
  return { child, lines }
}

async function keysOf(members: number): Promise<{ keys: Ed25519PrivateKey[]; ids: string[] }> {
  const keys = await Promise.all(Array.from({ length: members }, () => generateKeyPair('Ed25519')))
  return { keys, ids: keys.map((key) => peerIdFromPrivateKey(key).toString()) }
}

describe('a network that knows one address', () => {
  const network = new Network()
  afterEach(() => network.stop())

  it('of eight processes connects all 28 pairs, and gossip reaches all', async () => {
    const { keys, ids } = await keysOf(8)
    const members = [startMember(keys[0], '', ids)]
    try {
      await until(() => members[0].lines.length > 0, 'the first is up')
      for (const key of keys.slice(1)) members.push(startMember(key, members[0].lines[0].address!, ids))
      const all = (): boolean => members.every(({ lines }) => lines.some((line) => line.connected?.length === 7))
      await until(all, 'every member is connected to the 7 others', 40_000)
      members[5].child.stdin!.write('announce\n')
      const others = members.filter((_, i) => i !== 5)
      await until(() => others.every(({ lines }) => lines.some(({ heard }) => heard === ids[5])), 'all 7 have heard')
    } finally {
      await Promise.all(
        members.map(({ child }) => {
          child.stdin!.end()
          return once(child, 'exit')
        })
      )
    }
  })

  for (const [size, memory] of [
    [16, false],
    [6, true]
  ] as const) {
    const where = memory ? 'in memory' : 'on one address'
    it(`of ${size} nodes ${where} connects all, and gossip reaches all`, async () => {
      const { keys, ids } = await keysOf(size)
      const nodes: SecaggNode[] = []
      for (const privateKey of keys) {
        const bootstrap = nodes.length === 0 ? [] : [nodes[0].getMultiaddrs()[0].toString()]
        nodes.push(await network.add({ privateKey, bootstrap, memory }))
      }
      for (const node of nodes) node.services.links.follow(ids)
      const signal = AbortSignal.timeout(40_000)
      await Promise.all(nodes.map((node) => node.services.links.waitFor(ids, { signal })))
      // In memory two dials at the same time may end each other; such a pair finds itself again.
      await until(() => nodes.every((node) => node.services.links.connected().length === size - 1), 'all are connected')

      const heard = new Set<string>()
      const announcements = nodes.map((node) => {
        const deliver = (from: string): void => void (from === ids[3] && heard.add(node.peerId.toString()))
        return new Announcements(componentsOf(node), new Uint8Array(32), {
          isMember: () => true,
          validate: () => 'accept',
          deliver
        })
      })
      announcements.forEach((each) => each.start())
      await until(
        () => announcements.every((each) => each.subscribers().length === size - 1),
        'all know all subscribers'
      )
      // Scores have been counted by then: this is when peers of one address would have lost theirs.
      await new Promise((resolve) => setTimeout(resolve, 2_000))
      await announcements[3].publish(new Uint8Array([1]))
      await until(() => heard.size === size - 1, 'all others have heard')
    })
  }
})

describe('a connection', () => {
  const network = new Network()
  afterEach(() => network.stop())

  it('bears several pings at once, as when the other side has not answered for a while', async () => {
    const [alice, bob] = [await network.add({ memory: true }), await network.add({ memory: true })]
    await alice.dial(bob.getMultiaddrs())
    await Promise.all(Array.from({ length: 7 }, () => alice.services.ping.ping(bob.peerId)))
  })
})

describe('a node', () => {
  const network = new Network()
  afterEach(() => network.stop())

  async function refusal(options: { listen?: string[]; bootstrap?: string[] }): Promise<string> {
    const privateKey = await generateKeyPair('Ed25519')
    try {
      network.nodes.push(await createNode({ privateKey, listen: [], bootstrap: [], ...options }))
    } catch (error) {
      assert.ok(error instanceof SecureAggregationError, String(error))
      assert.doesNotMatch(error.message, /\n/)
      return `${error.code}: ${error.message}`
    }
    throw new Error('the node started')
  }

  it('says in one sentence that its port is in use', async () => {
    const first = await network.add()
    const listen = first.getMultiaddrs()[0].decapsulate('/p2p').toString()
    const expected = `LISTEN_FAILED: the address ${listen} is in use; choose another in \`listen\`, or end the program that has it`
    assert.equal(await refusal({ listen: [listen] }), expected)
  })

  it('says which address it cannot read, and which lacks a peer id', async () => {
    assert.match(await refusal({ listen: ['127.0.0.1:4001'] }), /^ADDRESS_INVALID: `listen` has "127\.0\.0\.1:4001"/)
    assert.match(await refusal({ bootstrap: ['/ip4/127.0.0.1/tcp/4001'] }), /^ADDRESS_INVALID: .*without a peer id/)
  })

  it('may find its own address among the bootstrap addresses', async () => {
    const privateKey = await generateKeyPair('Ed25519')
    const own = `/ip4/127.0.0.1/tcp/4001/p2p/${peerIdFromPrivateKey(privateKey).toString()}`
    const node = await network.add({ privateKey, bootstrap: [own] })
    assert.equal(node.status, 'started')
  })

  it('speaks a peer routing protocol of our own, and not the public one', async () => {
    const protocols = (await network.add({ memory: true })).getProtocols()
    assert.ok(protocols.includes('/secagg/kad/1.0.0'))
    assert.ok(!protocols.some((protocol) => protocol.startsWith('/ipfs/kad')))
  })
})
