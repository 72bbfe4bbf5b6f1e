import { VectorHasher } from '../crypto/merkle.ts'
import { CHUNK_ELEMENTS, packedLength } from '../encoding/packing.ts'
import { MessageError } from '../errors.ts'
import { nextBeacon } from '../membership/beacon.ts'
import { taskOf } from '../membership/roster-change.ts'
import { createRoster } from '../membership/roster.ts'
import type { Roster } from '../membership/roster.ts'
import type { Task } from '../task/task.ts'
import { checkOpened } from './attempt.ts'
import { firstDifference, SumAudit } from './audit.ts'
import { beaconOf, closingValue, followLinks, readClosing } from './chain.ts'
import { chunkCount, chunkLength } from './chunks.ts'
import { sameBytes } from './dealing.ts'
import { accepted } from './evidence.ts'
import { cutHash, decodeMessage } from './messages.ts'
import type { Message } from './messages.ts'
import type { Clock, Compute } from './ports.ts'
import { readTranscript } from './public-transcript.ts'
import type { PublicTranscript } from './public-transcript.ts'
import type { HeldRound, HeldVector } from './record.ts'
import { readEmbedded, rulesIn, rulesOf } from './transcript.ts'
import type { CheckedCut, RoundRules } from './transcript.ts'
import { isSliceOf, sliceOf, slicesOf, vectorRoot } from './slices.ts'
import { sumShapeOf } from './vectors.ts'
import type { VectorOwner, VectorShape } from './vectors.ts'
import { isSliceOfSum } from './wrong-sum.ts'

/**
 * Checks from scratch what is held of a round, by the task alone: the chain of rosters, every signature and decision, what
 * was opened, the sum's root, and each chunk of the sum whose masked vectors are held (§10).
 */

/** What was found. Members are named by peer ids. */
export interface RoundRecheck {
  round: number
  epoch: number
  /** Who signed the root of the sum first. */
  aggregator: string
  included: string[]
  dropped: string[]
  /** The closing decision is here; otherwise the round was running when this was taken. */
  closed: boolean
  /** Whether the sum's bytes are held. */
  sum: boolean
  /** Of whom whole masked vectors are held. */
  masked: string[]
  /** How many slices of others' masked vectors are held (§13). */
  slices: number
  /** Chunks of the sum that were recomputed from masked vectors, of how many. */
  chunks: { checked: number; of: number }
}

/** Hashed in one piece, before others have the thread. */
const READ_BYTES = 2 ** 20

/**
 * @throws MessageError at the first thing that does not hold: with a culprit where its own signature shows that it lied, without
 *   one where what is held was damaged or forged by whoever held it
 */
export async function recheckRound(
  held: HeldRound,
  { clock, compute }: { clock: Clock; compute?: Compute }
): Promise<RoundRecheck> {
  const { task, round, chain } = held
  const genesis = createRoster({ epoch: 0, members: [...task.members] })
  const { rosters } = followLinks(task, genesis, chain)
  const roster = rosters.at(-1)!
  const beacon = beaconOf(held, (epoch) => rosters.find((one) => one.epoch === epoch))
  const context = { task: task.idBytes, epoch: roster.epoch, round }
  const terms = taskOf(task, roster)
  const rules = rulesIn(rulesOf(context, roster, terms), terms, beacon)
  const transcript = readTranscript(held.transcript, rules)
  const { basis, sum, closing } = transcript
  const contributions = checkOpened(sum.body, basis.book, basis.cut, roster.members[sum.from].id)
  if (closing !== undefined) {
    const expected = nextBeacon({ beacon, round, cutHash: cutHash(sum.body.cut), contributions })
    if (!sameBytes(closingValue(closing).value.beacon, expected))
      throw nowhere('the closing decision names another beacon than follows from what was opened')
  }
  const { slices, ...chunks } = await recheckVectors(held, transcript, rules, { clock, compute })
  const id = (member: number): string => roster.members[member].id
  return {
    ...{ round, epoch: roster.epoch, aggregator: id(signerOf(sum, rules)) },
    ...{ included: [...basis.cut.included].map(id), dropped: basis.cut.dropped.map(id) },
    ...{ closed: closing !== undefined, sum: held.sum !== undefined },
    ...{ masked: [...held.masked.keys()].map(id), slices, chunks }
  }
}

