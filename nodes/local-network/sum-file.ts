import type { NpyValues } from '../npy.ts'

/** The least, the greatest and the mean element, for people who look at a file of results. */
export function describeSum(values: NpyValues): { min: number; max: number; mean: number } {
  let min = Infinity
  let max = -Infinity
  let total = 0
  for (let i = 0; i < values.length; i++) {
    const value = Number(values[i])
    if (value < min) min = value
    if (value > max) max = value
    total += value
  }
  return { min, max, mean: total / values.length }
}
