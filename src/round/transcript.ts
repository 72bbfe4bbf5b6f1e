import { bytesToHex } from '@noble/hashes/utils.js'
import { H } from '../crypto/hash.ts'
import { compareBytes } from '../crypto/key-agreement.ts'
import { isLowOrderKey } from '../crypto/low-order.ts'
import { MerkleTree } from '../crypto/merkle.ts'
import { MessageError } from '../errors.ts'
import { graphOf } from '../membership/graphs.ts'
import type { Graph } from '../membership/graphs.ts'
import { drawGroups } from '../membership/groups.ts'
import type { Groups } from '../membership/groups.ts'
import { decodeSet } from '../membership/member-set.ts'
import type { Roster } from '../membership/roster.ts'
import type { Task } from '../task/task.ts'
import type { Thresholds } from '../task/thresholds.ts'
import { authenticate } from './certificates.ts'
import { decodeMessage } from './messages.ts'
import type { AnyMessage, Body, Cut, Message, MessageType, RoundContext } from './messages.ts'
import { fullAdvert, fullHeader } from './short-forms.ts'
import type { VectorShape } from './vectors.ts'

/** What is public of an attempt, and every member's checks of it: key book, masking set, cut (§4, §5). */

/** What all members know of a round before it begins. */
export interface RoundRules {
  context: RoundContext
  roster: Roster
  thresholds: Thresholds
  /** Where sums are per group. */
  groups?: Groups
  /** The graph of each attempt where it is sparse (§9), and of a running round only; otherwise it is complete. */
  graph?: (attempt: number) => Graph
  /** Of a member's vector; left out where not all is known that a sum is made with: groups, and sparse graphs. */
  shape?: VectorShape
}

/** The rules of any round that a roster runs, as far as they follow from task and roster alone. */
export function rulesOf(context: RoundContext, roster: Roster, task: Task): RoundRules {
  const { thresholds, groups, laneCount, bits, shards } = task
  const isPlain = groups === undefined && thresholds.graph === undefined
  return {
    context,
    roster,
    thresholds,
    ...(isPlain && { shape: { elements: laneCount, bits, ...(shards > 1 && { shards }) } })
  }
}

/** All rules of one round: its groups and graphs follow from its beacon (§9, §13). */
export function rulesIn(rules: RoundRules, task: Task, beacon: Uint8Array): RoundRules {
  const { roster, thresholds } = rules
  const { round } = rules.context
  const { members, graph } = thresholds
  const { groups, laneCount, bits, shards } = task
  return {
    ...rules,
    shape: { elements: laneCount, bits, ...(shards > 1 && { shards }) },
    ...(groups && { groups: drawGroups(roster, { beacon, round, count: groups.count }) }),
    ...(graph && { graph: (attempt) => graphOf(members, graph, { beacon, rosterHash: roster.hash, round, attempt }) })
  }
}

/** `roundId = H(taskId, epoch, rosterHash, round, contextHash)`. 32 bytes. */
export function roundIdOf(
  { task, epoch, round }: RoundContext,
  rosterHash: Uint8Array,
  contextHash: Uint8Array
): Uint8Array {
  return H('round', task, epoch, rosterHash, round, contextHash)
}

/** `attemptId = H(roundId, attempt)`. 32 bytes. */
export function attemptIdOf(roundId: Uint8Array, attempt: number): Uint8Array {
  return H('attempt', roundId, attempt)
}

/** Why these members are too few for a sum, for people; undefined where they are enough. */
export function tooFew({ thresholds: { nMin } }: RoundRules, { length }: number[]): string | undefined {
  if (length >= nMin) return undefined
  return `${length === 0 ? 'no' : length} member${length === 1 ? '' : 's'}, and a sum needs at least ${nMin}`
}

/** All adverts of an attempt, in roster order. */
export interface KeyBook {
  hash: Uint8Array
  attemptId: Uint8Array
  /** Of the attempt: who shares masks and shares with whom. */
  graph: Graph
  adverts: ReadonlyMap<number, Message<'KeyAdvert'>>
  /** Roster indices of those that have an input. */
  contributors: number[]
}

export interface MaskingSet {
  hash: Uint8Array
  members: number[]
  /** As it was shown; the view in it is no part of its hash. */
  body: Body<'MaskingSet'>
}

/** A message that came inside another one: parsed, of the expected type, and signed by the member it names. */
export function readEmbedded<T extends MessageType>(
  type: T,
  encoded: Uint8Array,
  { context, roster }: RoundRules
): Message<T> {
  const message: AnyMessage = decodeMessage(encoded)
  if (message.type !== type) throw new MessageError('INVALID', `a ${message.type} stands where a ${type} belongs`)
  authenticate(message, context, roster)
  return message as Message<T>
}

