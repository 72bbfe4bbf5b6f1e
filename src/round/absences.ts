import * as dagCbor from '@ipld/dag-cbor'
import * as z from 'zod'
import { MessageError } from '../errors.ts'
import type { Journal } from '../journal/journal.ts'
import { decodeSet } from '../membership/member-set.ts'
import { taskOf } from '../membership/roster-change.ts'
import type { Absence, RosterChange } from '../membership/roster-change.ts'
import type { Roster } from '../membership/roster.ts'
import type { Task } from '../task/task.ts'
import { authenticate } from './certificates.ts'
import { closingValue, readClosing } from './chain.ts'
import type { Chronicle } from './chronicle.ts'
import { sameBytes } from './dealing.ts'
import { cutHash, decodeMessage } from './messages.ts'
import type { Message } from './messages.ts'
import { sumKey } from './round.ts'

/**
 * Who was left out of a summed round, by whom (§7). Shown by the decision that closed it and the header of its sum, both
 * signed and kept by every member. Only the leader of the first view chose freely whom to include: later ones may have
 * had to take over a cut that was locked, so their headers count for nothing. An honest member signs a header of the first
 * view only where it leads it; so of f+1 signers one has led, and was honest.
 */

const shape = z.strictObject({ decision: z.instanceof(Uint8Array), header: z.instanceof(Uint8Array) })

export function encodeAbsence(decision: Uint8Array, header: Uint8Array): Uint8Array {
  return dagCbor.encode({ decision, header })
}

/** Verifies it from itself, the roster and the task. Throws MessageError where it shows nothing. */
export function readAbsence(encoded: Uint8Array, task: Task, roster: Roster): Absence {
  const fault = (sentence: string) => new MessageError('INVALID', `an absence ${sentence}`)
  let parts: z.infer<typeof shape>
  try {
    parts = shape.parse(dagCbor.decode(encoded))
  } catch (cause) {
    throw new MessageError('MALFORMED', 'an absence is not a decision and the header of a sum', { cause })
  }
  const decision = readClosing(parts.decision, task, roster)
  const { value } = closingValue(decision)
  const { round } = decision
  const header = decodeMessage(parts.header)
  authenticate(header, { task: task.idBytes, epoch: roster.epoch, round }, roster)
  if (header.type !== 'SumHeader' || header.body.view !== 0) throw fault('comes without the header of a first view')
  if (value.kind !== 'summed' || !sameBytes(cutHash(header.body.cut), value.cutHash))
    throw fault('comes with the header of a cut that was not decided')
  const included = decodeSet(header.body.cut.included, roster.members.length)
  return {
    round,
    aggregator: roster.members[header.from].id,
    included: new Set(included.map((member) => roster.members[member].id))
  }
}

/**
 * Whom a leader that waits for nobody in vain proposes to suspend: whoever is not at its table, and was in no sum of a
 * whole cycle, so that a restart or a short illness costs nobody its place.
 */
export async function absentees(
  { task, chronicle, journal }: { task: Task; chronicle: Chronicle; journal: Journal },
  isHere: (member: number) => boolean
): Promise<Pick<RosterChange, 'suspensions' | 'absences'>> {
  const { roster, closed } = chronicle
  const nobody = { suspensions: [], absences: [] }
  let absent = roster.members.filter(({ index }) => !isHere(index))
  const proofs = new Map<number, Uint8Array>()
  const cycle = roster.members.length
  for (let round = closed.round; round > closed.round - cycle; round--) {
    if (absent.length === 0 || round < 1) return nobody
    const decision = await chronicle.closing(round)
    // A cycle of this roster is not over yet, or this member was away in it.
    if (decision === undefined || decision.epoch !== roster.epoch) return nobody
    const header = await journal.get(sumKey(task.id, round))
    if (decision.body.value.kind !== 'summed' || header === undefined) continue
    const { from, body } = decodeMessage(header) as Message<'SumHeader'>
    const included = decodeSet(body.cut.included, cycle)
    absent = absent.filter(({ index }) => !included.includes(index))
    if (body.view === 0) proofs.set(from, encodeAbsence(decision.encoded, header))
  }
  const needed = taskOf(task, roster).thresholds.f + 1
  if (absent.length === 0 || proofs.size < needed) return nobody
  return { suspensions: absent.map(({ bytes }) => bytes), absences: [...proofs.values()].slice(0, needed) }
}
