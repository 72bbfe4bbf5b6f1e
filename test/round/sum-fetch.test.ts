import assert from 'node:assert/strict'
import { sourcesOf } from '../../src/round/sum-fetch.ts'
import type { Ways } from '../../src/round/sum-fetch.ts'

const leader = 0

/** One member adds all of it up. */
function whole(members: number, stripes = 8): Ways {
  const servers = Array.from({ length: members - 1 }, (_, index) => index + 1)
  return { servers, stripes, origins: Array<number>(stripes).fill(leader), leader }
}

/** The first members add up a slice each, the leader among them. */
function inSlices(members: number, shards: number): Ways {
  const servers = Array.from({ length: members }, (_, index) => index)
  return { servers, stripes: shards, origins: servers.slice(0, shards), leader }
}

/** Whom members ask first for each stripe that they do not have, and how often each is asked. */
function firstAsked(ways: Ways, isGone = (_member: number) => false): Map<number, number> {
  const asked = new Map<number, number>()
  for (const me of ways.servers)
    for (const [stripe, origin] of ways.origins.entries()) {
      if (me === origin) continue
      const { member } = sourcesOf(stripe, ways, me).find(({ member }) => !isGone(member))!
      asked.set(member, (asked.get(member) ?? 0) + 1)
    }
  return asked
}

describe('the ways of a sum from member to member', () => {
  it('begin where each part of it was made, and each source is nearer to that than the next', () => {
    const ways = [whole(3, 2), whole(8, 7), whole(100), whole(1200), inSlices(3, 3), inSlices(32, 2), inSlices(100, 40)]
    for (const one of ways)
      for (const me of [...one.servers, one.servers.length + 1])
        for (const [stripe, origin] of one.origins.entries()) {
          if (me === origin) continue
          const sources = sourcesOf(stripe, one, me)
          const places = sources.slice(0, sources.findIndex(({ member }) => member === origin) + 1)
          assert.deepEqual(places.at(-1), { member: origin, depth: 0 })
          places.forEach(({ member, depth }, at) => {
            assert.notEqual(member, me)
            assert.equal(depth, places.length - 1 - at)
            // What it may be waiting for itself is shorter than what it is waited for.
            if (member !== origin) assert.equal(sourcesOf(stripe, one, member)[0].depth, depth - 1)
          })
          assert.ok(sources.some(({ member }) => member === leader || me === leader))
        }
  })

  it('cost the leader one sum, and every other member little more, however many members there are', () => {
    for (const members of [9, 17, 33, 100, 128, 1200]) {
      const ways = whole(members)
      const asked = firstAsked(ways)
      assert.equal(asked.get(leader), ways.stripes)
      for (const [member, times] of asked)
        assert.ok(times <= 2 * ways.stripes + 2, `member ${member} is asked ${times} times`)
      const all = [...asked.values()].reduce((sum, times) => sum + times)
      assert.equal(all, ways.stripes * (members - 1))
    }
  })

  it('cost nobody more than two slices more than a sum where it is in slices, its owners included', () => {
    for (const [members, shards] of [
      [32, 2],
      [100, 3],
      [64, 8],
      [100, 40],
      [64, 64]
    ]) {
      const asked = firstAsked(inSlices(members, shards))
      for (const [member, times] of asked) {
        // The last row of the classes is not full: its members' counterparts are the first.
        const most = shards + 1 + (member < shards ? (members % shards === 0 ? 0 : shards - 1) : 0)
        assert.ok(times <= most, `with ${shards} shards member ${member} of ${members} gives ${times} slices`)
      }
      const all = [...asked.values()].reduce((sum, times) => sum + times)
      assert.equal(all, shards * (members - 1))
    }
  })

  it('cost the leader about one sum more where the first member of a class gives nothing', () => {
    const asked = firstAsked(whole(100), (member) => member === 1)
    assert.ok(asked.get(leader)! <= 2 * 8 + 1)
  })
})
