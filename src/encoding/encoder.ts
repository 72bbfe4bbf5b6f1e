import { createLanes, release } from '../crypto/mask-stream.ts'
import type { Lanes } from '../crypto/mask-stream.ts'
import { randomBytes } from '../crypto/primitives.ts'
import { InputError } from '../errors.ts'
import { nextTurn } from '../next-turn.ts'
import type { PlainEncoding, Task } from '../task/task.ts'
import { dequantise, draw, largestLevel, quantise } from './fixed-point.ts'
import { decodePrivately, encodePrivately } from './noise/private-encoding.ts'
import type { PrivateTask } from './noise/private-encoding.ts'
import { fromIntegers, toIntegers } from './integers.ts'
import { CHUNK_ELEMENTS } from './packing.ts'
import { checkVector, notFinite, readChunk } from './vector.ts'
import type { Vector } from './vector.ts'

export type { Vector } from './vector.ts'

/** Elements between two pauses: a few milliseconds of work. */
const pauseElements = 8 * CHUNK_ELEMENTS

export interface PauseOptions {
  /** Awaited every few milliseconds of work; by default it lets the event loop turn once. */
  pause?: () => Promise<void>
}

export interface EncodeOptions extends PauseOptions {
  /** A whole number from 1 to the task's largest weight; 1 where it is left out. Weighted tasks only. */
  weight?: number
  /** Source of the rounding bits: the CSPRNG, except in tests. */
  random?: (length: number) => Uint8Array
}

export interface Encoded {
  /** `task.laneCount` ring elements, unmasked: as private as the vector. */
  readonly lanes: Lanes
  /** Which part of this member's elements lay beyond the clip (fixed point only). */
  readonly clippedFraction?: number
}

/** What a sum says. */
export interface Decoded {
  /** The sum of the included vectors: float64 in fixed point (each vector times its weight, if weighted), else int64. */
  readonly values: Float64Array | BigInt64Array
  /** `values / totalWeight`, computed when first read. */
  readonly mean: Float64Array
  /** The sum of the weights; without weights the number of included members. */
  readonly totalWeight: number
  /** The mean over the included members of their clipped fractions (fixed point only). */
  readonly clippedFraction?: number
}

export interface Encoder {
  /** Refuses what `encode` would refuse, and computes nothing. */
  check(vector: Vector, options?: EncodeOptions): Promise<void>
  /**
   * A member's vector as ring elements, in one pass (§11). Throws InputError naming the element where one is at fault:
   * INPUT_TYPE, INPUT_LENGTH, INPUT_NOT_FINITE, INPUT_RANGE, INPUT_WEIGHT. The vector must not change meanwhile.
   */
  encode(vector: Vector, options?: EncodeOptions): Promise<Encoded>
  /** The sum over `included` members, read mod 2^w: bits above w, which masks leave behind, do not count. */
  decode(sum: Lanes, included: number, options?: PauseOptions): Promise<Decoded>
}

type PlainTask = Task & { readonly encoding: PlainEncoding }

/**
 * The encoding of a task (§11, §12) in one round: between vectors and the ring in which they are masked and summed. Only
 * with privacy does it differ from round to round.
 */
export function createEncoder(task: Task, round: number): Encoder {
  const { encoding } = task
  if (encoding.type === 'skellam') return privateEncoder({ ...task, encoding }, round)
  const plain: PlainTask = { ...task, encoding }
  return {
    check: (vector, options = {}) => check(plain, vector, options),
    encode: (vector, options = {}) => encode(plain, vector, options),
    decode: (sum, included, options = {}) => decode(plain, sum, included, options)
  }
}

function privateEncoder(task: PrivateTask, round: number): Encoder {
  return {
    check: (vector, options = {}) => check(task, vector, options),
    encode: async (vector, { weight, random = randomBytes, pause = nextTurn } = {}) => {
      checkVector(vector, task.length)
      weightOf(task, weight)
      return encodePrivately(task, vector, { round, random, pause })
    },
    decode: async (sum, included, { pause = nextTurn } = {}) => {
      checkSum(task, sum, included)
      return decoded({ values: await decodePrivately(task, sum, round, pause), totalWeight: included })
    }
  }
}

/**
 * The largest difference between an element of `values` and the plain float64 sum of the clipped (and weighted) inputs:
 * a step (stochastic rounding) or half a step (nearest) for each included member, times W. Integers are exact.
 * Includes what float64 itself may lose in encoding, decoding and the plain sum.
 */
export function quantisationBound({ encoding }: Task, included: number): number {
  if (encoding.type === 'integer') return 0
  if (encoding.type === 'skellam') throw new RangeError('with privacy a sum is not exact on purpose')
  const { clip, rounding, weighted = 1 } = encoding
  const step = (2 * clip) / largestLevel(encoding)
  const float64 = (included + 8) * clip * 2 ** -51
  return included * weighted * ((rounding === 'nearest' ? step / 2 : step) + float64)
}

async function check(task: Task, vector: Vector, options: EncodeOptions): Promise<void> {
  checkVector(vector, task.length)
  weightOf(task, options.weight)
  const values = new Float64Array(Math.min(task.length, CHUNK_ELEMENTS))
  const { encoding } = task
  const levels = new Uint32Array(encoding.type === 'integer' ? values.length : 0)
  const checkChunk = (start: number, end: number): void => {
    const chunk = values.subarray(0, end - start)
    readChunk(vector, start, chunk)
    if (encoding.type === 'integer') fromIntegers(chunk, levels.subarray(0, chunk.length), encoding, start)
    else checkFinite(chunk, start)
  }
  try {
    await eachChunk(task.length, checkChunk, options)
  } finally {
    values.fill(0)
    levels.fill(0)
  }
}

