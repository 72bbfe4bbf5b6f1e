import type { NpyValues } from '../npy.ts'

/** What the feed shows of a sum. */
export const OUTLINE_POINTS = 160

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
