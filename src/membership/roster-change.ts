import * as dagCbor from '@ipld/dag-cbor'
import * as z from 'zod'
import { compareBytes } from '../crypto/key-agreement.ts'
import { MessageError, RosterChangeError } from '../errors.ts'
import { taskWithMembers } from '../task/task.ts'
import type { Task } from '../task/task.ts'
import { requesterOf, voucherOf } from './requests.ts'
import type { Action, Addressed, Request, Vouch } from './requests.ts'
import { peerFromBytes } from './roster-bytes.ts'
import { createRoster } from './roster.ts'
import type { Roster } from './roster.ts'

/**
 * How one roster becomes the next (§7): what was asked, with all that proves that it may be granted. It is checked from
 * itself, the roster and the task alone, so that every member finds the same.
 */
export interface RosterChange {
  joins: Array<{ request: Request; vouches: Vouch[] }>
  leaves: Request[]
  returns: Request[]
  /** Members that were away, as multihashes. */
  suspensions: Uint8Array[]
  /** What proves that they were: decided cuts that leave them out. */
  absences: Uint8Array[]
  /** Evidence, encoded, one for each member that is taken out for good. */
  removals: Uint8Array[]
}

/** A decided cut of a closed round, as the round layer reads it. */
export interface Absence {
  round: number
  /** Peer id of the aggregator that chose whom to include. */
  aggregator: string
  /** Peer ids of whoever is in the cut. */
  included: ReadonlySet<string>
}

export interface ChangeRules {
  task: Task
  /** Reads and verifies a decided cut of an epoch. Throws MessageError where it is none. */
  readAbsence(encoded: Uint8Array, roster: Roster): Absence
  /** Verifies evidence of this epoch or an earlier one; the culprit's peer id. Throws MessageError where it proves nothing. */
  readRemoval(encoded: Uint8Array): string
}

/** Leaves room in a message for the votes and headers around it. */
export const MAX_CHANGE_BYTES = 768 * 1024

/** Two statements of a leader of 128 members take less; larger evidence is not carried, so that a change stays small. */
export const MAX_REMOVAL_BYTES = 128 * 1024

/** Who was removed stays named for ever; as many as fit into a roster beside its members. */
const MOST_REMOVED = 2048

const peerBytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array && value.length === 38, 'not 38 bytes')
const signature = z.custom<Uint8Array>((value) => value instanceof Uint8Array && value.length === 64, 'not 64 bytes')
const requestOf = (action: Action) => z.strictObject({ action: z.literal(action), peer: peerBytes, signature })
const vouch = z.strictObject({ voucher: peerBytes, peer: peerBytes, signature })
const shape = z.strictObject({
  joins: z.array(z.strictObject({ request: requestOf('join'), vouches: z.array(vouch).max(128) })).max(128),
  leaves: z.array(requestOf('leave')).max(4096),
  returns: z.array(requestOf('return')).max(128),
  suspensions: z.array(peerBytes).max(128),
  absences: z.array(z.instanceof(Uint8Array)).max(128),
  removals: z.array(z.instanceof(Uint8Array)).max(128)
})

export function encodeChange(change: RosterChange): Uint8Array {
  return dagCbor.encode(change)
}

/** Parses strictly; whether it may be granted is for {@link applyChange}. Throws MessageError OVERSIZED, MALFORMED. */
export function decodeChange(encoded: Uint8Array): RosterChange {
  if (encoded.length > MAX_CHANGE_BYTES)
    throw new MessageError('OVERSIZED', `a change of the roster of ${encoded.length} bytes is over ${MAX_CHANGE_BYTES}`)
  let decoded: unknown
  try {
    decoded = dagCbor.decode(encoded)
  } catch (cause) {
    throw new MessageError('MALFORMED', 'a change of the roster is not canonical DAG-CBOR', { cause })
  }
  const { data, error } = shape.safeParse(decoded)
  if (data === undefined) {
    const [{ path, message }] = error.issues
    throw new MessageError('MALFORMED', `a change of the roster has a wrong ${path.join('.') || 'shape'}: ${message}`)
  }
  if (compareBytes(dagCbor.encode(data), encoded) !== 0)
    throw new MessageError('MALFORMED', 'a change of the roster is not in its canonical form')
  return data
}

const refuse = (sentence: string, culprit?: string) => new RosterChangeError(sentence, { culprit })

/**
 * The roster that a change makes of this one. Throws RosterChangeError where it may not be granted, or where §3 or the 32
 * bits of §11 would no longer hold; what is wrong with an absence is a MessageError.
 */
export function applyChange(roster: Roster, change: RosterChange, rules: ChangeRules): Roster {
  const { task } = rules
  const to = { taskId: task.idBytes, rosterHash: roster.hash }
  const joined = change.joins.map(({ request, vouches }) => admitted(request, vouches, roster, to, task))
  const left = change.leaves.map((request) => leaver(request, roster, to))
  const returned = change.returns.map((request) => returner(request, roster, to))
  const suspended = absentees(change, roster, rules)
  const removed = change.removals.map((evidence) => culprit(evidence, roster, rules))
  const touched = [...joined, ...left, ...returned, ...suspended, ...removed]
  if (touched.length === 0) throw refuse('a change of the roster changes nothing')
  if (new Set(touched).size !== touched.length) throw refuse('a change of the roster names one peer twice')

  const gone = new Set([...left, ...suspended, ...removed])
  const resting = roster.suspended.map(({ id }) => id).filter((id) => !gone.has(id) && !returned.includes(id))
  const members = [...roster.members.map(({ id }) => id).filter((id) => !gone.has(id)), ...joined, ...returned]
  const nowSuspended = [...resting, ...suspended]
  const { f } = taskOf(task, roster).thresholds
  const kept = suspended.length > 0 ? Math.max(f, roster.leastCorrupt) : roster.leastCorrupt
  const leastCorrupt = nowSuspended.length === 0 ? 0 : kept
  return feasible(task, members, () =>
    createRoster({
      epoch: roster.epoch + 1,
      members,
      previousHash: roster.hash,
      suspended: nowSuspended,
      leastCorrupt,
      removed: [...roster.removed.map(({ id }) => id), ...removed]
    })
  )
}

