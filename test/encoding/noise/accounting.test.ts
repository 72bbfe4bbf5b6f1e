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

  it('scales no further than a million, whatever the bits', () => {
    const shape = { members: 3, dimension: 1024, clip: 1e-3, deviation: 1e-3 }
    assert.equal(sensitivity({ ...shape, bits: 32 }).scale, 1e6)
  })
})
