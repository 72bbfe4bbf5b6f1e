import assert from 'node:assert/strict'
import { ed25519 } from '@noble/curves/ed25519.js'
import { sha512 } from '@noble/hashes/sha2.js'
import fc from 'fast-check'
import { LowOrderKeyError } from '../../src/crypto/low-order.ts'
import { flipBit, hex, implementations, unhex } from './vectors.ts'

const { native, portable } = implementations
const { Point } = ed25519

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
const some = fc.uint8Array({ maxLength: 300 })
const pieces = fc.array(some, { maxLength: 4 })

/** Points of small order, with the encodings of y beyond p and of x = −0 that strict decoders refuse. */
const smallOrderKeys = [
  '0100000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000080',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0000000000000000000000000000000000000000000000000000000000000080',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa'
]
const torsion = Point.fromBytes(unhex(smallOrderKeys[10]))

function numberOf(littleEndian: Uint8Array): bigint {
  return BigInt(`0x${hex(littleEndian.toReversed())}`)
}

/** A signature that the cofactorless equation accepts under a key a + torsion, found by trying nonces. */
function forgeUnder(publicKey: Uint8Array, secret: bigint, message: Uint8Array): Uint8Array {
  const L = Point.Fn.ORDER
  const A = Point.fromBytes(publicKey, true)
  const smallPart = A.subtract(secret === 0n ? Point.ZERO : Point.BASE.multiply(secret))
  for (let nonce = 1n; ; nonce++) {
    for (let guess = 0n; guess < 8n; guess++) {
      const R = Point.BASE.multiply(nonce).subtract(smallPart.multiplyUnsafe(guess)).toBytes()
      const k = numberOf(sha512.create().update(R).update(publicKey).update(message).digest()) % L
      if (!smallPart.multiplyUnsafe(k).equals(smallPart.multiplyUnsafe(guess))) continue
      const s = (nonce + k * secret) % L
      return Uint8Array.of(...R, ...unhex(s.toString(16).padStart(64, '0')).toReversed())
    }
  }
}

