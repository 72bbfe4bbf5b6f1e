import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { gossipsub } from '@chainsafe/libp2p-gossipsub'
import { noise } from '@chainsafe/libp2p-noise'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import type { Metrics } from '@libp2p/interface'
import { memory } from '@libp2p/memory'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import { createTask, secureAggregation } from '../../src/index.ts'
import type { ContributeProgress, RoundOutcome, SecureAggregation, Task } from '../../src/index.ts'
import { MemoryJournal } from '../../src/journal/journal.ts'
import { connect, heard, network, networkWith } from './applications.ts'

type Embedded = Awaited<ReturnType<typeof network>>

/** What becomes of the next round at one node. */
function nextOutcome(service: SecureAggregation): Promise<RoundOutcome> {
  return new Promise((resolve) => service.addEventListener('sum', ({ detail }) => resolve(detail), { once: true }))
}

/** Aborts when the contribution it belongs to has come to a phase. */
function callOffAt(phase: string) {
  const controller = new AbortController()
  const seen: string[] = []
  const onProgress = ({ type, detail }: ContributeProgress): void => {
    seen.push('phase' in detail ? detail.phase : type)
    if ('phase' in detail && detail.phase === phase) controller.abort(new Error('called off'))
  }
  return { signal: controller.signal, onProgress, seen }
}

