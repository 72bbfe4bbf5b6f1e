import assert from 'node:assert/strict'
import { join } from 'node:path'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { createNetworkKey, readNetworkKey } from '../../nodes/daemon/network-key.ts'
import { readNpy } from '../../nodes/npy.ts'
import { rosterGater } from '../../src/network/admission.ts'
import { Network, openTo, until } from '../network/nodes.ts'
import { Daemons, makeMembers } from './daemons.ts'
import { temporaryFolder } from './secagg.ts'

describe('members behind routers', () => {
  const folder = temporaryFolder()
  const daemons = new Daemons()
  const network = new Network()
  afterEach(async () => {
    await daemons.stop()
    await network.stop()
  })

  it('that listen on nothing take part in a round through a member that relays', async () => {
    const members = await makeMembers(folder(), 4)
    const relay = await daemons.start(members, 0, { relay: { serve: true } })
    const use = [relay.addresses[0]]
    await daemons.start(members, 1, { bootstrap: use })
    for (const number of [2, 3]) await daemons.start(members, number, { listen: [], relay: { use } })
    const all = daemons.running
    const isReady = (): boolean =>
      all.every((daemon) => daemon.status().connected.length === 3 && daemon.status().subscribed.length === 3)
    await until(isReady, 'all are connected', 40_000)
    for (const daemon of all.slice(2))
      assert.ok(
        daemon.addresses.every((address) => address.includes('/p2p-circuit')),
        daemon.addresses.join()
      )

    await Promise.all(all.map((daemon, number) => daemon.stage(1, members.inputs[number])))
    await all[2].want()
    await until(() => daemons.outcomes.every(({ length }) => length === 1), 'the round is closed', 40_000)
    for (const [outcome] of daemons.outcomes) assert.equal(outcome.included.length, 4, outcome.reason)
    const sum = join(folder(), 'sum.npy')
    await all[3].export(1, sum)
    assert.deepEqual([...(await readNpy(sum)).values].map(Number), [1 + 2 + 3 + 4, 40])
  })

  it('carry more through it than a limited relay lets pass', async () => {
    const relay = await network.add({ relay: { serve: true } })
    const use = relay.getMultiaddrs().map(String)
    const alice = await network.add({ listen: [], relay: { use } })
    const bob = await network.add({ bootstrap: use })
    await until(() => alice.getMultiaddrs().length > 0, 'the relay has reserved a place')
    const received = Promise.withResolvers<number>()
    await alice.handle('/test/1', (stream) => {
      let bytes = 0
      stream.addEventListener('message', ({ data }) => (bytes += data.byteLength))
      stream.addEventListener('remoteCloseWrite', () => received.resolve(bytes))
    })
    const stream = await bob.dialProtocol(alice.getMultiaddrs(), '/test/1')
    assert.match(openTo(bob, alice)[0], /p2p-circuit/)
    const piece = new Uint8Array(1 << 16)
    for (let sent = 0; sent < 16; sent++)
      if (!stream.send(piece)) await new Promise((go) => stream.addEventListener('drain', go, { once: true }))
    await stream.close()
    assert.equal(await received.promise, 1 << 20)
  })

  it('are found by their place at it as soon as they have one', async () => {
    const relay = await network.add({ relay: { serve: true } })
    let known: string[] = []
    relay.addEventListener('peer:update', ({ detail: { peer } }) => {
      known = peer.addresses.map(({ multiaddr }) => multiaddr.toString())
    })
    await network.add({ listen: [], relay: { use: relay.getMultiaddrs().map(String) } })
    await until(() => known.some((address) => address.includes('/p2p-circuit')), 'the relay tells others of it')
  })

  it('relay for members only', async () => {
    const members = new Set<string>()
    const connectionGater = rosterGater((id) => members.has(id))
    const relay = await network.add({ relay: { serve: true } })
    members.add(relay.peerId.toString())
    const use = relay.getMultiaddrs().map(String)
    const mallory = await network.add({ bootstrap: use })
    const alice = await network.add({ listen: [], relay: { use }, connectionGater })
    await until(() => alice.getMultiaddrs().length > 0, 'the relay has reserved a place')
    // The relay lets her through, and the member behind it does not.
    await assert.rejects(mallory.dial(alice.getMultiaddrs()))
    assert.deepEqual(openTo(alice, mallory), [])

    const strict = await network.add({ relay: { serve: true }, connectionGater })
    const eve = await network.add({ listen: [], relay: { use: strict.getMultiaddrs().map(String) } })
    await eve.dial(strict.getMultiaddrs()).catch(() => {})
    await until(() => strict.getConnections(eve.peerId).length === 0, 'a stranger is sent away')
    assert.deepEqual(eve.getMultiaddrs(), [])
  })
})

describe('a private network', () => {
  const folder = temporaryFolder()
  const network = new Network()
  afterEach(() => network.stop())

  it('connects who has its key, and nobody with another key or none', async () => {
    const [ours, other] = [join(folder(), 'ours.key'), join(folder(), 'other.key')]
    await createNetworkKey(ours)
    await createNetworkKey(other)
    const key = await readNetworkKey(ours)
    const alice = await network.add({ networkKey: key })
    const bob = await network.add({ networkKey: key })
    await bob.dial(alice.getMultiaddrs())
    assert.equal(openTo(bob, alice).length, 1)
    const signal = AbortSignal.timeout(5_000)
    for (const networkKey of [await readNetworkKey(other), undefined]) {
      const mallory = await network.add({ networkKey, privateKey: await generateKeyPair('Ed25519') })
      await assert.rejects(mallory.dial(alice.getMultiaddrs(), { signal }))
      assert.deepEqual(openTo(alice, mallory), [])
    }
  })
})
