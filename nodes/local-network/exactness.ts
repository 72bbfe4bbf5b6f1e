import { quantisationBound } from '../../src/encoding/encoder.ts'
import { readChunk } from '../../src/encoding/vector.ts'
import { SecureAggregationError } from '../../src/errors.ts'
import type { PlainEncoding, Task } from '../../src/task/task.ts'
import { readNpy } from '../npy.ts'
import type { NpyValues } from '../npy.ts'

const chunkElements = 16_384

export interface Contribution {
  file: string
  weight?: number
}

export interface Exactness {
  exact: boolean
  /** The largest difference from the plain sum, in units of the value. */
  maxError: number
}

/**
 * Compares a sum with the plain sum of the included inputs: equal for integers, within the quantisation error of the
 * clipped inputs for fixed point. One input is in memory at a time.
 */
export async function compareWithPlainSum(task: Task, sum: NpyValues, included: Contribution[]): Promise<Exactness> {
  if (sum.length !== task.length) {
    throw new SecureAggregationError('SUM_INVALID', `the sum has ${sum.length} elements and the task ${task.length}`)
  }
  const encoding = plainEncoding(task)
  const plain = new Float64Array(task.length)
  for (const { file, weight } of included) {
    const { values } = await readNpy(file)
    addInput(plain, values, encoding, weight)
  }
  const maxError =
    encoding.type === 'integer'
      ? largestDifference(plain, sum, BigInt(included.length) * BigInt(encoding.min))
      : largestDistance(plain, sum as Float64Array)
  return { exact: maxError <= quantisationBound(task, included.length), maxError }
}

/** Sums with privacy are not exact on purpose: there is nothing to compare. */
export function plainEncoding({ encoding }: Task): PlainEncoding {
  if (encoding.type === 'skellam') throw new RangeError('with privacy a sum is not exact on purpose')
  return encoding
}

/** Adds one input as it counts in the sum. Of integers what exceeds `min` is added, since those sums are exact in float64. */
export function addInput(plain: Float64Array, values: NpyValues, encoding: PlainEncoding, weight = 1): void {
  const chunk = new Float64Array(Math.min(chunkElements, values.length))
  for (let start = 0; start < values.length; start += chunkElements) {
    const part = chunk.subarray(0, Math.min(chunkElements, values.length - start))
    readChunk(values, start, part)
    if (encoding.type === 'integer') {
      for (let i = 0; i < part.length; i++) plain[start + i] += part[i] - encoding.min
    } else {
      const { clip } = encoding
      for (let i = 0; i < part.length; i++) plain[start + i] += Math.min(Math.max(part[i], -clip), clip) * weight
    }
  }
}

function largestDifference(plain: Float64Array, sum: NpyValues, shift: bigint): number {
  if (!(sum instanceof BigInt64Array)) {
    throw new SecureAggregationError('SUM_INVALID', 'the sum of an integer task is not of dtype int64')
  }
  let largest = 0
  for (let i = 0; i < plain.length; i++) {
    const difference = Math.abs(Number(sum[i] - shift) - plain[i])
    if (difference > largest) largest = difference
  }
  return largest
}

function largestDistance(plain: Float64Array, sum: Float64Array): number {
  let largest = 0
  for (let i = 0; i < plain.length; i++) {
    const distance = Math.abs(sum[i] - plain[i])
    // Written so that NaN counts as infinitely far.
    if (!(distance <= largest)) largest = Number.isNaN(distance) ? Infinity : distance
  }
  return largest
}