describe('the service in an application', () => {
  let embedded: Embedded
  let services: SecureAggregation[]
  let task: Task

  before(async () => {
    embedded = await network(4, { deadline: 2 })
    services = embedded.nodes.map((node) => node.services.aggregation)
    ;[task] = embedded.tasks
  })

  after(() => embedded.stop())

  afterEach(() => services.forEach((service) => service.onRound(task.id, undefined)))

  const others = (vector: number[]) => services.slice(1).map((service) => service.contribute(task.id, vector))

  it('tells of the progress of a vector, from the round that takes it to the last phase', async () => {
    const events: ContributeProgress[] = []
    const { signal } = new AbortController()
    const mine = services[0].contribute(task.id, [1, 1, 1, 1], { signal, onProgress: (event) => events.push(event) })
    assert.equal(getEventListeners(signal, 'abort').length > 0, true)
    const [{ round }] = await Promise.all([mine, ...others([1, 1, 1, 1])])
    const named = events.map(({ type, detail }) => ('phase' in detail ? `${type} ${detail.phase}` : type))
    const phases = ['keys', 'shares', 'mask', 'agree', 'unmask', 'sum', 'close']
    assert.deepEqual(named, ['secagg:taken', ...phases.map((phase) => `secagg:phase ${phase}`)])
    assert.ok(events.every(({ detail }) => detail.round === round))
    assert.deepEqual(getEventListeners(signal, 'abort'), [], 'no listener stays on the signal')
  })

  it('is not hurt by a listener that throws', async () => {
    const onProgress = () => assert.fail('a fault of the application')
    const [sum] = await Promise.all([
      services[0].contribute(task.id, [5, 0, 0, 0], { onProgress }),
      ...others([1, 1, 1, 1])
    ])
    assert.equal(sum.values[0], 8n)
  })

  it('takes nothing of what was called off before, and leaves no listener on the signal', async () => {
    const signal = AbortSignal.abort(new Error('called off'))
    const [first] = services
    const { members } = first.members(task.id)
    for (const asked of [
      first.contribute(task.id, [1, 1, 1, 1], { signal }),
      first.want(task.id, { signal }),
      first.leave(task.id, { signal }),
      first.join(task.id, { signal }),
      first.vouch(task.id, members[1], { signal })
    ])
      await assert.rejects(asked, /called off/)
    assert.deepEqual(getEventListeners(signal, 'abort'), [])
    await Promise.all(others([1, 1, 1, 1]))
    assert.deepEqual(first.members(task.id).members, members, 'it did not leave')
  })

  it('takes a vector back that waits or that is not masked yet, and the sum is of the others', async () => {
    for (const phase of ['keys', 'shares']) {
      const { seen, ...options } = callOffAt(phase)
      const closed = nextOutcome(services[0])
      const mine = assert.rejects(services[0].contribute(task.id, [50, 0, 0, 0], options), /called off/)
      const [sum] = await Promise.all(others([1, 2, 3, 4]))
      await mine
      assert.deepEqual([...sum.values], [3n, 6n, 9n, 12n])
      assert.equal(seen.at(-1), phase)
      assert.equal((await closed).input, 'not included')
      assert.deepEqual(getEventListeners(options.signal, 'abort'), [])
    }
  })

  it('says by its event that a vector which was called off too late is in the sum', async () => {
    const { signal, onProgress } = callOffAt('agree')
    const closed = nextOutcome(services[0])
    const mine = assert.rejects(services[0].contribute(task.id, [50, 0, 0, 0], { signal, onProgress }), /called off/)
    const [sum] = await Promise.all(others([1, 0, 0, 0]))
    await mine
    assert.equal(sum.values[0], 53n)
    assert.equal((await closed).input, 'summed')
  })

  it('gives the sum of a round to whoever only heard of it by an event', async () => {
    const [first] = services
    const closed = nextOutcome(first)
    await Promise.all(others([7, 0, 0, 0]))
    const sum = await first.sum(task.id, await closed)
    assert.equal(sum.values[0], 21n)
  })

  it('gives a handler a signal that ends when an answer would be too late, and goes on without it', async () => {
    const late = Promise.withResolvers<unknown>()
    services[0].onRound(task.id, ({ signal }) => {
      signal.addEventListener('abort', () => late.resolve(signal.reason))
      return new Promise(() => {})
    })
    const [sum] = await Promise.all(others([1, 1, 1, 1]))
    assert.equal(sum.values[0], 3n)
    assert.ok((await late.promise) instanceof Error)
  })

  it('learns from whoever it meets again what was closed meanwhile, before anybody wants another round', async () => {
    const away = await networkWith({}, 4, { threat: { corrupt: 0, dropout: 0.25 } })
    const [{ id }] = away.tasks
    try {
      const [one, ...others] = away.nodes
      await one.stop()
      const ends = others.map(({ services }) => services.aggregation.contribute(id, [1, 1, 1, 1]))
      for (const { round, values } of await Promise.all(ends)) assert.deepEqual([round, values[0]], [1, 3n])
      const { aggregation } = one.services
      const answered = Promise.withResolvers<string>()
      const told = nextOutcome(aggregation)
      aggregation.addEventListener('member:answered', ({ detail }) => answered.resolve(detail.member))
      await one.start()
      assert.equal(aggregation.session(id).member.closedRound, 0)
      // One is enough, whoever has dialled.
      await others[2].dial(one.getMultiaddrs())
      assert.equal(await answered.promise, others[2].peerId.toString())
      const outcome = await told
      assert.deepEqual([outcome.round, aggregation.session(id).member.closedRound], [1, 1])
      assert.equal((await aggregation.sum(id, outcome)).values[0], 3n)
    } finally {
      await away.stop()
    }
  })

  it('asks ever more seldom while nobody else has a vector, and is in the sum once others have', async () => {
    const alone = await networkWith({}, 3, { deadline: 1, threat: { corrupt: 0, dropout: 0 } })
    const [{ id }] = alone.tasks
    try {
      const [first, ...others] = alone.nodes.map(({ services }) => services.aggregation)
      let burned = 0
      first.addEventListener('round:burned', () => burned++)
      const waiting = first.contribute(id, [1, 1, 1, 1])
      await new Promise((resolve) => setTimeout(resolve, 6_000))
      assert.ok(burned >= 1 && burned <= 5, `${burned} rounds in vain`)
      const sums = await Promise.all([waiting, ...others.map((other) => other.contribute(id, [1, 1, 1, 1]))])
      for (const { values } of sums) assert.deepEqual([...values], [3n, 3n, 3n, 3n])
    } finally {
      await alone.stop()
    }
  })

  it('goes on without a handler that throws or answers wrongly', async () => {
    for (const handler of [() => assert.fail('a fault of the application'), () => ({ vector: [1, 2, NaN, 4] })]) {
      services[0].onRound(task.id, handler)
      const [sum] = await Promise.all(others([1, 1, 1, 1]))
      assert.equal(sum.values[0], 3n)
    }
  })

  it('puts a vector that waits before what a handler would answer', async () => {
    services[0].onRound(task.id, () => ({ vector: [100, 0, 0, 0] }))
    const [mine] = await Promise.all([services[0].contribute(task.id, [1, 0, 0, 0]), ...others([1, 0, 0, 0])])
    assert.equal(mine.values[0], 4n)
  })

  it('knows who is in a task and who is listening', () => {
    const { epoch, members, suspended, listening } = services[0].members(task.id)
    assert.equal(epoch, 0)
    assert.deepEqual([...members].sort(), [...embedded.ids].sort())
    assert.deepEqual(suspended, [])
    assert.deepEqual([...listening].sort(), embedded.ids.slice(1).sort())
    assert.throws(() => services[0].members('another'), { code: 'TASK_UNKNOWN' })
  })

  // The last ones: they stop a node.
  it('tells who still waits that the node was stopped, and takes nothing any more', async () => {
    const [node] = embedded.nodes
    const { signal } = new AbortController()
    const waiting = assert.rejects(services[0].contribute(task.id, [1, 1, 1, 1], { signal }), { code: 'STOPPED' })
    await node.stop()
    await waiting
    assert.deepEqual(getEventListeners(signal, 'abort'), [])
    await assert.rejects(services[0].contribute(task.id, [1, 1, 1, 1]), { code: 'STOPPED' })
  })

  it('takes part again when its node is started again', async () => {
    await embedded.nodes[0].start()
    await connect(embedded.nodes)
    await heard(embedded.nodes, [task])
    const sums = await Promise.all(services.map((service) => service.contribute(task.id, [1, 2, 3, 4])))
    assert.deepEqual([...sums[0].values], [4n, 8n, 12n, 16n])
  })

  it('tells who is in a round already that the vector may have left when the node stopped', async () => {
    const controller = new AbortController()
    const [, second] = services
    const left = Promise.withResolvers<void>()
    const onProgress = ({ detail }: ContributeProgress): void => {
      if ('phase' in detail && detail.phase === 'agree') left.resolve()
    }
    const mine = assert.rejects(second.contribute(task.id, [1, 1, 1, 1], { onProgress }), { code: 'BURNED' })
    const rest = services
      .slice(2)
      .map((service) => service.contribute(task.id, [1, 1, 1, 1], { signal: controller.signal }).catch(() => {}))
    await left.promise
    await embedded.nodes[1].stop()
    await mine
    controller.abort()
    await Promise.all(rest)
  })
})

