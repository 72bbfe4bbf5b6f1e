import assert from 'node:assert/strict'
import { Contributions } from '../../nodes/daemon/contributions.ts'
import type { Standing } from '../../nodes/daemon/contributions.ts'
import { RoundError, SecureAggregationError } from '../../src/errors.ts'
import type { RoundOutcome } from '../../src/round/outcome.ts'

const input = { vector: Int32Array.of(1) }
const never = new AbortController().signal

function outcome(round: number, fate: RoundOutcome['input'], status: RoundOutcome['status'] = 'summed'): RoundOutcome {
  return {
    ...{ round, epoch: 0, status, aggregator: 0, views: 1, attempts: 1, included: [0], dropped: [], missing: [] },
    ...{ input: fate, phaseMs: {}, durationMs: 1, decision: new Uint8Array() }
  }
}

const refusedWith = (code: string) => (error: unknown) =>
  (error instanceof SecureAggregationError || error instanceof RoundError) && error.code === code

describe('vectors that wait for a round', () => {
  let standing: Standing
  let contributions: Contributions
  beforeEach(() => {
    standing = { closedRound: 4 }
    contributions = new Contributions(() => standing)
  })

  const close = (round: number, fate: RoundOutcome['input'], status?: RoundOutcome['status']): void => {
    standing = { closedRound: round }
    contributions.closed(outcome(round, fate, status))
  }

  it('are for the running round while it takes inputs, then for the next, one a round', async () => {
    standing = { closedRound: 4, runningRound: 5 }
    const { contribution } = contributions.add(input)
    assert.equal(contribution.round, 5)
    assert.throws(() => contributions.add(input), refusedWith('ALREADY_CONTRIBUTED'))
    assert.equal(contributions.add(input, 6).contribution.round, 6)
    assert.throws(() => contributions.add(input, 7), refusedWith('ROUND_NOT_OPEN'))
    assert.throws(() => contributions.add(input, 4), refusedWith('ROUND_OVER'))
    assert.equal(await contributions.take(5, never), input)
    assert.throws(() => contributions.add(input), refusedWith('ALREADY_CONTRIBUTED'))
  })

  it('come too late for a round that was answered without one', async () => {
    standing = { closedRound: 4, runningRound: 5 }
    assert.equal(await contributions.take(5, AbortSignal.abort()), undefined)
    assert.throws(() => contributions.add(input, 5), refusedWith('ROUND_OVER'))
    assert.equal(contributions.add(input).contribution.round, 6)
  })

  it('are taken by a round that waits for them', async () => {
    const taken = contributions.take(5, never)
    contributions.add(input)
    assert.equal(await taken, input)
  })

  it('go on to the next round where nothing of them was opened, unless their round was named', async () => {
    const { contribution, ended } = contributions.add(input)
    await contributions.take(5, never)
    close(5, 'not included', 'burned')
    assert.deepEqual(contributions.get(contribution.id), { id: contribution.id, round: 6, status: 'waiting' })
    assert.equal(await contributions.take(6, never), input)
    close(6, 'summed')
    assert.equal(await ended, 6)
    assert.equal(contributions.get(contribution.id)!.status, 'summed')
    const named = contributions.add(input, 7)
    await contributions.take(7, never)
    close(7, 'not included')
    await assert.rejects(named.ended, refusedWith('NOT_INCLUDED'))
  })

  it('are not contributed again by themselves once they may be in a sum that was not delivered', async () => {
    const { contribution, ended } = contributions.add(input)
    await contributions.take(5, never)
    close(5, 'burned', 'burned')
    await assert.rejects(ended, refusedWith('BURNED'))
    assert.equal(contributions.get(contribution.id)!.status, 'burned')
    assert.equal(contributions.waiting, false)
  })

  it('are forgotten when their owner withdraws them before a round has taken them', async () => {
    const owner = new AbortController()
    const { contribution, ended } = contributions.add(input, undefined, owner.signal)
    owner.abort(new Error('gone'))
    await assert.rejects(ended, /gone/)
    assert.equal(contributions.get(contribution.id)!.status, 'withdrawn')
    assert.equal(await contributions.take(5, AbortSignal.abort()), undefined)
  })

  it('follow the rounds that were closed while the node was away', async () => {
    const { contribution } = contributions.add(input)
    standing = { closedRound: 9, runningRound: 10 }
    assert.equal(await contributions.take(10, never), input)
    assert.equal(contributions.get(contribution.id)!.round, 10)
  })
})
