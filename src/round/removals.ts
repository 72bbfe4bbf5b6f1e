import { MessageError } from '../errors.ts'
import { MAX_REMOVAL_BYTES, taskOf } from '../membership/roster-change.ts'
import type { ChangeRules } from '../membership/roster-change.ts'
import type { Task } from '../task/task.ts'
import { readAbsence } from './absences.ts'
import type { Chronicle } from './chronicle.ts'
import { decodeEvidence, encodeEvidence, verifyEvidence } from './evidence.ts'
import type { Evidence } from './evidence.ts'
import { rulesOf } from './transcript.ts'

/**
 * Who is taken out of the roster because it broke the protocol (§7). Evidence names its culprit by the roster of its epoch,
 * and the chain of rosters, which every member has from the task on, says who that was: so evidence of an earlier epoch
 * counts as well, and nobody escapes by an epoch that begins. Whoever is removed is let in never again: its id stays in
 * the rosters after, whatever the task's admission policy says of it. Another identity is another peer.
 */

/** How a change of the roster in effect is checked: from itself, the task and the chain of rosters alone. */
export function changeRules(task: Task, chronicle: Chronicle): ChangeRules {
  return {
    task,
    readAbsence: (encoded, roster) => readAbsence(encoded, task, roster),
    readRemoval: (encoded) => readRemoval(encoded, task, chronicle)
  }
}

/** The culprit's peer id. Throws MessageError OVERSIZED, MALFORMED, INVALID where it proves nothing. */
function readRemoval(encoded: Uint8Array, task: Task, chronicle: Chronicle): string {
  const evidence = decodeEvidence(encoded)
  const { epoch, round, culprit } = evidence
  const roster = chronicle.rosterOf(epoch)
  if (roster?.members[culprit] === undefined)
    throw new MessageError('INVALID', `evidence against member ${culprit} of epoch ${epoch} names nobody`)
  const context = { task: task.idBytes, epoch, round }
  verifyEvidence(evidence, rulesOf(context, roster, taskOf(task, roster)))
  return roster.members[culprit].id
}

/** The smallest evidence against each peer that is in the roster, suspended or not; what is too large is not carried. */
export function removals(held: readonly Evidence[], chronicle: Pick<Chronicle, 'rosterOf' | 'roster'>): Uint8Array[] {
  const { roster } = chronicle
  const smallest = new Map<string, Uint8Array>()
  for (const evidence of held) {
    const id = chronicle.rosterOf(evidence.epoch)?.members[evidence.culprit]?.id
    if (id === undefined || (roster.indexOf(id) < 0 && !roster.isSuspended(id))) continue
    const encoded = encodeEvidence(evidence)
    if (encoded.length <= Math.min(MAX_REMOVAL_BYTES, (smallest.get(id)?.length ?? Infinity) - 1))
      smallest.set(id, encoded)
  }
  return [...smallest.values()]
}
