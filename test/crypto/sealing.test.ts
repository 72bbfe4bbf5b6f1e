import assert from 'node:assert/strict'
import { inspect } from 'node:util'
import fc from 'fast-check'
import { MessageError } from '../../src/errors.ts'
import { open, randomBytes } from '../../src/crypto/primitives.ts'
import { openShares, sealShares } from '../../src/crypto/sealing.ts'
import { Secret } from '../../src/crypto/secret.ts'
import { flipBit, hex } from './vectors.ts'

const key = new Secret(randomBytes(32))
const some = fc.uint8Array({ maxLength: 200 })

describe('sealed shares', () => {
  it('open to what was sealed, and are ChaCha20-Poly1305 under a zero nonce', () => {
    fc.assert(
      fc.property(some, some, (plaintext, aad) => {
        const sealed = sealShares(key, plaintext, aad)
        assert.equal(sealed.length, plaintext.length + 16)
        assert.equal(hex(openShares(key, sealed, aad)), hex(plaintext))
        assert.equal(hex(open(key.expose(), new Uint8Array(12), sealed, aad)), hex(plaintext))
      })
    )
  })

  it('are refused with any bit flipped, for another place or under another key, and the dealer is named', () => {
    const aad = randomBytes(40)
    const sealed = sealShares(key, randomBytes(64), aad)
    const refused = (wrongKey: Secret, wrong: Uint8Array, place: Uint8Array) =>
      assert.throws(
        () => openShares(wrongKey, wrong, place, '12D3dealer'),
        (error) => {
          assert.ok(error instanceof MessageError)
          assert.equal(error.code, 'INVALID')
          assert.equal(error.culprit, '12D3dealer')
          assert.match(error.message, /12D3dealer/)
          return true
        }
      )
    for (let bit = 0; bit < sealed.length * 8; bit++) refused(key, flipBit(sealed, bit), aad)
    refused(key, sealed, flipBit(aad, 0))
    refused(key, sealed.subarray(0, 10), aad)
    refused(new Secret(randomBytes(32)), sealed, aad)
  })

  it('never print their key, not even in an error', () => {
    const secret = hex(key.expose())
    try {
      openShares(key, randomBytes(40), randomBytes(1))
    } catch (error) {
      assert.doesNotMatch(inspect(error, { depth: 10 }), new RegExp(secret))
    }
    assert.equal(inspect(key), '<redacted>')
  })
})
