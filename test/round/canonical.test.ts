import assert from 'node:assert/strict'
import * as dagCbor from '@ipld/dag-cbor'
import fc from 'fast-check'
import { encodeCanonical } from '../../src/round/canonical.ts'

const name = fc.string({ unit: 'grapheme', maxLength: 30 }).filter((text) => !text.includes('\0'))
const { value } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(null, true, false),
    fc.maxSafeInteger().map((number) => number + 0),
    fc.integer({ min: -300, max: 70_000 }),
    fc.string({ unit: 'grapheme', maxLength: 300 }),
    fc.uint8Array({ maxLength: 70_000, size: 'medium' }),
    fc.array(tie('value'), { maxLength: 30 }),
    fc.dictionary(name, tie('value'), { noNullPrototype: true })
  )
}))

describe('the canonical form', () => {
  it('is that of DAG-CBOR, to the byte, whatever is encoded', () => {
    fc.assert(
      fc.property(value, (any) => assert.deepEqual(encodeCanonical(any), new Uint8Array(dagCbor.encode(any)))),
      { numRuns: 500 }
    )
  })

  it('tells no field from a field without a name', () => {
    for (const one of [{}, { '': null }, {}])
      assert.deepEqual(encodeCanonical(one), new Uint8Array(dagCbor.encode(one)))
  })

  it('has every whole number in as few bytes as it needs', () => {
    for (const power of [5, 8, 16, 32, 53])
      for (const number of [2 ** power - 1, 2 ** power - 24, 24 - 2 ** power, 1 - 2 ** power, -(2 ** power)].filter(
        Number.isSafeInteger
      ))
        assert.deepEqual(encodeCanonical(number), new Uint8Array(dagCbor.encode(number)), String(number))
  })

  it('has no place for what a message cannot say', () => {
    for (const one of [
      0.5,
      -0,
      NaN,
      Infinity,
      2 ** 53,
      1n,
      undefined,
      [undefined],
      { a: undefined },
      { 'a\0b': 1 },
      () => 1
    ])
      assert.throws(() => encodeCanonical(one), TypeError)
  })

  it('is of values one after the other, long and short, even where one before could not be encoded', () => {
    const long = new Uint8Array(100_000).fill(7)
    assert.throws(() => encodeCanonical([long, undefined]), TypeError)
    for (const one of [long, 1, { b: long, a: 1 }, 'x'])
      assert.deepEqual(encodeCanonical(one), new Uint8Array(dagCbor.encode(one)))
  })
})
