import assert from 'node:assert/strict'
import { PendingKills } from '../../nodes/local-network/kills.ts'
import type { ReportedOutcome } from '../../nodes/daemon/launcher-messages.ts'
import { RunningRound } from '../../nodes/local-network/running-round.ts'

const reached = (phase: 'keys' | 'mask' | 'sum', round: number, leading = false) => ({ phase, round, leading })

describe('pending kills', () => {
  it('hold a member wherever one may name it, and nowhere else', () => {
    const kills = new PendingKills([
      { who: 1, phase: 'mask', round: 2 },
      { who: 'aggregator', phase: 'sum', round: 2 }
    ])
    assert.deepEqual(kills.holds(0, 1), [])
    assert.deepEqual(kills.holds(0, 2), [{ phase: 'sum', round: 2 }])
    assert.deepEqual(kills.holds(1, 2), [
      { phase: 'mask', round: 2 },
      { phase: 'sum', round: 2 }
    ])
  })

  it('are each spent once, on the member that they name', () => {
    const kills = new PendingKills([
      { who: 1, phase: 'mask', round: 2 },
      { who: 'aggregator', phase: 'keys', round: 1 },
      { who: 'member', phase: 'sum', round: 1 }
    ])
    assert.equal(kills.claim(1, reached('mask', 1)), undefined)
    assert.equal(kills.claim(2, reached('mask', 2)), undefined)
    assert.equal(kills.claim(1, reached('mask', 2))?.who, 1)
    assert.equal(kills.claim(1, reached('mask', 2)), undefined)
    assert.equal(kills.claim(3, reached('keys', 1)), undefined)
    assert.equal(kills.claim(3, reached('keys', 1, true))?.who, 'aggregator')
    assert.equal(kills.claim(3, reached('sum', 1, true)), undefined)
    assert.equal(kills.claim(4, reached('sum', 1))?.who, 'member')
    assert.deepEqual(kills.of(1).concat(kills.of(2)), [])
  })
})

describe('a round as its launcher sees it', () => {
  // Roster index i is the member with number 3 − i.
  const numbers = [3, 2, 1, 0]

  function outcome(fields: Partial<ReportedOutcome> = {}): ReportedOutcome {
    return {
      round: 1,
      status: 'summed',
      aggregator: 0,
      views: 1,
      attempts: 1,
      included: [0, 1, 3],
      dropped: [2],
      missing: [],
      input: 'summed',
      hasSum: true,
      decided: 'ab',
      phaseMs: { keys: 1 },
      durationMs: 5,
      bytesSent: 1,
      bytesReceived: 1,
      maxRssBytes: 1,
      eventLoopMaxMs: 1,
      eventLoopP99Ms: 1,
      ...fields
    }
  }

  function begun(): RunningRound {
    const round = new RunningRound(1, numbers, () => {})
    round.begin([0, 1, 2, 3])
    round.wanted()
    return round
  }

  it('is closed when all that lived through it have reported, and names members by number', async () => {
    const round = begun()
    for (const number of [0, 2, 3]) round.outcome(number, outcome({ views: number === 2 ? 2 : 1 }))
    round.killed(1)
    const closed = await round.closed(1000)
    assert.equal(closed.aggregator, 3)
    assert.deepEqual(closed.included, [0, 2, 3])
    assert.deepEqual(closed.dropped, [1])
    assert.deepEqual(closed.killed, [1])
    assert.equal(closed.views, 2)
    assert.deepEqual(closed.holders, [0, 2, 3])
  })

  it('is not held up by a member that was suspended, and tells it from one that was killed', async () => {
    const round = begun()
    for (const number of [0, 2, 3]) round.outcome(number, outcome())
    round.lost(1)
    const closed = await round.closed(1000)
    assert.deepEqual({ killed: closed.killed, holders: closed.holders }, { killed: [], holders: [0, 2, 3] })
  })

  it('is never taken for closed while one is missing', async () => {
    const round = begun()
    for (const number of [0, 1, 2]) round.outcome(number, outcome())
    await assert.rejects(round.closed(5), /round 1 was not closed by peer-3 within/)
  })

  it('is a loud failure where two members disagree', async () => {
    const round = begun()
    for (const number of [0, 1, 2, 3]) round.outcome(number, outcome({ decided: number === 2 ? 'cd' : 'ab' }))
    await assert.rejects(round.closed(1000), /peer-0 and peer-2 disagree on round 1/)
  })

  it('gives the reason of a burned round with members by number, and who led its first view', async () => {
    const round = begun()
    const burned = {
      status: 'burned' as const,
      reason: 'the leader of view 0, member 3, was left: the vectors of members 1, 2 are lost',
      included: [],
      dropped: []
    }
    for (const number of [1, 2, 3]) round.outcome(number, outcome({ ...burned, aggregator: 3, hasSum: false }))
    round.killed(0)
    const closed = await round.closed(1000)
    assert.equal(closed.reason, 'the leader of view 0, peer-0, was left: the vectors of peer-2, peer-1 are lost')
    assert.equal(closed.aggregator, 0)
  })

  it('is given up where too few are left for any decision, unless one has been heard of', async () => {
    const round = begun()
    round.giveUp()
    assert.equal((await round.closed(1000)).status, 'no quorum')
    const decided = begun()
    decided.outcome(0, outcome())
    decided.giveUp()
    for (const number of [1, 2, 3]) decided.outcome(number, outcome())
    assert.equal((await decided.closed(1000)).status, 'summed')
  })
})
