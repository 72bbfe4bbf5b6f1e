import * as dagCbor from '@ipld/dag-cbor'
import * as z from 'zod'
import { envelopeBytes } from '../crypto/envelope.ts'
import { compareBytes } from '../crypto/key-agreement.ts'
import { H, lengthPrefixed } from '../crypto/hash.ts'
import { sha256Hex } from '../crypto/primitives.ts'
import { MessageError } from '../errors.ts'
import { Documents } from './documents.ts'

/**
 * The wire format: the shape of every message, once. Bodies are DAG-CBOR in its one canonical form; decoding refuses
 * whatever does not encode to the same bytes again. Vectors do not travel in messages but as raw frames behind them.
 */

/** Largest control message: a key book, or a cut with its headers, of some thousands of members (about 300 bytes each). */
export const MAX_MESSAGE_BYTES = 1024 * 1024

/** Largest transcript of a round: a key book, the headers of a cut, what was opened, and two decisions. */
export const MAX_TRANSCRIPT_BYTES = 4 * MAX_MESSAGE_BYTES

const bytes = (length: number) =>
  z.custom<Uint8Array>((value) => value instanceof Uint8Array && value.length === length, `not ${length} bytes`)
const bytesUpTo = (length: number) =>
  z.custom<Uint8Array>((value) => value instanceof Uint8Array && value.length <= length, `not bytes, or over ${length}`)
const hash = bytes(32)
const index = z.int().min(0).max(0xffff)
const view = z.int().min(0).max(0xffff)
const attempt = z.int().min(0).max(0xffff)
const round = z
  .int()
  .min(0)
  .max(2 ** 40)
const epoch = z
  .int()
  .min(0)
  .max(2 ** 32)
/** In bytes. */
const place = z
  .int()
  .min(0)
  .max(2 ** 40)
const memberSet = bytesUpTo(8192)
const embedded = bytesUpTo(MAX_MESSAGE_BYTES)

/** `closing`, or the inclusion agreement of one attempt: the two uses of §6. */
const agreement = z.string().regex(/^(closing|attempt-(0|[1-9]\d{0,4}))$/)
export type AgreementName = 'closing' | `attempt-${number}`

const cut = z.strictObject({
  attemptId: hash,
  keyBookHash: hash,
  maskingSetHash: hash,
  included: memberSet,
  headersRoot: hash
})
/** The proposal of an included set (§4 phase 4). There is no view in it: a later leader proposes the same cut. */
export type Cut = z.infer<typeof cut>

const value = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('cut'), cutHash: hash }),
  z.strictObject({ kind: z.literal('retry') }),
  z.strictObject({ kind: z.literal('summed'), cutHash: hash, beacon: hash, rosterHash: hash, deckHash: hash }),
  z.strictObject({ kind: z.literal('burned'), beacon: hash, rosterHash: hash, deckHash: hash })
])
/** What the members agree on: inclusion is a cut or `retry`; closing is `summed` or `burned`, naming what follows. */
export type Value = z.infer<typeof value>

const certificate = z.strictObject({
  agreement,
  view,
  value: hash,
  root: hash.nullable(),
  signers: memberSet,
  signatures: bytesUpTo(64 * 0xffff)
})
/** A quorum of one view's votes for one value: of Prepares a *lock*, of Commits a *decision* (§6). */
export type Certificate = z.infer<typeof certificate>

const lock = z.strictObject({ value, certificate })
/** A lock with the value that it is for, so that the next leader can propose it. */
export type Lock = z.infer<typeof lock>

const shareProof = z.strictObject({
  dealer: index,
  // The Shamir x-coordinate, and the place in the dealer's tree, counted from 1.
  slot: z.int().min(1).max(255),
  share: bytes(32),
  sibling: hash,
  nonce: bytes(32),
  path: z.array(hash).max(16),
  root: hash,
  signature: bytes(64)
})
/** A revealed share with all that is needed to check it on its own: its path to the dealer's signed share root (§8). */
export type ShareProof = z.infer<typeof shareProof>

