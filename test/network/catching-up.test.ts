import assert from 'node:assert/strict'
import { CatchingUp } from '../../src/network/catching-up.ts'

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
