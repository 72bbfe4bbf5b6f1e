import assert from 'node:assert/strict'
import fc from 'fast-check'
import { MerkleTree, subLeafBytes, VectorHasher, vectorLeaf, verifyPath } from '../../src/crypto/merkle.ts'
import { randomBytes, sha256 } from '../../src/crypto/primitives.ts'
import { flipBit, hex, unhex, vectors } from './vectors.ts'

const attemptId = randomBytes(32)
const leavesOf = (count: number) => Array.from({ length: count }, (_, i) => sha256(Uint8Array.of(0, i)))

describe('the Merkle tree', () => {
  it('has the roots of RFC 6962', () => {
    const leaves = vectors.merkle.leaves.map((leaf) => sha256(Uint8Array.of(0), unhex(leaf)))
    vectors.merkle.roots.forEach((root, i) => assert.equal(hex(MerkleTree.from(leaves.slice(0, i + 1)).root), root))
  })

  it('proves each leaf at its place, and at no other', () => {
    for (let count = 1; count <= 17; count++) {
      const leaves = leavesOf(count)
      const tree = MerkleTree.from(leaves)
      for (let index = 0; index < count; index++) {
        const claim = { root: tree.root, leaf: leaves[index], index, count, path: tree.path(index) }
        assert.equal(verifyPath(claim), true)
        for (let other = 0; other < count; other++) {
          assert.equal(verifyPath({ ...claim, index: other }), other === index, `${index} at ${other} of ${count}`)
        }
      }
    }
  })

  it('takes no path that is shorter, longer, or has a bit flipped', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), fc.nat(), fc.nat(255), (count, at, bit) => {
        const index = at % count
        const leaves = leavesOf(count)
        const tree = MerkleTree.from(leaves)
        const claim = { root: tree.root, leaf: leaves[index], index, count, path: tree.path(index) }
        const { path } = claim
        assert.equal(verifyPath({ ...claim, root: flipBit(claim.root, bit) }), false)
        assert.equal(verifyPath({ ...claim, leaf: flipBit(claim.leaf, bit) }), false)
        assert.equal(verifyPath({ ...claim, path: [...path, tree.root] }), false)
        if (path.length === 0) return
        const k = at % path.length
        assert.equal(verifyPath({ ...claim, path: path.slice(0, -1) }), false)
        assert.equal(verifyPath({ ...claim, path: path.with(k, flipBit(path[k], bit)) }), false)
        assert.equal(verifyPath({ ...claim, path: path.with(k, path[k].subarray(1)) }), false)
      })
    )
  })

  it('takes no inner node for a leaf, by claiming fewer leaves', () => {
    const leaves = leavesOf(4)
    const tree = MerkleTree.from(leaves)
    const [, upper] = tree.path(2)
    const claim = { root: tree.root, leaf: upper, index: 0, path: [tree.path(0)[1]] }
    assert.equal(verifyPath({ ...claim, count: 4 }), false)
    assert.equal(hex(sha256(Uint8Array.of(1), leaves[0], leaves[1])), hex(upper))
  })

  it('takes no index or count out of range', () => {
    const tree = MerkleTree.from(leavesOf(2))
    const claim = { root: tree.root, leaf: leavesOf(2)[0], index: 0, count: 2, path: tree.path(0) }
    for (const [index, count] of [
      [-1, 2],
      [2, 2],
      [0, 0],
      [0.5, 2],
      [0, NaN],
      [0, 2.5],
      [0, Infinity]
    ]) {
      assert.equal(verifyPath({ ...claim, index, count }), false)
    }
    assert.throws(() => tree.path(2), RangeError)
    assert.throws(() => MerkleTree.from([]), RangeError)
    assert.throws(() => MerkleTree.from([new Uint8Array(31)]), RangeError)
  })
})

/** §10 by its words. */
function plainLeaf(member: number, chunk: number, bytes: Uint8Array): Uint8Array {
  const word = (value: number) => unhex(value.toString(16).padStart(8, '0'))
  const subLeaves: Uint8Array[] = []
  for (let at = 0; at < bytes.length; at += 16_384) {
    const part = bytes.subarray(at, at + 16_384)
    const numbers = [member, chunk, subLeaves.length].map(word)
    subLeaves.push(sha256(Uint8Array.of(0), attemptId, ...numbers, part))
  }
  return MerkleTree.from(subLeaves).root
}

describe('the leaf of a chunk', () => {
  it('is the root over sub-leaves of 16 KiB, bound to attempt, member and chunk', () => {
    for (const length of [1, subLeafBytes, subLeafBytes + 1, 3 * subLeafBytes + 5]) {
      const bytes = randomBytes(length)
      const of = { attemptId, member: 258, chunk: 70_000, bytes }
      const leaf = hex(vectorLeaf(of))
      assert.equal(leaf, hex(plainLeaf(258, 70_000, bytes)))
      assert.notEqual(hex(vectorLeaf({ ...of, attemptId: flipBit(attemptId, 9) })), leaf)
      assert.notEqual(hex(vectorLeaf({ ...of, member: 259 })), leaf)
      assert.notEqual(hex(vectorLeaf({ ...of, chunk: 70_001 })), leaf)
      assert.notEqual(hex(vectorLeaf({ ...of, bytes: flipBit(bytes, length * 8 - 1) })), leaf)
    }
  })

  it('comes out the same from a whole vector, in whatever pieces it passes by', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(1000, subLeafBytes, 2 * subLeafBytes + 100),
        fc.integer({ min: 1, max: 100_000 }),
        fc.array(fc.integer({ min: 0, max: 40_000 }), { maxLength: 8 }),
        (chunkBytes, length, cuts) => {
          const vector = randomBytes(length)
          const hasher = new VectorHasher({ attemptId, member: 3, chunkBytes })
          const borders = [0, ...cuts.map((cut) => Math.min(cut, length)).sort((a, b) => a - b), length]
          for (let i = 1; i < borders.length; i++) hasher.update(vector.subarray(borders[i - 1], borders[i]))
          const { root, leaves } = hasher.finish()
          const expected: Uint8Array[] = []
          for (let at = 0; at < length; at += chunkBytes) {
            const bytes = vector.subarray(at, at + chunkBytes)
            expected.push(vectorLeaf({ attemptId, member: 3, chunk: expected.length, bytes }))
          }
          assert.deepEqual(leaves.map(hex), expected.map(hex))
          assert.equal(hex(root), hex(MerkleTree.from(expected).root))
        }
      ),
      { numRuns: 50 }
    )
  })

  it('refuses an empty vector, and numbers out of range', () => {
    const of = { attemptId, member: 0, chunk: 0, bytes: randomBytes(5) }
    assert.throws(() => vectorLeaf({ ...of, bytes: new Uint8Array(0) }), RangeError)
    assert.throws(() => vectorLeaf({ ...of, member: 2 ** 32 }), RangeError)
    assert.throws(() => vectorLeaf({ ...of, chunk: -1 }), RangeError)
    assert.throws(() => vectorLeaf({ ...of, attemptId: new Uint8Array(31) }), RangeError)
    assert.throws(() => new VectorHasher({ attemptId, member: 0, chunkBytes: 0 }), RangeError)
    assert.throws(() => new VectorHasher({ attemptId, member: 0, chunkBytes: 10 }).finish(), RangeError)
  })
})
