import * as dagCbor from '@ipld/dag-cbor'
import { peerIdFromString } from '@libp2p/peer-id'
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { compareBytes } from '../crypto/key-agreement.ts'
import { sha256 } from '../crypto/primitives.ts'
import { paddedLength } from '../encoding/noise/rotation.ts'
import { packedLength } from '../encoding/packing.ts'
import { TaskError } from '../errors.ts'
import { refusal } from './refusal.ts'
import { fieldNames, taskSchema } from './schema.ts'
import type { Admission, FixedEncoding, GroupTerms, IntegerEncoding, PrivateEncoding, TaskFields } from './schema.ts'
import { carriedThresholds, LARGEST_COMPLETE_GRAPH, leastOfGroup } from './thresholds.ts'
import type { Threat, Thresholds } from './thresholds.ts'

export type { Admission, FixedEncoding, GroupTerms, IntegerEncoding, PrivateEncoding, TaskInput } from './schema.ts'
export type { Threat, Thresholds } from './thresholds.ts'

/** Lanes are 32 bits wide at most (§11). */
const widestLane = 32

/** 8 MiB in a second, per millisecond: what a home connection or a busy machine can be relied on to carry. */
const bytesPerMs = (8 * 2 ** 20) / 1000

/** How vectors become ring elements: `privacy` of what a user writes is the encoding 'skellam' (§12). */
export type Encoding = PlainEncoding | PrivateEncoding
/** Without noise: sums are exact, or within the steps of fixed point. */
export type PlainEncoding = FixedEncoding | IntegerEncoding

/** What the members agree on, written out: every default filled in, in the units of the protocol. */
export interface TaskTerms {
  readonly name: string
  /** Peer ids in base58, in roster order: by the bytes of the multihash. */
  readonly members: readonly string[]
  /** Elements of a vector. */
  readonly length: number
  readonly encoding: Encoding
  /** Whole ten-thousandths. */
  readonly threat: Threat
  /** The phase deadline in milliseconds (§6). */
  readonly deadlineMs: number
  /** How often each chunk of a sum is audited on average, or `full` (§10); left out, all of it up to 30 members and 2^20 elements, else twice. */
  readonly audit?: number | 'full'
  /** R of §7: 32 bytes of public randomness in lower-case hex, where the task names it. */
  readonly randomness?: string
  /** Members that share the adding up, each a slice of the vector (§13); 1 where the aggregator does it alone. */
  readonly shards: number
  /** Where sums are per group, for a mean that a few bad updates cannot move far. */
  readonly groups?: GroupTerms
  /** Who may join later (§7): peer ids in the order of members, and how many members must vouch for another. */
  readonly admission?: Admission
}

/** Frozen, with everything that follows from the terms. */
export interface Task extends TaskTerms {
  /** `taskId` in hex, and its 32 bytes, which nobody may change. */
  readonly id: string
  readonly idBytes: Uint8Array
  readonly thresholds: Thresholds
  /** w, the bits of a ring element: the sum of all members fits (§11). */
  readonly bits: number
  /** Ring elements of a masked vector: `length`, and the extra ones of §11 behind them. */
  readonly laneCount: number
}

/**
 * A task from what a user wrote (a `TaskInput`, parsed from YAML or JSON or built as an object).
 * Throws TaskError: TASK_INVALID naming the fields, THREAT_INFEASIBLE (§3), BITS_EXCEEDED (§11), with what to change.
 */
export function createTask(input: unknown): Task {
  const parsed = taskSchema.safeParse(input)
  if (!parsed.success) throw new TaskError('TASK_INVALID', refusal(parsed.error, input, fieldNames))
  const terms = termsOf(parsed.data)
  const members = terms.members.length
  const bounds = carriedThresholds({ members, ...terms.threat })
  checkRandomness(terms)
  checkGroups(terms.groups, bounds)
  checkShards(terms)
  const bits = ringBits(terms.encoding, members)
  const idBytes = sha256(canonicalTask(terms))
  const id = bytesToHex(idBytes)
  return Object.freeze({ ...terms, id, idBytes, thresholds: bounds, bits, laneCount: laneCount(terms) })
}

