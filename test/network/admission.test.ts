import assert from 'node:assert/strict'
import { rosterGater } from '../../src/network/admission.ts'
import { Network, openTo, until } from './nodes.ts'

describe('admission by roster', () => {
  const network = new Network()
  const members = new Set<string>()
  const isMember = (id: string): boolean => members.has(id)
  afterEach(() => {
    members.clear()
    return network.stop()
  })

  it('connects members, dialled or dialling', async () => {
    const alice = await network.add({ connectionGater: rosterGater(isMember) })
    const bob = await network.add({ connectionGater: rosterGater(isMember) })
    members.add(alice.peerId.toString()).add(bob.peerId.toString())
    await alice.dial(bob.getMultiaddrs())
    await until(() => bob.getConnections(alice.peerId).length === 1, 'both are connected')
  })

  it('breaks the connection of a stranger who dials in, and says who it was', async () => {
    const refused: string[] = []
    const onRefused = (peerId: string, direction: string): void => void refused.push(`${direction} ${peerId}`)
    const alice = await network.add({ connectionGater: rosterGater(isMember, { onRefused }) })
    const mallory = await network.add()
    // The dial itself may succeed: the other side decides after it.
    await mallory.dial(alice.getMultiaddrs()).catch(() => {})
    await until(() => mallory.getConnections().length === 0, 'the connection is broken')
    assert.deepEqual(openTo(alice), [])
    assert.ok(refused.includes(`inbound ${mallory.peerId.toString()}`))
  })

  it('does not dial strangers', async () => {
    const alice = await network.add({ connectionGater: rosterGater(isMember) })
    const mallory = await network.add()
    await assert.rejects(alice.dial(mallory.peerId), /gater/)
    await assert.rejects(alice.dial(mallory.getMultiaddrs()))
    assert.deepEqual(openTo(mallory), [])
  })

  it('refuses whoever answers at an address and is no member', async () => {
    const alice = await network.add({ connectionGater: rosterGater(isMember) })
    const mallory = await network.add()
    const address = mallory.getMultiaddrs()[0].decapsulate('/p2p')
    await assert.rejects(alice.dial(address))
    assert.deepEqual(openTo(alice), [])
  })

  it('lets bootstrap peers in, in both directions', async () => {
    const guide = await network.add()
    const bootstrap = [guide.peerId.toString()]
    const alice = await network.add({ connectionGater: rosterGater(isMember, { bootstrap }) })
    const bob = await network.add({ connectionGater: rosterGater(isMember, { bootstrap }) })
    await alice.dial(guide.getMultiaddrs())
    await guide.dial(bob.getMultiaddrs())
    const both = [alice, bob]
    await until(() => both.every((node) => node.getConnections(guide.peerId).length > 0), 'both have the guide')
    assert.equal(guide.getConnections().length, 2)
  })

  it('follows the roster from one connection to the next', async () => {
    const alice = await network.add({ connectionGater: rosterGater(isMember) })
    const bob = await network.add()
    await assert.rejects(alice.dial(bob.getMultiaddrs()))
    members.add(bob.peerId.toString())
    await alice.dial(bob.getMultiaddrs())
    assert.equal(alice.getConnections(bob.peerId).length, 1)
  })
})