function checkFinite(values: Float64Array, start: number): void {
  // A number less itself is 0, NaN and the infinities less themselves are NaN.
  let differences = 0
  const count = values.length
  for (let i = 0; i < count; i++) differences += values[i] - values[i]
  if (differences !== 0) throw notFinite(start + values.findIndex((value) => !Number.isFinite(value)))
}

async function encode(task: PlainTask, vector: Vector, options: EncodeOptions): Promise<Encoded> {
  checkVector(vector, task.length)
  const { encoding, length } = task
  const weight = weightOf(task, options.weight)
  const random = options.random ?? randomBytes
  const lanes = createLanes(task.bits, task.laneCount)
  const values = new Float64Array(Math.min(length, CHUNK_ELEMENTS))
  const levels = new Uint32Array(values.length)
  let clipped = 0
  const encodeChunk = (start: number, end: number): void => {
    const chunk = values.subarray(0, end - start)
    // Narrow lanes would make every loop below see two kinds of array.
    const whole = lanes instanceof Uint32Array ? lanes.subarray(start, end) : levels.subarray(0, end - start)
    readChunk(vector, start, chunk)
    if (encoding.type === 'integer') {
      fromIntegers(chunk, whole, encoding, start)
    } else {
      const draws = encoding.rounding === 'stochastic' ? draw(chunk.length, random) : undefined
      // The quotient first: rounded, it is still at most 1, and no clipped value leaves the clip.
      const factor = weight / (encoding.weighted ?? 1)
      clipped += quantise(chunk, whole, { encoding, factor, start, draws })
      // As many bytes as the lanes have, in the end: too many to wait for a collection.
      if (draws !== undefined && options.random === undefined) release(draws)
    }
    if (!(lanes instanceof Uint32Array)) lanes.set(whole, start)
  }
  try {
    await eachChunk(length, encodeChunk, options)
  } finally {
    values.fill(0)
    levels.fill(0)
  }
  if (encoding.type === 'integer') return { lanes }
  if (encoding.weighted !== undefined) lanes[length] = weight
  lanes[task.laneCount - 1] = Math.round((clipped / length) * largestLevel(encoding))
  return { lanes, clippedFraction: clipped / length }
}

function weightOf({ encoding }: Task, weight: number | undefined): number {
  const largest = encoding.type === 'fixed' ? encoding.weighted : undefined
  if (largest === undefined) {
    if (weight === undefined) return 1
    throw new InputError(
      'INPUT_WEIGHT',
      'this task has no weights; leave the weight out, or use a task that is weighted'
    )
  }
  if (weight === undefined) return 1
  if (!Number.isInteger(weight) || weight < 1 || weight > largest) {
    throw new InputError(
      'INPUT_WEIGHT',
      `a weight of this task is a whole number from 1 to ${largest}, not ${String(weight)}`
    )
  }
  return weight
}

function checkSum({ laneCount, members }: Task, sum: Lanes, included: number): void {
  if (sum.length !== laneCount) throw new RangeError(`a sum of this task has ${laneCount} elements, not ${sum.length}`)
  if (!Number.isInteger(included) || included < 1 || included > members.length)
    throw new RangeError(`a sum is of 1 to ${members.length} members, not ${included}`)
}

async function decode(task: PlainTask, sum: Lanes, included: number, options: PauseOptions): Promise<Decoded> {
  const { encoding, length, laneCount, bits } = task
  checkSum(task, sum, included)
  const levels = new Uint32Array(Math.min(laneCount, CHUNK_ELEMENTS))
  const reduced = (start: number, end: number): Uint32Array => reduce(sum.subarray(start, end), bits, levels)
  if (encoding.type === 'integer') {
    const values = new BigInt64Array(length)
    const decodeChunk = (start: number, end: number): void =>
      toIntegers(reduced(start, end), values.subarray(start, end), encoding, included)
    await eachChunk(length, decodeChunk, options)
    return decoded({ values, totalWeight: included })
  }
  const values = new Float64Array(length)
  const decodeChunk = (start: number, end: number): void =>
    dequantise(reduced(start, end), values.subarray(start, end), encoding, included)
  await eachChunk(length, decodeChunk, options)
  const extras = reduced(length, laneCount)
  const totalWeight = encoding.weighted === undefined ? included : extras[0]
  const clippedFraction = extras[laneCount - length - 1] / largestLevel(encoding) / included
  return decoded({ values, totalWeight, clippedFraction })
}

/** The lowest `bits` bits of each lane, written to the start of `levels`. */
function reduce(lanes: Lanes, bits: number, levels: Uint32Array): Uint32Array {
  levels.set(lanes)
  const mask = -1 >>> (32 - bits)
  const count = lanes.length
  for (let i = 0; i < count; i++) levels[i] &= mask
  return levels
}

function decoded(sum: Omit<Decoded, 'mean'>): Decoded {
  let mean: Float64Array | undefined
  return {
    ...sum,
    get mean() {
      return (mean ??= meanOf(sum))
    }
  }
}

function meanOf({ values, totalWeight }: Omit<Decoded, 'mean'>): Float64Array {
  const mean = new Float64Array(values.length)
  for (let i = 0; i < mean.length; i++) mean[i] = Number(values[i]) / totalWeight
  return mean
}

async function eachChunk(
  length: number,
  work: (start: number, end: number) => void,
  { pause = nextTurn }: PauseOptions
): Promise<void> {
  for (let start = 0; start < length; start += CHUNK_ELEMENTS) {
    if (start > 0 && start % pauseElements === 0) await pause()
    work(start, Math.min(start + CHUNK_ELEMENTS, length))
  }
}
