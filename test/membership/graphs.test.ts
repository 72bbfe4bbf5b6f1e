import assert from 'node:assert/strict'
import { partners, shareSlot } from '../../src/membership/graphs.ts'

describe('the complete graph', () => {
  it('makes every member a partner of all the others, and of itself never', () => {
    assert.deepEqual(partners(4, 0), [1, 2, 3])
    assert.deepEqual(partners(4, 2), [0, 1, 3])
    assert.deepEqual(partners(4, 3), [0, 1, 2])
  })

  it('is symmetric', () => {
    for (let n = 3; n <= 20; n++) {
      for (let a = 0; a < n; a++) for (const b of partners(n, a)) assert.ok(partners(n, b).includes(a))
    }
  })

  it('has share slots from 1 on, one for every holder, and never 0, where the secret lies', () => {
    const slots = Array.from({ length: 128 }, (_, holder) => shareSlot(5, holder))
    assert.deepEqual(
      slots,
      Array.from({ length: 128 }, (_, holder) => holder + 1)
    )
    for (const holder of [-1, 255, 0.5]) assert.throws(() => shareSlot(0, holder), RangeError)
  })

  it('knows no member beyond the roster', () => {
    for (const index of [-1, 4, 0.5]) assert.throws(() => partners(4, index), RangeError)
  })
})
