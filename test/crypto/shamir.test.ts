import assert from 'node:assert/strict'
import fc from 'fast-check'
import { randomBytes } from '../../src/crypto/primitives.ts'
import { Secret } from '../../src/crypto/secret.ts'
import { lagrangeAtZero, reconstructSecret, shareSecret } from '../../src/crypto/shamir.ts'
import { hex, unhex } from './vectors.ts'

/**
 * The field by its definition: product of polynomials over GF(2), then the remainder modulo z^8 + z^4 + z^3 + z + 1.
 */
function slowMultiply(a: number, b: number): number {
  let product = 0
  for (let i = 0; i < 8; i++) if ((b >>> i) & 1) product ^= a << i
  for (let i = 14; i >= 8; i--) if ((product >>> i) & 1) product ^= 0x11b << (i - 8)
  return product
}

/** c0 + c1·x + c2·x² + … */
function slowEvaluate(coefficients: number[], x: number): number {
  let power = 1
  let sum = 0
  for (const coefficient of coefficients) {
    sum ^= slowMultiply(coefficient, power)
    power = slowMultiply(power, x)
  }
  return sum
}

/** A threshold, distinct slots for at least as many holders, and a secret. */
const dealing = fc.uniqueArray(fc.integer({ min: 1, max: 255 }), { minLength: 2, maxLength: 40 }).chain((xs) =>
  fc.record({
    xs: fc.constant(xs),
    threshold: fc.integer({ min: 2, max: xs.length }),
    secret: fc.uint8Array({ minLength: 1, maxLength: 70 })
  })
)

function dealt(secret: Uint8Array, threshold: number, xs: number[], random?: (length: number) => Uint8Array) {
  const shares = shareSecret(new Secret(secret.slice()), threshold, xs, random)
  return xs.map((x, i) => ({ x, share: shares[i] }))
}

