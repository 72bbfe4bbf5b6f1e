import assert from 'node:assert/strict'
import { drawSchedule, runSchedule } from './schedule.ts'
import type { Deadly, Schedule } from './schedule.ts'
import type { Simulation } from './network.ts'
import { runAll, seeds } from './run-all.ts'

/**
 * Every living member is in the sum of every round, which the first living member of the order has led to its end; but in
 * slices, where an owner and a contributor that both die may take what is in the cut with them (§13).
 */
function summedOverAllLiving({ peers, living }: Simulation, { rounds, shards, deaths }: Schedule): void {
  const dead = peers.length - living.length
  for (const { outcomes } of living) {
    assert.equal(outcomes.length, rounds)
    for (const { status, reason, views, included, round } of outcomes) {
      if (shards !== undefined && deaths.length > 1 && round === 1 && /are lost/.test(reason ?? '')) continue
      assert.equal(status, 'summed', `round ${round} was burned: ${reason}`)
      // One that died in the first round may be in line for the second.
      assert.ok(views <= (round === 1 ? 1 : 1 + dead), `${views} views`)
      peers.forEach(({ alive }, index) =>
        assert.ok(!alive || included.includes(index), `member ${index} lives and is left out`)
      )
    }
  }
}

describe('whole rounds under random schedules', function () {
  this.timeout(0)

  it('are summed, exact and over everyone, with delays, lost gossip, broken conversations and no direct links', () =>
    runAll('nobody', 1, 150, summedOverAllLiving))

  it('are summed over all that live when up to min(D, n − nMin) members die at any moment', () =>
    runAll('members', 1_000_000, 250, summedOverAllLiving))

  it('are the same, to the last bit and millisecond, when run again from their seed', async () => {
    const kinds: Deadly[] = ['nobody', 'members', 'leaders']
    for (const seed of seeds(7, 30).slice(0, 6)) {
      const schedule = await drawSchedule(seed, kinds[seed % 3])
      const [first, again] = [await runSchedule(schedule), await runSchedule(schedule)]
      assert.equal(first.digest, again.digest)
      const other = await runSchedule({ ...schedule, seed: seed + 1 })
      assert.notEqual(first.digest, other.digest)
    }
  })
})
