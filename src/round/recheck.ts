import { VectorHasher } from '../crypto/merkle.ts'
import { CHUNK_ELEMENTS, packedLength } from '../encoding/packing.ts'
import { MessageError } from '../errors.ts'
import { nextBeacon } from '../membership/beacon.ts'
import { taskOf } from '../membership/roster-change.ts'
import { createRoster } from '../membership/roster.ts'
import { checkOpened } from './attempt.ts'
import { firstDifference, SumAudit } from './audit.ts'
import { beaconOf, closingValue, followLinks } from './chain.ts'
import { chunkLength } from './chunks.ts'
import { sameBytes } from './dealing.ts'
import { accepted } from './evidence.ts'
import { cutHash } from './messages.ts'
import type { Message } from './messages.ts'
import type { Clock, Compute } from './ports.ts'
import { readTranscript } from './public-transcript.ts'
import type { PublicTranscript } from './public-transcript.ts'
import type { HeldRound, HeldVector } from './record.ts'
import { readEmbedded, rulesIn, rulesOf } from './transcript.ts'
import type { RoundRules } from './transcript.ts'
import { vectorRoot } from './slices.ts'
import type { VectorOwner, VectorShape } from './vectors.ts'

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
  /** Of whom masked vectors are held. */
  masked: string[]
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
  const { checked, of } = await recheckVectors(held, transcript, rules, { clock, compute })
  const id = (member: number): string => roster.members[member].id
  return {
    ...{ round, epoch: roster.epoch, aggregator: id(signerOf(sum, rules)) },
    ...{ included: [...basis.cut.included].map(id), dropped: basis.cut.dropped.map(id) },
    ...{ closed: closing !== undefined, sum: held.sum !== undefined },
    ...{ masked: [...held.masked.keys()].map(id), chunks: { checked, of } }
  }
}

const nowhere = (sentence: string): MessageError => new MessageError('INVALID', sentence)

async function recheckVectors(
  held: HeldRound,
  { basis, sum }: PublicTranscript,
  rules: RoundRules,
  { clock, compute }: { clock: Clock; compute?: Compute }
): Promise<{ checked: number; of: number }> {
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
  if (held.sum === undefined) return { checked: 0, of: chunks }
  let checked = 0
  for (let chunk = 0; chunk < chunks; chunk++) {
    const needs = audit.needs(chunk)
    if (needs.some(({ member }) => !held.masked.has(member))) continue
    const read = new Map<string, Uint8Array>()
    for (const { member, index } of needs)
      read.set(`${member}/${index}`, await chunkOf(held.masked.get(member)!, index, shape))
    const expected = await audit.recompute(chunk, ({ member, index }) => read.get(`${member}/${index}`)!)
    const published = await chunkOf(held.sum, chunk, sumShape)
    const at = firstDifference(published, expected, chunkLength(chunk, sumShape), sumShape.bits)
    if (at !== undefined) {
      const element = chunk * CHUNK_ELEMENTS + at
      const from = signerOf(sum, rules)
      const sentence = `the sum that member ${from} published is wrong: element ${element} is not what the masked vectors and the opened secrets give`
      throw new MessageError('INVALID', sentence, { culprit: roster.members[from].id })
    }
    checked++
  }
  return { checked, of: chunks }
}

/** Who signed this root first: a later leader shows the header of the earlier one, which counts only where that is genuine. */
function signerOf({ from, body }: Message<'SumHeader'>, rules: RoundRules): number {
  const { again, cut, root } = body
  const first = again === null ? undefined : accepted(() => readEmbedded('SumHeader', again, rules))
  const isSame = first && sameBytes(first.body.root, root) && sameBytes(cutHash(first.body.cut), cutHash(cut))
  return isSame === true ? first.from : from
}

function chunkOf(vector: HeldVector, index: number, shape: VectorShape): Promise<Uint8Array> {
  const bytes = packedLength(chunkLength(index, shape), shape.bits)
  return vector.read(index * packedLength(CHUNK_ELEMENTS, shape.bits), bytes)
}

async function recheckRoot(
  what: string,
  { size, read }: HeldVector,
  { attemptId, member, root }: VectorOwner & { root: Uint8Array },
  { elements, bits, shards }: VectorShape,
  clock: Clock
): Promise<void> {
  const expected = packedLength(elements, bits)
  if (size !== expected) throw nowhere(`${what} has ${size} bytes, not ${expected}`)
  const hasher = new VectorHasher({ attemptId, member, chunkBytes: packedLength(CHUNK_ELEMENTS, bits) })
  for (let at = 0; at < size; at += READ_BYTES) {
    hasher.update(await read(at, Math.min(READ_BYTES, size - at)))
    await clock.pause()
  }
  if (!sameBytes(vectorRoot(hasher.finish(), { shards }), root))
    throw nowhere(`${what} is not the one under its root: it was altered where it is held`)
}
