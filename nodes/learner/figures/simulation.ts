import { createLanes } from '../../../src/crypto/mask-stream.ts'
import { createEncoder } from '../../../src/encoding/encoder.ts'
import { trimmedMean } from '../../../src/encoding/groups.ts'
import { drawGroups } from '../../../src/membership/groups.ts'
import { createRoster } from '../../../src/membership/roster.ts'
import { createTask } from '../../../src/task/task.ts'
import type { Task } from '../../../src/task/task.ts'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { reproducible } from '../../local-network/generated-inputs.ts'
import { contributionFrom, normOf, readSums } from '../contribution.ts'
import type { Contribution, OwnData, Summed } from '../contribution.ts'
import { evaluate, parameterCount, train } from '../neural-network.ts'
import type { Examples } from '../neural-network.ts'
import { applyMean } from '../optimizers.ts'
import type { ModelState } from '../optimizers.ts'
import { epsilonAfter } from '../privacy.ts'
import { pooled } from '../problem.ts'
import type { Problem } from '../problem.ts'
import { problemNamed } from '../problems.ts'
import { baseModel, taskTerms } from '../recipe.ts'
import type { PrivacyTerms, Recipe } from '../recipe.ts'
import { trainingSeed } from '../run-learner.ts'

export interface Setting {
  recipe: Recipe
  peers: number
  rounds: number
  privacy?: PrivacyTerms
  /** So many members (the first) send the opposite of what they learned, as large as the norm or the encoding lets them. */
  poison?: { members: number; within: 'norm' | 'encoding' }
  /** Means per group, of which the trimmed mean is taken. */
  groups?: { count: number; trim: number }
}

export interface Curve {
  /** Accuracy on all members' held-out examples, before the first round and after each. */
  accuracy: number[]
  state: ModelState
  epsilon?: number
}

/** Members of a task in one process: only what the sums say matters here, and masks leave sums as they are. */
export async function simulatedTask({ recipe, peers, privacy }: Setting): Promise<Task> {
  const keys = await Promise.all(Array.from({ length: peers }, () => generateKeyPair('Ed25519')))
  return createTask({
    name: 'learning',
    members: keys.map((key) => peerIdFromPrivateKey(key).toString()),
    ...taskTerms(problemNamed(recipe.problem), privacy)
  })
}

/**
 * Rounds of learning, with float64 means (`plain`) or with the vectors encoded, summed and decoded as in a round.
 * The same members, seeds and data in both.
 */
export async function learnTogether(setting: Setting, how: 'plain' | 'secure'): Promise<Curve> {
  const { recipe, peers, rounds, poison, groups } = setting
  const task = await simulatedTask(setting)
  const problem = problemNamed(recipe.problem)
  const members = dataOf(problem, peers)
  const test = pooled(members.map(({ heldOut }) => heldOut))
  let state = baseModel(recipe)
  const accuracy = [evaluate(problem.architecture, state.parameters, test).accuracy]
  for (let round = 1; round <= rounds; round++) {
    const contributions: Contribution[] = []
    for (const [member, data] of members.entries())
      contributions.push(
        await contributionFrom(problem, { task, state, data, seed: [...trainingSeed(recipe.seed, member), round] })
      )
    for (const { vector } of contributions.slice(0, poison?.members ?? 0)) reverse(vector, problem, poison!.within)
    const mean =
      how === 'plain'
        ? plainMean(contributions)
        : groups === undefined
          ? await encodedMean(task, round, contributions)
          : await robustMean(task, round, contributions, groups)
    state = applyMean(recipe.algorithm, state, readSums(problem, task, [mean]).update)
    accuracy.push(evaluate(problem.architecture, state.parameters, test).accuracy)
  }
  const included = Array.from(members.keys())
  const summed = Array.from({ length: rounds }, () => ({ status: 'summed', included }) as const)
  return { accuracy, state, epsilon: epsilonAfter(task, summed) }
}

/** What each member's own model has right of all members' examples, after as many rounds of its own training. */
export async function learnAlone({ recipe, peers, rounds }: Setting, which?: number[]): Promise<number[][]> {
  const problem = problemNamed(recipe.problem)
  const members = dataOf(problem, peers)
  const test = pooled(members.map(({ heldOut }) => heldOut))
  const curves: number[][] = []
  for (const member of which ?? members.keys()) {
    let { parameters } = baseModel(recipe)
    const curve = [evaluate(problem.architecture, parameters, test).accuracy]
    for (let round = 1; round <= rounds; round++) {
      const uniform = reproducible(...trainingSeed(recipe.seed, member), round)
      parameters = await train(problem.architecture, parameters, members[member].own, problem.training, uniform)
      curve.push(evaluate(problem.architecture, parameters, test).accuracy)
    }
    curves.push(curve)
  }
  return curves
}

function dataOf(problem: Problem, peers: number): OwnData[] {
  return Array.from({ length: peers }, (_, member): { own: Examples; heldOut: Examples } => ({
    own: problem.own(member),
    heldOut: problem.heldOut(member)
  }))
}

function plainMean(contributions: Contribution[]): Summed {
  const mean = new Float64Array(contributions[0].vector.length)
  const totalWeight = contributions.reduce((total, { weight = 1 }) => total + weight, 0)
  for (const { vector, weight = 1 } of contributions)
    for (let i = 0; i < mean.length; i++) mean[i] += (vector[i] * weight) / totalWeight
  return { mean, totalWeight, included: contributions.length }
}

async function encodedMean(task: Task, round: number, contributions: Contribution[]): Promise<Summed> {
  const encoder = createEncoder(task, round)
  const sum = createLanes(task.bits, task.laneCount)
  for (const { vector, weight } of contributions) {
    const { lanes } = await encoder.encode(vector, { weight })
    for (let i = 0; i < sum.length; i++) sum[i] += lanes[i]
  }
  const included = contributions.length
  return Object.assign(await encoder.decode(sum, included), { included })
}

/** As the service does it: the sum of each group, drawn anew each round, and the trimmed mean over the groups' means. */
async function robustMean(
  task: Task,
  round: number,
  contributions: Contribution[],
  { count, trim }: { count: number; trim: number }
) {
  const roster = createRoster({ epoch: 0, members: [...task.members] })
  const { of } = drawGroups(roster, { beacon: new Uint8Array(32), round, count })
  const groups = Array.from({ length: count }, (_, group) =>
    contributions.filter((_one, member) => of[member] === group)
  )
  const means = await Promise.all(groups.map((members) => encodedMean(task, round, members)))
  const mean = trimmedMean(
    means.map((group) => group.mean),
    trim
  )
  const totalWeight = means.reduce((sum, { totalWeight }) => sum + totalWeight, 0)
  return { mean, totalWeight, included: contributions.length }
}

/** The opposite of an update. Nobody sees that a vector is longer than the norm; that an element is beyond the clip cannot be. */
function reverse(vector: Float32Array, { norm, clip, architecture }: Problem, within: 'norm' | 'encoding'): void {
  const update = vector.subarray(0, parameterCount(architecture))
  const factor = norm / normOf(update)
  for (let i = 0; i < update.length; i++)
    update[i] = within === 'norm' ? -factor * update[i] : -clip * Math.sign(update[i])
}