describe('secret sharing', () => {
  it('multiplies as in FIPS 197 §4.2: 57 · 83 = c1 and 57 · 13 = fe', () => {
    assert.equal(slowMultiply(0x57, 0x83), 0xc1)
    // The share at x of the polynomial 57·x is 57·x.
    for (const [x, product] of [
      [0x83, 'c1'],
      [0x13, 'fe']
    ] as const) {
      assert.equal(hex(shareSecret(new Secret(unhex('00')), 2, [x, 1], () => unhex('57'))[0]), product)
    }
  })

  it('gives shares computed by hand', () => {
    // 2a + 01·x + 80·x²: at 1 it is 2a^01^80 = ab; at 2, x² = 04, 80·04 = 36 and 2a^02^36 = 1e; at 3, x² = 05, 80·05 =
    // b6 and 2a^03^b6 = 9f.
    const shares = shareSecret(new Secret(unhex('2a')), 3, [1, 2, 3], () => unhex('0180'))
    assert.deepEqual(shares.map(hex), ['ab', '1e', '9f'])
    assert.deepEqual(hex(lagrangeAtZero([1, 2, 3])), '010101')
  })

  it('evaluates random polynomials as the slow definition does, at every slot, for every pair of factors', () => {
    const xs = Array.from({ length: 255 }, (_, i) => i + 1)
    const [secret, drawn] = [new Uint8Array(256), Uint8Array.from({ length: 256 }, (_, i) => i)]
    const shares = shareSecret(new Secret(secret), 2, xs, () => drawn.slice())
    xs.forEach((x, i) =>
      assert.deepEqual(
        shares[i],
        drawn.map((c) => slowMultiply(c, x))
      )
    )
    fc.assert(
      fc.property(dealing, ({ xs, threshold, secret }) => {
        const drawn = randomBytes((threshold - 1) * secret.length)
        const shares = dealt(secret, threshold, xs, () => drawn.slice())
        for (const { x, share } of shares) {
          const expected = secret.map((byte, i) =>
            slowEvaluate([byte, ...drawn.filter((_, at) => at % secret.length === i)], x)
          )
          assert.deepEqual(share, expected)
        }
      }),
      { numRuns: 20 }
    )
  })

  it('gives the secret back from any threshold of the shares, in any order', () => {
    fc.assert(
      fc.property(dealing, fc.infiniteStream(fc.nat()), ({ xs, threshold, secret }, order) => {
        const ranked = dealt(secret, threshold, xs).map((share) => ({ share, rank: order.next().value as number }))
        const any = ranked.toSorted((a, b) => a.rank - b.rank).map(({ share }) => share)
        const some = any.slice(0, threshold)
        assert.equal(hex(reconstructSecret(some, threshold).expose()), hex(secret))
        assert.equal(hex(reconstructSecret(any, threshold).expose()), hex(secret))
      })
    )
  })

  it('uses the shares with the lowest slots only', () => {
    const secret = randomBytes(32)
    const shares = dealt(secret, 3, [9, 4, 200, 7, 30])
    for (const lying of [30, 200]) shares.find(({ x }) => x === lying)!.share.fill(1)
    assert.equal(hex(reconstructSecret(shares, 3).expose()), hex(secret))
    shares.find(({ x }) => x === 9)!.share[0] ^= 1
    assert.notEqual(hex(reconstructSecret(shares, 3).expose()), hex(secret))
  })

  it('says nothing with one share less: over all coefficients each value comes equally often, whatever the secret', () => {
    // Threshold 3: two shares of 65,536 polynomials at once, each pair of values exactly once.
    const length = 65_536
    const drawn = Uint8Array.from({ length: 2 * length }, (_, i) => (i < length ? i & 255 : (i - length) >>> 8))
    const all = Uint8Array.from({ length: 256 }, (_, coefficient) => coefficient)
    for (let secret = 0; secret < 256; secret++) {
      for (const x of [1, 2, 255]) {
        const [shares] = shareSecret(new Secret(new Uint8Array(256).fill(secret)), 2, [x, x ^ 1 || 7], () =>
          all.slice()
        )
        assert.equal(new Set(shares).size, 256)
      }
      const [one, two] = shareSecret(new Secret(new Uint8Array(length).fill(secret)), 3, [3, 77, 5], () =>
        drawn.slice()
      )
      const pairs = new Uint8Array(length)
      for (let at = 0; at < length; at++) pairs[one[at] * 256 + two[at]]++
      assert.ok(
        pairs.every((times) => times === 1),
        `two shares say something of ${secret}`
      )
    }
  })

  it('draws coefficients so that the shares of a fixed secret are uniform (chi-square, threshold 45)', () => {
    const counts = new Uint32Array(256)
    const samples = 64 * 4096
    for (const share of shareSecret(
      new Secret(new Uint8Array(4096)),
      45,
      Array.from({ length: 64 }, (_, i) => i + 1)
    ))
      for (const value of share) counts[value]++
    const expected = samples / 256
    const chiSquare = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
    // 255 degrees of freedom: mean 255, deviation 22.6; 420 is passed less than once in 10^9 runs, and 100 is too even.
    assert.ok(chiSquare < 420 && chiSquare > 100, `chi-square ${chiSquare}`)
  })

  it('lets a known share be changed by a known amount, so that reconstruction is linear', () => {
    const [a, b] = [randomBytes(32), randomBytes(32)]
    const xs = [1, 5, 9]
    const [sharesA, sharesB] = [dealt(a, 3, xs), dealt(b, 3, xs)]
    const sum = sharesA.map(({ x, share }, i) => ({ x, share: share.map((byte, k) => byte ^ sharesB[i].share[k]) }))
    assert.deepEqual(
      reconstructSecret(sum, 3).expose(),
      a.map((byte, i) => byte ^ b[i])
    )
  })

  it('has coefficients that are those of Lagrange, also when remembered and when the caller spoils its copy', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 1, max: 255 }), { minLength: 1, maxLength: 30 }), (xs) => {
        const coefficients = lagrangeAtZero(xs)
        // They give the constant term of every power: 1 for x^0, 0 for x^1 to x^(t−1).
        xs.forEach((_, power) => {
          const values = xs.map((x) => slowEvaluate([...Array<number>(power).fill(0), 1], x))
          const sum = values.reduce((sum, value, i) => sum ^ slowMultiply(value, coefficients[i]), 0)
          assert.equal(sum, power === 0 ? 1 : 0)
        })
        const first = hex(coefficients)
        coefficients.fill(0)
        assert.equal(hex(lagrangeAtZero(xs)), first)
      })
    )
  })

  it('refuses what cannot be a set of shares', () => {
    const secret = new Secret(randomBytes(32))
    const shares = dealt(randomBytes(32), 2, [1, 2, 3])
    assert.throws(() => reconstructSecret(shares.slice(1, 2), 2), /fewer than the threshold/)
    assert.throws(() => reconstructSecret([shares[0], shares[0], shares[1]], 2), /same slot/)
    assert.throws(() => reconstructSecret([{ ...shares[0], x: 0 }, shares[1]], 2), /1 to 255/)
    assert.throws(() => reconstructSecret([{ x: 1, share: new Uint8Array(31) }, shares[1]], 2), /equal length/)
    for (const xs of [
      [0, 1],
      [1, 256],
      [1, 1.5],
      [2, 2]
    ])
      assert.throws(() => shareSecret(secret, 2, xs), RangeError)
    assert.throws(() => shareSecret(secret, 3, [1, 2]), /never reach/)
    for (const threshold of [0, 1, 1.5, 256]) assert.throws(() => shareSecret(secret, threshold, [1, 2]), RangeError)
  })
})
