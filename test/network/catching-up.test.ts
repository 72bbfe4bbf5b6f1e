import assert from 'node:assert/strict'
import { CatchingUp } from '../../src/network/catching-up.ts'
import { Streams } from '../../src/network/streams.ts'
import { componentsOf, Network, openTo, until } from './nodes.ts'

describe('catching up', () => {
  const asked: string[] = []
  const answered: string[] = []
  let connected: string[]
  let answer: (member: string) => Promise<void>
  let catchingUp: CatchingUp

  beforeEach(() => {
    asked.length = answered.length = 0
    connected = ['a', 'b']
    answer = async () => {}
    catchingUp = new CatchingUp({
      connected: () => connected,
      ask: (member) => (asked.push(member), answer(member)),
      caughtUp: (member) => answered.push(member),
      failed: () => {}
    })
  })

  afterEach(() => catchingUp.stop())

  const turn = () => new Promise((resolve) => setImmediate(resolve))

  it('asks each member that is connected once, and again at each new connection', async () => {
    catchingUp.start()
    catchingUp.met('a')
    await turn()
    assert.deepEqual(
      [asked, answered],
      [
        ['a', 'b'],
        ['a', 'b']
      ]
    )
    catchingUp.met('b')
    await turn()
    assert.deepEqual(asked, ['a', 'b', 'b'])
    catchingUp.parted('a')
    catchingUp.met('b')
    await turn()
    assert.deepEqual(asked.slice(3).sort(), ['a', 'b'])
    assert.deepEqual([...catchingUp.answered], ['a', 'b'])
  })

  it('asks again, and not twice at a time, until there is an answer', async () => {
    const late = Promise.withResolvers<void>()
    answer = (member) =>
      member === 'a' ? late.promise : asked.length > 2 ? Promise.resolve() : Promise.reject(new Error('not yet'))
    catchingUp.start()
    while (answered.length === 0) await turn()
    catchingUp.met('a')
    assert.deepEqual([asked, answered], [['a', 'b', 'b'], ['b']])
    late.resolve()
    await turn()
    assert.deepEqual(answered, ['b', 'a'])
  })

  it('asks nobody before it is started, nor after it is stopped', async () => {
    catchingUp.met('a')
    catchingUp.start()
    catchingUp.stop()
    await turn()
    catchingUp.met('b')
    assert.deepEqual(asked, ['a', 'b'])
  })
})

describe('meeting a peer', () => {
  const network = new Network()
  afterEach(() => network.stop())

  it('is a new connection to it, and nothing that it tells of itself over one that is known', async () => {
    const nodes = [await network.add({ memory: true }), await network.add({ memory: true })]
    const met: string[] = []
    const handlers = { converse: async () => {}, deliver: async () => {}, answer: async function* () {} }
    for (const node of nodes)
      await new Streams(componentsOf(node), 'task', { ...handlers, met: (peer) => void met.push(peer) }).start()
    const [here, there] = nodes
    await here.dial(there.getMultiaddrs())
    await until(() => met.length === 2, 'each has met the other')
    const [connection] = here.getConnections(there.peerId)
    for (let told = 0; told < 3; told++) await here.services.identify.identify(connection)
    assert.equal(met.length, 2)
    await here.dial(there.getMultiaddrs(), { force: true })
    await until(() => openTo(here, there).length === 2 && met.length === 4, 'they have met once more')
  })
})
