import assert from 'node:assert/strict'
import { skellam, uniforms } from '../../../src/encoding/noise/skellam.ts'
import { aesCtrKeystream, randomBytes } from '../../../src/crypto/primitives.ts'

/** Reproducible bytes, so that a statistical test fails always or never. */
function reproducible(seed: number): (length: number) => Uint8Array {
  const stream = aesCtrKeystream(new Uint8Array(32).fill(seed))
  return (length) => Uint8Array.from(stream.next(length))
}

/** P[X = k] of a Skellam variable, by adding up the two Poisson laws. */
function probability(k: number, variance: number): number {
  const mean = variance / 2
  let sum = 0
  for (let n = 0; n < 400; n++) if (n + k >= 0) sum += poisson(n, mean) * poisson(n + k, mean)
  return sum
}

function poisson(k: number, mean: number): number {
  let logFactorial = 0
  for (let i = 2; i <= k; i++) logFactorial += Math.log(i)
  return Math.exp(k * Math.log(mean) - mean - logFactorial)
}

const draws = 200_000

describe('Skellam noise (§12)', () => {
  for (const variance of [0.5, 8, 19.9, 20.1, 60, 200]) {
    it(`of variance ${variance} follows its law (chi-square at 99.9 %)`, () => {
      const sample = skellam(variance, uniforms(reproducible(1)))
      const counts = new Map<number, number>()
      for (let i = 0; i < draws; i++) {
        const value = sample()
        counts.set(value, (counts.get(value) ?? 0) + 1)
      }
      let chi = 0
      let cells = 0
      const reach = Math.ceil(8 * Math.sqrt(variance)) + 2
      for (let k = -reach; k <= reach; k++) {
        const expected = draws * probability(k, variance)
        if (expected < 10) continue
        chi += ((counts.get(k) ?? 0) - expected) ** 2 / expected
        cells++
      }
      // Wilson and Hilferty's approximation of the chi-square quantile.
      const degrees = cells - 1
      const quantile = degrees * (1 - 2 / (9 * degrees) + 3.0902 * Math.sqrt(2 / (9 * degrees))) ** 3
      assert.ok(chi < quantile, `${chi} of ${quantile}`)
    })
  }

  it('has the variance asked for, at the size of real noise, within five standard errors', () => {
    // Three members whose task has 32 bits have the largest: 2^58 in all (§12).
    for (const variance of [1e3, 6.2e5, 1e9, 1e12, 1e15, 2 ** 58 / 3]) {
      const sample = skellam(variance, uniforms(reproducible(2)))
      let sum = 0
      let squares = 0
      let odd = 0
      for (let i = 0; i < draws; i++) {
        const value = sample()
        sum += value
        squares += value * value
        odd += Math.abs(value % 2)
      }
      assert.ok(Math.abs(sum / draws) < 5 * Math.sqrt(variance / draws), `${sum / draws} of ${variance}`)
      assert.ok(
        Math.abs(squares / draws / variance - 1) < 5 * Math.sqrt(2 / draws),
        `${squares / draws} of ${variance}`
      )
      assert.ok(Math.abs(odd / draws - 0.5) < 5 * Math.sqrt(0.25 / draws), `${odd} are odd, of ${variance}`)
    }
  })

  it('draws from the bytes it is given, each once, and differs from call to call of the CSPRNG', () => {
    const same = () => {
      const sample = skellam(50, uniforms(reproducible(3)))
      return Array.from({ length: 100 }, sample)
    }
    assert.deepEqual(same(), same())
    const fresh = () => Array.from({ length: 100 }, skellam(1e6, uniforms(randomBytes)))
    assert.notDeepEqual(fresh(), fresh())
  })
})
