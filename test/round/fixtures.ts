import { bytesToHex } from '@noble/hashes/utils.js'
import { H } from '../../src/crypto/hash.ts'
import { MemoryJournal } from '../../src/journal/journal.ts'
import type { Journal } from '../../src/journal/journal.ts'
import { burnedBeacon } from '../../src/membership/beacon.ts'
import { encodeSet } from '../../src/membership/member-set.ts'
import { completeGraph } from '../../src/membership/graphs.ts'
import { createRoster } from '../../src/membership/roster.ts'
import { Attempt } from '../../src/round/attempt.ts'
import { Ballot } from '../../src/round/ballot.ts'
import { certify } from '../../src/round/certificates.ts'
import type { VoteType } from '../../src/round/certificates.ts'
import { encodeMessage, isSigned, signedBytes, valueHash } from '../../src/round/messages.ts'
import type { AgreementName, Body, Certificate, Lock, Message, MessageType, Value } from '../../src/round/messages.ts'
import { keyBookHash, maskingSetHash, readKeyBook, readyHash } from '../../src/round/transcript.ts'
import type { KeyBook, MaskingSet, RoundRules } from '../../src/round/transcript.ts'
import { randomBytes } from '../../src/crypto/primitives.ts'
import { simulatedTask } from '../simulation/identities.ts'

/** A roster of five, round 3 of its task, and everything that honest members would say in it. */

export const n = 5
export const { task, identities } = await simulatedTask({ members: n, length: 7, threat: {} })
export const roster = createRoster({ epoch: 0, members: [...task.members] })
export const context = { task: task.idBytes, epoch: 0, round: 3 }
export const rules: RoundRules = { context, roster, thresholds: task.thresholds }
export const { quorum } = task.thresholds
export const graph = completeGraph(n)
export const hashOf = (text: string): Uint8Array => H('test', text)
export const everyone = [0, 1, 2, 3, 4]
export const setOf = (members: number[]): Uint8Array => encodeSet(members, n)

/** A message as member `from` signs it. */
export function say<T extends MessageType>(type: T, from: number, body: Body<T>, over = context): Message<T> {
  const signature = isSigned(type) ? identities[from].sign(signedBytes(type, over, body)) : undefined
  return encodeMessage(type, over, from, body, signature)
}

/** The signatures of these members under one vote. */
export function votes(type: VoteType, vote: Body<VoteType>, signers: number[]): Certificate {
  return certify(new Map(signers.map((from) => [from, say(type, from, vote).signature])), vote, n)
}

export function lockFor(agreement: AgreementName, view: number, value: Value, root: Uint8Array | null = null): Lock {
  const vote = { agreement, view, value: valueHash(value), root }
  return { value, certificate: votes('Prepare', vote, everyone.slice(0, quorum)) }
}

export function decisionFor(agreement: AgreementName, value: Value, root: Uint8Array | null = null): Body<'Decision'> {
  const vote = { agreement, view: 0, value: valueHash(value), root }
  return { value, commits: votes('Commit', vote, everyone.slice(0, quorum)), reason: '' }
}

export const burned: Value = {
  kind: 'burned',
  beacon: burnedBeacon(hashOf('beacon'), context.round),
  rosterHash: roster.hash,
  deckHash: hashOf('deck')
}

export async function openBallot(me: number, journal: Journal = new MemoryJournal()): Promise<Ballot> {
  const { sign } = identities[me]
  return Ballot.open({ journal, key: 'ballot', context, electorate: { roster, quorum }, me, sign })
}

/** One attempt of everyone, with its key book and a masking set. */
export interface Scene {
  attempts: Attempt[]
  /** What each drew for its attempt: mask secret, seal secret, seed. */
  drawn: Uint8Array[][]
  ballots: Ballot[]
  book: KeyBook
  bookMessage: Message<'KeyBook'>
  set: MaskingSet
  setMessage: Message<'MaskingSet'>
}

export async function scene({
  contextHash = hashOf('context'),
  masking = everyone,
  rules: of = rules
} = {}): Promise<Scene> {
  const drawn: Uint8Array[][] = everyone.map(() => [])
  const drawing = (me: number) => (length: number) => {
    const bytes = randomBytes(length)
    drawn[me].push(bytes.slice())
    return bytes
  }
  const attempts = everyone.map((me) => new Attempt(0, contextHash, of, me, drawing(me)))
  const ballots = await Promise.all(everyone.map((me) => openBallot(me)))
  await Promise.all(ballots.map((ballot, me) => ballot.enter(0, attempts[me].id)))
  const attemptId = attempts[0].id
  const adverts = attempts.map((attempt, from) => say('KeyAdvert', from, attempt.advert(true)).encoded)
  const bookMessage = say('KeyBook', 0, { view: 0, attemptId, adverts })
  const book = readKeyBook(bookMessage, attempts[0], rules)
  const readies = everyone.map((from) =>
    say('Ready', from, { attemptId, keyBookHash: keyBookHash(attemptId, adverts), dealers: setOf(everyone) })
  )
  const setBody = { view: 0, attemptId, keyBookHash: book.hash, members: setOf(masking), readyHash: readyHash(readies) }
  const set = { hash: maskingSetHash(setBody), members: masking, body: setBody }
  for (const attempt of attempts) {
    attempt.open(book)
    attempt.sets.set(bytesToHex(set.hash), { book, set })
  }
  return { attempts, drawn, ballots, book, bookMessage, set, setMessage: say('MaskingSet', 0, setBody) }
}

/** Deals and delivers every member's shares to every other. */
export async function exchangeShares({ attempts, ballots }: Scene, dealers = everyone): Promise<void> {
  for (const dealer of dealers)
    for (const delivery of await attempts[dealer].deliveries(ballots[dealer], randomBytes))
      attempts[delivery.holder].receive(delivery)
}
