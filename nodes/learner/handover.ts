import { decode, encode } from '@ipld/dag-cbor'
import { z } from 'zod'
import { VectorHasher } from '../../src/crypto/merkle.ts'
import { createLanes } from '../../src/crypto/mask-stream.ts'
import { createEncoder } from '../../src/encoding/encoder.ts'
import { CHUNK_ELEMENTS, packedLength, unpackAdd } from '../../src/encoding/packing.ts'
import { MessageError } from '../../src/errors.ts'
import { decodeSet } from '../../src/membership/member-set.ts'
import type { Roster } from '../../src/membership/roster.ts'
import { authenticate } from '../../src/round/certificates.ts'
import { closingValue, readClosing } from '../../src/round/chain.ts'
import { sameBytes } from '../../src/round/dealing.ts'
import { cutHash, decodeMessage } from '../../src/round/messages.ts'
import { attemptIdOf, roundIdOf } from '../../src/round/transcript.ts'
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
  sum: bytes
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
export function handoverLimit({ laneCount, bits }: Task, modelBytes: number): number {
  return modelBytes + packedLength(laneCount, bits) + 2 ** 20
}

export interface KnownRosters {
  /** The task as it began. */
  task: Task
  /** The task as an epoch runs it, and its roster. */
  terms(epoch: number): Task
  rosterOf(epoch: number): Roster | undefined
}

export interface VerifiedRound {
  round: number
  included: number[]
  terms: Task
  sum: Summed
}

const fault = (sentence: string): MessageError => new MessageError('INVALID', `a model's round ${sentence}`)

/**
 * Checks that a quorum closed this round with this sum, and that its members had masked their vectors for this very model:
 * the decision names the cut, the cut the attempt, and the attempt follows from the model's hash (§2).
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
  const lanes = createLanes(terms.bits, terms.laneCount)
  unpackAdd(handover.sum, terms.bits, lanes, 0)
  const sum = await createEncoder(terms, round).decode(lanes, included.length)
  return { round, included, terms, sum: Object.assign(sum, { included: included.length }) }
}

function checkRoot(
  packed: Uint8Array,
  { laneCount, bits }: Task,
  owner: { attemptId: Uint8Array; member: number },
  root: Uint8Array
): void {
  if (packed.length !== packedLength(laneCount, bits)) throw fault(`has a sum of ${packed.length} bytes`)
  const hasher = new VectorHasher({ ...owner, chunkBytes: packedLength(CHUNK_ELEMENTS, bits) })
  hasher.update(packed)
  if (!sameBytes(hasher.finish().root, root)) throw fault('has a sum that does not match its root')
}
