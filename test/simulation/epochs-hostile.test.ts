import assert from 'node:assert/strict'
import { runComings } from './run-all.ts'

describe('rounds in which members come and go, while others crash and up to f are corrupt', function () {
  this.timeout(0)

  it('keep every invariant, and all honest members know the same beacon, order and roster', async () => {
    const endings = await runComings(30_000_000, 60)
    assert.ok(endings.size > 0)
  })
})