/**
 * The same task (its id is that of the terms it began with) as the members of a later roster run it: thresholds and w are
 * the roster's (§3, §11). `members` are in roster order; `leastCorrupt` is what f may not fall below.
 * Throws TaskError: TASK_INVALID, THREAT_INFEASIBLE, BITS_EXCEEDED.
 */
export function taskWithMembers(task: Task, members: readonly string[], leastCorrupt: number): Task {
  const bounds = carriedThresholds({ members: members.length, ...task.threat, leastCorrupt })
  checkGroups(task.groups, bounds)
  const bits = ringBits(task.encoding, members.length)
  const shards = Math.min(task.shards, members.length)
  return Object.freeze({ ...task, members: Object.freeze([...members]), thresholds: bounds, bits, shards })
}

/** The first graph follows from the first beacon, which nobody may know while members can still be chosen (§7). */
function checkRandomness({ members, randomness }: TaskTerms): void {
  if (members.length <= LARGEST_COMPLETE_GRAPH || randomness !== undefined) return
  throw new TaskError(
    'TASK_INVALID',
    `a task of more than ${LARGEST_COMPLETE_GRAPH} members needs randomness: 32 public random bytes in hex, drawn once ` +
      'its members are known'
  )
}

/** A slice is summed by one member, which is another one for each. */
function checkShards({ shards, members, groups }: TaskTerms): void {
  if (shards > members.length)
    throw new TaskError(
      'TASK_INVALID',
      `${members.length} members cannot share a sum in ${shards} shards; lower shards to ${members.length}`
    )
  if (shards > 1 && groups !== undefined)
    throw new TaskError('TASK_INVALID', 'a task has either shards or groups; leave one of them out')
}

/** Each group must stay large enough whoever goes missing. */
function checkGroups(groups: GroupTerms | undefined, { members, f, D }: Thresholds): void {
  if (groups === undefined) return
  if (members > LARGEST_COMPLETE_GRAPH)
    throw new TaskError(
      'TASK_INVALID',
      `a task with groups has at most ${LARGEST_COMPLETE_GRAPH} members, not ${members}; leave groups out or remove members`
    )
  const least = leastOfGroup(f)
  const smallest = Math.floor(members / groups.count)
  if (smallest - D >= least) return
  const most = Math.floor(members / (least + D))
  const remedy = most < 2 ? 'take more members, or leave groups out' : `lower groups.count to ${most}`
  throw new TaskError(
    'THREAT_INFEASIBLE',
    `with ${members} members in ${groups.count} groups a group of ${smallest} may lose ${D} and keep fewer than ${least}; ${remedy}`
  )
}

/** Where a task names no other: up to so many members, and elements of a vector, everybody audits all of a sum (§10). */
const SMALL = { members: 30, elements: 2 ** 20 }

/** Expected audits of each chunk of a sum, or `full`: every member checks all of them. */
export function auditOf({ audit, members, length }: Pick<TaskTerms, 'audit' | 'members' | 'length'>): number | 'full' {
  return audit ?? (members.length <= SMALL.members && length <= SMALL.elements ? 'full' : 2)
}

function termsOf({ deadline, randomness, audit, ...fields }: TaskFields): TaskTerms {
  const members = fields.members.toSorted((a, b) => compareBytes(memberBytes(a), memberBytes(b)))
  const { threat, admission, privacy, groups } = fields
  const encoding: Encoding = privacy === undefined ? fields.encoding! : { type: 'skellam', ...privacy }
  return {
    name: fields.name,
    members: Object.freeze(members),
    length: fields.length,
    encoding: Object.freeze({ ...encoding }),
    threat: Object.freeze({ ...threat }),
    deadlineMs: deadline,
    shards: fields.shards,
    ...(audit === undefined ? {} : { audit }),
    ...(randomness === undefined ? {} : { randomness }),
    ...(groups === undefined ? {} : { groups: Object.freeze({ ...groups }) }),
    ...(admission === undefined ? {} : { admission: admissionOf(admission) })
  }
}

