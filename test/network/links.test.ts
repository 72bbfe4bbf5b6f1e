import assert from 'node:assert/strict'
import { createServer, connect } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { circuitRelayServer } from '@libp2p/circuit-relay-v2'
import { generateKeyPair, privateKeyFromRaw } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { rosterGater } from '../../src/network/admission.ts'
import { Network, openTo, until } from './nodes.ts'
import type { Startable } from '@libp2p/interface'
import type { KadDHT } from '@libp2p/kad-dht'
import type { SecaggNode } from '../../nodes/daemon/libp2p.ts'

function idOf(node: SecaggNode): string {
  return node.peerId.toString()
}

describe('links', () => {
  const network = new Network()
  afterEach(() => network.stop())

  /** Two members that both know a third node, and do not know each other. */
  async function strangers(): Promise<[SecaggNode, SecaggNode, SecaggNode]> {
    const guide = await network.add()
    const bootstrap = [guide.getMultiaddrs()[0].toString()]
    return [await network.add({ bootstrap }), await network.add({ bootstrap }), guide]
  }

  it('find a member by its id alone', async () => {
    const [alice, bob] = await strangers()
    alice.services.links.follow([idOf(alice), idOf(bob)])
    await alice.services.links.waitFor([idOf(alice), idOf(bob)], { signal: AbortSignal.timeout(10_000) })
    assert.deepEqual(alice.services.links.connected(), [idOf(bob)])
  })

  it('come back after they broke', async () => {
    const [alice, bob] = await strangers()
    alice.services.links.follow([idOf(bob)])
    const signal = AbortSignal.timeout(10_000)
    await alice.services.links.waitFor([idOf(bob)], { signal })
    const gone = new Promise((resolve) => alice.addEventListener('peer:disconnect', resolve, { once: true }))
    await alice.hangUp(bob.peerId)
    await gone
    await alice.services.links.waitFor([idOf(bob)], { signal })
    assert.deepEqual(alice.services.links.connected(), [idOf(bob)])
  })

  it('come back to a bootstrap peer that was away, on its old address', async () => {
    const privateKey = await generateKeyPair('Ed25519')
    const guide = await network.add({ privateKey })
    const address = guide.getMultiaddrs()[0]
    const alice = await network.add({ bootstrap: [address.toString()] })
    await alice.services.links.waitFor([idOf(guide)], { signal: AbortSignal.timeout(10_000) })
    await guide.stop()
    await until(() => alice.getConnections().length === 0, 'the bootstrap peer is gone')
    await network.add({ privateKey, listen: [address.decapsulate('/p2p').toString()] })
    await alice.services.links.waitFor([idOf(guide)], { signal: AbortSignal.timeout(10_000) })
  })

  it('find a member that came back under another address', async () => {
    const [alice, bob, guide] = await strangers()
    const privateKey = privateKeyFromRaw((bob as unknown as { components: Keys }).components.privateKey.raw)
    alice.services.links.follow([idOf(bob)])
    await alice.services.links.waitFor([idOf(bob)], { signal: AbortSignal.timeout(10_000) })
    await bob.stop()
    await until(() => alice.getConnections(bob.peerId).length === 0, 'the member is gone')
    await network.add({ privateKey, bootstrap: [guide.getMultiaddrs()[0].toString()] })
    await alice.services.links.waitFor([idOf(bob)], { signal: AbortSignal.timeout(10_000) })
  })

  it('end a connection that a member lost unseen, when it has connected anew and answers there only', async () => {
    const privateKey = await generateKeyPair('Ed25519')
    const before = await network.add({ privateKey })
    const line = await Line.to(before.getMultiaddrs()[0].toString())
    try {
      const alice = await network.add()
      alice.services.links.follow([idOf(before)])
      await alice.dial(multiaddr(line.address))
      // The power of its router fails, say: neither side is told.
      line.cut()
      await before.stop()
      const after = await network.add({ privateKey, bootstrap: [alice.getMultiaddrs()[0].toString()] })
      await after.services.links.waitFor([idOf(alice)], { signal: AbortSignal.timeout(10_000) })
      const overLine = () => openTo(alice, after).filter((way) => way.includes(line.port))
      // The monitor of connections would need at least 20 seconds.
      await until(() => overLine().length === 0, 'the lost connection is ended', 12_000)
      assert.deepEqual(alice.services.links.connected(), [idOf(after)])
    } finally {
      line.close()
    }
  })

  it('keep both connections of a member that answers on both', async () => {
    const [alice, bob] = await strangers()
    alice.services.links.follow([idOf(bob)])
    await alice.services.links.waitFor([idOf(bob)], { signal: AbortSignal.timeout(10_000) })
    await bob.dial(alice.getMultiaddrs(), { force: true })
    await until(() => openTo(alice, bob).length >= 2, 'both are open')
    const both = alice.getConnections(bob.peerId)
    await new Promise((resolve) => setTimeout(resolve, 7_000))
    assert.ok(both.every(({ status }) => status === 'open'))
  })

  it('go on where a connection is lost just as its other side is to be asked', async () => {
    const [alice, bob] = await strangers()
    alice.services.links.follow([idOf(bob)])
    await alice.services.links.waitFor([idOf(bob)], { signal: AbortSignal.timeout(10_000) })
    const [first] = alice.getConnections(bob.peerId)
    const open = first.newStream.bind(first)
    first.newStream = async (...options) => {
      const stream = await open(...options)
      stream.abort(new Error('lost'))
      return stream
    }
    await bob.dial(alice.getMultiaddrs(), { force: true })
    // An answer that nobody waits for any more would end the process when its time is over.
    await until(() => first.status !== 'open', 'the connection on which nothing is answered is ended')
    await new Promise((resolve) => setTimeout(resolve, 6_000))
    assert.deepEqual(alice.services.links.connected(), [idOf(bob)])
  })

  it('do not dial a peer that refuses over and over without a pause', async () => {
    let refusals = 0
    const onRefused = (): void => void refusals++
    const closed = await network.add({ connectionGater: rosterGater(() => false, { onRefused }) })
    await network.add({ bootstrap: [closed.getMultiaddrs()[0].toString()] })
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    // Pauses of 200, 400 and 800 ms leave room for about four, and the peer discovery dials once.
    assert.ok(refusals >= 2 && refusals <= 8, `${refusals} dials in 1.5 seconds`)
  })

  it('do not take a connection that its relay limits for one', async () => {
    const services = { relay: circuitRelayServer() }
    const guide = await network.add({ services })
    const use = guide.getMultiaddrs().map(String)
    const alice = await network.add({ listen: [], relay: { use } })
    const bob = await network.add({ bootstrap: use })
    await until(() => alice.getMultiaddrs().length > 0, 'the relay has reserved a place')
    bob.services.links.follow([idOf(alice)])
    await bob.dial(alice.getMultiaddrs())
    assert.match(openTo(bob, alice)[0], /p2p-circuit/)
    assert.deepEqual(bob.services.links.connected(), [])
    await assert.rejects(bob.services.links.waitFor([idOf(alice)], { signal: AbortSignal.timeout(100) }))
  })

  it('leave a relay without limits for a direct way, where there is one', async () => {
    const relay = circuitRelayServer({ reservations: { applyDefaultLimit: false } })
    const guide = await network.add({ services: { relay } })
    const use = guide.getMultiaddrs().map(String)
    const alice = await network.add({ relay: { use } })
    const bob = await network.add({ bootstrap: use })
    const relayed = () => alice.getMultiaddrs().filter((address) => address.toString().includes('p2p-circuit'))
    await until(() => relayed().length > 0, 'the relay has reserved a place')
    await bob.dial(relayed())
    assert.ok(openTo(bob, alice).every((way) => way.includes('p2p-circuit')))
    bob.services.links.follow([idOf(alice)])
    assert.deepEqual(bob.services.links.connected(), [idOf(alice)])
    await until(() => openTo(bob, alice).some((way) => !way.includes('p2p-circuit')), 'they speak without the relay')
  })

  it('wait no longer than their signal, and forget members that left', async () => {
    const [alice] = await strangers()
    const absent = peerIdFromPrivateKey(await generateKeyPair('Ed25519')).toString()
    alice.services.links.follow([absent])
    const reason = new Error('waited enough')
    const stop = new AbortController()
    const waiting = alice.services.links.waitFor([absent], { signal: stop.signal })
    stop.abort(reason)
    await assert.rejects(waiting, reason)
    await assert.rejects(alice.services.links.waitFor([absent], { signal: stop.signal }), reason)
    alice.services.links.follow([])
    assert.deepEqual(alice.services.links.connected(), [])
  })

  it('dial nobody any more once they stopped', async () => {
    const [alice, bob] = await strangers()
    alice.services.links.follow([idOf(bob)])
    await alice.services.links.waitFor([idOf(bob)], { signal: AbortSignal.timeout(10_000) })
    // Peer routing dials for its own ends.
    for (const node of network.nodes) await (node.services.dht as KadDHT & Startable).stop()
    for (const node of network.nodes) node.services.links.stop()
    // So does libp2p, to peers that peer routing tagged to be kept, and once more where it was just about to.
    const apart = () => openTo(alice, bob).length + openTo(bob, alice).length === 0
    for (let time = 0; time < 20 && !apart(); time++) {
      await alice.peerStore.patch(bob.peerId, { tags: {} })
      await bob.peerStore.patch(alice.peerId, { tags: {} })
      await until(() => network.nodes.every((node) => node.getDialQueue().length === 0), 'nobody dials any more')
      await alice.hangUp(bob.peerId)
      await new Promise((resolve) => setTimeout(resolve, 500))
    }
    alice.services.links.follow([idOf(bob)])
    await new Promise((resolve) => setTimeout(resolve, 1_000))
    assert.deepEqual(openTo(alice, bob), [])
  })
})

/** Carries TCP between two nodes until it is cut, which neither of them is told. */
class Line {
  readonly address: string
  readonly port: string
  readonly #sockets: Socket[]
  readonly #server: ReturnType<typeof createServer>

  private constructor(address: string, port: string, sockets: Socket[], server: ReturnType<typeof createServer>) {
    this.address = address
    this.port = port
    this.#sockets = sockets
    this.#server = server
  }

  static async to(address: string): Promise<Line> {
    const [, far] = /\/tcp\/(\d+)/.exec(address)!
    const sockets: Socket[] = []
    const server = createServer({ allowHalfOpen: true }, (near) => {
      const other = connect({ port: Number(far), host: '127.0.0.1', allowHalfOpen: true })
      sockets.push(near, other)
      for (const socket of [near, other]) socket.on('error', () => {})
      near.pipe(other).pipe(near)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const port = String((server.address() as AddressInfo).port)
    return new Line(address.replace(`/tcp/${far}/`, `/tcp/${port}/`), port, sockets, server)
  }

  cut(): void {
    for (const socket of this.#sockets) socket.unpipe().pause()
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
  }
}

interface Keys {
  privateKey: { raw: Uint8Array }
}