/** What a leader shows is its own fault where it is wrong, also where it shows what others have signed. */
export function shownBy<T>(culprit: string, what: string, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (cause instanceof MessageError && cause.culprit !== culprit)
      throw new MessageError(cause.code, `${what} is invalid: ${cause.message}`, { culprit, cause })
    throw cause
  }
}

/** The hash of a body without the view it was shown in: a later leader shows the same. */
export function keyBookHash(attemptId: Uint8Array, adverts: Uint8Array[]): Uint8Array {
  return H('key-book', attemptId, adverts.length, ...adverts)
}

export function readyHash(readies: Message<'Ready'>[]): Uint8Array {
  return H('ready', ...[...readies].sort((a, b) => a.from - b.from).map(({ encoded }) => encoded))
}

export function maskingSetHash({ attemptId, keyBookHash, members, readyHash }: Body<'MaskingSet'>): Uint8Array {
  return H('masking-set', attemptId, keyBookHash, members, readyHash)
}

/** The root that fixes one header for each included member. */
export function headersRoot(headers: Message<'MaskedHeader'>[]): Uint8Array {
  return MerkleTree.from(headers.map(({ encoded }) => H('header', encoded))).root
}

function refuseLowOrder(key: Uint8Array, whose: string, culprit: string): void {
  if (isLowOrderKey(key)) throw new MessageError('LOW_ORDER_KEY', `${whose} is an X25519 key of low order`, { culprit })
}

/** @throws MessageError WRONG_ATTEMPT, LOW_ORDER_KEY, DUPLICATE_KEY */
export function checkAdvert({ from, body }: Message<'KeyAdvert'>, attemptId: Uint8Array, roster: Roster): void {
  const culprit = roster.members[from].id
  if (compareBytes(body.attemptId, attemptId) !== 0)
    throw new MessageError('WRONG_ATTEMPT', `a KeyAdvert of member ${from} is for another attempt`, { culprit })
  refuseLowOrder(body.maskKey, `the mask key of member ${from}`, culprit)
  refuseLowOrder(body.sealKey, `the seal key of member ${from}`, culprit)
  if (compareBytes(body.maskKey, body.sealKey) === 0)
    throw new MessageError('DUPLICATE_KEY', `member ${from} advertises one key for both uses`, { culprit })
}

/** No two adverts may share a key: whoever copies another's key could not be told from it. */
export function shareKey(one: Message<'KeyAdvert'>, other: Message<'KeyAdvert'>): boolean {
  const keys = ({ body }: Message<'KeyAdvert'>): Uint8Array[] => [body.maskKey, body.sealKey]
  return keys(one).some((key) => keys(other).some((copy) => compareBytes(key, copy) === 0))
}

export function duplicateKey({ from: one }: { from: number }, { from: other }: { from: number }, culprit?: string) {
  return new MessageError('DUPLICATE_KEY', `members ${one} and ${other} advertise the same key`, { culprit })
}

export function refuseDuplicateKeys(adverts: Iterable<Message<'KeyAdvert'>>): void {
  const seen = new Map<string, Message<'KeyAdvert'>>()
  for (const advert of adverts) {
    for (const key of [advert.body.maskKey, advert.body.sealKey]) {
      const text = bytesToHex(key)
      const other = seen.get(text)
      if (other !== undefined) throw duplicateKey(other, advert)
      seen.set(text, advert)
    }
  }
}

/** Every advert signed by its owner, in roster order, valid, no key twice. @throws MessageError, the leader being the culprit */
export function readKeyBook(
  message: Pick<Message<'KeyBook'>, 'from' | 'body'>,
  { id: attemptId, graph }: { id: Uint8Array; graph: Graph },
  rules: RoundRules
): KeyBook {
  const { roster } = rules
  const culprit = roster.members[message.from].id
  if (compareBytes(message.body.attemptId, attemptId) !== 0)
    throw new MessageError('WRONG_ATTEMPT', 'a KeyBook is for another attempt', { culprit })
  const adverts = new Map<number, Message<'KeyAdvert'>>()
  let last = -1
  let full: Uint8Array[] = []
  shownBy(culprit, 'a KeyBook', () => {
    full = message.body.adverts.map((encoded) => fullAdvert(encoded, attemptId, rules.context))
    for (const encoded of full) {
      const advert = readEmbedded('KeyAdvert', encoded, rules)
      if (advert.from <= last) throw new MessageError('INVALID', 'its adverts are not in roster order')
      last = advert.from
      checkAdvert(advert, attemptId, roster)
      adverts.set(advert.from, advert)
    }
    refuseDuplicateKeys(adverts.values())
  })
  return {
    hash: keyBookHash(attemptId, full),
    attemptId,
    graph,
    adverts,
    contributors: [...adverts.values()].filter(({ body }) => body.contributes).map(({ from }) => from)
  }
}

