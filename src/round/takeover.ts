import { bytesToHex } from '@noble/hashes/utils.js'
import type { CheckedSum } from './attempt.ts'
import { authenticate } from './certificates.ts'
import { sameBytes } from './dealing.ts'
import { LeaderGaveUp } from './faults.ts'
import { decodeMessage, inclusionOf } from './messages.ts'
import type { Body, Lock, Message } from './messages.ts'
import type { Round } from './round.ts'
import { checkHeader, readCut, readEmbedded, readKeyBook, readMaskingSet, tooFew } from './transcript.ts'
import type { CheckedCut, KeyBook, MaskingSet, RoundRules } from './transcript.ts'

/** Where a later leader carries the round on (§6): the furthest point that enough of the members share that came to it. */
export type Point =
  | { at: 'keys' }
  | { at: 'shares'; book: KeyBook }
  | { at: 'mask'; book: KeyBook; set: MaskingSet }
  /** The same cut, after a lock or decision. */
  | { at: 'cut'; book: KeyBook; set: MaskingSet; cut: CheckedCut; lock?: Lock }
  /** This leader has the sum that was published. */
  | { at: 'sum'; sum: CheckedSum }
  /** The attempt cannot be carried on: fresh keys. */
  | { at: 'retry'; lock?: Lock }

/** What members were shown in this attempt and what they hold, read and checked. */
interface Offers {
  books: Map<string, KeyBook>
  sets: Map<string, { book: KeyBook; set: MaskingSet }>
  cuts: Map<string, CheckedCut>
  /** The masking set (its hash, hex) under which a member has masked. */
  masked: Map<number, string>
  /** Masked vectors of members that are gone, in the custody of others. */
  custody: Map<number, string>
}

/** @throws LeaderGaveUp where nothing can be done in this view */
export function furthestPoint(round: Round): Point {
  const { views, rules, attemptNumber } = round
  const attempt = round.attempt()
  if (views.current === round.firstView) return { at: 'keys' }
  const name = inclusionOf(attemptNumber)
  const offers = readOffers(round)
  const decided = round.decision(name)?.body.value
  const lock = views.highestLock(name)
  const value = decided ?? lock?.value
  if (value?.kind === 'retry') return { at: 'retry', lock }
  if (value?.kind === 'cut') {
    if (decided !== undefined && attempt.sum !== undefined) return { at: 'sum', sum: attempt.sum }
    const cut = offers.cuts.get(bytesToHex(value.cutHash))
    if (cut === undefined) throw new LeaderGaveUp('nobody who came to this view was shown the cut that is locked')
    return { at: 'cut', cut, lock, ...offers.sets.get(bytesToHex(cut.cut.maskingSetHash))! }
  }
  const { quorum } = rules.thresholds
  const joins = [...views.joins()]
  const able = joins.filter(([, { sitsOut }]) => !sitsOut).map(([member]) => member)
  const point = able.length < quorum ? undefined : beforeTheCut(rules, able, offers)
  if (point !== undefined) return point
  // Those that sit this attempt out (S5) prepare no cut of it, and take part in the next.
  const few = tooFew(
    rules,
    joins.map(([member]) => member)
  )
  if (few === undefined) return { at: 'retry' }
  throw new LeaderGaveUp(`to this view came ${few}`)
}

/**
 * Beyond view f + D a round that no quorum closes as summed is to be burned instead, and a leader has one proposal to
 * close it a view: it must know beforehand.
 *
 * @throws LeaderGaveUp where the sum would be proposed in vain
 */
export function checkClosable({ rules, views, firstView, decided, sumsProposed }: Round): void {
  const { f, D, quorum } = rules.thresholds
  if (views.current <= f + D || views.current === firstView) return
  // One that was restarted cannot tell whether the cut has the vector that it sent, and so takes no sum of it.
  const able = [...views.joins()].filter(
    ([member, { sitsOut }]) => !sitsOut || decided?.cut.included.has(member) === false
  ).length
  if (able < quorum)
    throw new LeaderGaveUp(`${able} of the members that came can check the sum, fewer than a quorum of ${quorum}`)
  const inVain = [...sumsProposed].filter((view) => view < views.current).length
  if (inVain > f + D) throw new LeaderGaveUp(`the sum was proposed in ${inVain} views, and no quorum prepared it`)
}

