import { drawSchedule, runSchedule } from './schedule.ts'
import type { Deadly, Schedule } from './schedule.ts'
import type { Simulation } from './network.ts'

/**
 * Whole rounds between queues, thousands of schedules. A failing seed is named: `SECAGG_SEED=17` runs just that one, and
 * `SECAGG_RUNS=100000` more of each kind than a test run has time for.
 */
const only = process.env.SECAGG_SEED
const asked = process.env.SECAGG_RUNS

export function seeds(from: number, count: number): number[] {
  if (only !== undefined) return [Number(only)]
  return Array.from({ length: asked === undefined ? count : Number(asked) }, (_, at) => from + at)
}

export async function runAll(
  kind: Deadly,
  from: number,
  count: number,
  check: (simulation: Simulation, schedule: Schedule) => void
) {
  for (const seed of seeds(from, count)) {
    const schedule = await drawSchedule(seed, kind)
    try {
      const { simulation } = await runSchedule(schedule)
      check(simulation, schedule)
    } catch (cause) {
      throw new Error(
        `SECAGG_SEED=${seed} fails (${kind} die): ${(cause as Error).message}\n${JSON.stringify(schedule)}`,
        { cause }
      )
    }
  }
}