const nowhere = (sentence: string): MessageError => new MessageError('INVALID', sentence)

/** A sum as it is held, and what it is checked by. */
export interface HeldSum {
  /** As it began. */
  task: Task
  /** That ran its round. */
  roster: Roster
  /** What closed its round, and the header that the sum came with. */
  closing: Uint8Array
  header: Uint8Array
  sum: HeldVector
}

/**
 * Checks that a sum is the one under the root that the decision of its round names, for whoever wants it without the rest
 * of the record.
 *
 * @throws MessageError without a culprit: it was damaged or forged where it is held
 */
export async function recheckSum({ task, roster, closing, header, sum }: HeldSum, clock: Clock): Promise<void> {
  const { value, commits } = readClosing(closing, task, roster).body
  const { cut, root } = (decodeMessage(header) as Message<'SumHeader'>).body
  const isDecided = value.kind === 'summed' && sameBytes(value.cutHash, cutHash(cut)) && sameBytes(commits.root!, root)
  if (!isDecided) throw nowhere('its header is of another sum than was decided')
  const owner = { attemptId: cut.attemptId, member: roster.members.length, root }
  await recheckRoot('the sum', sum, owner, sumShapeOf(taskOf(task, roster)), clock)
}

async function recheckVectors(
  held: HeldRound,
  { basis, sum }: PublicTranscript,
  rules: RoundRules,
  { clock, compute }: { clock: Clock; compute?: Compute }
): Promise<{ checked: number; of: number; slices: number }> {
  const { roster } = rules
  const { attemptId } = sum.body.cut
  const audit = new SumAudit({ rules, basis, opened: sum.body, clock, compute })
  const { shape, sumShape, chunks } = audit
  const owner = { attemptId, member: roster.members.length, root: sum.body.root }
  if (held.sum !== undefined) await recheckRoot('the sum', held.sum, owner, sumShape, clock)
  for (const [member, vector] of held.masked) {
    const header = basis.cut.headers.get(member)
    if (header === undefined) continue
    await recheckRoot(
      `the masked vector of member ${member}`,
      vector,
      { attemptId, member, root: header.body.root },
      shape,
      clock
    )
  }
  const slices = await recheckSlices(held, basis.cut, shape, clock)
  const found = { of: chunks, slices: slices.size }
  const holderOf = (member: number, index: number): HeldVector | undefined =>
    held.masked.get(member) ?? slices.get(`${member}/${sliceOf(index, chunkCount(shape), shape.shards ?? 1)}`)
  if (held.sum === undefined) return { checked: 0, ...found }
  let checked = 0
  for (let chunk = 0; chunk < chunks; chunk++) {
    const needs = audit.needs(chunk)
    if (needs.some(({ member, index }) => holderOf(member, index) === undefined)) continue
    const read = new Map<string, Uint8Array>()
    for (const { member, index } of needs)
      read.set(`${member}/${index}`, await chunkOf(holderOf(member, index)!, index, shape))
    const expected = await audit.recompute(chunk, ({ member, index }) => read.get(`${member}/${index}`)!)
    const published = await chunkOf(held.sum, chunk, sumShape)
    const at = firstDifference(published, expected, chunkLength(chunk, sumShape), sumShape.bits)
    if (at !== undefined) {
      const element = chunk * CHUNK_ELEMENTS + at
      const { what, from } = publishedBy(chunk, held, sum, rules, sumShape)
      const sentence = `${what} is wrong: element ${element} is not what the masked vectors and the opened secrets give`
      throw new MessageError('INVALID', sentence, from === undefined ? {} : { culprit: roster.members[from].id })
    }
    checked++
  }
  return { checked, ...found }
}

