import assert from 'node:assert/strict'
import { LowOrderKeyError } from '../../src/crypto/low-order.ts'
import { flipBit, hex, implementations, unhex, vectors } from './vectors.ts'

const groupOrder = 2n ** 252n + 27742317777372353535851937790883648493n

function addLittleEndian(bytes: Uint8Array, addend: bigint): Uint8Array {
  let value = BigInt(`0x${hex(bytes.toReversed())}`) + addend
  return bytes.map(() => {
    const byte = Number(value & 255n)
    value >>= 8n
    return byte
  })
}

for (const [name, crypto] of Object.entries(implementations)) {
  describe(`primitives, ${name}`, () => {
    it('hashes as FIPS 180-4 says, in one piece or several', () => {
      const abc = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
      assert.equal(hex(crypto.sha256(new TextEncoder().encode('abc'))), abc)
      assert.equal(hex(crypto.sha256(unhex('61'), unhex('6263'))), abc)
      const hash = crypto.createSha256()
      for (const piece of ['61', '', '6263']) hash.update(unhex(piece))
      assert.equal(hex(hash.digest()), abc)
    })

    it('derives keys as RFC 5869 A.1 to A.3', () => {
      for (const { ikm, salt, info, okm } of vectors.hkdf.cases) {
        assert.equal(hex(crypto.hkdfSha256(unhex(ikm), unhex(salt), unhex(info), okm.length / 2)), okm)
      }
    })

    it('multiplies on Curve25519 as RFC 7748 §5.2', () => {
      for (const { scalar, u, result } of vectors.x25519.scalarMultiplications) {
        assert.equal(hex(crypto.x25519(unhex(scalar), unhex(u))), result)
      }
    })

    it('multiplies 1 and 1000 times in a row as RFC 7748 §5.2', () => {
      for (const { iterations, result } of vectors.x25519.iterated) {
        let k = unhex('09'.padEnd(64, '0'))
        let u = k
        for (let i = 0; i < iterations; i++) [k, u] = [crypto.x25519(k, u), k]
        assert.equal(hex(k), result)
      }
    })

    it('agrees on the secret of RFC 7748 §6.1 from both ends', () => {
      const { aliceSecret, alicePublic, bobSecret, bobPublic, shared } = vectors.x25519.diffieHellman
      assert.equal(hex(crypto.x25519PublicKey(unhex(aliceSecret))), alicePublic)
      assert.equal(hex(crypto.x25519PublicKey(unhex(bobSecret))), bobPublic)
      assert.equal(hex(crypto.x25519(unhex(aliceSecret), unhex(bobPublic))), shared)
      assert.equal(hex(crypto.x25519(unhex(bobSecret), unhex(alicePublic))), shared)
    })

    it('refuses every public key of low order, its unused top bit set or not', () => {
      const secret = unhex(vectors.x25519.diffieHellman.aliceSecret)
      for (const key of vectors.x25519.lowOrder.map(unhex)) {
        assert.throws(() => crypto.x25519(secret, key), LowOrderKeyError)
        assert.throws(() => crypto.x25519(secret, flipBit(key, 255)), LowOrderKeyError)
      }
    })

    it('refuses keys of a wrong length without calling them low-order', () => {
      const key = unhex(vectors.x25519.diffieHellman.alicePublic)
      assert.throws(() => crypto.x25519(key, key.subarray(1)), RangeError)
      assert.throws(() => crypto.x25519(key.subarray(1), key), RangeError)
    })

    it('encrypts in counter mode as SP 800-38A F.5.5', async () => {
      const { key, counter, plaintext, ciphertext } = vectors.aes256Ctr
      assert.equal(hex(await crypto.aesCtr(unhex(key), unhex(counter), unhex(plaintext))), ciphertext)
    })

    it('gives the key stream that counter mode lays over zeros, from any byte on, in pieces of any size', async () => {
      const key = unhex(vectors.aes256Ctr.key)
      const whole = await crypto.aesCtr(key, new Uint8Array(16), new Uint8Array(70_000 + 200))
      for (const offset of [0, 1, 15, 16, 17, 100]) {
        const stream = crypto.aesCtrKeystream(key, offset)
        let at = offset
        for (const length of [1, 15, 32, 70_000, 3]) {
          await stream.prepare?.(length)
          const bytes = stream.next(length)
          assert.equal(Buffer.compare(bytes, whole.subarray(at, at + length)), 0)
          stream.release(bytes)
          at += length
        }
      }
    })

    it('continues the key stream beyond 2^32 blocks without wrapping', async () => {
      const key = unhex(vectors.aes256Ctr.key)
      const stream = crypto.aesCtrKeystream(key, 16 * 2 ** 32 - 16)
      await stream.prepare?.(32)
      const expected = await crypto.aesCtr(key, unhex('000000000000000000000000ffffffff'), new Uint8Array(32))
      assert.equal(hex(stream.next(32)), hex(expected))
    })

    it('seals and opens as RFC 8439 §2.8.2 and A.5', () => {
      for (const { key, nonce, aad, plaintext, sealed } of vectors.chacha20Poly1305.cases) {
        const text = new TextEncoder().encode(plaintext)
        assert.equal(hex(crypto.seal(unhex(key), unhex(nonce), text, unhex(aad))), sealed)
        assert.equal(hex(crypto.open(unhex(key), unhex(nonce), unhex(sealed), unhex(aad))), hex(text))
      }
    })

    it('opens nothing with a bit flipped in key, nonce, message, tag or associated data', () => {
      const vector = vectors.chacha20Poly1305.cases[0]
      const [key, nonce, aad, sealed] = [vector.key, vector.nonce, vector.aad, vector.sealed].map(unhex)
      for (let bit = 0; bit < sealed.length * 8; bit += 7) {
        assert.throws(() => crypto.open(key, nonce, flipBit(sealed, bit), aad))
      }
      assert.throws(() => crypto.open(flipBit(key, 3), nonce, sealed, aad))
      assert.throws(() => crypto.open(key, flipBit(nonce, 3), sealed, aad))
      assert.throws(() => crypto.open(key, nonce, sealed, flipBit(aad, 3)))
      assert.throws(() => crypto.open(key, nonce, sealed.subarray(1), aad))
      assert.throws(() => crypto.open(key, nonce, sealed.subarray(0, 15), aad))
    })

    for (const { name: test, ...vector } of vectors.ed25519.cases) {
      const [seed, publicKey, message, signature] = [
        vector.seed,
        vector.publicKey,
        vector.message,
        vector.signature
      ].map(unhex)

      it(`signs and verifies RFC 8032 §7.1 ${test}`, () => {
        assert.equal(hex(crypto.signEd25519(seed, message)), vector.signature)
        assert.equal(crypto.verifyEd25519(publicKey, message, signature), true)
        assert.equal(crypto.isCanonicalEd25519Key(publicKey), true)
      })

      it(`refuses ${test} malleated (s + L), with flipped bits or cut short`, () => {
        const malleated = signature.slice()
        malleated.set(addLittleEndian(signature.subarray(32), groupOrder), 32)
        assert.equal(crypto.verifyEd25519(publicKey, message, malleated), false)
        for (const bit of [0, 255, 256, 400, 511]) {
          assert.equal(crypto.verifyEd25519(publicKey, message, flipBit(signature, bit)), false)
        }
        for (const bit of [0, 100, 255]) {
          assert.equal(crypto.verifyEd25519(flipBit(publicKey, bit), message, signature), false)
        }
        assert.equal(crypto.verifyEd25519(publicKey, Uint8Array.of(...message, 0), signature), false)
        assert.equal(crypto.verifyEd25519(publicKey, message, signature.subarray(1)), false)
        assert.equal(crypto.verifyEd25519(publicKey.subarray(1), message, signature), false)
      })
    }

    it('draws random bytes, also more than WebCrypto gives at once', () => {
      const drawn = crypto.randomBytes(200_000)
      assert.equal(drawn.length, 200_000)
      assert.equal(
        drawn.subarray(-1000).some((byte) => byte !== 0),
        true
      )
      assert.notEqual(hex(crypto.randomBytes(32)), hex(crypto.randomBytes(32)))
    })
  })
}