function admissionOf({ allow, vouches }: Admission): Admission {
  const listed = allow && Object.freeze(allow.toSorted((a, b) => compareBytes(memberBytes(a), memberBytes(b))))
  return Object.freeze({ ...(listed && { allow: listed }), ...(vouches !== undefined && { vouches }) })
}

function memberBytes(peerId: string): Uint8Array {
  return peerIdFromString(peerId).toMultihash().bytes
}

/**
 * The bytes that all members must agree on: canonical DAG-CBOR of the terms, with defaults written out, members as
 * multihashes and randomness as bytes. `taskId` is their SHA-256 (§2). Accepts a Task as well.
 */
export function canonicalTask(terms: TaskTerms): Uint8Array {
  const { name, length, encoding, threat, deadlineMs, audit, randomness, shards, groups, admission } = terms
  return dagCbor.encode({
    version: 1,
    name,
    members: terms.members.map(memberBytes),
    length,
    encoding: definedOnly(encoding),
    threat,
    deadlineMs,
    ...(randomness === undefined ? {} : { randomness: hexToBytes(randomness) }),
    // Written only where there is one: a task without keeps its id.
    ...(audit === undefined ? {} : { audit }),
    ...(shards === 1 ? {} : { shards }),
    ...(groups === undefined ? {} : { groups }),
    ...(admission === undefined
      ? {}
      : { admission: definedOnly({ ...admission, allow: admission.allow?.map(memberBytes) }) })
  })
}

function definedOnly(fields: object): object {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
}

/** Behind the elements come the weight (weighted tasks) and the clipped fraction (fixed point), in this order; none with privacy. */
function laneCount({ length, encoding }: TaskTerms): number {
  if (encoding.type === 'skellam') return paddedLength(length)
  if (encoding.type === 'integer') return length
  return length + (encoding.weighted === undefined ? 0 : 1) + 1
}

/** `w = ⌈log2(n · largest + 1)⌉`, the bit length of the largest sum, exactly (§11). Throws TaskError BITS_EXCEEDED. */
function ringBits(encoding: Encoding, members: number): number {
  // Given by the task: the scale of the values follows from it (§12).
  if (encoding.type === 'skellam') return encoding.bits
  const bits = bitLength(BigInt(members) * largestElement(encoding))
  if (bits <= widestLane) return bits
  const need = `bits, more than ${widestLane}`
  const largest = (2n ** BigInt(widestLane) - 1n) / BigInt(members)
  if (encoding.type === 'fixed') {
    const fitting = bitLength(largest + 1n) - 1
    const summed = `${members} members × ${encoding.bits} bits`
    throw new TaskError('BITS_EXCEEDED', `${summed} need ${bits} ${need}; lower encoding.bits to ${fitting}`)
  }
  const range = largestElement(encoding)
  const summed = `${members} members × a range (max − min) of ${range}`
  throw new TaskError(
    'BITS_EXCEEDED',
    `${summed} need ${bits} ${need}; lower encoding.max to ${BigInt(encoding.min) + largest}`
  )
}

function largestElement(encoding: PlainEncoding): bigint {
  return encoding.type === 'fixed' ? 2n ** BigInt(encoding.bits) - 1n : BigInt(encoding.max) - BigInt(encoding.min)
}

function bitLength(value: bigint): number {
  return value === 0n ? 0 : value.toString(2).length
}

/**
 * The deadline in milliseconds of a phase in which vectors travel: the phase deadline, and the time in which one link
 * carries every member's packed vector at 8 MiB a second, since the aggregator takes all uploads and sends all sums.
 * It follows from the terms alone, so that all members count alike (§6).
 */
export function dataDeadlineMs(task: Task): number {
  const longest = task.laneCount * (task.groups?.count ?? 1)
  // Where members share the adding up, each takes its slice of every upload, and sends and fetches about a vector more.
  const vectors = task.shards === 1 ? task.members.length : Math.ceil(task.members.length / task.shards) + 2
  const packed = vectors * packedLength(longest, task.bits)
  return task.deadlineMs + Math.ceil(packed / bytesPerMs)
}
