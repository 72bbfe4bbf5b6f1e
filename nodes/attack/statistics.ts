import type { Lanes } from '../../src/crypto/mask-stream.ts'

export interface ChiSquare {
  statistic: number
  degrees: number
  /** How often uniform noise is at least as uneven. */
  p: number
}

const BINS = 256

/** Whether all bins are equally likely: Pearson's test, its p-value by Wilson and Hilferty's approximation. */
export function chiSquare(counts: ArrayLike<number>): ChiSquare {
  const all = Array.from(counts)
  const expected = all.reduce((sum, count) => sum + count) / all.length
  const statistic = all.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
  const degrees = all.length - 1
  const spread = 2 / (9 * degrees)
  const z = (Math.cbrt(statistic / degrees) - (1 - spread)) / Math.sqrt(spread)
  return { statistic, degrees, p: upperTail(z) }
}

/** Over the 256 values of a byte; the last byte, which may hold padding, is left out. */
export function chiSquareOfBytes(packed: Uint8Array): ChiSquare {
  const counts = new Uint32Array(BINS)
  for (const byte of packed.subarray(0, -1)) counts[byte]++
  return chiSquare(counts)
}

/** Over the 2^`bits` values of an element, in 256 ranges of equal width. */
export function chiSquareOfValues(lanes: Lanes, bits: number): ChiSquare {
  const counts = new Uint32Array(BINS)
  for (const lane of lanes) counts[Math.floor((lane * BINS) / 2 ** bits)]++
  return chiSquare(counts)
}

/**
 * How strongly the vector follows `truth`: their correlation in standard deviations of what independent noise has by
 * chance. The test of somebody who knows already what to look for, and the sharpest linear one.
 */
export function matchedFilter(lanes: Lanes, truth: Lanes): number {
  const [ofLanes, ofTruth] = [mean(lanes), mean(truth)]
  let [together, alone, wanted] = [0, 0, 0]
  for (let at = 0; at < lanes.length; at++) {
    const [a, b] = [lanes[at] - ofLanes, truth[at] - ofTruth]
    together += a * b
    alone += a * a
    wanted += b * b
  }
  return (together / Math.sqrt(alone * wanted)) * Math.sqrt(lanes.length)
}

function mean(lanes: Lanes): number {
  let sum = 0
  for (const lane of lanes) sum += lane
  return sum / lanes.length
}

/** How often chance alone is at least so far from zero, on either side. */
export const pOfZ = (z: number): number => 2 * upperTail(Math.abs(z))

/** P[N(0, 1) > z]: Abramowitz and Stegun 26.2.17, to 7.5e-8. */
function upperTail(z: number): number {
  const t = 1 / (1 + 0.2316419 * Math.abs(z))
  const series = t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
  const tail = (series * Math.exp((-z * z) / 2)) / Math.sqrt(2 * Math.PI)
  return z >= 0 ? tail : 1 - tail
}