/** A subset of the book's contributors, no smaller than this member's own `nMin` (§4). */
export function readMaskingSet(
  message: Pick<Message<'MaskingSet'>, 'from' | 'body'>,
  book: KeyBook,
  rules: RoundRules
): MaskingSet {
  const { roster } = rules
  const { body, from } = message
  const culprit = roster.members[from].id
  const fault = (sentence: string) => new MessageError('INVALID', sentence, { culprit })
  if (compareBytes(body.attemptId, book.attemptId) !== 0 || compareBytes(body.keyBookHash, book.hash) !== 0) {
    throw fault('a MaskingSet belongs to another key book')
  }
  const members = shownBy(culprit, 'a MaskingSet', () => decodeSet(body.members, roster.members.length))
  const stranger = members.find((member) => !book.contributors.includes(member))
  if (stranger !== undefined) throw fault(`a MaskingSet names member ${stranger}, who contributes nothing`)
  const few = tooFew(rules, members)
  if (few !== undefined) throw fault(`a MaskingSet has ${few}`)
  return { hash: maskingSetHash(body), members, body }
}

export interface CheckedCut {
  cut: Cut
  included: ReadonlySet<number>
  dropped: number[]
  headers: ReadonlyMap<number, Message<'MaskedHeader'>>
}

/** Checks 2, 3 and 4 of §5, and that the cut belongs to this key book and masking set (check 1). */
export function readCut(
  cut: Cut,
  headers: Uint8Array[],
  book: KeyBook,
  set: MaskingSet,
  rules: RoundRules,
  leader: number
): CheckedCut {
  const { roster } = rules
  const culprit = roster.members[leader].id
  const fault = (sentence: string) => new MessageError('INVALID', sentence, { culprit })
  if (compareBytes(cut.attemptId, book.attemptId) !== 0)
    throw new MessageError('WRONG_ATTEMPT', 'a cut is for another attempt', { culprit })
  if (compareBytes(cut.keyBookHash, book.hash) !== 0) throw fault('a cut belongs to another key book')
  if (compareBytes(cut.maskingSetHash, set.hash) !== 0) throw fault('a cut belongs to another masking set')
  const included = shownBy(culprit, 'a cut', () => decodeSet(cut.included, roster.members.length))
  const invented = included.find((member) => !set.members.includes(member))
  if (invented !== undefined) throw fault(`a cut includes member ${invented}, who is not in the masking set`)
  const few = tooFew(rules, included)
  if (few !== undefined) throw fault(`a cut includes ${few}`)
  const inside = new Set(included)
  const exposed = included.find((member) => !book.graph.isSafe(member, inside))
  if (exposed !== undefined) throw fault(`a cut leaves member ${exposed} too few of its mask partners`)
  if (headers.length !== included.length)
    throw fault(`a cut includes ${included.length} and comes with ${headers.length} headers`)
  const read = shownBy(culprit, 'a cut', () =>
    headers.map((encoded, place) => {
      const header = readEmbedded('MaskedHeader', fullHeader(encoded, included[place], cut, rules.context), rules)
      if (header.from !== included[place]) throw fault(`a cut comes without the header of member ${included[place]}`)
      checkHeader(header, book, set, roster)
      return header
    })
  )
  if (compareBytes(headersRoot(read), cut.headersRoot) !== 0)
    throw fault('the root of a cut is not that of its headers')
  return {
    cut,
    included: inside,
    dropped: set.members.filter((member) => !inside.has(member)),
    headers: new Map(read.map((header) => [header.from, header]))
  }
}

/** @throws MessageError WRONG_ATTEMPT, INVALID */
export function checkHeader(
  { from, body }: Message<'MaskedHeader'>,
  book: KeyBook,
  set: MaskingSet,
  roster: Roster
): void {
  const culprit = roster.members[from].id
  if (compareBytes(body.attemptId, book.attemptId) !== 0)
    throw new MessageError('WRONG_ATTEMPT', `a MaskedHeader of member ${from} is for another attempt`, { culprit })
  if (compareBytes(body.maskingSetHash, set.hash) !== 0)
    throw new MessageError('INVALID', `a MaskedHeader of member ${from} is for another masking set`, { culprit })
}