describe('services of one node', () => {
  it('keep two tasks apart, count their rounds for the metrics of the node, and refuse strangers to a task', async () => {
    const { ids, keys, stop } = await network(3)
    await stop()
    const terms = { members: ids, length: 1, encoding: { type: 'integer' as const, max: 100 } }
    const [poll, telemetry] = ['poll', 'telemetry'].map((name) => createTask({ ...terms, name }))
    const counted: Array<Record<string, number | true>> = []
    const nodes = []
    for (const [index, privateKey] of keys.entries())
      nodes.push(
        await createLibp2p({
          privateKey,
          addresses: { listen: [`/memory/two-services-${index}`] },
          transports: [memory()],
          connectionEncrypters: [noise()],
          streamMuxers: [yamux()],
          metrics: () => (index === 0 ? countingMetrics(counted) : countingMetrics([])),
          services: {
            identify: identify(),
            pubsub: gossipsub({ allowPublishToZeroTopicPeers: true }),
            poll: secureAggregation({ tasks: [poll] }),
            telemetry: secureAggregation({ tasks: [telemetry] })
          }
        })
      )
    try {
      for (const [index, node] of nodes.entries())
        for (const other of nodes.slice(0, index)) await node.dial(other.getMultiaddrs())
      const [polled, measured] = await Promise.all([
        Promise.all(nodes.map(({ services }) => services.poll.contribute(poll.id, [1]))),
        Promise.all(nodes.map(({ services }) => services.telemetry.contribute(telemetry.id, [10])))
      ])
      assert.deepEqual([polled[0].values[0], measured[0].values[0]], [3n, 30n])
      assert.deepEqual(counted, [{ summed: 1 }, { summed: 1 }])
      await assert.rejects(nodes[0].services.poll.contribute(telemetry.id, [1]), { code: 'TASK_UNKNOWN' })
    } finally {
      await Promise.all(nodes.map(async (node) => node.stop()))
    }
  })

  it('answer nobody before their journal is read, whatever the node was told before', async () => {
    const read = Promise.withResolvers<void>()
    class SlowJournal extends MemoryJournal {
      override async get(key: string): Promise<Uint8Array | undefined> {
        await read.promise
        return super.get(key)
      }
    }
    const privateKey = await generateKeyPair('Ed25519')
    const members = [privateKey, await generateKeyPair('Ed25519'), await generateKeyPair('Ed25519')]
    const ids = members.map((key) => peerIdFromPrivateKey(key).toString())
    const task = createTask({ name: 'slow', members: ids, length: 1, encoding: { type: 'integer', max: 1 } })
    const node = await createLibp2p({
      start: false,
      privateKey,
      transports: [memory()],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
      services: {
        identify: identify(),
        pubsub: gossipsub(),
        aggregation: secureAggregation({ tasks: [task], journal: new SlowJournal() })
      }
    })
    const ours = (): string[] => node.getProtocols().filter((protocol) => protocol.startsWith('/secagg/'))
    const started = node.start()
    try {
      await new Promise((resolve) => setTimeout(resolve, 100))
      assert.deepEqual(ours(), [])
      read.resolve()
      await started
      assert.equal(ours().length, 3)
    } finally {
      await node.stop()
    }
    assert.deepEqual(ours(), [])
  })

  it('refuse a task that is given twice, and a vector where this node has no place', async () => {
    const { ids, stop } = await network(4)
    await stop()
    const terms = { name: 'once', length: 1, encoding: { type: 'integer' as const, max: 1 } }
    const twice = createTask({ ...terms, members: ids })
    const options = (tasks: Task[]) => ({
      transports: [memory()],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
      services: { identify: identify(), pubsub: gossipsub(), aggregation: secureAggregation({ tasks }) }
    })
    await assert.rejects(createLibp2p(options([twice, twice])), { code: 'TASK_INVALID', message: /given twice/ })
    const stranger = await createLibp2p(options([twice]))
    try {
      await assert.rejects(stranger.services.aggregation.contribute(twice.id, [1]), { code: 'NOT_A_MEMBER' })
    } finally {
      await stranger.stop()
    }
  })
})

/** Metrics of a host application that looks at one counter. */
function countingMetrics(counted: Array<Record<string, number | true>>): Metrics {
  const nothing: unknown = new Proxy(() => nothing, { get: () => nothing, apply: () => undefined })
  return new Proxy({} as Metrics, {
    get(_target, method) {
      if (method === 'registerCounterGroup')
        return (name: string) => ({
          increment: (values: Record<string, number | true>) =>
            void (name === 'secagg_rounds_total' && counted.push(values)),
          reset: () => {}
        })
      if (method === 'traceFunction') return (_name: string, work: unknown) => work
      if (typeof method === 'string' && method.startsWith('register')) return () => nothing
      return typeof method === 'string' && method.startsWith('track') ? () => {} : undefined
    }
  })
}
