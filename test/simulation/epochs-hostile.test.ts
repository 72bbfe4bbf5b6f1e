import assert from 'node:assert/strict'
import { runComings, seeds } from './run-all.ts'

/** With the least number of runs, too, in which every kind of change happens. */
const [from, count, least] = [30_000_023, 60, 12]

describe('rounds in which members come and go, while others crash and up to f are corrupt', function () {
  this.timeout(0)

  it('keep every invariant, and all honest members know the same beacon, order and roster', async () => {
    const endings = await runComings(from, count)
    const runs = seeds(from, count)
    if (runs[0] !== from || runs.length < least) return
    for (const change of ['joined', 'left', 'suspended', 'returned', 'removed'])
      assert.ok(endings.has(change), `in ${runs.length} runs no roster was changed by one that ${change}`)
  })
})
