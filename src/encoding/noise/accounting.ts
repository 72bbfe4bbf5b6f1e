/**
 * What distributed Skellam noise promises (§12): Rényi differential privacy after Agarwal, Kairouz and Liu, "The Skellam
 * Mechanism for Differentially Private Federated Learning" (NeurIPS 2021), and (ε, δ) from it after Canonne, Kamath and
 * Steinke, "The Discrete Gaussian for Differential Privacy" (NeurIPS 2020), Proposition 12.
 */

/** The orders α at which the cost of a release is kept. */
export const renyiOrders: readonly number[] = [...Array.from({ length: 127 }, (_, at) => at + 2), 256]

/** Standard deviations of the sum that fit into the ring without wrapping. */
const TAIL = 4
const LARGEST_SCALE = 1e6
/** β of conditional rounding: a vector is rounded again with a probability of at most e^(−1/2). */
const LOG_INVERSE_BETA = 0.5

/** The sum of what at most `members` members contribute, each of L2 norm `clip` at most, in `bits` bits an element. */
export interface NoiseShape {
  members: number
  bits: number
  /** Elements after padding. */
  dimension: number
  clip: number
  /** Standard deviation of one member's noise, in units of the values. */
  deviation: number
}

/** The scale by which values become whole numbers, and the largest norms of what a member contributes, in those. */
export interface Sensitivity {
  scale: number
  l2: number
  l1: number
}

/** NaN in `scale` where `bits` are too few for so many members. */
export function sensitivity({ members, bits, dimension, clip, deviation }: NoiseShape): Sensitivity {
  const spread = Math.sqrt((clip * members) ** 2 / dimension + members * deviation ** 2)
  const scale = Math.min(LARGEST_SCALE, Math.sqrt(2 ** (2 * bits) - members * TAIL ** 2) / (2 * TAIL * spread))
  const scaled = clip * scale
  const root = Math.sqrt(dimension)
  const conditional = scaled ** 2 + dimension / 4 + Math.sqrt(2 * LOG_INVERSE_BETA) * (scaled + root / 2)
  const l2 = Math.min(scaled + root, Math.sqrt(conditional))
  return { scale, l2, l1: l2 * Math.min(root, l2) }
}

/** The Rényi divergence at each order that one release costs, with the noise of `contributors` members in the sum. */
export function releaseCost({ scale, l2, l1 }: Sensitivity, deviation: number, contributors: number): Float64Array {
  const variance = contributors * (scale * deviation) ** 2
  return Float64Array.from(renyiOrders, (order) => {
    const discrete = ((2 * order - 1) * l2 ** 2 + 6 * l1) / (4 * variance ** 2)
    return (order * l2 ** 2) / (2 * variance) + Math.min(discrete, (3 * l1) / (2 * variance))
  })
}

/** The ε at `delta` of releases that together cost so much at each order; costs of releases add. */
export function epsilonOf(costs: Float64Array, delta: number): number {
  const candidates = renyiOrders.map(
    (order, at) => costs[at] + Math.log(1 - 1 / order) - (Math.log(delta) + Math.log(order)) / (order - 1)
  )
  return Math.max(0, Math.min(...candidates))
}