/** Members that have masked can be included under their masking set only; the others may still follow any (S2). */
function beforeTheCut(
  rules: RoundRules,
  present: number[],
  { books, sets, masked, custody }: Offers
): Point | undefined {
  const free = present.filter((member) => !masked.has(member))
  let best: { at: 'mask'; book: KeyBook; set: MaskingSet } | undefined
  let most = 0
  for (const [hash, { book, set }] of sets) {
    const able = set.members.filter(
      (member) => masked.get(member) === hash || custody.get(member) === hash || free.includes(member)
    )
    if (able.length <= most || tooFew(rules, able) !== undefined) continue
    most = able.length
    best = { at: 'mask', book, set }
  }
  if (best !== undefined) return best
  for (const book of books.values())
    if (
      tooFew(
        rules,
        book.contributors.filter((member) => free.includes(member))
      ) === undefined
    )
      return { at: 'shares', book }
  return tooFew(rules, free) === undefined ? { at: 'keys' } : undefined
}

function readOffers(round: Round): Offers {
  const { rules, views } = round
  const attempt = round.attempt()
  const offers: Offers = { books: new Map(), sets: new Map(), cuts: new Map(), masked: new Map(), custody: new Map() }
  const attempted = (read: () => void): void => {
    try {
      read()
    } catch (error) {
      // Of another attempt or context, or of no use: a leader works with what it can check.
      round.ports.observer.refused?.(error as Error)
    }
  }
  const shown = [
    ...new Map(
      [...views.joins().values()].flatMap((join) => join.shown).map((encoded) => [bytesToHex(encoded), encoded])
    ).values()
  ]
  const messages: Message[] = []
  for (const encoded of shown) attempted(() => messages.push(shownByLeader(encoded, round)))
  const ofType = <T extends 'KeyBook' | 'MaskingSet' | 'Proposal'>(type: T) =>
    messages.filter((message): message is Message<T> => message.type === type)
  for (const message of ofType('KeyBook')) {
    if (sameBytes(message.body.attemptId, attempt.id))
      attempted(() => {
        const book = readKeyBook(message, attempt, rules)
        offers.books.set(bytesToHex(book.hash), book)
      })
  }
  for (const message of ofType('MaskingSet')) {
    const book = offers.books.get(bytesToHex(message.body.keyBookHash))
    if (book !== undefined)
      attempted(() => {
        const set = readMaskingSet(message, book, rules)
        offers.sets.set(bytesToHex(set.hash), { book, set })
      })
  }
  for (const { body, from } of ofType('Proposal')) {
    const under = body.cut === null ? undefined : offers.sets.get(bytesToHex(body.cut.maskingSetHash))
    if (under !== undefined && body.value.kind === 'cut')
      attempted(() => {
        const { cutHash } = body.value as { cutHash: Uint8Array }
        offers.cuts.set(bytesToHex(cutHash), readCut(body.cut!, body.headers, under.book, under.set, rules, from))
      })
  }
  for (const [member, join] of views.joins()) {
    if (join.masked !== null) attempted(() => void noteMasked(member, join.masked!, offers, round))
    for (const header of join.custody) attempted(() => noteCustody(header, offers, round))
  }
  return offers
}

/** What the leader of its view signed. */
function shownByLeader(encoded: Uint8Array, round: Round): Message {
  const message = decodeMessage(encoded)
  authenticate(message, round.rules.context, round.rules.roster)
  const { view } = message.body as Body<'KeyBook'>
  if (message.from !== round.leader(view))
    throw new LeaderGaveUp(`a ${message.type} of view ${view} is not signed by its leader`)
  return message
}

function noteMasked(member: number, encoded: Uint8Array, { masked, sets }: Offers, round: Round): void {
  const { rules } = round
  const attempt = round.attempt()
  const header = readEmbedded('MaskedHeader', encoded, rules)
  const hash = bytesToHex(header.body.maskingSetHash)
  // Also where nobody can show the set: this member has masked, and cannot follow another.
  if (header.from !== member || !sameBytes(header.body.attemptId, attempt.id)) return
  masked.set(member, hash)
  const under = sets.get(hash)
  if (under !== undefined) checkHeader(header, under.book, under.set, rules.roster)
}

function noteCustody(encoded: Uint8Array, { custody, sets }: Offers, { rules }: Round): void {
  const header = readEmbedded('MaskedHeader', encoded, rules)
  const hash = bytesToHex(header.body.maskingSetHash)
  const under = sets.get(hash)
  if (under === undefined) return
  checkHeader(header, under.book, under.set, rules.roster)
  custody.set(header.from, hash)
}
