import { PrivacyLedger, privateTerms } from '../../src/round/privacy-ledger.ts'
import type { Task } from '../../src/task/task.ts'

/** What a member's updates in these rounds have given away at most, as the task counts it; undefined without privacy. */
export function epsilonAfter(
  task: Task,
  rounds: { status: 'summed' | 'burned'; included: number[] }[]
): number | undefined {
  const terms = privateTerms(task)
  if (terms === undefined) return undefined
  const { nMin } = terms.thresholds
  // A burned round may have been opened for the fewest.
  const included = rounds.map((round) => (round.status === 'summed' ? round.included.length : nMin))
  return PrivacyLedger.epsilonOfRounds(terms, included)
}
