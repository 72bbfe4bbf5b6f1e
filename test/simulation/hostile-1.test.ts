import assert from 'node:assert/strict'
import { drawHostile, runHostile } from './hostile.ts'
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
})
