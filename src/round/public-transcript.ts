import * as dagCbor from '@ipld/dag-cbor'
import * as z from 'zod'
import { compareBytes } from '../crypto/key-agreement.ts'
import { MessageError } from '../errors.ts'
import { completeGraph } from '../membership/graphs.ts'
import type { SumBasis } from './audit.ts'
import { checkOpened } from './attempt.ts'
import { checkDecision } from './certificates.ts'
import { sameBytes } from './dealing.ts'
import { cutHash, inclusionOf } from './messages.ts'
import type { Message } from './messages.ts'
import { attemptIdOf, readCut, readEmbedded, readKeyBook, readMaskingSet, roundIdOf } from './transcript.ts'
import type { CheckedCut, KeyBook, MaskingSet, RoundRules } from './transcript.ts'

/** What is public of a round that was summed: with the masked vectors it is all that its sum follows from (§10). */

const bytes = z.instanceof(Uint8Array)

const basisShape = z.strictObject({
  contextHash: bytes.refine(({ length }) => length === 32, 'not 32 bytes'),
  attempt: z.int().min(0).max(0xffff),
  adverts: z.array(bytes).max(0xffff),
  members: bytes,
  readyHash: bytes.refine(({ length }) => length === 32, 'not 32 bytes'),
  headers: z.array(bytes).max(0xffff)
})
const shape = z.strictObject({ basis: bytes, sum: bytes, decision: bytes, closing: bytes.nullable() })

/** What the attempt of a sum is: its id follows from it, and from that its graph. */
export interface AttemptName {
  contextHash: Uint8Array
  attempt: number
}

export interface PublicTranscript extends AttemptName {
  basis: SumBasis
  /** What was opened, and the root of the sum. */
  sum: Message<'SumHeader'>
  /** Of the cut. */
  decision: Message<'Decision'>
  /** Of the round; undefined while it is not closed. */
  closing?: Message<'Decision'>
}

/** What a sum rests on, without the cut itself, in canonical bytes. */
export function encodeBasis({ contextHash, attempt }: AttemptName, { book, set, cut }: SumBasis): Uint8Array {
  return dagCbor.encode({
    contextHash,
    attempt,
    adverts: [...book.adverts.values()].map(({ encoded }) => encoded),
    members: set.body.members,
    readyHash: set.body.readyHash,
    headers: [...cut.headers.values()].map(({ encoded }) => encoded)
  })
}

/**
 * What the cut of a published sum rests on, every part checked against the cut: its key book, masking set and headers.
 *
 * @throws MessageError where a part is missing, forged or of another cut; without a culprit, as none of the signers is at fault
 */
export function readBasis(
  encoded: Uint8Array,
  { from, body }: Message<'SumHeader'>,
  rules: RoundRules
): { name: AttemptName; basis: SumBasis } {
  const parts = parse(basisShape, encoded, 'what a sum rests on')
  const { roster, context } = rules
  const { contextHash, attempt, adverts, members, readyHash, headers } = parts
  const { attemptId } = body.cut
  if (!sameBytes(attemptIdOf(roundIdOf(context, roster.hash, contextHash), attempt), attemptId))
    throw new MessageError('INVALID', 'a sum is of another attempt than its context gives')
  if (rules.graph === undefined && rules.thresholds.graph !== undefined)
    throw new MessageError('INVALID', 'the graph of this round is not known here, and its sum cannot be recomputed')
  const graph = rules.graph?.(attempt) ?? completeGraph(roster.members.length)
  return unblamed(() => {
    const view = 0
    const book: KeyBook = readKeyBook({ from, body: { view, attemptId, adverts } }, { id: attemptId, graph }, rules)
    const shown = { view, attemptId, keyBookHash: book.hash, members, readyHash }
    const set: MaskingSet = readMaskingSet({ from, body: shown }, book, rules)
    const cut: CheckedCut = readCut(body.cut, headers, book, set, rules, from)
    return { name: { contextHash, attempt }, basis: { book, set, cut } }
  })
}

/** Canonical DAG-CBOR. */
export function encodeTranscript({
  contextHash,
  attempt,
  basis,
  sum,
  decision,
  closing
}: PublicTranscript): Uint8Array {
  return dagCbor.encode({
    basis: encodeBasis({ contextHash, attempt }, basis),
    sum: sum.encoded,
    decision: decision.encoded,
    closing: closing?.encoded ?? null
  })
}

/**
 * Reads and checks all of it: signatures, hashes, what was opened, and that quorums decided this cut and, where it is
 * closed, this sum.
 *
 * @param rules of its round, with groups and graph where it has them
 * @throws MessageError, whoever published the sum being the culprit where what it signed does not hold
 */
export function readTranscript(encoded: Uint8Array, rules: RoundRules): PublicTranscript {
  const parts = parse(shape, encoded, 'a transcript')
  const { context, roster, thresholds } = rules
  const electorate = { roster, quorum: thresholds.quorum }
  const sum = readEmbedded('SumHeader', parts.sum, rules)
  const { name, basis } = readBasis(parts.basis, sum, rules)
  checkOpened(sum.body, basis.book, basis.cut, roster.members[sum.from].id)
  const hash = cutHash(sum.body.cut)
  const decision = readEmbedded('Decision', parts.decision, rules)
  const { value, commits } = decision.body
  checkDecision(decision.body, context, electorate)
  if (commits.agreement !== inclusionOf(name.attempt) || value.kind !== 'cut' || !sameBytes(value.cutHash, hash))
    throw new MessageError('INVALID', 'a transcript comes with the decision for another cut')
  if (parts.closing === null) return { ...name, basis, sum, decision }
  const closing = readEmbedded('Decision', parts.closing, rules)
  checkDecision(closing.body, context, electorate)
  const { value: closed, commits: votes } = closing.body
  const isThis = closed.kind === 'summed' && sameBytes(closed.cutHash, hash) && sameBytes(votes.root!, sum.body.root)
  if (votes.agreement !== 'closing' || !isThis)
    throw new MessageError('INVALID', 'a transcript comes with the closing of another sum')
  return { ...name, basis, sum, decision, closing }
}

function parse<T>(of: z.ZodType<T>, encoded: Uint8Array, what: string): T {
  let decoded: unknown
  try {
    decoded = dagCbor.decode(encoded)
  } catch (cause) {
    throw new MessageError('MALFORMED', `${what} is not canonical DAG-CBOR`, { cause })
  }
  const { data, error } = of.safeParse(decoded)
  if (data === undefined)
    throw new MessageError('MALFORMED', `${what} does not have its shape: ${error!.issues[0].message}`)
  if (compareBytes(dagCbor.encode(data), encoded) !== 0)
    throw new MessageError('MALFORMED', `${what} is not in its canonical form`)
  return data
}

/** Parts that do not fit together are the fault of whoever put them together, who is unknown here. */
function unblamed<T>(read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (!(cause instanceof MessageError)) throw cause
    throw new MessageError(cause.code, `what a sum rests on does not hold: ${cause.message}`, { cause })
  }
}
