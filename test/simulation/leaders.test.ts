import assert from 'node:assert/strict'
import { runAll } from './run-all.ts'

describe('whole rounds whose leader dies', function () {
  this.timeout(0)

  it('are carried on by the next in line when the leader dies too, at any moment, for everyone alike', () =>
    runAll('leaders', 2_000_000, 400, ({ peers, living, task }, { rounds, deaths }) => {
      const { deadlineMs, thresholds } = task
      const dead = peers.length - living.length
      for (const { outcomes } of living) {
        assert.equal(outcomes.length, rounds)
        for (const { round, status, views, reason, durationMs } of outcomes) {
          // A leader and a contributor that die after the cut may take a vector with them that is in it (§13).
          const lost = round === 1 && deaths.length > 1 && /are lost/.test(reason ?? '')
          // Where fewer live than the least of a sum, every leader in turn gives up.
          const tooFew = living.length < thresholds.nMin
          assert.ok(status === 'summed' || lost || tooFew, `round ${round} was burned: ${reason}`)
          // The dead may be next in the order as well: each costs a view.
          const most = lost || tooFew ? thresholds.f + thresholds.D + 2 + dead : 1 + dead
          assert.ok(views <= most, `${views} views for ${dead} dead`)
          assert.ok(durationMs <= most * 4 * deadlineMs)
        }
      }
    }))
})