/** Chunks that are asked for at once. */
export const MOST_CHUNKS = 256

/** Parts of a sum that are asked for at once; whoever lacks more asks for all of it. */
export const MOST_PARTS = 4096

const opened = z.strictObject({ member: index, secret: bytes(32) })

const bodies = {
  // announcements, also sent directly
  Want: z.strictObject({}),
  ViewChange: z.strictObject({
    view,
    locks: z.array(z.strictObject({ agreement, view, value: hash })).max(64)
  }),
  Decision: z.strictObject({ value, commits: certificate, reason: z.string().max(300) }),
  // The signature says who brings it; what it proves stands on its own (evidence.ts), and is of the round in the context.
  Evidence: z.strictObject({ evidence: embedded }),
  // What does not fit into a message, a wrong sum of many long vectors, is asked for: the bytes with this hash.
  EvidenceNotice: z.strictObject({
    culprit: index,
    hash,
    bytes: z
      .int()
      .min(1)
      .max(2 ** 32)
  }),

  // Proven by the peer that signs inside (§7): it may be no member yet, and has no index.
  RosterRequest: z.strictObject({
    action: z.enum(['join', 'leave', 'return']),
    peer: bytes(38),
    signature: bytes(64)
  }),
  RosterVouch: z.strictObject({ voucher: bytes(38), peer: bytes(38), signature: bytes(64) }),

  // first on every conversation with a leader
  Join: z.strictObject({
    view,
    why: embedded,
    locks: z.array(lock).max(64),
    // What a later leader can carry the round on from: what this member was shown, as it was signed, and what it holds.
    decisions: z.array(embedded).max(64),
    shown: z.array(embedded).max(256),
    masked: embedded.nullable(),
    // A restarted member votes only (S5): the leader need not wait for anything else of it.
    sitsOut: z.boolean(),
    custody: z.array(embedded).max(64),
    // Whose vectors it took in when it led an earlier view: their owners may be gone by now.
    uploads: memberSet
  }),

  // phases 0 and 1
  RoundPlan: z.strictObject({
    view,
    attempt,
    // The decisions to retry the attempts before this one.
    retries: z.array(embedded).max(64),
    contextHash: hash,
    length: z.int().min(1),
    previous: embedded.nullable()
  }),
  KeyAdvert: z.strictObject({
    attemptId: hash,
    contributes: z.boolean(),
    maskKey: bytes(32),
    sealKey: bytes(32),
    seedCommitment: hash
  }),
  KeyBook: z.strictObject({ view, attemptId: hash, adverts: z.array(embedded).max(0xffff) }),

  // phase 2
  ShareRoot: z.strictObject({ attemptId: hash, root: hash }),
  ShareDelivery: z.strictObject({ attemptId: hash, dealer: index, holder: index, sealed: bytesUpTo(2048) }),
  Ready: z.strictObject({ attemptId: hash, keyBookHash: hash, dealers: memberSet }),
  MaskingSet: z.strictObject({ view, attemptId: hash, keyBookHash: hash, members: memberSet, readyHash: hash }),

  // phase 3
  MaskedHeader: z.strictObject({ attemptId: hash, maskingSetHash: hash, root: hash }),
  // A vector travels when it is asked for, behind the message that names its owner: whoever waits sends nothing.
  VectorRequest: z.strictObject({ attemptId: hash, member: index, root: hash }),
  Vector: z.strictObject({ attemptId: hash, member: index }),
  Custody: z.strictObject({ header: embedded }),
  CustodyReceipt: z.strictObject({ attemptId: hash, member: index, root: hash }),

  // §13: who sums which slice, and who keeps the slice that its owner has of itself; what each of them holds
  SlicePlan: z.strictObject({
    view,
    attemptId: hash,
    maskingSetHash: hash,
    number: z.int().min(0).max(0xffff),
    owners: z.array(index).min(1).max(0xffff),
    keepers: z.array(index).min(1).max(0xffff)
  }),
  SliceReport: z.strictObject({
    attemptId: hash,
    maskingSetHash: hash,
    slice: index,
    members: memberSet,
    // Of their vectors, in roster order: whoever has signed two headers is complete nowhere.
    roots: z.array(hash).max(0xffff)
  }),
  // asked of a member directly, and answered: a slice of a masked vector
  SliceRequest: z.strictObject({ attemptId: hash, slice: index, member: index }),
  Slice: z.strictObject({
    attemptId: hash,
    slice: index,
    member: index,
    root: hash,
    // The MaskedHeader of the vector, and the path there.
    header: embedded,
    path: z.array(hash).max(16)
  }),

  // phases 4 and 7
  Proposal: z.strictObject({
    agreement,
    view,
    value,
    lock: certificate.nullable(),
    cut: cut.nullable(),
    headers: z.array(embedded).max(0xffff),
    // Why the roster that a closing names is another one (§7).
    change: embedded.nullable(),
    reason: z.string().max(300)
  }),
  Prepare: z.strictObject({ agreement, view, value: hash, root: hash.nullable() }),
  Lock: lock,
  Commit: z.strictObject({ agreement, view, value: hash, root: hash.nullable() }),

  // phase 5
  Reveal: z.strictObject({
    attemptId: hash,
    cutHash: hash,
    seed: bytes(32).nullable(),
    keyShares: z.array(shareProof).max(0xffff),
    seedShares: z.array(shareProof).max(0xffff)
  }),
  RevealRequest: z.strictObject({ attemptId: hash, cutHash: hash, silent: memberSet }),

  // §13: what was revealed, for owners of slices that did not hear it from the members themselves
  Opened: z.strictObject({
    attemptId: hash,
    cutHash: hash,
    seeds: z.array(opened).max(0xffff),
    keys: z.array(opened).max(0xffff)
  }),

  // phase 6
  SliceHeader: z.strictObject({ attemptId: hash, cutHash: hash, slice: index, root: hash }),
  SumHeader: z.strictObject({
    view,
    cut,
    root: hash,
    seeds: z.array(opened).max(0xffff),
    keys: z.array(opened).max(0xffff),
    // Of a later leader that has this sum from an earlier one: that one's SumHeader, who answers for the root.
    again: embedded.nullable(),
    // Where it was summed in slices (§13), their owners' roots.
    slices: z
      .array(z.strictObject({ owner: index, root: hash }))
      .min(1)
      .max(0xffff)
      .optional()
  }),

  // asked of any member, and answered: how far the rounds have come, and the sum of one
  CatchUp: z.strictObject({}),
  Closed: z.strictObject({
    decision: embedded.nullable(),
    deck: bytesUpTo(65536),
    announcements: z.array(embedded).max(0xffff),
    // From the epoch that the asker named (§7): every roster with the decisions that made it and put it into effect.
    chain: z.array(z.strictObject({ roster: embedded, made: embedded, effective: embedded })).max(0xffff),
    pending: z.strictObject({ roster: embedded, made: embedded }).nullable()
  }),
  // Parts, in bytes and one behind the other, where whoever asks has the rest.
  SumRequest: z.strictObject({
    parts: z
      .array(z.strictObject({ offset: place, length: place }))
      .max(MOST_PARTS)
      .optional()
  }),
  // Answered by the bytes alone, in frames: their hash proves them.
  EvidenceRequest: z.strictObject({ hash }),
  // What closed a round, and in frames behind it the rest of what is public of it, where it is kept.
  RecordRequest: z.strictObject({}),
  Record: z.strictObject({ closing: embedded, transcriptBytes: z.int().min(0).max(MAX_TRANSCRIPT_BYTES) }),
  // Chunks of a masked vector that is in the decided cut, by the root in its header; where `member` is n those of a sum, by
  // its root, or of a slice of it by its root and its owner (§10).
  ChunkRequest: z.strictObject({
    attemptId: hash,
    member: index,
    root: hash,
    owner: index.optional(),
    chunks: z
      .array(
        z
          .int()
          .min(0)
          .max(2 ** 24)
      )
      .min(1)
      .max(MOST_CHUNKS)
  }),
  // Its bytes follow as one raw frame. Unsigned: the root fixes them.
  Chunk: z.strictObject({
    index: z
      .int()
      .min(0)
      .max(2 ** 24),
    path: z.array(hash).max(24),
    // The SliceHeader of a sum in slices (§13).
    header: embedded.optional()
  }),
  Refusal: z.strictObject({ reason: z.string().max(300) })
} as const

