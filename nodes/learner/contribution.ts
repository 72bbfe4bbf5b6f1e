import { trimmedMean } from '../../src/encoding/groups.ts'
import { privateTerms } from '../../src/round/privacy-ledger.ts'
import type { Task } from '../../src/task/task.ts'
import { reproducible } from '../local-network/generated-inputs.ts'
import { evaluate, train } from './neural-network.ts'
import type { Examples, Score } from './neural-network.ts'
import type { ModelState } from './optimizers.ts'
import { longestMean } from './privacy.ts'
import type { Problem } from './problem.ts'
import { METRICS } from './recipe.ts'

/** Losses are sent as a part of this, so that they fit beside an update; larger ones count as this much. */
const LARGEST_LOSS = 16

export interface Contribution {
  vector: Float32Array
  /** The number of examples, where the task is weighted. */
  weight?: number
  /** Of the model that the round starts from, on this member's own examples; it leaves only in the sum. */
  score: Score
}

export interface OwnData {
  /** To train on. */
  own: Examples
  /** To see how good the model is. */
  heldOut: Examples
}

/** Trains on a member's own data, and gives what it contributes: its update, then in plain tasks its loss and accuracy. */
export async function contributionFrom(
  problem: Problem,
  { task, state, data, seed }: { task: Task; state: ModelState; data: OwnData; seed: (string | number)[] }
): Promise<Contribution> {
  const { architecture, training } = problem
  const { parameters } = state
  const score = evaluate(architecture, parameters, data.heldOut)
  const trained = await train(architecture, parameters, data.own, training, reproducible(...seed))
  const vector = new Float32Array(task.length)
  for (let i = 0; i < parameters.length; i++) vector[i] = trained[i] - parameters[i]
  shorten(vector, problem.norm)
  if (task.encoding.type !== 'fixed') return { vector, score }
  const { clip } = task.encoding
  vector[parameters.length] = (clip * Math.min(score.loss, LARGEST_LOSS)) / LARGEST_LOSS
  vector[parameters.length + 1] = clip * score.accuracy
  return { vector, score, weight: data.own.count }
}

/** What a round's sum says of the model that it started from, over the examples of all included members. */
export interface SummedMetrics {
  loss: number
  accuracy: number
  examples: number
  /** Which part of the elements lay beyond the clip, where that is known. */
  clippedFraction?: number
}

/** A sum of a round: all of it, or where sums are per group that of one group. */
export interface Summed {
  mean: Float64Array
  totalWeight: number
  /** How many members are in it. */
  included: number
  clippedFraction?: number
}

/**
 * The update that all members take over, and where the task has them the metrics behind it: the mean, or the trimmed mean
 * over the means of groups. A sum that cannot be is left out like one of the largest or smallest; where more of them are out
 * than the task trims, and where there is but one sum, the round is passed by.
 */
export function readSums(
  problem: Problem,
  task: Task,
  sums: Summed[]
): { update: Float64Array; metrics?: SummedMetrics; passedBy: boolean } {
  const length = updateLength(task)
  const possible = sums.filter((sum) => isPossible(problem, task, sum))
  const trim = (task.groups?.trim ?? 0) - (sums.length - possible.length)
  if (trim < 0) return { update: new Float64Array(length), passedBy: true }
  const updates = possible.map(({ mean }) => mean.subarray(0, length))
  const metrics = task.encoding.type === 'fixed' && metricsOf(possible, length, task.encoding.clip)
  return { update: trimmedMean(updates, trim), ...(metrics && { metrics }), passedBy: false }
}

/** Over the examples of all members whose sums these are. */
function metricsOf(sums: Summed[], length: number, clip: number): SummedMetrics {
  const total = (of: (sum: Summed) => number): number => sums.reduce((added, sum) => added + of(sum), 0)
  const examples = total(({ totalWeight }) => totalWeight)
  const mean = (at: number): number => total(({ mean, totalWeight }) => mean[length + at] * totalWeight) / examples
  const clipped = total(({ clippedFraction = NaN, included }) => clippedFraction * included)
  return {
    loss: (mean(0) / clip) * LARGEST_LOSS,
    accuracy: mean(1) / clip,
    examples,
    ...(Number.isNaN(clipped) ? {} : { clippedFraction: clipped / total(({ included }) => included) })
  }
}

/**
 * Whether members that keep to the rules can have given this sum. No mean of updates that keep to the norm is longer than it
 * (with privacy: than norm and noise make it), and no total of weights is beyond what each may send; nor is either NaN.
 */
function isPossible(problem: Problem, task: Task, { mean, totalWeight, included }: Summed): boolean {
  const { encoding } = task
  const terms = privateTerms(task)
  const longest = terms === undefined ? ROUNDED * problem.norm : longestMean(terms, included)
  const largestWeight = (encoding.type === 'fixed' && encoding.weighted) || 1
  const isWeighed = totalWeight >= included && totalWeight <= largestWeight * included
  return isWeighed && normOf(mean.subarray(0, updateLength(task))) <= longest
}

/** Elements of an update: the parameters, without what stands behind them. */
function updateLength({ length, encoding }: Task): number {
  return encoding.type === 'fixed' ? length - METRICS : length
}

/** Fixed point may make a vector a little longer. */
const ROUNDED = 1.02

function shorten(vector: Float32Array, norm: number): void {
  const found = normOf(vector)
  if (found > norm) for (let i = 0; i < vector.length; i++) vector[i] *= norm / found
}

/** The L2 norm, added up in one order, so that every member finds the same. */
export function normOf(vector: Float32Array | Float64Array): number {
  let sum = 0
  for (let i = 0; i < vector.length; i++) sum += vector[i] * vector[i]
  return Math.sqrt(sum)
}
