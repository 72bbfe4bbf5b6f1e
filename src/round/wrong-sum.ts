import * as dagCbor from '@ipld/dag-cbor'
import * as z from 'zod'
import { maskElement } from '../crypto/mask-stream.ts'
import { MerkleTree, subLeafBytes, subLeafHash, subLeafHashes } from '../crypto/merkle.ts'
import { CHUNK_ELEMENTS, packedLength } from '../encoding/packing.ts'
import { MessageError } from '../errors.ts'
import { checkOpened } from './attempt.ts'
import type { SumAudit, SumBasis } from './audit.ts'
import { chunkCount, chunkLength } from './chunks.ts'
import type { ProvenChunk } from './chunks.ts'
import { sameBytes } from './dealing.ts'
import type { Evidence } from './evidence.ts'
import { cutHash, decodeMessage } from './messages.ts'
import type { Message } from './messages.ts'
import { encodeBasis, readBasis } from './public-transcript.ts'
import type { AttemptName } from './public-transcript.ts'
import { isChunkOf, sliceOf } from './slices.ts'
import { readEmbedded } from './transcript.ts'
import type { RoundRules } from './transcript.ts'
import { masksInSteps } from './unmasking.ts'
import type { VectorOwner, VectorShape } from './vectors.ts'

/**
 * Evidence that a published sum is not the sum (§10), in one element of it: what the sum rests on, and that element of the
 * sum and of every included vector, in the sub-leaves of 16 KiB around it with their paths to the signed roots. So its size
 * does not grow with the vector: 16 KiB a member, where its elements are no fewer than that.
 */

const bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array, 'not bytes')
const hash = bytes.refine(({ length }) => length === 32, 'not 32 bytes')
const piece = z.strictObject({
  // One sub-leaf, or the two that an element lies across.
  bytes: bytes.refine(({ length }) => length <= 2 * subLeafBytes, 'too long'),
  hashes: z.array(hash).min(1).max(8),
  path: z.array(hash).max(24)
})
type Piece = z.infer<typeof piece>

/** Two sub-leaves, at most so many hashes, and what is written around them. */
export const MOST_PIECE_BYTES = 2 * subLeafBytes + (8 + 24) * 34 + 64
const shape = z.strictObject({
  element: z
    .int()
    .min(0)
    .max(2 ** 40),
  sum: piece,
  vectors: z.array(piece).max(0xffff)
})

type Found = Omit<Evidence, 'kind' | 'culprit' | 'statements'> & { header: Message<'SumHeader'> }

/** A leader that has a sum from an earlier one says so; whoever first signed its root answers for it. */
export function publisherOf(header: Message<'SumHeader'>): Message<'SumHeader'> {
  return header.body.again === null ? header : (decodeMessage(header.body.again) as Message<'SumHeader'>)
}

/** Evidence that a sum opens other secrets than the members committed to. */
export function falselyOpened({ header, ...context }: Found, name: AttemptName, basis: SumBasis): Evidence {
  return {
    kind: 'wrong-sum',
    culprit: header.from,
    ...context,
    statements: [header.encoded, encodeBasis(name, basis)]
  }
}

/**
 * Evidence that an element of a sum is another than the masked vectors and what was opened give.
 *
 * @param element of the whole sum
 * @param chunkOf the chunk with an element, of a member's masked vector or (n) of the sum
 * @param sliceHeader of the element's slice, where the sum is of slices (§13): whoever signed that is the culprit
 */
export function wrongElement(
  { header, ...context }: Found,
  name: AttemptName,
  basis: SumBasis,
  audit: SumAudit,
  element: number,
  chunkOf: (member: number, index: number) => ProvenChunk,
  n: number,
  sliceHeader?: Message<'SliceHeader'>
): Evidence {
  const { attemptId } = basis.book
  const { bits } = audit.shape
  const cutOut = (member: number, at: number): Piece => {
    const chunk = chunkOf(member, Math.floor(at / CHUNK_ELEMENTS))
    const { first, last } = subLeavesOf(at, bits)
    return {
      bytes: chunk.bytes.slice(first * subLeafBytes, (last + 1) * subLeafBytes),
      hashes: subLeafHashes({ attemptId, member, chunk: chunk.index, bytes: chunk.bytes }),
      path: chunk.path
    }
  }
  const source = audit.source(element)
  const proof = {
    element,
    sum: cutOut(n, element),
    vectors: audit.members(source.group).map((member) => cutOut(member, source.element))
  }
  return {
    kind: 'wrong-sum',
    culprit: (sliceHeader ?? header).from,
    ...context,
    statements: [
      header.encoded,
      encodeBasis(name, basis),
      dagCbor.encode(proof),
      ...(sliceHeader === undefined ? [] : [sliceHeader.encoded])
    ]
  }
}

