import assert from 'node:assert/strict'
import { epsilonOf, releaseCost, renyiOrders, sensitivity } from '../../../src/encoding/noise/accounting.ts'

/** c = 1, δ = 10^−5, noise multiplier 1: each of n members adds noise of deviation 1/√n. */
function epsilon(
  members: number,
  bits: number,
  dimension: number,
  { contributors = members, rounds = 1 } = {}
): number {
  const deviation = 1 / Math.sqrt(members)
  const bound = sensitivity({ members, bits, dimension, clip: 1, deviation })
  const once = releaseCost(bound, deviation, contributors)
  return epsilonOf(
    once.map((cost) => cost * rounds),
    1e-5
  )
}

describe('the accountant of differential privacy (§12)', () => {
  it('gives the published values to nine digits', () => {
    const checks: Array<[found: number, wanted: string]> = [
      [epsilon(100, 16, 2 ** 17), '4.75436607'],
      [epsilon(100, 16, 2 ** 17, { contributors: 90 }), '5.03232582'],
      [epsilon(100, 12, 2 ** 17), '5.09604172'],
      [epsilon(1000, 20, 2 ** 20, { rounds: 100 }), '110.130684']
    ]
    for (const [found, wanted] of checks) assert.equal(found.toPrecision(9), wanted)
  })

  it('keeps the orders 2 to 128 and 256', () => {
    assert.deepEqual([renyiOrders.length, renyiOrders[0], renyiOrders[126], renyiOrders[127]], [128, 2, 128, 256])
  })

  it('charges more for fewer contributors, fewer bits and more rounds, never less', () => {
    const usual = epsilon(100, 16, 2 ** 17)
    for (const contributors of [99, 80, 60]) assert.ok(epsilon(100, 16, 2 ** 17, { contributors }) > usual)
    assert.ok(epsilon(100, 10, 2 ** 17) > usual)
    assert.ok(epsilon(100, 16, 2 ** 17, { rounds: 2 }) > usual)
  })

  it('takes the smaller of two bounds for what whole numbers cost more than real ones', () => {
    const bound = { scale: 1, l2: 2, l1: 4 }
    // Of noise with variance 1 at order 2: 2 · 4 / 2, and min{ (3 · 4 + 6 · 4) / 4, 3 · 4 / 2 }.
    assert.equal(releaseCost(bound, 1, 1)[0], 4 + 6)
    // With variance 100 the first is smaller.
    assert.equal(releaseCost(bound, 10, 1)[0], 0.04 + 36 / 40_000)
  })

  it('takes L2² for L1 where that is less than L2·√d', () => {
    const shape = { members: 100, bits: 10, clip: 1, deviation: 0.1 }
    const short = sensitivity({ ...shape, dimension: 4 })
    assert.ok(short.l2 > 2 && short.l1 === short.l2 * 2)
    const { l2, l1 } = sensitivity({ ...shape, dimension: 2 ** 20 })
    assert.ok(l2 < 2 ** 10 && l1 === l2 * l2)
  })

  it('scales no further than a million, whatever the bits', () => {
    const shape = { members: 3, dimension: 1024, clip: 1e-3, deviation: 1e-3 }
    assert.equal(sensitivity({ ...shape, bits: 32 }).scale, 1e6)
  })
})
