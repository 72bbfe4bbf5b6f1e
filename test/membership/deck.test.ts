import assert from 'node:assert/strict'
import { encode } from '@ipld/dag-cbor'
import fc from 'fast-check'
import { H } from '../../src/crypto/hash.ts'
import {
  type Deck,
  deal,
  deckHash,
  decodeDeck,
  encodeDeck,
  initialDeck,
  leaderOfView,
  leaderOrder
} from '../../src/membership/deck.ts'
import { createRoster, Roster } from '../../src/membership/roster.ts'
import { peerIds } from './peers.ts'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const everyone = createRoster({ epoch: 0, members: peerIds(40) })
// The beginning of an ordered list is in order, with the same indices.
const rosterOf = (n: number) => new Roster(0, everyone.members.slice(0, n))
const beacons = fc.uint8Array({ minLength: 32, maxLength: 32 })
const sizes = fc.integer({ min: 3, max: 40 })
const malformed = { name: 'MessageError', code: 'MALFORMED' }

/** Who is first in each of these rounds, with a beacon of its own for each. */
function firsts(roster: Roster, seed: Uint8Array, rounds: number): number[] {
  const n = roster.members.length
  let deck = initialDeck()
  return Array.from({ length: rounds }, (_, round) => {
    const order = leaderOrder(deck, roster, H('test', seed, round), round)
    deck = deal(deck, order, n)
    return order[0]
  })
}

/** A deck that comes about after some rounds. */
function deckAfter(roster: Roster, seed: Uint8Array, rounds: number): Deck {
  let deck = initialDeck()
  for (let round = 0; round < rounds; round++) {
    deck = deal(deck, leaderOrder(deck, roster, H('test', seed, round), round), roster.members.length)
  }
  return deck
}

describe('the order of a round', () => {
  it('names every member once, those not yet dealt before the dealt ones', () => {
    fc.assert(
      fc.property(sizes, fc.nat(100), beacons, (n, rounds, beacon) => {
        const roster = rosterOf(n)
        const deck = deckAfter(roster, beacon, rounds % (2 * n))
        const order = leaderOrder(deck, roster, beacon, 5)
        assert.deepEqual(
          order.toSorted((a, b) => a - b),
          [...roster.members.keys()]
        )
        const behind = order.slice(n - deck.dealt.length)
        assert.deepEqual(
          behind.sort((a, b) => a - b),
          deck.dealt
        )
      }),
      { numRuns: 60 }
    )
  })

  it('ranks by H("rank", beacon, round, peer id), as an independent implementation does', () => {
    const roster = createRoster({ epoch: 0, members: peerIds(5) })
    const beacon = new Uint8Array(32).fill(8)
    assert.deepEqual(leaderOrder(initialDeck(), roster, beacon, 9), [1, 0, 4, 3, 2])
    // The same ranks, in two groups.
    assert.deepEqual(leaderOrder({ dealt: [1, 4], last: undefined }, roster, beacon, 9), [0, 3, 2, 1, 4])
  })

  it('lets the last one dealt in a cycle trade places with the second of the next, and changes nothing else', () => {
    const roster = createRoster({ epoch: 0, members: peerIds(5) })
    const beacon = new Uint8Array(32).fill(8)
    assert.deepEqual(leaderOrder({ dealt: [], last: 1 }, roster, beacon, 9), [0, 1, 4, 3, 2])
    for (const last of [0, 2, 3, 4]) {
      assert.deepEqual(leaderOrder({ dealt: [], last }, roster, beacon, 9), [1, 0, 4, 3, 2])
    }
  })

  it('is the same for every member that knows the closed rounds', () => {
    fc.assert(
      fc.property(sizes, fc.nat(90), beacons, (n, rounds, beacon) => {
        const deck = deckAfter(rosterOf(n), beacon, rounds)
        const caughtUp = decodeDeck(encodeDeck(deck), n)
        const shuffled = rosterOf(n).members.map(({ id }) => id)
        const roster = createRoster({ epoch: 0, members: shuffled.reverse() })
        assert.deepEqual(leaderOrder(caughtUp, roster, beacon, 3), leaderOrder(deck, rosterOf(n), beacon, 3))
        assert.deepEqual(deckHash(caughtUp), deckHash(deck))
      }),
      { numRuns: 15 }
    )
  })

  it('gives view v to its place v, and begins again where it ends', () => {
    assert.deepEqual(
      [0, 1, 2, 3, 4, 7].map((view) => leaderOfView([2, 0, 1], view)),
      [2, 0, 1, 2, 0, 0]
    )
    for (const view of [-1, 0.5, NaN]) assert.throws(() => leaderOfView([2, 0, 1], view), RangeError)
  })
})

