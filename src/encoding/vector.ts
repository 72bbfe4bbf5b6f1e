import { InputError } from '../errors.ts'

/** What a member may contribute. 64-bit integers must be safe ones (at most 2^53 − 1 from zero). */
export type Vector = Float32Array | Float64Array | Int32Array | Uint32Array | BigInt64Array | readonly number[]

const accepted = ['Float32Array', 'Float64Array', 'Int32Array', 'Uint32Array', 'BigInt64Array', 'Array']

/** Throws InputError INPUT_TYPE or INPUT_LENGTH unless `vector` is a Vector of `length` elements. */
export function checkVector(vector: unknown, length: number): asserts vector is Vector {
  const type = typeOf(vector)
  if (!accepted.includes(type)) {
    const kinds = `${accepted.slice(0, -1).join(', ')} or an array of numbers`
    throw new InputError('INPUT_TYPE', `a vector is a ${kinds}, not ${type}; convert it`)
  }
  const found = (vector as Vector).length
  if (found !== length) {
    throw new InputError(
      'INPUT_LENGTH',
      `the vector has ${found} elements and the task ${length}; contribute exactly ${length}`
    )
  }
}

/**
 * Copies the elements from `start` on to `chunk`, as many as it holds. Throws InputError with the index of an element
 * that is no number (INPUT_TYPE) or a 64-bit integer beyond the safe ones (INPUT_RANGE).
 */
export function readChunk(vector: Vector, start: number, chunk: Float64Array): void {
  if (vector instanceof BigInt64Array || typeOf(vector) === 'BigInt64Array') {
    readBigIntegers(vector as BigInt64Array, start, chunk)
  } else if (Array.isArray(vector)) {
    readNumbers(vector, start, chunk)
  } else {
    chunk.set((vector as Float64Array).subarray(start, start + chunk.length))
  }
}

function readBigIntegers(vector: BigInt64Array, start: number, chunk: Float64Array): void {
  for (let i = 0; i < chunk.length; i++) {
    const value = Number(vector[start + i])
    if (!Number.isSafeInteger(value)) {
      throw new InputError('INPUT_RANGE', `element ${start + i} lies beyond ±(2^53 − 1); contribute smaller integers`)
    }
    chunk[i] = value
  }
}

function readNumbers(vector: readonly unknown[], start: number, chunk: Float64Array): void {
  for (let i = 0; i < chunk.length; i++) {
    const value = vector[start + i]
    if (typeof value !== 'number') {
      throw new InputError('INPUT_TYPE', `element ${start + i} is no number but ${typeOf(value)}; convert it`)
    }
    chunk[i] = value
  }
}

/** NaN and the infinities refuse a vector whatever its encoding (§11). The value itself is private and not printed. */
export function notFinite(index: number): InputError {
  return new InputError('INPUT_NOT_FINITE', `element ${index} is NaN or infinite; replace it before you contribute`)
}

function typeOf(value: unknown): string {
  return Object.prototype.toString.call(value).slice(8, -1)
}