const taskOfRoster = new WeakMap<Task, Map<Roster, Task>>()

/** The task as the members of this roster run it. Throws TaskError where they cannot. */
export function taskOf(task: Task, roster: Roster): Task {
  const known = taskOfRoster.get(task) ?? new Map<Roster, Task>()
  taskOfRoster.set(task, known)
  const terms =
    known.get(roster) ??
    taskWithMembers(
      task,
      roster.members.map(({ id }) => id),
      roster.leastCorrupt
    )
  known.set(roster, terms)
  return terms
}

function feasible(task: Task, members: string[], make: () => Roster): Roster {
  if (members.length < 3) throw refuse(`a change of the roster leaves ${members.length} members, and it takes 3`)
  const roster = make()
  try {
    taskOf(task, roster)
  } catch (cause) {
    throw new RosterChangeError(`a change of the roster cannot be: ${(cause as Error).message}`, { cause })
  }
  return roster
}

function requester(request: Request, to: Addressed): string {
  const peer = requesterOf(request, to)
  if (peer !== undefined) return peer.id
  const who = peerFromBytes(request.peer)?.id ?? 'a peer'
  throw refuse(`the request of ${who} to ${request.action} is not signed by it to this roster`)
}

function admitted(request: Request, vouches: Vouch[], roster: Roster, to: Addressed, task: Task): string {
  const id = requester(request, to)
  if (roster.indexOf(id) >= 0) throw refuse(`${id} asks to join, and is a member`, id)
  if (roster.isSuspended(id)) throw refuse(`${id} asks to join, and returns by asking to return`, id)
  if (roster.isRemoved(id)) throw refuse(`${id} asks to join, and was removed for breaking the protocol`, id)
  const { allow = [], vouches: needed } = task.admission ?? {}
  if (allow.includes(id)) return id
  if (needed === undefined) throw refuse(`${id} asks to join, and the task admits it by nothing`, id)
  const vouchers = new Set<string>()
  for (const vouch of vouches) {
    const voucher = voucherOf(vouch, to)
    if (voucher === undefined || compareBytes(vouch.peer, request.peer) !== 0)
      throw refuse(`a vouch for ${id} is not signed by its voucher, to this roster and for this peer`)
    if (roster.indexOf(voucher.id) < 0) throw refuse(`${voucher.id} vouches for ${id}, and is no member`, voucher.id)
    vouchers.add(voucher.id)
  }
  if (vouchers.size < needed)
    throw refuse(`${vouchers.size} members vouch for ${id}, and the task asks for ${needed}`, id)
  return id
}

function leaver(request: Request, roster: Roster, to: Addressed): string {
  const id = requester(request, to)
  if (roster.indexOf(id) < 0 && !roster.isSuspended(id)) throw refuse(`${id} asks to leave, and is no member`, id)
  return id
}

function returner(request: Request, roster: Roster, to: Addressed): string {
  const id = requester(request, to)
  if (!roster.isSuspended(id)) throw refuse(`${id} asks to return, and is not suspended`, id)
  return id
}

/** Whoever broke the protocol is taken out whatever it asks; those of an earlier epoch that are still there, too. */
function culprit(evidence: Uint8Array, roster: Roster, rules: ChangeRules): string {
  if (evidence.length > MAX_REMOVAL_BYTES)
    throw refuse(
      `evidence of ${evidence.length} bytes comes with a change of the roster, and it may have ${MAX_REMOVAL_BYTES}`
    )
  if (roster.removed.length >= MOST_REMOVED)
    throw refuse(`${MOST_REMOVED} peers were removed, and a roster names no more`)
  const id = rules.readRemoval(evidence)
  if (roster.indexOf(id) < 0 && !roster.isSuspended(id)) throw refuse(`${id} is to be removed, and is no member`)
  return id
}

/**
 * Whoever was left out under f+1 different aggregators was left out by an honest one. Nobody is suspended by its own word
 * or by one aggregator alone; a round has one, whoever else has signed its cut.
 */
function absentees({ suspensions, absences }: RosterChange, roster: Roster, rules: ChangeRules): string[] {
  const cuts = absences.map((encoded) => rules.readAbsence(encoded, roster))
  if (new Set(cuts.map(({ round }) => round)).size < cuts.length)
    throw refuse('a change of the roster shows two absences of one round')
  const needed = taskOf(rules.task, roster).thresholds.f + 1
  return suspensions.map((bytes) => {
    const id = peerFromBytes(bytes)?.id
    if (id === undefined || roster.indexOf(id) < 0)
      throw refuse(`${id ?? 'a peer'} is to be suspended, and is no member`)
    const against = new Set(cuts.filter(({ included }) => !included.has(id)).map(({ aggregator }) => aggregator))
    if (against.size < needed)
      throw refuse(`${id} is to be suspended after ${against.size} aggregators left it out, and it takes ${needed}`)
    return id
  })
}
