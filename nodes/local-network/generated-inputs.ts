import { createHash } from 'node:crypto'
import type { FixedEncoding, IntegerEncoding } from '../../src/task/task.ts'
import type { NpyValues } from '../npy.ts'

/** Uniform numbers in [0, 1) that anybody can make again from the same words: sfc32, seeded by SHA-256. Never for secrets. */
export function reproducible(...words: (string | number)[]): () => number {
  const digest = createHash('sha256').update(JSON.stringify(words)).digest()
  let [a, b, c, counter] = [0, 4, 8, 12].map((at) => digest.readInt32LE(at))
  return () => {
    const sum = (((a + b) | 0) + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (((c << 21) | (c >>> 11)) + sum) | 0
    return (sum >>> 0) / 2 ** 32
  }
}

/** A vector such as a member might have: bell-shaped within the clip, or integers uniform over the allowed range. */
export function generateInput(
  encoding: FixedEncoding | IntegerEncoding,
  length: number,
  uniform: () => number
): NpyValues {
  if (encoding.type === 'integer') return integers(encoding, length, uniform)
  const values = new Float32Array(length)
  // The sum of four uniform numbers has standard deviation 1/√3 and never leaves ±2: a quarter of the clip is one σ.
  const scale = encoding.clip * 0.433
  for (let i = 0; i < length; i++) values[i] = (uniform() + uniform() + uniform() + uniform() - 2) * scale
  return values
}

function integers({ min, max }: IntegerEncoding, length: number, uniform: () => number): NpyValues {
  const small = min >= -(2 ** 31) && max < 2 ** 31
  const values = small ? new Int32Array(length) : new Float64Array(length)
  for (let i = 0; i < length; i++) values[i] = min + Math.floor(uniform() * (max - min + 1))
  return small ? values : BigInt64Array.from(values as Float64Array, BigInt)
}
