import { MessageError } from '../errors.ts'
import { taskOf } from '../membership/roster-change.ts'
import { createRoster } from '../membership/roster.ts'
import type { Task } from '../task/task.ts'
import { beaconOf, followLinks } from './chain.ts'
import type { EpochLink } from './chain.ts'
import type { Chronicle } from './chronicle.ts'
import { decodeEvidence, encodeEvidence, verifyEvidence as verifyUnder } from './evidence.ts'
import type { Evidence, EvidenceKind } from './evidence.ts'
import { rulesIn, rulesOf } from './transcript.ts'

/** Evidence for whoever took no part: with what its check takes beside the task (§7, §10). */

export interface EvidenceProof {
  /** As the event `evidence` brings it. */
  evidence: Uint8Array
  /** From the roster of the task to that of its epoch; left out or empty for epoch 0. */
  chain?: readonly EpochLink[]
  /**
   * What closed the round before, of a wrong sum in a task with groups or on a sparse graph, which both are drawn from it;
   * left out for all other evidence, and for the first round.
   */
  before?: Uint8Array | null
}

/** Who broke the protocol, and how. */
export interface Verdict {
  kind: EvidenceKind
  /** Its peer id. */
  culprit: string
  epoch: number
  round: number
}

/**
 * Verifies evidence from the task alone, without having been there: that a member signed what no honest one would.
 *
 * @param task as all members know it; whoever brings the evidence must not be who brings the task
 * @throws MessageError OVERSIZED, MALFORMED where it is no evidence; INVALID or another code where it proves nothing, is of
 *   another task, or the chain of rosters is missing or does not hold
 */
export function verifyEvidence(task: Task, { evidence: encoded, chain = [], before = null }: EvidenceProof): Verdict {
  const evidence = decodeEvidence(encoded)
  const { kind, culprit, epoch, round } = evidence
  const genesis = createRoster({ epoch: 0, members: [...task.members] })
  const { rosters } = followLinks(task, genesis, chain)
  const rosterOf = (epoch: number) => rosters.find((one) => one.epoch === epoch)
  const roster = rosterOf(epoch)
  if (roster === undefined) {
    const sentence = `evidence is of epoch ${epoch}, and the rosters shown end with epoch ${rosters.at(-1)!.epoch}`
    throw new MessageError('INVALID', sentence)
  }
  const terms = taskOf(task, roster)
  const rules = rulesOf({ task: task.idBytes, epoch, round }, roster, terms)
  const followsBeacon = kind === 'wrong-sum' && rules.shape === undefined
  verifyUnder(evidence, followsBeacon ? rulesIn(rules, terms, beaconOf({ task, round, before }, rosterOf)) : rules)
  return { kind, culprit: roster.members[culprit].id, epoch, round }
}

/** Evidence that a member holds, with what {@link verifyEvidence} takes, as far as it is kept. `task`: as it began. */
export async function proofOf(evidence: Evidence, task: Task, chronicle: Chronicle): Promise<EvidenceProof> {
  const { epoch, kind, round } = evidence
  const { groups, thresholds } = taskOf(task, chronicle.rosterOf(epoch)!)
  const isDrawn = groups !== undefined || thresholds.graph !== undefined
  const before = kind === 'wrong-sum' && isDrawn ? await chronicle.closing(round - 1) : undefined
  return { evidence: encodeEvidence(evidence), chain: await chronicle.chainTo(epoch), before: before?.encoded ?? null }
}
