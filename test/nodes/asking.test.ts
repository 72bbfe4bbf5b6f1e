import assert from 'node:assert/strict'
import { setTimeout } from 'node:timers/promises'
import { Asking } from '../../src/network/asking.ts'
import type { RoundOutcome } from '../../src/round/outcome.ts'
import { until } from '../network/nodes.ts'
import { startMembers } from './members.ts'
import type { Members } from './members.ts'

const terms = {
  name: 'lonely',
  length: 10,
  encoding: { type: 'integer', max: 100 },
  threat: { corrupt: 0, dropout: 0 },
  deadline: 1
} as const

describe('asking for rounds', () => {
  const few = 'inputs came from 1 member, and a sum needs at least 3'
  let asked = 0
  let isDue = true
  let asking: Asking
  beforeEach(() => {
    asked = 0
    isDue = true
    const want = (): Promise<void> => Promise.resolve(void asked++)
    asking = new Asking({ want, isDue: () => isDue, deadlineMs: 50, refused: assert.ifError })
  })
  afterEach(() => asking.stop())

  const closed = (more: Partial<RoundOutcome>): void =>
    asking.closed({ status: 'burned', reason: few, input: 'not included', ...more } as RoundOutcome)

  it('waits twice as long after each round that was burned for too few inputs', async () => {
    for (const waitMs of [50, 100, 200]) {
      const before = asked
      closed({})
      await setTimeout(waitMs * 0.7)
      assert.equal(asked, before, `asked before ${waitMs} ms were over`)
      await until(() => asked === before + 1, 'it asks again')
    }
  })

  it('does not wait after any other round, nor where the vector was in none of them', () => {
    closed({ status: 'summed', reason: undefined })
    closed({ reason: 'the leader of view 0, member 2, was left: its deadline ran out' })
    closed({ input: 'none' })
    assert.equal(asked, 3)
  })

  it('does not wait with a new vector, and begins anew', async () => {
    for (let round = 0; round < 12; round++) closed({})
    await asking.now()
    assert.equal(asked, 1)
    closed({})
    await until(() => asked === 2, 'it asks again', 1000)
  })

  it('leaves no timer where nothing waits when the round is closed, as after a stop', () => {
    const timers = (): number => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length
    const before = timers()
    isDue = false
    closed({})
    assert.equal(timers(), before)
  })

  it('stops where nothing waits any more', async () => {
    closed({})
    isDue = false
    await setTimeout(100)
    assert.equal(asked, 0)
  })
})

describe('a member that alone has a vector', function () {
  this.timeout(60_000)
  let members: Members
  before(async () => {
    members = await startMembers(3, terms)
  })
  after(() => members.stop())

  it('burns few rounds, and is in the next one that others take part in', async () => {
    const [first, ...others] = members.daemons
    const vector = new Int32Array(10).fill(1)
    const { ended } = await first.contribute({ vector })
    await until(() => first.standing.closedRound >= 1, 'the first round is burned')
    await setTimeout(8000)
    assert.ok(first.standing.closedRound <= 5, `${first.standing.closedRound} rounds`)
    const summed = await Promise.all([
      ended,
      ...others.map(async (daemon) => (await daemon.contribute({ vector })).ended)
    ])
    const { values } = await first.archive.sum(summed[0])
    assert.deepEqual([...values], new Array(10).fill(3n))
  })
})