/**
 * Verifies from the statements, the roster and the task that whoever signed the SumHeader signed a wrong sum.
 *
 * @throws MessageError where it proves nothing
 */
export function proveWrongSum({ culprit, statements }: Evidence, rules: RoundRules): void {
  if (statements.length < 2 || statements.length > 4)
    throw nothing(`it takes a SumHeader, what it rests on and an element, not ${statements.length} statements`)
  const [signed, rests, encoded, ofSlice] = statements
  const header = readEmbedded('SumHeader', signed, rules)
  const inSlices = encoded !== undefined && header.body.slices !== undefined
  if (inSlices !== (ofSlice !== undefined)) throw nothing('it shows who summed a slice just where there are slices')
  if (!inSlices && header.from !== culprit) throw nothing(`its SumHeader is of member ${header.from}`)
  // Whose root was wrong first answers for it: a later leader may have audited other chunks of it.
  if (header.body.again !== null) throw nothing('its SumHeader shows the sum of an earlier leader')
  const { basis } = readBasis(rests, header, rules)
  const isOpened = opensWhatWasCommitted(header, basis, rules)
  if (encoded === undefined) {
    if (isOpened) throw nothing('its sum opens what the members committed to')
    return
  }
  if (!isOpened) throw nothing('its sum opens something else, which takes no element to show')
  const { element, sum, vectors } = readProof(encoded)
  if (ofSlice !== undefined) checkSlice(readEmbedded('SliceHeader', ofSlice, rules), culprit, header, element, rules)
  const { members, group, at, shape, sumShape } = partsOf(element, basis, rules)
  if (vectors.length !== members.length) throw nothing('it does not show a piece of each vector that is summed')
  const { attemptId } = basis.book
  const n = rules.roster.members.length
  let total = 0
  members.forEach((member, place) => {
    const { root } = basis.cut.headers.get(member)!.body
    total += elementIn(vectors[place], { attemptId, member, root }, shape, at)
  })
  for (const masks of masksInSteps(rules, basis, header.body, group))
    for (const mask of masks) total += maskElement(mask, at, shape.bits)
  const claimed = elementIn(sum, { attemptId, member: n, root: header.body.root }, sumShape, element)
  if (modulo(total, shape.bits) === claimed) throw nothing('its element of the sum is what the vectors give')
}

/** Whether a member signed this for a slice of this sum, which names it as the slice's owner. */
export function isSliceOfSum(
  { from, body }: Pick<Message<'SliceHeader'>, 'from' | 'body'>,
  { cut, slices }: Message<'SumHeader'>['body']
): boolean {
  const named = slices?.[body.slice]
  return (
    named?.owner === from &&
    sameBytes(named.root, body.root) &&
    sameBytes(body.attemptId, cut.attemptId) &&
    sameBytes(body.cutHash, cutHash(cut))
  )
}

/** A slice of the sum that this member has signed, in which the element lies. */
function checkSlice(
  { from, body }: Message<'SliceHeader'>,
  culprit: number,
  { body: sum }: Message<'SumHeader'>,
  element: number,
  { shape }: RoundRules
): void {
  if (from !== culprit) throw nothing(`its SliceHeader is of member ${from}`)
  if (!isSliceOfSum({ from, body }, sum)) throw nothing('its SliceHeader is not of its sum')
  if (shape?.shards === undefined) throw nothing('the task has no slices')
  const chunk = Math.floor(element / CHUNK_ELEMENTS)
  if (chunk >= chunkCount(shape) || sliceOf(chunk, chunkCount(shape), shape.shards) !== body.slice)
    throw nothing('its element lies in another slice')
}

const nothing = (sentence: string) => new MessageError('INVALID', sentence)

