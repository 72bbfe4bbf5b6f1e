import assert from 'node:assert/strict'
import fc from 'fast-check'
import { decodeSet, encodeSet } from '../../src/membership/member-set.ts'

const malformed = { name: 'MessageError', code: 'MALFORMED' }

describe('a set of members', () => {
  it('puts member i at bit i mod 8 of byte i / 8', () => {
    assert.deepEqual(encodeSet([0, 3, 8], 9), Uint8Array.of(0b1001, 1))
    assert.deepEqual(decodeSet(Uint8Array.of(0b1001, 1), 9), [0, 3, 8])
    assert.deepEqual(encodeSet([], 8), Uint8Array.of(0))
  })

  it('comes back as it was, sorted, from ⌈n/8⌉ bytes', () => {
    const sets = fc
      .integer({ min: 1, max: 300 })
      .chain((n) => fc.tuple(fc.constant(n), fc.uniqueArray(fc.nat(n - 1), { maxLength: n })))
    fc.assert(
      fc.property(sets, ([n, indices]) => {
        const bytes = encodeSet(indices, n)
        assert.equal(bytes.length, Math.ceil(n / 8))
        assert.deepEqual(
          decodeSet(bytes, n),
          indices.toSorted((a, b) => a - b)
        )
      })
    )
  })

  it('has one encoding: whatever decodes encodes to the same bytes', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 24 }), fc.uint8Array({ maxLength: 4 }), (n, bytes) => {
        try {
          assert.deepEqual(encodeSet(decodeSet(bytes, n), n), bytes)
        } catch (error) {
          assert.equal((error as { code?: string }).code, 'MALFORMED')
        }
      }),
      { numRuns: 500 }
    )
  })

  it('is refused with a byte too many or too few, or with a padding bit', () => {
    assert.throws(() => decodeSet(new Uint8Array(1), 9), malformed)
    assert.throws(() => decodeSet(new Uint8Array(3), 9), malformed)
    assert.throws(() => decodeSet(new Uint8Array(0), 1), malformed)
    for (let bit = 1; bit < 8; bit++) assert.throws(() => decodeSet(Uint8Array.of(0, 1 << bit), 9), malformed)
    assert.deepEqual(decodeSet(Uint8Array.of(0, 0x80), 16), [15])
  })

  it('refuses to hold a stranger, or a member twice', () => {
    for (const index of [-1, 9, 0.5, NaN]) assert.throws(() => encodeSet([index], 9), RangeError)
    assert.throws(() => encodeSet([1, 2, 1], 9), RangeError)
  })
})
