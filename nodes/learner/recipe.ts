import { encode } from '@ipld/dag-cbor'
import { z } from 'zod'
import { H } from '../../src/crypto/hash.ts'
import type { TaskInput } from '../../src/task/task.ts'
import { initialParameters, parameterCount } from './neural-network.ts'
import { algorithms, initialState } from './optimizers.ts'
import type { Algorithm, AlgorithmName, ModelState } from './optimizers.ts'
import { problemNamed } from './problems.ts'
import type { Problem } from './problem.ts'

/** What all members must agree on beside the task. It is hashed with the model, so that those who do not never mix. */
export const recipeSchema = z.strictObject({
  problem: z.enum(['words', 'digits']),
  algorithm: z.strictObject({ name: z.enum(algorithms), rate: z.number().positive() }),
  /** The model before the first round follows from it. */
  seed: z.string()
})
export type Recipe = z.infer<typeof recipeSchema>

/** Elements behind the update in which loss and accuracy travel; none with privacy, where their noise would cost too much. */
export const METRICS = 2

export interface PrivacyTerms {
  noiseMultiplier: number
  clip: number
  delta: number
}

/** Whether and how a vector becomes ring elements: the part of a task that follows from the problem. */
export function taskTerms(
  { architecture, clip, largestWeight }: Problem,
  privacy?: PrivacyTerms
): Pick<TaskInput, 'length' | 'encoding' | 'privacy'> {
  const length = parameterCount(architecture)
  if (privacy !== undefined) return { length, privacy }
  return { length: length + METRICS, encoding: { type: 'fixed', clip, bits: 16, weighted: largestWeight } }
}

/** What all do with the sums of a problem, with noise in them or without. */
export function serverSteps(problem: Problem, name: AlgorithmName, isPrivate: boolean): Algorithm {
  return { name, rate: isPrivate && name === 'fedavg' ? problem.underNoise.rate : problem.rates[name] }
}

/** Noise of this multiplier, for a problem. */
export function privacyTerms({ underNoise: { clip } }: Problem, noiseMultiplier: number): PrivacyTerms {
  return { noiseMultiplier, clip, delta: 1e-5 }
}

export function baseModel({ problem, algorithm, seed }: Recipe): ModelState {
  return initialState(algorithm.name, initialParameters(problemNamed(problem).architecture, seed))
}

/** What a round starts from, 32 bytes: its context hash (§2). */
export function modelHash(recipe: Recipe, { parameters, slots }: ModelState): Uint8Array {
  return H('model', encode(recipe), ...[parameters, ...slots].map(bytesOf))
}

/** Parameters, then slots, as float32 little-endian. */
export function stateBytes({ parameters, slots }: ModelState): Uint8Array {
  return Buffer.concat([parameters, ...slots].map(bytesOf))
}

/** Of the length that the recipe gives it. Throws RangeError where it has another, or holds what is no finite number. */
export function stateFromBytes(recipe: Recipe, bytes: Uint8Array): ModelState {
  const shape = baseModel(recipe)
  const length = shape.parameters.length
  if (bytes.length !== 4 * length * (1 + shape.slots.length))
    throw new RangeError(`a model has ${4 * length * (1 + shape.slots.length)} bytes, not ${bytes.length}`)
  // A copy of its own memory: the slice of a Buffer would be a view of a pool that others share.
  const values = new Float32Array(new Uint8Array(bytes).buffer)
  if (!values.every(Number.isFinite)) throw new RangeError('a model holds what is no finite number')
  const part = (at: number): Float32Array => values.slice(at * length, (at + 1) * length)
  return { parameters: part(0), slots: shape.slots.map((_, at) => part(at + 1)) }
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
}