/** Of whole numbers that are far from the limits of a double: a few thousand of 32 bits. */
const modulo = (value: number, bits: number): number => ((value % 2 ** bits) + 2 ** bits) % 2 ** bits

function opensWhatWasCommitted(header: Message<'SumHeader'>, { book, cut }: SumBasis, rules: RoundRules): boolean {
  try {
    checkOpened(header.body, book, cut, rules.roster.members[header.from].id)
    return true
  } catch (error) {
    if (error instanceof MessageError) return false
    throw error
  }
}

function readProof(encoded: Uint8Array): z.infer<typeof shape> {
  let decoded: unknown
  try {
    decoded = dagCbor.decode(encoded)
  } catch (cause) {
    throw new MessageError('MALFORMED', 'its element is not canonical DAG-CBOR', { cause })
  }
  const { data, error } = shape.safeParse(decoded)
  if (data === undefined)
    throw new MessageError('MALFORMED', `its element does not have its shape: ${error.issues[0].message}`)
  if (!sameBytes(dagCbor.encode(data), encoded))
    throw new MessageError('MALFORMED', 'its element is not in its canonical form')
  return data
}

/** Where an element of the sum comes from. */
function partsOf(element: number, { cut }: SumBasis, { shape, groups, thresholds, graph }: RoundRules) {
  if (shape === undefined || (thresholds.graph !== undefined && graph === undefined))
    throw nothing('the groups or the graph of its round are not known here')
  const sumShape = { ...shape, elements: shape.elements * (groups?.count ?? 1) }
  if (element >= sumShape.elements) throw nothing(`a sum of ${sumShape.elements} has no element ${element}`)
  const group = Math.floor(element / shape.elements)
  const members = [...cut.included].filter((member) => (groups?.of[member] ?? 0) === group)
  return { members, group, at: element - group * shape.elements, shape, sumShape }
}

/** The sub-leaves of its chunk that an element lies in. */
function subLeavesOf(element: number, bits: number): { first: number; last: number; bit: number } {
  const from = (element % CHUNK_ELEMENTS) * bits
  const first = Math.floor(from / 8 / subLeafBytes)
  const last = Math.floor((from + bits - 1) / 8 / subLeafBytes)
  return { first, last, bit: from - first * subLeafBytes * 8 }
}

/** The element, from a piece that is proven to lie under the root. */
function elementIn(
  { bytes, hashes, path }: Piece,
  { attemptId, member, root }: VectorOwner & { root: Uint8Array },
  shape: VectorShape,
  element: number
): number {
  const chunk = Math.floor(element / CHUNK_ELEMENTS)
  const length = packedLength(chunkLength(chunk, shape), shape.bits)
  const { first, last, bit } = subLeavesOf(element, shape.bits)
  const whose = `vector ${member}`
  if (hashes.length !== Math.ceil(length / subLeafBytes) || bytes.length !== pieceLength(first, last, length))
    throw nothing(`its piece of ${whose} has another size`)
  for (let number = first; number <= last; number++) {
    const at = (number - first) * subLeafBytes
    const shown = { attemptId, member, chunk, number, bytes: bytes.subarray(at, at + subLeafBytes) }
    if (!sameBytes(subLeafHash(shown), hashes[number])) throw nothing(`its piece of ${whose} is not under its root`)
  }
  const leaf = MerkleTree.from(hashes).root
  if (!isChunkOf(root, { leaf, chunk, chunks: chunkCount(shape), path }, shape.shards))
    throw nothing(`its piece of ${whose} is not under its root`)
  return bitsAt(bytes, bit, shape.bits)
}

const pieceLength = (first: number, last: number, chunk: number): number =>
  Math.min(chunk, (last + 1) * subLeafBytes) - first * subLeafBytes

/** `count` bits from a little-endian bit stream, at most 32. */
function bitsAt(bytes: Uint8Array, bit: number, count: number): number {
  const first = Math.floor(bit / 8)
  const last = Math.floor((bit + count - 1) / 8)
  let value = 0n
  for (let at = last; at >= first; at--) value = (value << 8n) | BigInt(bytes[at])
  return Number((value >> BigInt(bit % 8)) & ((1n << BigInt(count)) - 1n))
}
