import * as dagCbor from '@ipld/dag-cbor'
import * as z from 'zod'
import { H } from '../crypto/hash.ts'
import { compareBytes, seedCommitment } from '../crypto/key-agreement.ts'
import { authenticate } from './certificates.ts'
import { claimsOf } from './claims.ts'
import { checkProof, sameBytes } from './dealing.ts'
import { decodeMessage, MAX_MESSAGE_BYTES } from './messages.ts'
import type { Message, RoundContext, ShareProof } from './messages.ts'
import { readEmbedded } from './transcript.ts'
import type { RoundRules } from './transcript.ts'
import { MOST_PIECE_BYTES, proveWrongSum } from './wrong-sum.ts'
import { LARGEST_ROSTER } from '../task/thresholds.ts'
import { MessageError } from '../errors.ts'
import { reconstructSecret } from '../crypto/shamir.ts'
import { x25519PublicKey } from '../crypto/primitives.ts'
import type { Side } from './ballot.ts'

/**
 * Who broke the protocol, in a form that any third party verifies (§6, §8): the culprit's own signed words, that no
 * honest member would say together. Whether a leader led the view it speaks in takes the order of the round, and is no
 * evidence here.
 */

export const evidenceKinds = [
  'equivocation',
  'double-statement',
  'double-vote',
  'lying-holder',
  'lying-dealer',
  'wrong-sum'
] as const
/**
 * - `equivocation`: a leader said two things in one view where only one may be said (RoundPlan, KeyBook, MaskingSet,
 *   Proposal, SumHeader), or one thing and what follows from another (a set of another book, a cut of another set, a lock
 *   of another value or sum)
 * - `double-statement`: two adverts, share roots or masked headers of one member in one attempt (S1, S2)
 * - `double-vote`: two Prepares or two Commits of one member in one view of one agreement
 * - `lying-holder`: a revealed share that its dealer did not sign for this holder
 * - `lying-dealer`: `t` shares under the dealer's one signed root that do not open what it committed to
 * - `wrong-sum`: the root of a sum that is not the sum, or that opens other secrets than were committed to (§10)
 */
export type EvidenceKind = (typeof evidenceKinds)[number]

export interface Evidence extends RoundContext {
  kind: EvidenceKind
  /** Roster index of the one that it accuses. */
  culprit: number
  /**
   * Encoded messages: of the first three kinds two of the culprit's; of a lying holder its Reveal; of a lying dealer its
   * KeyAdvert, then the Reveals of `t` or more holders in roster order; of a wrong sum its SumHeader, what that rests on,
   * and an element of it (wrong-sum.ts).
   */
  statements: Uint8Array[]
}

/** What fits into a message, with room for what that wraps around it: all evidence but some of a wrong sum. */
export const MAX_EVIDENCE_BYTES = MAX_MESSAGE_BYTES - 1024

/** Two of them fit into one evidence: a key book, or a cut with its headers, of more than a thousand members. */
export const LARGEST_STATEMENT = MAX_EVIDENCE_BYTES / 2 - 512

/** A wrong sum: what it rests on and its header, each of which came in a message, and pieces of so many members' vectors and its own. */
export const largestEvidence = (members: number): number => 4 * MAX_MESSAGE_BYTES + (members + 1) * MOST_PIECE_BYTES

/** An advert, and one Reveal for each of the 255 slots of a share (§8). */
const MOST_STATEMENTS = 256

const shape = z.strictObject({
  kind: z.enum(evidenceKinds),
  culprit: z.int().min(0).max(0xffff),
  task: z.custom<Uint8Array>((value) => value instanceof Uint8Array && value.length === 32, 'not 32 bytes'),
  epoch: z
    .int()
    .min(0)
    .max(2 ** 32),
  round: z
    .int()
    .min(0)
    .max(2 ** 40),
  statements: z
    .array(z.custom<Uint8Array>((value) => value instanceof Uint8Array, 'not bytes'))
    .min(1)
    .max(MOST_STATEMENTS)
})

