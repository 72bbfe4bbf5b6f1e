import assert from 'node:assert/strict'
import { Documents } from '../../src/round/documents.ts'

const document = (first: number, length = 100) => ({ encoded: new Uint8Array(length).fill(first, 0, 1) })

describe('documents that were parsed lately', () => {
  it('are found by their bytes, wherever these stand, and not with a byte changed', () => {
    const documents = new Documents<{ encoded: Uint8Array }>()
    const one = document(1)
    documents.keep(one)
    assert.equal(documents.find(one.encoded.slice()), one)
    assert.equal(documents.find(document(2).encoded), undefined)
  })

  it('are forgotten, the oldest first, before they fill the memory', () => {
    const documents = new Documents<{ encoded: Uint8Array }>()
    const large = [1, 2, 3, 4, 5].map((first) => document(first, 1024 * 1024))
    for (const one of large) documents.keep(one)
    const found = large.map(({ encoded }) => documents.find(encoded) !== undefined)
    assert.deepEqual(found, [false, false, true, true, true])
  })
})
