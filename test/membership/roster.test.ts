import assert from 'node:assert/strict'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey, peerIdFromString } from '@libp2p/peer-id'
import fc from 'fast-check'
import { createRoster } from '../../src/membership/roster.ts'
import { base58, peerBytes, peerIds, peerKey } from './peers.ts'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const ids = peerIds(9)
const invalid = (message: RegExp) => ({ code: 'ROSTER_INVALID', message })

describe('a roster', () => {
  it('orders its members by the bytes of their peer ids, unsigned, and counts them from 0', () => {
    const { members } = createRoster({ epoch: 0, members: ids })
    assert.equal(members.length, ids.length)
    // Text of lower-case hexadecimal sorts like the bytes that it stands for.
    const texts = members.map(({ bytes }) => hex(bytes))
    assert.deepEqual(texts, [...texts].sort())
    // Sorted as signed bytes, keys from 0x80 on would come first.
    assert.ok(members.some(({ publicKey }) => publicKey[0] > 0x7f) && members[0].publicKey[0] < 0x80)
    members.forEach((member, index) => assert.equal(member.index, index))
  })

  it('is the same roster in whatever order its members are listed', () => {
    const { hash } = createRoster({ epoch: 1, members: ids })
    fc.assert(
      fc.property(fc.shuffledSubarray(ids, { minLength: ids.length }), (members) => {
        assert.deepEqual(createRoster({ epoch: 1, members }).hash, hash)
      }),
      { numRuns: 10 }
    )
  })

  it('hashes epoch, previous hash, count and members, as an independent implementation does', () => {
    const members = ids.slice(0, 5)
    const genesis = createRoster({ epoch: 0, members })
    assert.equal(hex(genesis.hash), '1298a6d3f5b6c9ae4ff59b318bb087b4edd024f8b2f38f5f4ea3cf7f34a74bee')
    const third = createRoster({ epoch: 3, members, previousHash: new Uint8Array(32).fill(7) })
    assert.equal(hex(third.hash), 'c4d6186241a98d92f5f037c6f66f2787301a962c5df3fca0228266ec4ed7fdbf')
  })

  it('finds a member by its peer id, and no stranger', () => {
    const roster = createRoster({ epoch: 0, members: ids.slice(1) })
    for (const member of roster.members) {
      assert.equal(roster.indexOf(member.id), member.index)
      assert.equal(roster.byId(member.id), member)
      assert.deepEqual(new Uint8Array(peerIdFromString(member.id).toMultihash().bytes), member.bytes)
      assert.deepEqual(peerBytes(member.publicKey), member.bytes)
    }
    assert.equal(roster.indexOf(ids[0]), -1)
    assert.equal(roster.byId(ids[0]), undefined)
  })

  it('never changes', () => {
    const previousHash = new Uint8Array(32)
    const roster = createRoster({ epoch: 0, members: ids, previousHash })
    previousHash[0] = 1
    assert.equal(roster.previousHash?.[0], 0)
    assert.throws(() => (roster.members as unknown[]).pop(), TypeError)
    assert.throws(() => Object.assign(roster, { epoch: 2 }), TypeError)
    assert.throws(() => Object.assign(roster.members[0], { index: 2 }), TypeError)
  })

  it('refuses a peer that is listed twice, and names it', () => {
    const members = [ids[0], ids[1], ids[0]]
    assert.throws(() => createRoster({ epoch: 0, members }), { ...invalid(/twice/), culprit: ids[0] })
  })

  it('refuses what is no peer id', () => {
    for (const id of ['', 'peer', '12D3KooW', `${ids[0]}x`, base58(peerBytes(new Uint8Array(31)))]) {
      assert.throws(() => createRoster({ epoch: 0, members: [id] }), invalid(/peer id/), id)
    }
  })

  it('refuses a peer that does not sign with Ed25519', async () => {
    const id = peerIdFromPrivateKey(await generateKeyPair('secp256k1')).toString()
    assert.throws(() => createRoster({ epoch: 0, members: [id] }), { ...invalid(/not Ed25519/), culprit: id })
    // A SHA-256 multihash, as peers with RSA keys have: the key is not in the id.
    const hashed = base58(Uint8Array.of(0x12, 0x20, ...new Uint8Array(32).fill(1)))
    assert.throws(() => createRoster({ epoch: 0, members: [hashed] }), invalid(/not Ed25519/))
  })

  it('refuses a key of small order, off the curve, or with a second encoding', () => {
    const one = Uint8Array.of(1, ...new Uint8Array(31))
    const zero = new Uint8Array(32)
    const offCurve = Uint8Array.of(2, ...new Uint8Array(31))
    // y = p + 1 is the neutral element again.
    const second = Uint8Array.of(0xee, ...new Uint8Array(30).fill(0xff), 0x7f)
    for (const key of [one, zero, offCurve, second]) {
      const members = [base58(peerBytes(key))]
      assert.throws(() => createRoster({ epoch: 0, members }), invalid(/small order|not a peer id/), hex(key))
    }
  })

  it('refuses a second name for one key', () => {
    const [key] = [peerKey(0)]
    // The protobuf with its fields the other way round, and with a length of two bytes.
    const swapped = base58(Uint8Array.of(0x00, 0x24, 0x12, 0x20, ...key, 0x08, 0x01))
    const padded = base58(Uint8Array.of(0x00, 0x25, 0x08, 0x81, 0x00, 0x12, 0x20, ...key))
    for (const id of [swapped, padded]) {
      assert.throws(
        () => createRoster({ epoch: 0, members: [ids[0], id] }),
        invalid(/canonically|to be written|not a peer/)
      )
    }
    const cid = peerIdFromString(ids[0]).toCID().toString()
    assert.throws(() => createRoster({ epoch: 0, members: [cid] }), invalid(/to be written 12D3/))
  })

  it('refuses an empty list, an epoch that is no whole number and a previous hash of another length', () => {
    assert.throws(() => createRoster({ epoch: 0, members: [] }), invalid(/nobody/))
    for (const epoch of [-1, 0.5, NaN, 2 ** 53]) {
      assert.throws(() => createRoster({ epoch, members: ids }), invalid(/epoch/), String(epoch))
    }
    const previousHash = new Uint8Array(31)
    assert.throws(() => createRoster({ epoch: 0, members: ids, previousHash }), invalid(/32 bytes/))
  })
})