export type MessageType = keyof typeof bodies
export type Body<T extends MessageType> = z.infer<(typeof bodies)[T]>

/** Which round of which task a message belongs to; part of what is signed. */
export interface RoundContext {
  task: Uint8Array
  epoch: number
  round: number
}

export interface Message<T extends MessageType = MessageType> extends RoundContext {
  type: T
  /** Roster index of the signer; of a ShareDelivery, its dealer. */
  from: number
  body: Body<T>
  /** 64 bytes; empty where {@link isSigned} says so. */
  signature: Uint8Array
  /** The canonical bytes as they travel. */
  encoded: Uint8Array
}

/** A message of some type, told apart by `type`. */
export type AnyMessage = { [T in MessageType]: Message<T> }[MessageType]

const frame = z.strictObject({
  type: z.enum(Object.keys(bodies) as [MessageType, ...MessageType[]]),
  task: hash,
  epoch,
  round,
  from: index,
  body: z.unknown(),
  signature: bytesUpTo(64)
})

/**
 * All but a few: a ShareDelivery is sealed for its holder under this attempt, dealer and holder, and the seal is its proof;
 * what peers ask about the roster is signed within, for that roster; a Chunk is proven by the root that it was asked for.
 */
export function isSigned(type: MessageType): boolean {
  return type !== 'ShareDelivery' && type !== 'RosterRequest' && type !== 'RosterVouch' && type !== 'Chunk'
}

