import { createLanes } from '../../crypto/mask-stream.ts'
import type { Lanes } from '../../crypto/mask-stream.ts'
import type { PrivateEncoding, Task } from '../../task/task.ts'
import { leastOfGroup } from '../../task/thresholds.ts'
import { notFinite, readChunk } from '../vector.ts'
import type { Vector } from '../vector.ts'
import { sensitivity } from './accounting.ts'
import type { Sensitivity } from './accounting.ts'
import { createRotation, rotationBlock } from './rotation.ts'
import { skellam, uniforms } from './skellam.ts'

/**
 * A member's vector with its part of the noise (§12): clipped to an L2 norm, rotated, scaled, rounded at random to whole
 * numbers, and a Skellam variable added to each. Sums of Skellam variables are Skellam again, whoever drops out.
 */

export type PrivateTask = Task & { readonly encoding: PrivateEncoding }

/** Of one member's noise, in units of the values: enough in all when only nMin − f honest members contribute. */
export function noiseDeviation(task: PrivateTask): number {
  const { encoding } = task
  return (encoding.noiseMultiplier * encoding.clip) / Math.sqrt(leastContributors(task))
}

/** nMin − f: what a sum is sure to have of honest contributors; the same of a group, where sums are per group. */
export function leastContributors({ thresholds: { nMin, f }, groups }: Task): number {
  return (groups === undefined ? nMin : leastOfGroup(f)) - f
}

export function taskSensitivity(task: PrivateTask): Sensitivity {
  const { members, encoding, laneCount, bits } = task
  const deviation = noiseDeviation(task)
  return sensitivity({ members: members.length, bits, dimension: laneCount, clip: encoding.clip, deviation })
}

export interface PrivateEncodeOptions {
  round: number
  random: (length: number) => Uint8Array
  pause: () => Promise<void>
}

/** Blocks between two pauses: a few milliseconds of work. */
const PAUSE_BLOCKS = 4

export async function encodePrivately(
  task: PrivateTask,
  vector: Vector,
  { round, random, pause }: PrivateEncodeOptions
): Promise<{ lanes: Lanes; clippedFraction: number }> {
  const { length, laneCount, encoding, bits, idBytes } = task
  const block = rotationBlock(length)
  const rotated = new Float64Array(laneCount)
  const uniform = uniforms(random)
  const { scale, l2 } = taskSensitivity(task)
  const noise = skellam((scale * noiseDeviation(task)) ** 2, uniform)
  try {
    readChunk(vector, 0, rotated.subarray(0, length))
    const norm = normOf(rotated)
    const factor = norm > encoding.clip ? encoding.clip / norm : 1
    const rotation = createRotation(idBytes, round)
    for (let index = 0; index * block < laneCount; index++) {
      const part = rotated.subarray(index * block, (index + 1) * block)
      for (let i = 0; i < part.length; i++) part[i] *= factor * scale
      await rotation.apply(part, index)
      if (index % PAUSE_BLOCKS === PAUSE_BLOCKS - 1) await pause()
    }
    const whole = new Float64Array(laneCount)
    // Conditional rounding: the bound on the norm holds for every release, not only on average.
    while (roundInto(rotated, whole, uniform) > l2 * l2) await pause()
    const lanes = createLanes(bits, laneCount)
    for (let start = 0; start < laneCount; start += block) {
      for (let i = start; i < start + block; i++) lanes[i] = whole[i] + noise()
      whole.fill(0, start, start + block)
      await pause()
    }
    return { lanes, clippedFraction: factor < 1 ? 1 : 0 }
  } finally {
    rotated.fill(0)
  }
}

/** The sum's values: residues mod 2^w read with a sign, scaled back, turned back. */
export async function decodePrivately(
  task: PrivateTask,
  sum: Lanes,
  round: number,
  pause: () => Promise<void>
): Promise<Float64Array> {
  const { length, laneCount, bits, idBytes } = task
  const block = rotationBlock(length)
  const { scale } = taskSensitivity(task)
  const rotation = createRotation(idBytes, round)
  const values = new Float64Array(length)
  const part = new Float64Array(block)
  const unused = 32 - bits
  for (let index = 0; index * block < laneCount; index++) {
    const start = index * block
    for (let i = 0; i < block; i++) part[i] = ((sum[start + i] << unused) >> unused) / scale
    await rotation.undo(part, index)
    values.set(start + block <= length ? part : part.subarray(0, length - start), start)
    if (index % PAUSE_BLOCKS === PAUSE_BLOCKS - 1) await pause()
  }
  return values
}

function normOf(values: Float64Array): number {
  let largest = 0
  for (let i = 0; i < values.length; i++) {
    const size = Math.abs(values[i])
    if (!Number.isFinite(size)) throw notFinite(i)
    if (size > largest) largest = size
  }
  if (largest === 0) return 0
  // Scaled, so that squares of what float64 can hold do not overflow.
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += (values[i] / largest) ** 2
  return largest * Math.sqrt(sum)
}

/** Each value to one of its two neighbours, right on average. Returns the square of the norm. */
function roundInto(values: Float64Array, whole: Float64Array, uniform: () => number): number {
  let sum = 0
  for (let i = 0; i < values.length; i++) {
    const floor = Math.floor(values[i])
    const rounded = uniform() < values[i] - floor ? floor + 1 : floor
    whole[i] = rounded
    sum += rounded * rounded
  }
  return sum
}
