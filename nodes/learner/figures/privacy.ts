import { digits } from '../digits/problem.ts'
import { privacyTerms, serverSteps } from '../recipe.ts'
import type { Recipe } from '../recipe.ts'
import { learnTogether } from './simulation.ts'

export interface PrivacyRow {
  /** None in the last row. */
  noiseMultiplier?: number
  epsilon?: number
  accuracy: number
}

/** Accuracy on the digits problem against ε at δ = 10⁻⁵, for several noise multipliers. */
export async function privacyTable(
  { peers, rounds, multipliers }: { peers: number; rounds: number; multipliers: number[] },
  tell: (text: string) => void
): Promise<PrivacyRow[]> {
  const recipe: Recipe = { problem: 'digits', algorithm: serverSteps(digits, 'fedavg', true), seed: 'figures' }
  const rows: PrivacyRow[] = []
  for (const noiseMultiplier of multipliers) {
    tell(`z = ${noiseMultiplier}`)
    const privacy = privacyTerms(digits, noiseMultiplier)
    const { accuracy, epsilon } = await learnTogether({ recipe, peers, rounds, privacy }, 'secure')
    rows.push({ noiseMultiplier, epsilon, accuracy: accuracy.at(-1)! })
  }
  tell('without noise')
  const { accuracy } = await learnTogether({ recipe, peers, rounds }, 'secure')
  return [...rows, { accuracy: accuracy.at(-1)! }]
}
