import { createLanes } from '../../../src/crypto/mask-stream.ts'
import { sha256 } from '../../../src/crypto/primitives.ts'
import { createEncoder } from '../../../src/encoding/encoder.ts'
import { drawGroups } from '../../../src/membership/groups.ts'
import { createRoster } from '../../../src/membership/roster.ts'
import { createTask } from '../../../src/task/task.ts'
import type { Task } from '../../../src/task/task.ts'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
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
  /** What the task allows for; its own default, if left out. */
  threat?: { corrupt: number; dropout: number }
  /** Sums per group, of whose means the trimmed mean is taken. */
  groups?: { count: number; trim: number }
}

export interface Curve {
  /** Accuracy on all members' held-out examples, before the first round and after each. */
  accuracy: number[]
  state: ModelState
  epsilon?: number
}

/** Members of a task in one process: only what the sums say matters here, and masks leave sums as they are. */
export async function simulatedTask({ recipe, peers, privacy, threat, groups }: Setting): Promise<Task> {
  return createTask({
    name: 'learning',
    members: await Promise.all(Array.from({ length: peers }, (_, number) => memberId(recipe.seed, number))),
    ...taskTerms(problemNamed(recipe.problem), privacy),
    ...(threat && { threat }),
    ...(groups && { groups })
  })
}

/** The same for the same seed: groups are drawn by it. */
async function memberId(seed: string, number: number): Promise<string> {
  const bytes = sha256(new TextEncoder().encode(`member ${number} of ${seed}`))
  return peerIdFromPrivateKey(await generateKeyPairFromSeed('Ed25519', bytes)).toString()
}

/**
 * Rounds of learning, with float64 means (`plain`) or with the vectors encoded, summed and decoded as in a round.
 * The same members, seeds and data in both.
 */
export async function learnTogether(setting: Setting, how: 'plain' | 'secure'): Promise<Curve> {
  const { recipe, peers, rounds, poison } = setting
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
    const sums = how === 'plain' ? [plainMean(contributions)] : await encodedSums(task, round, contributions)
    state = applyMean(recipe.algorithm, state, readSums(problem, task, sums).update)
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

/** The sum of all, or where the task has groups that of each, drawn anew each round. */
async function encodedSums(task: Task, round: number, contributions: Contribution[]): Promise<Summed[]> {
  if (task.groups === undefined) return [await encodedMean(task, round, contributions)]
  const { count } = task.groups
  const roster = createRoster({ epoch: 0, members: [...task.members] })
  const { of } = drawGroups(roster, { beacon: new Uint8Array(32), round, count })
  const groups = Array.from({ length: count }, (_, group) =>
    contributions.filter((_one, member) => of[member] === group)
  )
  return Promise.all(groups.map((members) => encodedMean(task, round, members)))
}

/** The opposite of an update. Nobody sees that a vector is longer than the norm; that an element is beyond the clip cannot be. */
function reverse(vector: Float32Array, { norm, clip, architecture }: Problem, within: 'norm' | 'encoding'): void {
  const update = vector.subarray(0, parameterCount(architecture))
  const factor = norm / normOf(update)
  for (let i = 0; i < update.length; i++)
    update[i] = within === 'norm' ? -factor * update[i] : -clip * Math.sign(update[i])
}
