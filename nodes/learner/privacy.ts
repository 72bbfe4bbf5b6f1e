import { epsilonOf, releaseCost, renyiOrders } from '../../src/encoding/noise/accounting.ts'
import { noiseDeviation, taskSensitivity } from '../../src/encoding/noise/private-encoding.ts'
import { privateTerms } from '../../src/round/privacy-ledger.ts'
import type { Task } from '../../src/task/task.ts'

/** What a member's updates in these rounds have given away at most, as the task counts it; undefined without privacy. */
export function epsilonAfter(
  task: Task,
  rounds: { status: 'summed' | 'burned'; included: number[] }[]
): number | undefined {
  const terms = privateTerms(task)
  if (terms === undefined) return undefined
  const { f, nMin } = terms.thresholds
  const costs = new Float64Array(renyiOrders.length)
  for (const { status, included } of rounds) {
    // A burned round may have been opened for the fewest.
    const honest = (status === 'summed' ? included.length : nMin) - f
    releaseCost(taskSensitivity(terms), noiseDeviation(terms), honest).forEach((cost, at) => (costs[at] += cost))
  }
  return epsilonOf(costs, terms.encoding.delta)
}
