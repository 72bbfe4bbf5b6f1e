import assert from 'node:assert/strict'
import fc from 'fast-check'
import { H } from '../../src/crypto/hash.ts'
import { carryOver, deal, decodeDeck, encodeDeck, initialDeck, leaderOrder } from '../../src/membership/deck.ts'
import type { Deck } from '../../src/membership/deck.ts'
import { createRoster } from '../../src/membership/roster.ts'
import type { Roster } from '../../src/membership/roster.ts'
import { deckAfter, succeed, unchanged } from '../../src/membership/succession.ts'
import type { Succession } from '../../src/membership/succession.ts'
import { idOf } from './identities.ts'

const first = createRoster({ epoch: 0, members: [0, 1, 2, 3, 4].map(idOf) })

function follow(before: Roster, members: number[], suspended: number[] = []): Roster {
  const fields = { epoch: before.epoch + 1, members: members.map(idOf), previousHash: before.hash }
  return createRoster({ ...fields, suspended: suspended.map(idOf), leastCorrupt: suspended.length === 0 ? 0 : 1 })
}
const withNewcomer = follow(first, [0, 1, 2, 3, 4, 5])
const summed = (round: number, named: Roster) => ({ round, named, summed: true })
const burned = (round: number, named: Roster) => ({ round, named, summed: false })

describe('the succession of rosters', () => {
  it('stays as it is while every closing names the roster in effect', () => {
    let state: Succession = { roster: first }
    for (let round = 1; round < 4; round++) state = succeed(state, { round, named: first, summed: round !== 2 })
    assert.deepEqual(state, { roster: first })
  })

  it('puts a roster into effect after a summed round that opened after it was decided, not after a burned one', () => {
    let state = succeed({ roster: first }, summed(7, withNewcomer))
    assert.deepEqual(state, { roster: first, pending: { roster: withNewcomer, decidedIn: 7 } })
    assert.equal(unchanged(state), withNewcomer)
    state = succeed(state, burned(8, withNewcomer))
    assert.equal(state.roster, first, 'the beacon after a burned round is known beforehand')
    state = succeed(state, summed(9, withNewcomer))
    assert.deepEqual(state, { roster: withNewcomer })
  })

  it('takes no other roster, nor the old one again, while one waits', () => {
    const state = succeed({ roster: first }, summed(1, withNewcomer))
    for (const named of [first, follow(first, [0, 1, 2, 3])])
      assert.throws(() => succeed(state, summed(2, named)), { code: 'CHANGE_INVALID', message: /waits to take effect/ })
  })

  it('takes no roster that does not follow the one in effect', () => {
    const another = createRoster({ epoch: 0, members: [0, 1, 2].map(idOf) })
    const skipped = createRoster({ epoch: 2, members: [0, 1, 2].map(idOf), previousHash: first.hash })
    for (const named of [follow(another, [0, 1, 2]), skipped, another])
      assert.throws(() => succeed({ roster: first }, summed(1, named)), { message: /does not follow the present one/ })
  })

  it('puts one that only suspends into effect with the next round, and no other', () => {
    const suspending = follow(first, [0, 1, 2, 3], [4])
    assert.deepEqual(succeed({ roster: first }, burned(3, suspending)), { roster: suspending })
    const returning = follow(suspending, [0, 1, 2, 3, 4])
    const leaving = follow(first, [0, 1, 2, 3])
    const both = follow(first, [0, 1, 2], [4])
    for (const [before, after] of [
      [suspending, returning],
      [first, leaving],
      [first, both]
    ])
      assert.equal(succeed({ roster: before }, summed(3, after)).roster, before)
  })
})

describe('the deck of the next roster', () => {
  const members = fc.uniqueArray(fc.nat(30), { minLength: 3, maxLength: 20 })

  /** Some rounds with one roster; who was first in each. */
  function play(deck: Deck, roster: Roster, seed: Uint8Array, from: number, rounds: number) {
    const led: string[] = []
    for (let round = from; round < from + rounds; round++) {
      const order = leaderOrder(deck, roster, H('test', seed, round), round)
      led.push(roster.members[order[0]].id)
      deck = deal(deck, order, roster.members.length)
    }
    return { deck, led }
  }

  it('takes leavers out, counts newcomers as dealt, and lets everybody who stays be first once in the cycle', () => {
    fc.assert(
      fc.property(
        members,
        members,
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        fc.nat(39),
        (old, later, seed, played) => {
          const roster = createRoster({ epoch: 0, members: old.map(idOf) })
          const next = createRoster({ epoch: 1, members: later.map(idOf), previousHash: roster.hash })
          const before = play(initialDeck(), roster, seed, 0, played % (2 * old.length))
          const deck = carryOver(before.deck, roster, next)
          assert.deepEqual(decodeDeck(encodeDeck(deck), later.length), deck)
          const led = before.led.slice(played % (2 * old.length) < old.length ? 0 : old.length)
          const due = next.members.filter(({ id }) => roster.indexOf(id) >= 0 && !led.includes(id))
          const after = play(deck, next, seed, 50, due.length)
          assert.deepEqual(after.led.toSorted(), due.map(({ id }) => id).sort())
          const cycle = play(after.deck, next, seed, 100, later.length)
          assert.equal(new Set(cycle.led).size, later.length)
          const all = [...before.led, ...after.led, ...cycle.led]
          if (due.length > 1) all.forEach((id, at) => assert.notEqual(id, all[at + 1], 'nobody is first twice running'))
        }
      ),
      { numRuns: 100 }
    )
  })

  it('still knows who was dealt last where a cycle ends because the rest has left', () => {
    const deck = deal({ dealt: [0, 1], last: 1 }, [2, 3, 4, 0, 1], 5)
    const next = createRoster({
      epoch: 1,
      members: [0, 1, 2].map((place) => first.members[place].id),
      previousHash: first.hash
    })
    assert.deepEqual(carryOver(deck, first, next), { dealt: [], last: 2 })
  })

  it('is the same deck while the roster is', () => {
    const deck = { dealt: [1, 3], last: 3 }
    assert.equal(deckAfter({ roster: first }, { roster: first }, deck), deck)
    assert.deepEqual(deckAfter({ roster: first }, { roster: withNewcomer }, initialDeck()).dealt.length, 1)
  })
})
