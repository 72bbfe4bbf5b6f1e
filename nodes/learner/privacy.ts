import { leastContributors, noiseDeviation, taskSensitivity } from '../../src/encoding/noise/private-encoding.ts'
import type { PrivateTask } from '../../src/encoding/noise/private-encoding.ts'
import { PrivacyLedger, privateTerms } from '../../src/round/privacy-ledger.ts'
import type { Task } from '../../src/task/task.ts'

/** What a member's updates in these rounds have given away at most, as the task counts it; undefined without privacy. */
export function epsilonAfter(
  task: Task,
  rounds: { status: 'summed' | 'burned'; included: number[] }[]
): number | undefined {
  const terms = privateTerms(task)
  if (terms === undefined) return undefined
  const least = leastContributors(terms) + terms.thresholds.f
  // A burned round may have been opened for the fewest; a group of one that was summed may be as small as they come.
  const isCounted = (status: string) => status === 'summed' && terms.groups === undefined
  const included = rounds.map((round) => (isCounted(round.status) ? round.included.length : least))
  return PrivacyLedger.epsilonOfRounds(terms, included)
}

/** How many standard deviations honest noise may be larger than it is on average: once in some hundred million rounds. */
const DEVIATIONS = 6

/**
 * The largest L2 norm of the mean of so many clipped updates with their noise. Of ‖m + N‖², ‖m‖² is c² at most; ‖N‖² is d·v
 * with a deviation of v·√(2d), and 2⟨m, N⟩ is 0 with one of 2c·√v at most, where v is the variance of an element of N.
 */
export function longestMean(task: PrivateTask, included: number): number {
  const { scale, l2 } = taskSensitivity(task)
  const clip = l2 / scale
  const variance = noiseDeviation(task) ** 2 / included
  const deviation = Math.sqrt(2 * task.length * variance ** 2 + 4 * clip ** 2 * variance)
  return Math.sqrt(clip ** 2 + task.length * variance + DEVIATIONS * deviation)
}
