import { decode, encode } from '@ipld/dag-cbor'
import { z } from 'zod'
import { VectorHasher } from '../../src/crypto/merkle.ts'
import { createLanes } from '../../src/crypto/mask-stream.ts'
import { createEncoder } from '../../src/encoding/encoder.ts'
import { decodeGroups } from '../../src/encoding/groups.ts'
import { CHUNK_ELEMENTS, packedLength, unpackAdd } from '../../src/encoding/packing.ts'
import { MessageError } from '../../src/errors.ts'
import { drawGroups } from '../../src/membership/groups.ts'
import type { Groups } from '../../src/membership/groups.ts'
import { decodeSet } from '../../src/membership/member-set.ts'
import type { Roster } from '../../src/membership/roster.ts'
import { authenticate } from '../../src/round/certificates.ts'
import { beaconOf, closingValue, readClosing } from '../../src/round/chain.ts'
import { sameBytes } from '../../src/round/dealing.ts'
import { cutHash, decodeMessage } from '../../src/round/messages.ts'
import { vectorRoot } from '../../src/round/slices.ts'
import { attemptIdOf, roundIdOf } from '../../src/round/transcript.ts'
import { sumShapeOf } from '../../src/round/vectors.ts'
import type { Task } from '../../src/task/task.ts'
import type { Summed } from './contribution.ts'

const bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array)

const handoverSchema = z.strictObject({
  /** The decision that closed the round, signed by a quorum. */
  decision: bytes,
  /** The header of its sum, with the cut that the decision names. */
  header: bytes,
  /** The model that the round started from. */
  before: bytes,
  /** The packed sum. */
  sum: bytes,
  /** What closed the round before, where sums are per group: its beacon drew them. None for the first round. */
  closedBefore: bytes.optional()
})

/** All it takes to know the model after a round without believing whoever shows it. */
export type Handover = z.infer<typeof handoverSchema>

/** More attempts than that in one round have never been worth it. */
const MOST_ATTEMPTS = 16

export function encodeHandover(handover: Handover): Uint8Array {
  return encode(handover)
}

/** Throws MessageError MALFORMED. */
export function decodeHandover(encoded: Uint8Array): Handover {
  try {
    return handoverSchema.parse(decode(encoded))
  } catch (cause) {
    throw new MessageError('MALFORMED', 'a model came in no form that is known here', { cause })
  }
}

/** Bytes that a handover of this task may have at most, for a model of so many bytes. */
export function handoverLimit(task: Task, modelBytes: number): number {
  const { elements, bits } = sumShapeOf(task)
  return modelBytes + packedLength(elements, bits) + 2 ** 20
}

export interface KnownRosters {
  /** The task as it began. */
  task: Task
  /** The task as an epoch runs it, and its roster. */
  terms: (epoch: number) => Task
  rosterOf: (epoch: number) => Roster | undefined
}

export interface VerifiedRound {
  round: number
  included: number[]
  terms: Task
  /** One, or where sums are per group those of all groups. */
  sums: Summed[]
}

const fault = (sentence: string): MessageError => new MessageError('INVALID', `a model's round ${sentence}`)

/**
 * Checks that a quorum closed this round with this sum, and that its members had masked their vectors for this very model:
 * the decision names the cut, the cut the attempt, and the attempt follows from the model's hash (§2). Where sums are per group,
 * the groups follow from the beacon that a quorum named when it closed the round before.
 *
 * @param hash of the model before the round
 * @throws MessageError INVALID, or what the messages themselves are refused with
 */
export async function verifyHandover(
  handover: Handover,
  hash: Uint8Array,
  known: KnownRosters
): Promise<VerifiedRound> {
  const { task } = known
  const { epoch, round } = decodeMessage(handover.decision)
  const roster = known.rosterOf(epoch)
  if (roster === undefined) throw fault(`is of epoch ${epoch}, whose roster is not known here`)
  const closing = readClosing(handover.decision, task, roster)
  const { value } = closingValue(closing)
  const { root } = closing.body.commits
  if (value.kind !== 'summed' || root === null) throw fault('was burned')
  const header = decodeMessage(handover.header)
  authenticate(header, { task: task.idBytes, epoch, round }, roster)
  if (header.type !== 'SumHeader' || !sameBytes(cutHash(header.body.cut), value.cutHash))
    throw fault('comes with the header of another sum')
  const { attemptId, included: set } = header.body.cut
  const roundId = roundIdOf({ task: task.idBytes, epoch, round }, roster.hash, hash)
  const attempts = Array.from({ length: MOST_ATTEMPTS }, (_, attempt) => attemptIdOf(roundId, attempt))
  if (!attempts.some((id) => sameBytes(id, attemptId))) throw fault('started from another model')
  const terms = known.terms(epoch)
  checkRoot(handover.sum, terms, { attemptId, member: roster.members.length }, root)
  const included = decodeSet(set, roster.members.length)
  const groups = terms.groups && drawnGroups(handover, { round, count: terms.groups.count }, roster, known)
  return { round, included, terms, sums: await decodeSums(handover.sum, { round, included, groups }, terms) }
}

/** As the beacon of the round drew them. */
function drawnGroups(
  { closedBefore }: Handover,
  { round, count }: { round: number; count: number },
  roster: Roster,
  { task, rosterOf }: KnownRosters
): Groups {
  const beacon = beaconOf({ task, round, before: closedBefore ?? null }, rosterOf)
  return drawGroups(roster, { beacon, round, count })
}

async function decodeSums(
  packed: Uint8Array,
  { round, included, groups }: { round: number; included: number[]; groups?: Groups },
  terms: Task
): Promise<Summed[]> {
  const { elements, bits } = sumShapeOf(terms)
  const lanes = createLanes(bits, elements)
  unpackAdd(packed, bits, lanes, 0)
  if (groups === undefined) {
    const sum = await createEncoder(terms, round).decode(lanes, included.length)
    return [Object.assign(sum, { included: included.length })]
  }
  const sums = await decodeGroups(terms, round, lanes, included, groups.of)
  return sums.map((sum) => Object.assign(sum, { included: sum.members.length }))
}

function checkRoot(
  packed: Uint8Array,
  terms: Task,
  owner: { attemptId: Uint8Array; member: number },
  root: Uint8Array
): void {
  const { elements, bits } = sumShapeOf(terms)
  if (packed.length !== packedLength(elements, bits)) throw fault(`has a sum of ${packed.length} bytes`)
  const hasher = new VectorHasher({ ...owner, chunkBytes: packedLength(CHUNK_ELEMENTS, bits) })
  hasher.update(packed)
  if (!sameBytes(vectorRoot(hasher.finish(), terms), root)) throw fault('has a sum that does not match its root')
}
