import assert from 'node:assert/strict'
import { MOST_STRANGERS, mayConnect, rosterGater } from '../../src/network/admission.ts'
import { identity } from '../simulation/identities.ts'
import { Simulation } from '../simulation/network.ts'
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

describe('a task', () => {
  const idOf = async (number: number) => (await identity(number)).id
  const crowd = Promise.all(Array.from({ length: MOST_STRANGERS }, (_, at) => idOf(100 + at)))

  it('connects its members and whoever is on its list, and no stranger', async () => {
    const { peers } = await Simulation.create({ members: 4, seed: 1, admission: { allow: [20] } })
    const { participant } = peers[0]
    for (const expected of [peers[3].id, await idOf(20)]) assert.ok(mayConnect(expected, participant, await crowd))
    assert.ok(!mayConnect(await idOf(21), participant, []))
  })

  it('connects 32 strangers at a time where members can vouch, however often each is connected, and members besides', async () => {
    const { peers } = await Simulation.create({ members: 4, seed: 1, admission: { vouches: 2, allow: [20] } })
    const { participant } = peers[0]
    const strangers = await crowd
    const connected = [...strangers.slice(1), ...strangers.slice(1), ...peers.map(({ id }) => id), await idOf(20)]
    assert.ok(mayConnect(strangers[0], participant, connected))
    assert.ok(!mayConnect(await idOf(21), participant, strangers))
    assert.ok(mayConnect(strangers[5], participant, strangers), 'one of them may connect again')
    assert.ok(mayConnect(peers[3].id, participant, strangers))
  })

  it('connects nobody that was removed from its roster, though members can vouch and it is on the list', async () => {
    const admission = { vouches: 2, allow: [0, 1, 2, 3, 4, 5, 6] }
    const threat = { corrupt: 0.2, dropout: 0.2 }
    const adversaries = [{ who: 1, as: 'DoubleVotes' as const }]
    const simulation = await Simulation.create({ members: 7, seed: 8, adversaries, threat, admission })
    const { participant, id } = simulation.peers[0]
    const culprit = simulation.peers[1].id
    assert.ok(mayConnect(culprit, participant, [id]))
    for (let round = 1; round <= 3; round++) await simulation.round(round)
    assert.ok(participant.roster.isRemoved(culprit))
    assert.ok(!mayConnect(culprit, participant, [id]))
  })
})
