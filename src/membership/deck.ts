import { decode, encode } from '@ipld/dag-cbor'
import { H } from '../crypto/hash.ts'
import { compareBytes } from '../crypto/key-agreement.ts'
import { MessageError } from '../errors.ts'
import type { Roster } from './roster.ts'

/** Who has been first in line in this cycle (§7). Indices are those of the roster that the deck belongs to. */
export interface Deck {
  /** Members dealt in this cycle, rising; never all of them, because then the next cycle has begun. */
  readonly dealt: readonly number[]
  /** The last one dealt, whatever the cycle; undefined before the first round, and where it has left since. */
  readonly last: number | undefined
}

function freeze(dealt: number[], last: number | undefined): Deck {
  return Object.freeze({ dealt: Object.freeze(dealt), last })
}

/** The deck before the first round. */
export function initialDeck(): Deck {
  return freeze([], undefined)
}

/**
 * The order of a round (§7), all indices of the roster: those not yet dealt by rank, then the dealt ones by rank. Where a
 * cycle begins, the last one dealt in the previous trades places with the second if it would be first.
 */
export function leaderOrder(deck: Deck, roster: Roster, beacon: Uint8Array, round: number): number[] {
  const dealt = new Set(deck.dealt)
  const ranked = roster.members.map(({ index, bytes }) => ({ index, rank: H('rank', beacon, round, bytes) }))
  ranked.sort((a, b) => Number(dealt.has(a.index)) - Number(dealt.has(b.index)) || compareBytes(a.rank, b.rank))
  const order = ranked.map(({ index }) => index)
  // With all others dealt, as newcomers are, there is nobody to trade with.
  const due = order.length - dealt.size
  if (due > 1 && order[0] === deck.last) [order[0], order[1]] = [order[1], order[0]]
  return order
}

/** The deck after a round of `n` members with this order: its first is dealt, whatever became of the round (§7). */
export function deal(deck: Deck, order: readonly number[], n: number): Deck {
  if (order.length !== n) throw new RangeError(`the order of a round of ${n} members has ${order.length} places`)
  const first = order[0]
  if (deck.dealt.includes(first)) throw new RangeError(`member ${first} has been dealt in this cycle`)
  if (deck.dealt.length + 1 === n) return freeze([], first)
  return freeze(
    [...deck.dealt, first].sort((a, b) => a - b),
    first
  )
}

/**
 * The deck under the roster of the next epoch (§7): whoever left is taken out, newcomers count as dealt in this cycle. A
 * cycle that ends because all that were still to be dealt have left makes room for the next one.
 */
export function carryOver(deck: Deck, from: Roster, to: Roster): Deck {
  const dealt = to.members.filter(({ id }) => {
    const before = from.indexOf(id)
    return before < 0 || deck.dealt.includes(before)
  })
  const last = deck.last === undefined ? -1 : to.indexOf(from.members[deck.last].id)
  const ended = dealt.length === to.members.length
  return freeze(ended ? [] : dealt.map(({ index }) => index), last < 0 ? undefined : last)
}

/** The index of the member that leads view `view`, from 0: around again where the order ends (§7). */
export function leaderOfView(order: readonly number[], view: number): number {
  if (!Number.isSafeInteger(view) || view < 0) throw new RangeError(`a view is a whole number from 0, not ${view}`)
  return order[view % order.length]
}

/** The canonical bytes of a deck: a dag-cbor map of `dealt` and, where there is one, `last`. */
export function encodeDeck({ dealt, last }: Deck): Uint8Array {
  return encode(last === undefined ? { dealt } : { dealt, last })
}

/** The hash that a closing decision names, 32 bytes. */
export function deckHash(deck: Deck): Uint8Array {
  return H('deck', encodeDeck(deck))
}

function isIndex(value: unknown, n: number): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < n
}

function parseDeck(value: unknown, n: number): Deck | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { dealt, last } = value as { dealt?: unknown; last?: unknown }
  if (!Array.isArray(dealt) || dealt.length >= n) return undefined
  if (!dealt.every((index, at) => isIndex(index, n) && (at === 0 || index > dealt[at - 1]))) return undefined
  // Newcomers count as dealt: with them the last one of the cycle before need not be among those of this one.
  if (last !== undefined && !isIndex(last, n)) return undefined
  return freeze(dealt as number[], last)
}

/**
 * A deck of `n` members as a peer sent it. Throws `MessageError` ('MALFORMED') unless the bytes are what `encodeDeck` gives
 * for a deck that can come about.
 */
export function decodeDeck(bytes: Uint8Array, n: number): Deck {
  // No honest deck takes more than five bytes an index, so that nothing large is ever parsed.
  if (bytes.length > 32 + 5 * n) throw new MessageError('MALFORMED', `a deck of ${n} members has ${bytes.length} bytes`)
  let value: unknown
  try {
    value = decode(bytes)
  } catch (cause) {
    throw new MessageError('MALFORMED', 'a deck is not dag-cbor', { cause })
  }
  const deck = parseDeck(value, n)
  // The decoder accepts unsorted and unknown keys; comparing the bytes does not.
  if (deck === undefined || compareBytes(encodeDeck(deck), bytes) !== 0) {
    throw new MessageError('MALFORMED', `a deck cannot be one of ${n} members in its canonical form`)
  }
  return deck
}