export function contextBytes({ task, epoch, round }: RoundContext): Uint8Array {
  return lengthPrefixed([task, epoch, round])
}

/** The bytes under a message's signature: type, task, epoch and round, then the body; no type can parse as another. */
export function signedBytes<T extends MessageType>(type: T, context: RoundContext, body: Body<T>): Uint8Array {
  return envelopeBytes(type, contextBytes(context), bodyBytes(body))
}

const encodedBodies = new WeakMap<object, Uint8Array>()

/** The canonical bytes of a body, made once: it is signed, sent and checked again and again, and never changed. */
export function bodyBytes(body: Body<MessageType>): Uint8Array {
  const before = encodedBodies.get(body)
  if (before !== undefined) return before
  const encoded = dagCbor.encode(body)
  encodedBodies.set(body, encoded)
  return encoded
}

/** A map of seven entries; its first key, a text of four letters. */
const beforeBody = Uint8Array.of(0xa7, 0x64, ...new TextEncoder().encode('body'))

/** Canonical: keys are sorted by length, then by letter, so that `body` comes first and the rest is as it is without it. */
function framed(rest: Omit<z.infer<typeof frame>, 'body'>, body: Uint8Array): Uint8Array {
  const { type, task, epoch, round, from, signature } = rest
  const others = dagCbor.encode({ type, task, epoch, round, from, signature }).subarray(1)
  const encoded = new Uint8Array(beforeBody.length + body.length + others.length)
  encoded.set(beforeBody)
  encoded.set(body, beforeBody.length)
  encoded.set(others, beforeBody.length + body.length)
  return encoded
}

export function encodeMessage<T extends MessageType>(
  type: T,
  context: RoundContext,
  from: number,
  body: Body<T>,
  signature: Uint8Array = new Uint8Array(0)
): Message<T> {
  const { task, epoch, round } = context
  const encoded = framed({ type, task, epoch, round, from, signature }, bodyBytes(body))
  if (encoded.length > MAX_MESSAGE_BYTES) {
    throw new MessageError(
      'OVERSIZED',
      `a ${type} of ${encoded.length} bytes is over the limit of ${MAX_MESSAGE_BYTES}`
    )
  }
  return { type, task, epoch, round, from, body, signature, encoded }
}

