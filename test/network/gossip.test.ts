import assert from 'node:assert/strict'
import { MessageError } from '../../src/errors.ts'
import { rosterGater } from '../../src/network/admission.ts'
import { Announcements, MAX_ANNOUNCEMENT } from '../../src/network/gossip.ts'
import { componentsOf, Network, until } from './nodes.ts'
import type { AnnouncementHandlers, Verdict } from '../../src/network/gossip.ts'
import type { Stream } from '@libp2p/interface'
import type { SecaggNode } from '../../nodes/daemon/libp2p.ts'

const task = new Uint8Array(32).fill(0xab)

describe('announcements', () => {
  const network = new Network()
  const started: Announcements[] = []
  let nodes: SecaggNode[]

  // A line, so that what carol hears of alice has gone through bob; peer routing would connect them in the end.
  before(async () => {
    const ends = new Set<string>()
    const connectionGater = rosterGater((id) => !ends.has(id))
    nodes = [
      await network.add({ memory: true, connectionGater }),
      await network.add({ memory: true }),
      await network.add({ memory: true, connectionGater })
    ]
    ends.add(nodes[0].peerId.toString()).add(nodes[2].peerId.toString())
    await nodes[1].dial(nodes[0].getMultiaddrs())
    await nodes[1].dial(nodes[2].getMultiaddrs())
    await until(() => nodes.every((node) => node.services.pubsub.getPeers().length > 0), 'gossip has started')
  })
  afterEach(() => started.splice(0).forEach((announcements) => announcements.stop()))
  after(() => network.stop())

  function listen(node: SecaggNode, handlers: Omit<AnnouncementHandlers, 'isMember'>, taskId = task): Announcements {
    const announcements = new Announcements(componentsOf(node), taskId, { isMember: () => true, ...handlers })
    announcements.start()
    started.push(announcements)
    return announcements
  }

  async function line(verdict: (bytes: Uint8Array) => Verdict): Promise<[Announcements, string[][]]> {
    const heard: string[][] = [[], [], []]
    const [alice, bob] = nodes.map((node, i) =>
      listen(node, {
        validate: (_from, bytes) => verdict(bytes),
        deliver: (from, bytes) => heard[i].push(`${from} ${bytes.length} ${bytes[0]}`)
      })
    )
    await until(() => alice.subscribers().length === 1 && bob.subscribers().length === 2, 'all are subscribed')
    await until(() => nodes[1].services.pubsub.getSubscribers(alice.topic).length === 2, 'the neighbours know')
    return [alice, heard]
  }

  it('are on a topic that names their task', () => {
    assert.equal(listen(nodes[0], { validate: () => 'accept' }).topic, `/secagg/1/${'ab'.repeat(32)}`)
  })

  it('reach members that are not neighbours, and name who made them', async () => {
    const [alice, heard] = await line(() => 'accept')
    assert.ok((await alice.publish(new Uint8Array([1]))) >= 1)
    const expected = `${nodes[0].peerId.toString()} 1 1`
    await until(() => heard[1].length + heard[2].length === 2, 'both have heard')
    assert.deepEqual(heard, [[], [expected], [expected]])
  })

  it('of up to 64 KiB arrive, and larger ones are refused where they are made', async () => {
    const [alice, heard] = await line(() => 'accept')
    await alice.publish(new Uint8Array(MAX_ANNOUNCEMENT))
    await until(() => heard[2].length === 1, 'the largest has arrived')
    await assert.rejects(
      alice.publish(new Uint8Array(MAX_ANNOUNCEMENT + 1)),
      (error) => error instanceof MessageError && error.code === 'OVERSIZED'
    )
  })

  it('that a member ignores or rejects are neither delivered nor passed on', async () => {
    const verdicts: Verdict[] = ['ignore', 'reject', 'accept']
    const [alice, heard] = await line((bytes) => verdicts[bytes[0]])
    for (const i of [0, 1, 2]) await alice.publish(new Uint8Array([i]))
    await until(() => heard[2].length > 0, 'the accepted one has arrived')
    const accepted = `${nodes[0].peerId.toString()} 1 2`
    assert.deepEqual(heard, [[], [accepted], [accepted]])
  })

  it('that the validator fails on are ignored', async () => {
    const [alice, heard] = await line((bytes) => {
      if (bytes[0] === 0) throw new Error('cannot read this')
      return 'accept'
    })
    await alice.publish(new Uint8Array([0]))
    await alice.publish(new Uint8Array([1]))
    await until(() => heard[2].length > 0, 'the second has arrived')
    assert.equal(heard[1].length + heard[2].length, 2)
  })

  it('of one task are not heard by listeners to another', async () => {
    const [alice, heard] = await line(() => 'accept')
    const others: string[] = []
    listen(nodes[1], { validate: () => 'accept', deliver: (from) => others.push(from) }, new Uint8Array(32))
    await alice.publish(new Uint8Array([3]))
    await until(() => heard[1].length === 1, 'the task has heard')
    assert.deepEqual(others, [])
  })

  it('are heard again after a stream of gossip has ended, though the connection has not', async () => {
    const [alice, heard] = await line(() => 'accept')
    const { streamsOutbound } = nodes[0].services.pubsub as unknown as { streamsOutbound: Map<string, Stream> }
    const bob = nodes[1].peerId.toString()
    const connections = () => nodes[0].getConnections(nodes[1].peerId).map(({ id }) => id)
    const connected = connections()
    const before = streamsOutbound.get(bob)!
    await before.close()
    // Repaired at once, where it happens to be looked after at that moment.
    await until(() => streamsOutbound.has(bob) && streamsOutbound.get(bob) !== before, 'there is a new one')
    await until(() => alice.subscribers().includes(bob), 'bob has said over it what he listens to')
    await alice.publish(new Uint8Array([4]))
    await until(() => heard[1].length === 1, 'bob has heard')
    assert.deepEqual(connections(), connected)
  })

  it('go to nobody, without an error, while nobody listens', async () => {
    const alone = await network.add({ memory: true })
    const announcements = listen(alone, { validate: () => 'accept' })
    assert.deepEqual(announcements.subscribers(), [])
    assert.equal(await announcements.publish(new Uint8Array([1])), 0)
  })

  it('leave nothing behind when they stop', async () => {
    const { pubsub } = nodes[0].services
    const announcements = listen(nodes[0], { validate: () => 'accept' })
    assert.ok(pubsub.getTopics().includes(announcements.topic) && pubsub.topicValidators.has(announcements.topic))
    announcements.stop()
    assert.ok(!pubsub.getTopics().includes(announcements.topic) && !pubsub.topicValidators.has(announcements.topic))
  })
})
