import assert from 'node:assert/strict'
import { sourcesOf } from '../../src/round/sum-fetch.ts'

const leader = 0

/** Who asks whom first for each stripe, and how often each member is asked by others. */
function firstAsked(members: number, stripes: number, isGone = (_member: number) => false): Map<number, number> {
  const servers = Array.from({ length: members - 1 }, (_, index) => index + 1)
  const asked = new Map<number, number>()
  for (const me of servers)
    for (let stripe = 0; stripe < stripes; stripe++) {
      const { member } = sourcesOf(stripe, { servers, stripes, leader, me }).find(({ member }) => !isGone(member))!
      asked.set(member, (asked.get(member) ?? 0) + 1)
    }
  return asked
}

describe('the ways of a sum from member to member', () => {
  it('begin at the leader, and each source is nearer to it than the next', () => {
    for (const [members, stripes] of [
      [3, 2],
      [8, 7],
      [100, 8],
      [1200, 8]
    ]) {
      const servers = Array.from({ length: members - 1 }, (_, index) => index + 1)
      const firstOf = (me: number, stripe: number) => sourcesOf(stripe, { servers, stripes, leader, me })
      for (const me of [...servers, members])
        for (let stripe = 0; stripe < stripes; stripe++) {
          const sources = firstOf(me, stripe)
          assert.deepEqual(sources.at(-1), { member: leader, depth: 0 })
          sources.forEach(({ member, depth }, at) => {
            assert.notEqual(member, me)
            assert.equal(depth, sources.length - 1 - at)
            // What it may be waiting for itself is shorter than what it is waited for.
            if (member !== leader) assert.equal(firstOf(member, stripe)[0].depth, depth - 1)
          })
        }
    }
  })

  it('cost the leader one sum, and every other member little more, however many members there are', () => {
    for (const members of [9, 17, 33, 100, 128, 1200]) {
      const stripes = 8
      const asked = firstAsked(members, stripes)
      assert.equal(asked.get(leader), stripes)
      for (const [member, times] of asked)
        assert.ok(times <= 2 * stripes + 2, `member ${member} is asked ${times} times`)
      const all = [...asked.values()].reduce((sum, times) => sum + times)
      assert.equal(all, stripes * (members - 1))
    }
  })

  it('cost the leader about one sum more where the first member of a class gives nothing', () => {
    const asked = firstAsked(100, 8, (member) => member === 1)
    assert.ok(asked.get(leader)! <= 2 * 8 + 1)
  })
})