describe('native and portable primitives are equal on random input', () => {
  it('SHA-256', () => {
    fc.assert(
      fc.property(pieces, (parts) => {
        const [one, other] = [native.createSha256(), portable.createSha256()]
        for (const part of parts) for (const hash of [one, other]) hash.update(part)
        const digest = hex(native.sha256(...parts))
        assert.deepEqual(
          [hex(portable.sha256(...parts)), hex(one.digest()), hex(other.digest())],
          Array(3).fill(digest)
        )
      })
    )
  })

  it('HKDF', () => {
    fc.assert(
      fc.property(some, some, some, fc.integer({ min: 1, max: 300 }), (ikm, salt, info, length) => {
        assert.equal(hex(native.hkdfSha256(ikm, salt, info, length)), hex(portable.hkdfSha256(ikm, salt, info, length)))
      })
    )
  })

  it('X25519, public keys on the twist and beyond the field among them', () => {
    const publicKey = fc.oneof(
      bytes(32),
      fc.nat(30).map((low) => Uint8Array.of(0xd0 + low, ...Array<number>(30).fill(0xff), 0x7f))
    )
    const result = (crypto: typeof native | typeof portable, secret: Uint8Array, key: Uint8Array): string => {
      try {
        return hex(crypto.x25519(secret, key))
      } catch (error) {
        if (error instanceof LowOrderKeyError) return error.code
        throw error
      }
    }
    fc.assert(
      fc.property(bytes(32), publicKey, (secret, key) => {
        assert.equal(hex(native.x25519PublicKey(secret)), hex(portable.x25519PublicKey(secret)))
        assert.equal(result(native, secret, key), result(portable, secret, key))
      })
    )
  })

  it('ChaCha20-Poly1305', () => {
    fc.assert(
      fc.property(bytes(32), bytes(12), some, some, (key, nonce, plaintext, aad) => {
        const sealed = native.seal(key, nonce, plaintext, aad)
        assert.equal(hex(portable.seal(key, nonce, plaintext, aad)), hex(sealed))
        assert.equal(hex(portable.open(key, nonce, sealed, aad)), hex(plaintext))
        assert.equal(hex(native.open(key, nonce, sealed, aad)), hex(plaintext))
      })
    )
  })

  it('AES-256-CTR, from any counter block', async () => {
    await fc.assert(
      fc.asyncProperty(bytes(32), bytes(16), some, async (key, counter, text) => {
        assert.equal(hex(await native.aesCtr(key, counter, text)), hex(await portable.aesCtr(key, counter, text)))
      })
    )
  })

  it('Ed25519 signatures, whole and with a bit flipped anywhere', () => {
    fc.assert(
      fc.property(bytes(32), some, fc.nat(511), fc.nat(255), (seed, message, signatureBit, keyBit) => {
        const signature = native.signEd25519(seed, message)
        const key = ed25519.getPublicKey(seed)
        assert.equal(hex(portable.signEd25519(seed, message)), hex(signature))
        for (const { verifyEd25519 } of [native, portable]) {
          assert.equal(verifyEd25519(key, message, signature), true)
          assert.equal(verifyEd25519(key, message, flipBit(signature, signatureBit)), false)
          assert.equal(verifyEd25519(flipBit(key, keyBit), message, signature), false)
        }
      }),
      { numRuns: 40 }
    )
  })

  it('Ed25519 refuses keys of small order, in every encoding that OpenSSL reads', () => {
    const message = unhex('00ff')
    for (const key of smallOrderKeys.map(unhex)) {
      const signature = forgeUnder(key, 0n, message)
      assert.equal(native.verifyEd25519(key, message, signature), false)
      assert.equal(portable.verifyEd25519(key, message, signature), false)
    }
  })

  it('Ed25519 refuses signatures with an R of small order, also under an honest key', () => {
    const [secret, message] = [987654321n, unhex('6869')]
    const key = Point.BASE.multiply(secret).toBytes()
    const R = Point.ZERO.toBytes()
    const k = numberOf(sha512.create().update(R).update(key).update(message).digest())
    const s = unhex(((k * secret) % Point.Fn.ORDER).toString(16).padStart(64, '0')).toReversed()
    const signature = Uint8Array.of(...R, ...s)
    assert.equal(ed25519.verify(signature, message, key), true, 'the equation holds')
    assert.equal(native.verifyEd25519(key, message, signature), false)
    assert.equal(portable.verifyEd25519(key, message, signature), false)
  })

  it('Ed25519 under keys with a small-order part, cofactorless: what only holds times eight is refused', () => {
    const secret = 123456789n
    const message = unhex('abcd')
    const key = Point.BASE.multiply(secret).add(torsion).toBytes()
    const signature = forgeUnder(key, secret, message)
    const shifted = Point.fromBytes(signature.subarray(0, 32)).add(torsion).toBytes()
    for (const { verifyEd25519 } of [native, portable]) {
      assert.equal(verifyEd25519(key, message, signature), true)
      assert.equal(verifyEd25519(key, message, Uint8Array.of(...shifted, ...signature.subarray(32))), false)
    }
    // Honest signing under the mixed key leaves a torsion error of k, which the cofactored equation would forgive.
    const verdicts = Array.from({ length: 16 }, (_, i) => {
      const R = Point.BASE.multiply(BigInt(i + 1)).toBytes()
      const text = Uint8Array.of(i)
      const k = numberOf(sha512.create().update(R).update(key).update(text).digest()) % Point.Fn.ORDER
      const s = (BigInt(i + 1) + k * secret) % Point.Fn.ORDER
      const cofactored = Uint8Array.of(...R, ...unhex(s.toString(16).padStart(64, '0')).toReversed())
      assert.equal(ed25519.verify(cofactored, text, key), true)
      const verdict = native.verifyEd25519(key, text, cofactored)
      assert.equal(portable.verifyEd25519(key, text, cofactored), verdict)
      return verdict
    })
    assert.equal(verdicts.includes(false), true)
  })

  it('Ed25519 on keys that are any 32 bytes', () => {
    fc.assert(
      fc.property(bytes(32), bytes(64), some, (key, noise, message) => {
        assert.equal(native.verifyEd25519(key, message, noise), portable.verifyEd25519(key, message, noise))
      })
    )
  })
})

describe('a key fit for a roster', () => {
  it('is canonical, on the curve and free of small-order parts', () => {
    const { isCanonicalEd25519Key } = native
    assert.equal(isCanonicalEd25519Key(Point.BASE.multiply(5n).toBytes()), true)
    for (const key of smallOrderKeys) assert.equal(isCanonicalEd25519Key(unhex(key)), false, key)
    assert.equal(isCanonicalEd25519Key(Point.BASE.multiply(5n).add(torsion).toBytes()), false)
    assert.equal(isCanonicalEd25519Key(unhex('02'.padEnd(64, '0'))), false, 'not on the curve')
    assert.equal(isCanonicalEd25519Key(Point.BASE.toBytes().subarray(1)), false)
  })
})
