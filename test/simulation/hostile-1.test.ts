import assert from 'node:assert/strict'
import { drawHostile, runHostile } from './hostile.ts'
import type { HostileSchedule } from './hostile.ts'
import { runHostiles, seeds } from './run-all.ts'

describe('whole rounds against up to f adversaries, with D members that crash, part 1', function () {
  this.timeout(0)

  it('keep every invariant and end alike for all honest members, on a network that fails as networks do', async () => {
    const endings = await runHostiles(10_000_000, 2225)
    assert.ok(endings.size > 0)
  })

  it('are the same, to the last bit and millisecond, when run again from their seed', async () => {
    for (const seed of seeds(1, 25).slice(0, 5)) {
      const schedule = await drawHostile(seed)
      const [first, again] = [await runHostile(schedule), await runHostile(schedule)]
      assert.equal(first.digest, again.digest)
      const other = await runHostile({ ...schedule, seed: seed + 1 })
      assert.notEqual(first.digest, other.digest)
    }
  })

  it('count the view in which the sum was accepted also for a member that was cut off and never began it', async () => {
    const { simulation } = await runHostile({
      members: 7,
      seed: 20010450,
      threat: { corrupt: 0.15, dropout: 0.15 },
      length: 3,
      delay: 20,
      loss: 0.3,
      rounds: 1,
      adversaries: [{ who: 2, as: 'InventsSurvivors' }],
      crashes: [{ who: 0, step: 130 }],
      restart: { afterMs: 100, vectors: true },
      breaks: [207.4, 76.3, 78.5],
      partitions: [{ from: 239.57, until: 5239.57, side: [2, 1, 4, 3, 6, 5] }]
    })
    const views = simulation.honest.map(({ outcomes }) => outcomes[0].views)
    assert.deepEqual(views, [2, 2, 2, 2, 2, 2])
  })

  it('end also for a member that was alone with its journal after an outage, and that nobody reaches but by asking', async () => {
    // Restarted before the others, it finds nobody to ask; they, who have closed the round, say nothing of their own accord.
    const { endings } = await runHostile({
      ...{ members: 4, seed: 90030160, threat: { corrupt: 0.25, dropout: 0 }, length: 7, rounds: 1, delay: 20 },
      ...{ direct: 0, lostDirect: 0.1, adversaries: [{ who: 2, as: 'ReplaysOldRound' }], crashes: [], breaks: [] },
      partitions: [{ from: 334.344795155996, until: 5334.344795156, side: [1, 2, 3] }],
      ...{ outage: 384.3249846249819, restart: { afterMs: 8000, vectors: true } }
    })
    assert.deepEqual(endings, ['summed'])
  })

  it('give nobody a sum as the round’s that is not decided yet, of two that a liar published', async () => {
    // Members on one side of a partition still hold the other sum when those on the other side have closed the round.
    const { endings } = await runHostile({
      ...{ members: 6, seed: 60010945, threat: { corrupt: 0.17, dropout: 0.17 }, length: 3, rounds: 2, delay: 20 },
      ...{ duplicates: 0.3, disk: 2, adversaries: [{ who: 2, as: 'PublishesTwoSums' }], crashes: [], breaks: [] },
      partitions: [{ from: 351.39398323372006, until: 5351.39398323372, side: [4, 3, 2, 1] }]
    })
    assert.ok(!endings.includes('burned'))
  })

  // All lose their power once an attempt is given up, and who leads next knows it by its journal alone.
  const liar = { rounds: 1, adversaries: [{ who: 1, as: 'EquivocatingSets' as const }], crashes: [], delay: 20 }
  const outages: HostileSchedule[] = [
    {
      ...{ ...liar, members: 5, seed: 77000704, threat: { corrupt: 0.2, dropout: 0 }, length: 7, breaks: [] },
      ...{ outage: 415.1755952741951, restart: { afterMs: 8000, vectors: true } }
    },
    {
      ...{ ...liar, members: 4, seed: 60012329, threat: { corrupt: 0.25, dropout: 0 }, length: 3, duplicates: 0.3 },
      breaks: [118.22267454117537, 117.59605705738068, 135.0910940207541],
      ...{ outage: 574.1279049776495, restart: { afterMs: 1, vectors: true } }
    }
  ]
  for (const schedule of outages)
    it(`go on after an outage of all ${schedule.members} in a later attempt, and name nobody for it`, async () => {
      const { endings } = await runHostile(schedule)
      assert.deepEqual(endings, ['retried'])
    })
})