describe('the deck', () => {
  it('lets each member be first once a cycle, and nobody twice running', () => {
    fc.assert(
      fc.property(sizes, beacons, (n, seed) => {
        const first = firsts(rosterOf(n), seed, 3 * n)
        for (let cycle = 0; cycle < 3; cycle++) {
          assert.equal(new Set(first.slice(cycle * n, (cycle + 1) * n)).size, n)
        }
        for (let round = 1; round < first.length; round++) assert.notEqual(first[round], first[round - 1])
      }),
      { numRuns: 40 }
    )
  })

  it('lets nobody be first twice running in the smallest roster over very many cycles', () => {
    const first = firsts(rosterOf(3), new Uint8Array(32), 3000)
    for (let round = 1; round < first.length; round++) assert.notEqual(first[round], first[round - 1])
  })

  it('lets f colluders be first at most f times a cycle, even if they choose among the beacons', () => {
    fc.assert(
      fc.property(sizes, beacons, fc.integer({ min: 1, max: 5 }), (n, seed, colluders) => {
        const f = Math.min(colluders, n - 1)
        const roster = rosterOf(n)
        let deck = initialDeck()
        for (let cycle = 0; cycle < 2; cycle++) {
          let times = 0
          for (let round = 0; round < n; round++) {
            const orders = [0, 1, 2, 3].map((choice) => leaderOrder(deck, roster, H('test', seed, choice), round))
            const order = orders.find(([first]) => first < f) ?? orders[0]
            if (order[0] < f) times++
            deck = deal(deck, order, n)
          }
          assert.equal(times, f)
        }
      }),
      { numRuns: 15 }
    )
  })

  it('is dealt anew when all members have been dealt, and always remembers the last', () => {
    let deck = initialDeck()
    deck = deal(deck, [2, 0, 1], 3)
    assert.deepEqual(deck, { dealt: [2], last: 2 })
    deck = deal(deck, [0, 1, 2], 3)
    assert.deepEqual(deck, { dealt: [0, 2], last: 0 })
    deck = deal(deck, [1, 0, 2], 3)
    assert.deepEqual(deck, { dealt: [], last: 1 })
    assert.deepEqual(deal(deck, [0, 1, 2], 3), { dealt: [0], last: 0 })
  })

  it('is not changed by dealing', () => {
    const deck = deal(initialDeck(), [1, 0, 2], 3)
    deal(deck, [0, 2, 1], 3)
    assert.deepEqual(deck.dealt, [1])
    assert.throws(() => (deck.dealt as number[]).push(2), TypeError)
  })

  it('refuses to deal a member twice in a cycle, or by the order of another roster', () => {
    const deck = deal(initialDeck(), [1, 0, 2], 3)
    assert.throws(() => deal(deck, [1, 0, 2], 3), RangeError)
    assert.throws(() => deal(deck, [0, 1, 2], 4), RangeError)
  })
})

describe('the encoding of a deck', () => {
  it('gives back every deck that can come about, and hashes as an independent implementation does', () => {
    fc.assert(
      fc.property(sizes, fc.nat(90), beacons, (n, rounds, seed) => {
        const deck = deckAfter(rosterOf(n), seed, rounds)
        assert.deepEqual(decodeDeck(encodeDeck(deck), n), deck)
      }),
      { numRuns: 40 }
    )
    const known: [Deck, string][] = [
      [initialDeck(), '6702f412e3c1d38e60a695e6c61ab947247d1de7c7723e5ca263e92c5d928328'],
      [{ dealt: [1, 3], last: undefined }, '831fc5136c447db546f9af6ffc61962c7106a43c8dfc5648c0a0f5672ce3e7be'],
      [{ dealt: [], last: 2 }, 'a5c89804a89beed3d9e350250174ea2c02f667a42691144da6a93ba9dfebf68c']
    ]
    for (const [deck, expected] of known) assert.equal(hex(deckHash(deck)), expected)
  })

  it('refuses a deck that cannot come about', () => {
    const impossible = [
      { dealt: [1, 0] },
      { dealt: [1, 1] },
      { dealt: [5] },
      { dealt: [-1] },
      { dealt: [0.5] },
      { dealt: ['0'] },
      { dealt: [0, 1, 2, 3, 4] },
      { dealt: [0], last: 5 },
      { dealt: [], last: 5 },
      { dealt: [], last: null },
      { dealt: [], more: 1 },
      { last: 1 },
      { dealt: 1 },
      [],
      null,
      7
    ]
    for (const value of impossible) assert.throws(() => decodeDeck(encode(value), 5), malformed, JSON.stringify(value))
    assert.throws(() => decodeDeck(new Uint8Array(1000), 5), malformed)
    assert.throws(() => decodeDeck(new Uint8Array(0), 5), malformed)
  })

  it('refuses bytes in another form: keys out of order, longer numbers, floats, trailing bytes', () => {
    const spellings = [
      'a2656465616c7480646c61737402',
      'a1656465616c74811801',
      'a1656465616c7481fb3ff0000000000000',
      'a1656465616c748000',
      'bf656465616c7480ff'
    ]
    for (const text of spellings) assert.throws(() => decodeDeck(Buffer.from(text, 'hex'), 5), malformed, text)
    assert.deepEqual(decodeDeck(Buffer.from('a2646c61737402656465616c7480', 'hex'), 5), { dealt: [], last: 2 })
  })

  it('takes no flipped bit for the same deck', () => {
    const bytes = encodeDeck({ dealt: [1, 4, 6, 30], last: undefined })
    for (let bit = 0; bit < 8 * bytes.length; bit++) {
      const flipped = bytes.slice()
      flipped[bit >> 3] ^= 1 << (bit & 7)
      try {
        assert.notDeepEqual(decodeDeck(flipped, 40).dealt, [1, 4, 6, 30])
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'MALFORMED')
      }
    }
  })
})