/** The same bytes are read again and again: a gossiped message by its validator and its hearer. */
const parsed = new WeakMap<Uint8Array, AnyMessage>()

/** The same document comes again in other bytes: an advert alone and in key books, a key book in every member's `Join`. */
const documents = new Documents<AnyMessage>()

/** Hex of the hash of a message's bytes. */
export const messageHash = (message: AnyMessage): string => documents.hashOf(message)

/** What is for one member alone is not kept longer than it is needed (S7). */
const isDocument = ({ type }: AnyMessage): boolean => type !== 'ShareDelivery' && type !== 'Reveal'

/**
 * Parses strictly: bounded, canonical, no unknown field, no missing one. Signatures and context are checked by
 * `authenticate`, which knows the roster. Bytes that were parsed, and what came of them, are not to be changed.
 *
 * @throws MessageError OVERSIZED, MALFORMED
 */
export function decodeMessage(encoded: Uint8Array): AnyMessage {
  const before = parsed.get(encoded)
  if (before !== undefined) return before
  const hash = sha256Hex(encoded)
  const known = documents.find(encoded, hash)
  const message = known ?? parse(encoded)
  if (known === undefined && isDocument(message)) documents.keep(message, hash)
  parsed.set(encoded, message)
  return message
}

function parse(encoded: Uint8Array): AnyMessage {
  if (encoded.length > MAX_MESSAGE_BYTES) {
    throw new MessageError(
      'OVERSIZED',
      `a message of ${encoded.length} bytes is over the limit of ${MAX_MESSAGE_BYTES}`
    )
  }
  let decoded: unknown
  try {
    decoded = dagCbor.decode(encoded)
  } catch (cause) {
    throw new MessageError('MALFORMED', 'a message is not canonical DAG-CBOR', { cause })
  }
  const outer = frame.safeParse(decoded)
  if (!outer.success) throw malformed('a message', outer.error)
  const { type, task, epoch, round, from, signature } = outer.data
  const inner = bodies[type].safeParse(outer.data.body)
  if (!inner.success) throw malformed(`a ${type}`, inner.error)
  if (signature.length !== (isSigned(type) ? 64 : 0))
    throw new MessageError('MALFORMED', `a ${type} has a signature of ${signature.length} bytes`)
  // The decoder accepts unsorted keys; only the encoder's own bytes are canonical.
  const body = dagCbor.encode(inner.data)
  if (compareBytes(framed(outer.data, body), encoded) !== 0) {
    throw new MessageError('MALFORMED', `a ${type} is not in its canonical form`)
  }
  encodedBodies.set(inner.data, encoded.subarray(beforeBody.length, beforeBody.length + body.length))
  return { type, task, epoch, round, from, body: inner.data, signature, encoded } as AnyMessage
}

function malformed(what: string, error: z.ZodError): MessageError {
  const issue = error.issues[0]
  const where = issue.path.length > 0 ? ` at ${issue.path.join('.')}` : ''
  return new MessageError('MALFORMED', `${what} does not have its shape${where}: ${issue.message}`)
}

const hashes = new WeakMap<Value | Cut, Uint8Array>()

/** Computed once for each object: every vote for a value is compared with it. */
function hashOnce(domain: string, of: Value | Cut): Uint8Array {
  const hash = hashes.get(of) ?? H(domain, dagCbor.encode(of))
  hashes.set(of, hash)
  return hash
}

export function valueHash(value: Value): Uint8Array {
  return hashOnce('value', value)
}

export function cutHash(cut: Cut): Uint8Array {
  return hashOnce('cut', cut)
}

/** What a SumHeader says, to compare two of them. */
export function sumBytes(body: Body<'SumHeader'>): Uint8Array {
  return dagCbor.encode(body)
}

export function inclusionOf(attempt: number): AgreementName {
  return `attempt-${attempt}`
}
