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

/** A vector drawn with at most so many points: each is the mean of as many neighbours. */
export function outline(values: NpyValues, points: number): number[] {
  const count = Math.min(points, values.length)
  return Array.from({ length: count }, (_, at) => {
    const [from, to] = [at, at + 1].map((edge) => Math.floor((edge * values.length) / count))
    let total = 0
    for (let i = from; i < to; i++) total += Number(values[i])
    return total / (to - from)
  })
}
