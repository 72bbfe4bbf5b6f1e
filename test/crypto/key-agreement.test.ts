import assert from 'node:assert/strict'
import fc from 'fast-check'
import { H, lengthPrefixed } from '../../src/crypto/hash.ts'
import {
  beaconContribution,
  compareBytes,
  generateKeyPair,
  maskSign,
  pairwiseMaskSeed,
  pairwiseMaskSeeds,
  sealKey,
  seedCommitment
} from '../../src/crypto/key-agreement.ts'
import { LowOrderKeyError } from '../../src/crypto/low-order.ts'
import { hkdfSha256, randomBytes, x25519 } from '../../src/crypto/primitives.ts'
import { Secret } from '../../src/crypto/secret.ts'
import { hex, unhex, vectors } from './vectors.ts'

const [alice, bob, carol] = ['1220aa', '1220ff', '1220bb'].map(unhex)
const [a, b] = [generateKeyPair(), generateKeyPair()]
const attemptId = H('attempt', 1)
const maskingSetHash = H('set', 1)
const context = { attemptId, maskingSetHash }

const forAlice = { secret: a.secret, self: alice, partner: bob, partnerKey: b.publicKey, ...context }
const forBob = { secret: b.secret, self: bob, partner: alice, partnerKey: a.publicKey, ...context }

function text(secret: Secret): string {
  return hex(secret.expose())
}

describe('key agreement', () => {
  it('makes a key pair of exactly the randomness it is given', () => {
    const { aliceSecret, alicePublic } = vectors.x25519.diffieHellman
    const pair = generateKeyPair((length) => unhex(aliceSecret).subarray(0, length))
    assert.equal(hex(pair.publicKey), alicePublic)
    assert.equal(text(pair.secret), aliceSecret)
    assert.notEqual(hex(generateKeyPair().publicKey), hex(generateKeyPair().publicKey))
  })

  it('orders peer ids as unsigned bytes, like the members of a roster', () => {
    assert.ok(compareBytes(unhex('7f'), unhex('80')) < 0)
    assert.ok(compareBytes(unhex('01'), unhex('0100')) < 0)
    const some = fc.uint8Array({ maxLength: 4 })
    fc.assert(
      fc.property(some, some, (x, y) => {
        assert.equal(Math.sign(compareBytes(x, y)), Buffer.compare(x, y))
      })
    )
  })

  it('gives two members opposite signs, plus to the lower id', () => {
    assert.equal(maskSign(alice, bob), 1)
    assert.equal(maskSign(bob, alice), -1)
    assert.throws(() => maskSign(alice, alice), RangeError)
  })

  it('gives both ends of a pair the seed that section 4 writes down', () => {
    const ikm = x25519(a.secret.expose(), b.publicKey)
    const salt = H('mask-salt', attemptId, maskingSetHash)
    const expected = hex(hkdfSha256(ikm, salt, lengthPrefixed(['mask', alice, bob]), 32))
    assert.equal(text(pairwiseMaskSeed(forAlice)), expected)
    assert.equal(text(pairwiseMaskSeed(forBob)), expected)
  })

  it('gives a pair another seed in another attempt, masking set or pair of ids', () => {
    const seeds = [
      forAlice,
      { ...forAlice, attemptId: H('attempt', 2) },
      { ...forAlice, maskingSetHash: H('set', 2) },
      { ...forAlice, partner: carol },
      { ...forAlice, self: carol }
    ].map((of) => text(pairwiseMaskSeed(of)))
    assert.equal(new Set(seeds).size, seeds.length)
  })

  it('gives many partners at once what it gives each', () => {
    const partners = [bob, carol].map((id) => ({ id, key: generateKeyPair().publicKey }))
    const one = partners.map(({ id, key }) => text(pairwiseMaskSeed({ ...forAlice, partner: id, partnerKey: key })))
    assert.deepEqual(pairwiseMaskSeeds({ ...forAlice, partners }).map(text), one)
  })

  it('refuses partners with a low-order key', () => {
    for (const key of vectors.x25519.lowOrder.map(unhex)) {
      assert.throws(() => pairwiseMaskSeed({ ...forAlice, partnerKey: key }), LowOrderKeyError)
      const sealing = { secret: a.secret, partnerKey: key, dealer: alice, holder: bob, attemptId }
      assert.throws(() => sealKey(sealing), LowOrderKeyError)
    }
  })

  it('gives dealer and holder one key to seal with, another one for the way back and for the next attempt', () => {
    const there = { dealer: alice, holder: bob, attemptId }
    const back = { dealer: bob, holder: alice, attemptId }
    const ofAlice = { secret: a.secret, partnerKey: b.publicKey }
    const ofBob = { secret: b.secret, partnerKey: a.publicKey }
    assert.equal(text(sealKey({ ...ofAlice, ...there })), text(sealKey({ ...ofBob, ...there })))
    const keys = [there, back, { ...there, attemptId: H('attempt', 2) }].map((of) =>
      text(sealKey({ ...ofAlice, ...of }))
    )
    keys.push(text(pairwiseMaskSeed(forAlice)))
    assert.equal(new Set(keys).size, 4)
  })

  it('derives from one seed a commitment and a beacon contribution that do not tell each other', () => {
    const seed = new Secret(randomBytes(32))
    assert.equal(hex(seedCommitment(seed)), hex(H('seed-commitment', seed.expose())))
    const expected = hkdfSha256(seed.expose(), new Uint8Array(0), new TextEncoder().encode('beacon'), 32)
    assert.equal(hex(beaconContribution(seed)), hex(expected))
    assert.notEqual(hex(beaconContribution(seed)), hex(seedCommitment(seed)))
  })
})