/** Who signed this root first: a later leader shows the header of the earlier one, which counts only where that is genuine. */
function signerOf({ from, body }: Message<'SumHeader'>, rules: RoundRules): number {
  const { again, cut, root } = body
  const first = again === null ? undefined : accepted(() => readEmbedded('SumHeader', again, rules))
  const isSame = first && sameBytes(first.body.root, root) && sameBytes(cutHash(first.body.cut), cutHash(cut))
  return isSame === true ? first.from : from
}

/** Who answers for a chunk of the sum: whoever published it or, where it is summed in slices, whoever signed that slice. */
function publishedBy(
  chunk: number,
  { slices }: HeldRound,
  sum: Message<'SumHeader'>,
  rules: RoundRules,
  { elements, bits, shards }: VectorShape
): { what: string; from?: number } {
  const from = signerOf(sum, rules)
  if (shards === undefined) return { what: `the sum that member ${from} published`, from }
  const slice = sliceOf(chunk, chunkCount({ elements, bits }), shards)
  for (const encoded of slices?.headers ?? []) {
    const header = accepted(() => readEmbedded('SliceHeader', encoded, rules))
    if (header?.body.slice === slice && isSliceOfSum(header, sum.body))
      return { what: `slice ${slice} of the sum, which member ${header.from} summed,`, from: header.from }
  }
  return { what: `slice ${slice} of the sum, whose owner's signature is not shown,` }
}

/** Slices of masked vectors, as `member/slice`, where they lie as in the whole vector, each checked against its header. */
async function recheckSlices(
  { slices }: HeldRound,
  { headers }: CheckedCut,
  shape: VectorShape,
  clock: Clock
): Promise<Map<string, HeldVector>> {
  const checked = new Map<string, HeldVector>()
  const all = slicesOf(shape)
  for (const { member, slice: number, path, size, read } of slices?.masked ?? []) {
    const header = headers.get(member)
    const slice = all.at(number)
    if (header === undefined || slice === undefined) continue
    const what = `slice ${number} of the masked vector of member ${member}`
    const { attemptId, root } = header.body
    const owner = { attemptId, member, firstChunk: slice.firstChunk }
    const { root: sliceRoot } = await hashed(what, { size, read }, owner, { ...shape, elements: slice.elements }, clock)
    if (!isSliceOf(root, { number, count: all.length, sliceRoot, path })) throw altered(what)
    checked.set(`${member}/${number}`, {
      size: slice.offset + size,
      read: (offset, length) => read(offset - slice.offset, length)
    })
  }
  return checked
}

function chunkOf(vector: HeldVector, index: number, shape: VectorShape): Promise<Uint8Array> {
  const bytes = packedLength(chunkLength(index, shape), shape.bits)
  return vector.read(index * packedLength(CHUNK_ELEMENTS, shape.bits), bytes)
}

async function recheckRoot(
  what: string,
  vector: HeldVector,
  { root, ...owner }: VectorOwner & { root: Uint8Array },
  shape: VectorShape,
  clock: Clock
): Promise<void> {
  const { shards } = shape
  if (!sameBytes(vectorRoot(await hashed(what, vector, owner, shape, clock), { shards }), root)) throw altered(what)
}

const altered = (what: string): MessageError =>
  nowhere(`${what} is not the one under its root: it was altered where it is held`)

async function hashed(
  what: string,
  { size, read }: HeldVector,
  owner: VectorOwner,
  { elements, bits }: VectorShape,
  clock: Clock
): Promise<{ root: Uint8Array; leaves: Uint8Array[] }> {
  const expected = packedLength(elements, bits)
  if (size !== expected) throw nowhere(`${what} has ${size} bytes, not ${expected}`)
  const hasher = new VectorHasher({ ...owner, chunkBytes: packedLength(CHUNK_ELEMENTS, bits) })
  for (let at = 0; at < size; at += READ_BYTES) {
    hasher.update(await read(at, Math.min(READ_BYTES, size - at)))
    await clock.pause()
  }
  return hasher.finish()
}