/** Canonical DAG-CBOR. @throws MessageError OVERSIZED */
export function encodeEvidence({ kind, culprit, task, epoch, round, statements }: Evidence): Uint8Array {
  const encoded = dagCbor.encode({ kind, culprit, task, epoch, round, statements })
  refuseOversized(encoded, kind)
  return encoded
}

/** Parses strictly; whether it proves anything is for {@link verifyEvidence}. @throws MessageError OVERSIZED, MALFORMED */
export function decodeEvidence(encoded: Uint8Array): Evidence {
  refuseOversized(encoded, 'wrong-sum')
  let decoded: unknown
  try {
    decoded = dagCbor.decode(encoded)
  } catch (cause) {
    throw new MessageError('MALFORMED', 'evidence is not canonical DAG-CBOR', { cause })
  }
  const { data, error } = shape.safeParse(decoded)
  if (data === undefined) {
    const [{ path, message }] = error.issues
    throw new MessageError(
      'MALFORMED',
      `evidence does not have its shape at ${path.join('.') || 'its top'}: ${message}`
    )
  }
  refuseOversized(encoded, data.kind)
  // The decoder accepts unsorted keys; only the encoder's own bytes are canonical.
  if (compareBytes(dagCbor.encode(data), encoded) !== 0)
    throw new MessageError('MALFORMED', 'evidence is not in its canonical form')
  return data
}

function refuseOversized({ length }: Uint8Array, kind: EvidenceKind): void {
  const most = kind === 'wrong-sum' ? largestEvidence(LARGEST_ROSTER) : MAX_EVIDENCE_BYTES
  if (length > most) throw new MessageError('OVERSIZED', `evidence of ${length} bytes is over the limit of ${most}`)
}

/**
 * One for each kind of offence of each member in each round, whatever statements show it: a culprit that breaks a rule a
 * thousand times is told of once. Nothing in it is proven, so only verified evidence may be noted as known. 32 bytes.
 */
export function evidenceId({ kind, culprit, task, epoch, round }: Omit<Evidence, 'statements'>): Uint8Array {
  return H('evidence', task, epoch, round, kind, culprit)
}

/**
 * Verifies from the statements alone that the culprit broke the protocol.
 *
 * @param rules of the round that the evidence is of
 * @throws MessageError INVALID where it proves nothing; without a culprit, since whoever brought it is none of the signers
 */
export function verifyEvidence(evidence: Evidence, rules: RoundRules): void {
  const { kind, culprit } = evidence
  try {
    prove(evidence, rules)
  } catch (cause) {
    if (!(cause instanceof MessageError)) throw cause
    const what = `evidence of ${kind} against member ${culprit}`
    throw new MessageError('INVALID', `${what} proves nothing: ${cause.message}`, { cause })
  }
}

export const nothing = (sentence: string) => new MessageError('INVALID', sentence)

function prove(evidence: Evidence, rules: RoundRules): void {
  const { kind, culprit, statements } = evidence
  const { context, roster } = rules
  if (!sameBytes(evidence.task, context.task) || evidence.epoch !== context.epoch || evidence.round !== context.round)
    throw nothing('it is of another task, epoch or round')
  if (kind === 'lying-holder') return proveLyingHolder(evidence, rules)
  if (kind === 'lying-dealer') return proveLyingDealer(evidence, rules)
  if (kind === 'wrong-sum') return proveWrongSum(evidence, rules)
  if (statements.length !== 2) throw nothing(`it takes two statements, not ${statements.length}`)
  const [one, other] = statements.map((encoded) => {
    const message = decodeMessage(encoded)
    authenticate(message, context, roster, culprit)
    return claimsOf(message).filter((claim) => claim.kind === kind)
  })
  const inOneSlot = one.flatMap((claim) =>
    other.filter(({ slot }) => slot === claim.slot).map((rival) => [claim, rival])
  )
  if (inOneSlot.length === 0) throw nothing('its statements are not two of which only one may be made')
  if (inOneSlot.every(([claim, rival]) => claim.says === rival.says)) throw nothing('its statements say the same')
}

