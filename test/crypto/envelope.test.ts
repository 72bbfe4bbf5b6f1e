import assert from 'node:assert/strict'
import { ed25519 } from '@noble/curves/ed25519.js'
import fc from 'fast-check'
import { envelopeBytes, signEnvelope, verifyEnvelope } from '../../src/crypto/envelope.ts'
import { randomBytes, signEd25519 } from '../../src/crypto/primitives.ts'
import { flipBit, hex, unhex } from './vectors.ts'

const seed = randomBytes(32)
const publicKey = ed25519.getPublicKey(seed)
const sign = (bytes: Uint8Array) => signEd25519(seed, bytes)
const some = fc.uint8Array({ maxLength: 60 })

describe('the envelope of a signature', () => {
  it('is domain, type, context and body, each behind its length', () => {
    const written = hex(envelopeBytes('Cut', unhex('aabb'), unhex('01')))
    const domain = Buffer.from('secagg/1/signed').toString('hex')
    assert.equal(written, `0000000f${domain}00000003${Buffer.from('Cut').toString('hex')}00000002aabb0000000101`)
  })

  it('differs wherever type, context or body differ, so that no message parses as another', () => {
    const envelope = fc.tuple(fc.string({ maxLength: 5 }), some, some)
    fc.assert(
      fc.property(envelope, envelope, (one, other) => {
        const same = one[0] === other[0] && hex(one[1]) === hex(other[1]) && hex(one[2]) === hex(other[2])
        assert.equal(hex(envelopeBytes(...one)) === hex(envelopeBytes(...other)), same)
      })
    )
    const shifted = [envelopeBytes('A', unhex('01'), unhex('02')), envelopeBytes('A', unhex('0102'), unhex(''))]
    assert.notEqual(hex(shifted[0]), hex(shifted[1]))
  })

  it('is verified for its signer, type, context and body, and for no other', async () => {
    await fc.assert(
      fc.asyncProperty(some, some, fc.nat(511), async (context, body, bit) => {
        const signature = await signEnvelope(sign, 'Prepare', context, body)
        assert.equal(verifyEnvelope(publicKey, 'Prepare', context, body, signature), true)
        assert.equal(verifyEnvelope(publicKey, 'Commit', context, body, signature), false)
        assert.equal(verifyEnvelope(publicKey, 'Prepare', Uint8Array.of(...context, 0), body, signature), false)
        assert.equal(verifyEnvelope(publicKey, 'Prepare', context, Uint8Array.of(...body, 0), signature), false)
        assert.equal(verifyEnvelope(publicKey, 'Prepare', context, body, flipBit(signature, bit)), false)
        assert.equal(verifyEnvelope(flipBit(publicKey, bit % 256), 'Prepare', context, body, signature), false)
      }),
      { numRuns: 30 }
    )
  })

  it('is signed by a key that answers at once or later, and malformed signatures are false, not errors', async () => {
    const [context, body] = [randomBytes(8), randomBytes(8)]
    const signature = await signEnvelope(async (bytes) => sign(bytes), 'Want', context, body)
    assert.equal(verifyEnvelope(publicKey, 'Want', context, body, signature), true)
    assert.equal(verifyEnvelope(publicKey, 'Want', context, body, new Uint8Array(0)), false)
    assert.equal(verifyEnvelope(new Uint8Array(0), 'Want', context, body, signature), false)
  })
})
