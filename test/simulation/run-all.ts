import { setImmediate } from 'node:timers/promises'
import { drawEpochs, runEpochs } from './epochs-hostile.ts'
import { drawHostile, mustBeSummed, runHostile } from './hostile.ts'
import type { Ending } from './hostile.ts'
import { drawSchedule, runSchedule } from './schedule.ts'
import type { Deadly, Schedule } from './schedule.ts'
import type { Simulation } from './network.ts'

/**
 * Whole rounds between queues, thousands of schedules. A failing seed is named: `TEST_SEED=17` runs just that one, and
 * `TEST_RUNS=100000` more of each kind than a test run has time for, telling every few seconds how far it has come and
 * going on after a failure; `TEST_FROM=40000` says from which seed on, so that a long run can be done in parts.
 * A test run takes the first tenth of the seeds, with `TEST_RUNS=all`, as continuous integration says, all 5,000.
 */
const only = process.env.TEST_SEED
const everything = process.env.TEST_RUNS === 'all'
const asked = everything ? undefined : process.env.TEST_RUNS
const start = process.env.TEST_FROM
const TELL_MS = 5000

export function seeds(from: number, count: number): number[] {
  if (only !== undefined) return [Number(only)]
  const usual = everything ? count : Math.ceil(count / 10)
  return Array.from({ length: asked === undefined ? usual : Number(asked) }, (_, at) => Number(start ?? from) + at)
}

export async function runAll(
  kind: Deadly,
  from: number,
  count: number,
  check: (simulation: Simulation, schedule: Schedule) => void
) {
  await eachSeed(`${kind} die`, from, count, async (seed) => {
    const schedule = await drawSchedule(seed, kind)
    return reported(seed, `${kind} die`, schedule, async () => {
      const { simulation } = await runSchedule(schedule)
      check(simulation, schedule)
      return simulation.honest[0].outcomes.map(({ status }) => status)
    })
  })
}

/** Runs with adversaries; every one ends, and those that must be summed are (§1). */
export async function runHostiles(from: number, count: number): Promise<Map<string, number>> {
  return eachSeed('with adversaries', from, count, async (seed) => {
    const schedule = await drawHostile(seed)
    return reported(seed, 'with adversaries', schedule, async (): Promise<Ending[]> => {
      const { simulation, endings } = await runHostile(schedule)
      if (mustBeSummed(schedule, simulation.task) && endings[0] === 'burned')
        throw new Error(`the first round was burned: ${simulation.honest[0].outcomes[0].reason}`)
      return endings
    })
  })
}

/** Runs in which members come and go as well; counts how the rounds ended and how the rosters changed. */
export async function runComings(from: number, count: number): Promise<Map<string, number>> {
  return eachSeed('with comings and goings', from, count, async (seed) => {
    const schedule = drawEpochs(seed)
    return reported(seed, 'with comings and goings', schedule, async () => (await runEpochs(schedule)).endings)
  })
}

/** One after the other, so that memory stays the same however many there are; counts how the rounds ended. */
async function eachSeed(what: string, from: number, count: number, run: (seed: number) => Promise<string[]>) {
  const endings = new Map<string, number>()
  // Errors are made by the thousand here, and a stack trace costs more than the rest of most of them.
  const { stackTraceLimit } = Error
  if (only === undefined) Error.stackTraceLimit = 0
  let told = Date.now()
  const all = seeds(from, count)
  const failures: unknown[] = []
  try {
    for (const [done, seed] of all.entries()) {
      try {
        for (const ending of await run(seed)) endings.set(ending, (endings.get(ending) ?? 0) + 1)
      } catch (error) {
        if (asked === undefined) throw error
        console.log((error as Error).message)
        failures.push(error)
      }
      if (asked === undefined || (Date.now() - told < TELL_MS && done + 1 < all.length)) continue
      told = Date.now()
      const counts = [...endings].map(([ending, times]) => `${ending} ${times}`).join(', ')
      const { heapUsed } = process.memoryUsage()
      console.log(`${what}: ${done + 1} of ${all.length} runs; ${counts}; ${Math.round(heapUsed / 2 ** 20)} MiB`)
    }
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
  if (failures.length > 0)
    throw new AggregateError(failures, `${failures.length} of ${all.length} runs failed, see above`)
  return endings
}

async function reported<T>(seed: number, what: string, schedule: unknown, run: () => Promise<T>): Promise<T> {
  // What nobody handles ends a process.
  const unhandled: unknown[] = []
  const note = (reason: unknown): void => void unhandled.push(reason)
  process.on('unhandledRejection', note)
  try {
    const result = await run()
    await setImmediate()
    if (unhandled.length > 0) throw new Error(`nobody handles: ${(unhandled[0] as Error).message}`)
    return result
  } catch (cause) {
    throw new Error(`TEST_SEED=${seed} fails (${what}): ${(cause as Error).message}\n${JSON.stringify(schedule)}`, {
      cause
    })
  } finally {
    process.off('unhandledRejection', note)
  }
}
