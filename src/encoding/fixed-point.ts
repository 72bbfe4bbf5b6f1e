import type { FixedEncoding } from '../task/task.ts'
import { notFinite } from './vector.ts'

/** 2^q − 1: the integer that the clip becomes, and the clipped fraction 1. */
export function largestLevel({ bits }: FixedEncoding): number {
  return 2 ** bits - 1
}

/**
 * Fixed point (§11): each value, clipped to ±clip and scaled by `factor` (weight / W, at most 1), as a whole number from
 * 0 to 2^q − 1. With `draws`, 32 uniform bits an element, rounding is stochastic: up with probability the fraction, to
 * within 2^−32; without, to nearest. What lies on a level stays on it.
 * Returns how many values were clipped. Throws InputError INPUT_NOT_FINITE naming the element, counted from `start`.
 */
export function quantise(
  values: Float64Array,
  levels: Uint32Array,
  { encoding, factor, start, draws }: { encoding: FixedEncoding; factor: number; start: number; draws?: Uint32Array }
): number {
  const { clip } = encoding
  const width = 2 * clip
  const largest = largestLevel(encoding)
  let clipped = 0
  const count = values.length
  // A number less itself is 0, NaN and the infinities less themselves are NaN.
  let differences = 0
  for (let i = 0; i < count; i++) {
    const value = values[i]
    differences += value - value
    const held = Math.max(-clip, Math.min(clip, value))
    clipped += Number(held !== value)
    // Divided first: the quotient is at most 1, so the product never exceeds the largest level. No branch depends on the
    // value: a processor guesses every second one wrong.
    const scaled = ((held * factor + clip) / width) * largest
    if (draws === undefined) {
      levels[i] = Math.floor(scaled + 0.5)
    } else {
      const floor = Math.floor(scaled)
      levels[i] = floor + Number(draws[i] < (scaled - floor) * 2 ** 32)
    }
  }
  if (differences !== 0) throw notFinite(start + values.findIndex((value) => !Number.isFinite(value)))
  return clipped
}

/**
 * The values of summed levels of `included` members: `W · (Σ · 2C/(2^q − 1) − included · C)`. Computed from the whole
 * number `2Σ − included·(2^q − 1)`, so that sums of clips and of opposites come out exact.
 */
export function dequantise(levels: Uint32Array, values: Float64Array, encoding: FixedEncoding, included: number): void {
  const { clip, weighted = 1 } = encoding
  const largest = largestLevel(encoding)
  const count = values.length
  for (let i = 0; i < count; i++) {
    values[i] = ((2 * levels[i] - included * largest) / largest) * clip * weighted
  }
}

/** 32 uniform bits for each of `count` elements. */
export function draw(count: number, random: (length: number) => Uint8Array): Uint32Array {
  const bytes = random(4 * count)
  if (bytes.length !== 4 * count) throw new RangeError(`random gave ${bytes.length} bytes instead of ${4 * count}`)
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice()
  return new Uint32Array(aligned.buffer, aligned.byteOffset, count)
}
