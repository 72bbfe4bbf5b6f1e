import assert from 'node:assert/strict'
import { runHostiles } from './run-all.ts'

describe('whole rounds against up to f adversaries, with D members that crash, part 2', function () {
  this.timeout(0)

  it('keep every invariant and end alike for all honest members, on a network that fails as networks do', async () => {
    const endings = await runHostiles(20_000_000, 2225)
    assert.ok(endings.size > 0)
  })
})
