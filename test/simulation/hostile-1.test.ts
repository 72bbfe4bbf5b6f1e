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
})
