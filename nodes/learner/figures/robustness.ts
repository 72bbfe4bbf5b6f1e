import type { Recipe } from '../recipe.ts'
import { learnTogether } from './simulation.ts'
import type { Setting } from './simulation.ts'

export interface RobustnessRow {
  poison: NonNullable<Setting['poison']>
  /** Digits right after all rounds. */
  mean: number
  trimmedMean: number
}

/** Accuracy on the digits problem with members that send the opposite of what they learned: one mean, and one over groups. */
export async function robustnessTable(
  {
    peers,
    rounds,
    groups,
    poisons
  }: { peers: number; rounds: number; groups: { count: number; trim: number }; poisons: RobustnessRow['poison'][] },
  tell: (text: string) => void
): Promise<RobustnessRow[]> {
  const recipe: Recipe = { problem: 'digits', algorithm: { name: 'fedavg', rate: 1.5 }, seed: 'figures' }
  const rows: RobustnessRow[] = []
  for (const poison of poisons) {
    tell(`${poison.members} of ${peers} poison, within the ${poison.within}`)
    const setting = { recipe, peers, rounds, poison }
    const mean = await learnTogether(setting, 'secure')
    const robust = await learnTogether({ ...setting, groups }, 'secure')
    rows.push({ poison, mean: mean.accuracy.at(-1)!, trimmedMean: robust.accuracy.at(-1)! })
  }
  return rows
}