/** An honest holder checks a share against the dealer's signed root before it keeps it (§8), so it reveals no other. */
function proveLyingHolder({ culprit, statements }: Evidence, rules: RoundRules): void {
  if (statements.length !== 1) throw nothing(`it takes one Reveal, not ${statements.length} statements`)
  const reveal = readEmbedded('Reveal', statements[0], rules)
  if (reveal.from !== culprit) throw nothing(`its Reveal is of member ${reveal.from}`)
  const isFalse = (side: Side) => proofsOf(reveal, side).some((proof) => !isProven(proof, side, reveal, rules))
  if (!isFalse('key') && !isFalse('seed')) throw nothing('every share in its Reveal is the one that its dealer signed')
}

/** All shares under an honest dealer's root lie on one polynomial, so that any `t` of them open what it committed to. */
function proveLyingDealer({ culprit, statements }: Evidence, rules: RoundRules): void {
  const advert = readEmbedded('KeyAdvert', statements[0], rules)
  if (advert.from !== culprit) throw nothing(`its KeyAdvert is of member ${advert.from}`)
  const reveals = statements.slice(1).map((encoded) => readEmbedded('Reveal', encoded, rules))
  if (reveals.length < rules.thresholds.threshold)
    throw nothing(`${reveals.length} Reveals are fewer than the threshold of ${rules.thresholds.threshold}`)
  if (reveals.some(({ from }, place) => place > 0 && from <= reveals[place - 1].from))
    throw nothing('its Reveals are not of different holders in roster order')
  if (
    !opensOtherThanCommitted('seed', advert, reveals, rules) &&
    !opensOtherThanCommitted('key', advert, reveals, rules)
  )
    throw nothing('its Reveals do not all show a share of one side under one root, or those open what was committed to')
}

/** Reconstructs from the lowest slots (§8); false where any Reveal lacks a proven share, or is for another attempt or root. */
function opensOtherThanCommitted(
  side: Side,
  { from: dealer, body }: Message<'KeyAdvert'>,
  reveals: Message<'Reveal'>[],
  rules: RoundRules
): boolean {
  const shares: Array<{ x: number; share: Uint8Array }> = []
  let root: Uint8Array | undefined
  for (const reveal of reveals) {
    const proof = provenShare(side, dealer, reveal, rules)
    if (proof === undefined || !sameBytes(reveal.body.attemptId, body.attemptId)) return false
    root ??= proof.root
    if (!sameBytes(root, proof.root)) return false
    shares.push({ x: proof.slot, share: proof.share })
  }
  const secret = reconstructSecret(shares, rules.thresholds.threshold)
  const matches =
    side === 'seed'
      ? sameBytes(seedCommitment(secret), body.seedCommitment)
      : sameBytes(x25519PublicKey(secret.expose()), body.maskKey)
  secret.wipe()
  return !matches
}

const proofsOf = ({ body }: Message<'Reveal'>, side: Side): ShareProof[] =>
  side === 'seed' ? body.seedShares : body.keyShares

function isProven(proof: ShareProof, side: Side, { from, body }: Message<'Reveal'>, rules: RoundRules): boolean {
  return holds(() => checkProof(proof, side, from, body.attemptId, rules))
}

export function provenShare(
  side: Side,
  dealer: number,
  reveal: Message<'Reveal'>,
  rules: RoundRules
): ShareProof | undefined {
  return proofsOf(reveal, side).find((proof) => proof.dealer === dealer && isProven(proof, side, reveal, rules))
}

export const holds = (check: () => void): boolean => accepted(() => (check(), true)) ?? false

/** The result, or nothing where a message turns out to be none that anybody has to accept. */
export function accepted<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof MessageError) return undefined
    throw error
  }
}
