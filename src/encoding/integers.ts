import { InputError } from '../errors.ts'
import type { IntegerEncoding } from '../task/task.ts'
import { notFinite } from './vector.ts'

/**
 * Integers (§11): each value less `min`, exactly. Throws InputError naming the element, counted from `start`:
 * INPUT_NOT_FINITE, or INPUT_RANGE where it is not whole or outside min to max.
 */
export function fromIntegers(
  values: Float64Array,
  levels: Uint32Array,
  encoding: IntegerEncoding,
  start: number
): void {
  const { min, max } = encoding
  const count = values.length
  for (let i = 0; i < count; i++) {
    const value = values[i]
    if (!(value >= min && value <= max) || !Number.isInteger(value)) throw refusal(value, start + i, encoding)
    levels[i] = value - min
  }
}

function refusal(value: number, index: number, { min, max }: IntegerEncoding): InputError {
  if (!Number.isFinite(value)) return notFinite(index)
  if (!Number.isInteger(value)) {
    return new InputError(
      'INPUT_RANGE',
      `element ${index} is not a whole number; round it, or use a task in fixed point`
    )
  }
  return new InputError(
    'INPUT_RANGE',
    `element ${index} lies outside ${min} to ${max}; contribute only what the task allows`
  )
}

/** Adds `included · min` to each sum, exactly. The halves are written one by one: BigInts would take ten times as long. */
export function toIntegers(
  levels: Uint32Array,
  values: BigInt64Array,
  encoding: IntegerEncoding,
  included: number
): void {
  const shift = BigInt(included) * BigInt(encoding.min)
  const low = Number(BigInt.asUintN(32, shift))
  const high = Number(BigInt.asIntN(32, shift >> 32n))
  const halves = new Int32Array(values.buffer, values.byteOffset, 2 * values.length)
  const count = values.length
  for (let i = 0; i < count; i++) {
    const sum = low + levels[i]
    halves[2 * i] = sum | 0
    halves[2 * i + 1] = sum >= 2 ** 32 ? high + 1 : high
  }
}
