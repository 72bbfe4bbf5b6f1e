import { leastContributors } from '../../../src/encoding/noise/private-encoding.ts'
import type { Recipe } from '../recipe.ts'
import { learnTogether, simulatedTask } from './simulation.ts'
import type { Setting } from './simulation.ts'

export interface RobustnessRow {
  poison: NonNullable<Setting['poison']>
  /** Digits right after all rounds, on average over the seeds. */
  mean: number
  trimmedMean: number
}

export interface Robustness {
  rows: RobustnessRow[]
  /** Honest members that a sum of all has at least, and a sum of a group: among so many one member hides. */
  honest: { together: number; inGroup: number }
}

export interface RobustnessShape extends Required<Pick<Setting, 'peers' | 'rounds' | 'threat' | 'groups'>> {
  seeds: number
  poisons: RobustnessRow['poison'][]
}

/** Accuracy on the digits problem with members that send the opposite of what they learned: one mean, and one over groups. */
export async function robustnessTable(
  { seeds, poisons, groups, ...shape }: RobustnessShape,
  tell: (text: string) => void
): Promise<Robustness> {
  const settings = Array.from({ length: seeds }, (_, seed): Setting => ({ recipe: recipeOf(seed), ...shape }))
  const rows: RobustnessRow[] = []
  for (const poison of poisons) {
    tell(`${poison.members} of ${shape.peers} poison, within the ${poison.within}`)
    const mean = await learnedBy(settings.map((setting) => ({ ...setting, poison })))
    rows.push({
      poison,
      mean,
      trimmedMean: await learnedBy(settings.map((setting) => ({ ...setting, poison, groups })))
    })
  }
  const together = leastContributors(await simulatedTask(settings[0]))
  const inGroup = leastContributors(await simulatedTask({ ...settings[0], groups }))
  return { rows, honest: { together, inGroup } }
}

function recipeOf(seed: number): Recipe {
  return { problem: 'digits', algorithm: { name: 'fedavg', rate: 1.5 }, seed: `figures ${seed}` }
}

async function learnedBy(settings: Setting[]): Promise<number> {
  let sum = 0
  for (const setting of settings) sum += (await learnTogether(setting, 'secure')).accuracy.at(-1)!
  return sum / settings.length
}
