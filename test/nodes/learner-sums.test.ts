import assert from 'node:assert/strict'
import { createLanes } from '../../src/crypto/mask-stream.ts'
import type { Lanes } from '../../src/crypto/mask-stream.ts'
import { createEncoder } from '../../src/encoding/encoder.ts'
import { PrivacyLedger, privateTerms } from '../../src/round/privacy-ledger.ts'
import type { Task } from '../../src/task/task.ts'
import { reproducible } from '../../nodes/local-network/generated-inputs.ts'
import { contributionFrom, normOf, readSums } from '../../nodes/learner/contribution.ts'
import type { Contribution, Summed } from '../../nodes/learner/contribution.ts'
import { simulatedTask } from '../../nodes/learner/figures/simulation.ts'
import { applyMean } from '../../nodes/learner/optimizers.ts'
import type { ModelState } from '../../nodes/learner/optimizers.ts'
import { epsilonAfter } from '../../nodes/learner/privacy.ts'
import { problemNamed } from '../../nodes/learner/problems.ts'
import { baseModel, METRICS, privacyTerms } from '../../nodes/learner/recipe.ts'
import type { Recipe } from '../../nodes/learner/recipe.ts'

const recipe: Recipe = { problem: 'digits', algorithm: { name: 'fedadam', rate: 0.02 }, seed: 'test' }
const problem = problemNamed('digits')
const PEERS = 4
const ROUND = 1

const isZero = (update: Float64Array): boolean => update.every((value) => value === 0)

async function contributions(task: Task, state: ModelState): Promise<Contribution[]> {
  const all: Contribution[] = []
  for (let member = 0; member < PEERS; member++) {
    const data = { own: problem.own(member), heldOut: problem.heldOut(member) }
    all.push(await contributionFrom(problem, { task, state, data, seed: ['test', member] }))
  }
  return all
}

/** The sum of what members send, in which one may have put something else. */
async function sumOf(task: Task, sent: Contribution[], change: (lanes: Lanes, member: number) => void = () => {}) {
  const encoder = createEncoder(task, ROUND)
  const sum = createLanes(task.bits, task.laneCount)
  for (const [member, { vector, weight }] of sent.entries()) {
    const { lanes } = await encoder.encode(vector, { weight })
    change(lanes, member)
    for (let i = 0; i < sum.length; i++) sum[i] += lanes[i]
  }
  return Object.assign(await encoder.decode(sum, sent.length), { included: sent.length })
}

describe('what a learner sends', () => {
  it('is shortened to the norm of the problem, and no longer than it says', async () => {
    const task = await simulatedTask({ recipe, peers: PEERS, rounds: 1 })
    const state = baseModel(recipe)
    const data = { own: problem.own(0), heldOut: problem.heldOut(0) }
    const lengthOf = async (norm: number): Promise<number> => {
      const { vector } = await contributionFrom({ ...problem, norm }, { task, state, data, seed: ['test', 0] })
      return normOf(vector.subarray(0, task.length - METRICS))
    }
    const own = await lengthOf(Infinity)
    assert.ok(Math.abs((await lengthOf(own / 3)) / (own / 3) - 1) < 1e-6)
    assert.equal(await lengthOf(own * 3), own)
  })
})

describe('what a learner takes from a sum', () => {
  let task: Task
  let state: ModelState
  let sent: Contribution[]

  before(async () => {
    task = await simulatedTask({ recipe, peers: PEERS, rounds: 1 })
    state = baseModel(recipe)
    sent = await contributions(task, state)
  })

  it('is the mean of honest updates, and what they measured', async () => {
    const { update, metrics } = readSums(problem, task, [await sumOf(task, sent)])
    assert.ok(!isZero(update))
    assert.equal(
      metrics!.examples,
      sent.reduce((total, { weight }) => total + weight!, 0)
    )
  })

  it('is nothing where one member sends a weight that nobody may send, and the model stays one to learn with', async () => {
    const others = sent.slice(1).reduce((total, { weight }) => total + weight!, 0)
    const { weighted } = task.encoding as { weighted: number }
    // The total is then none, one too few, as large as the ring, or one too many.
    for (const weight of [-others, PEERS - 1 - others, -1 - others, PEERS * weighted + 1 - others]) {
      const sum = await sumOf(task, sent, (lanes, member) => member === 0 && (lanes[task.length] = weight))
      const { update, metrics } = readSums(problem, task, [sum])
      assert.ok(isZero(update), `${sum.totalWeight}`)
      assert.equal(metrics, undefined)
      const after = applyMean(recipe.algorithm, state, update)
      assert.ok(after.parameters.every((value, at) => value === state.parameters[at]))
      const next = readSums(problem, task, [await sumOf(task, await contributions(task, after))])
      const { parameters, slots } = applyMean(recipe.algorithm, after, next.update)
      assert.ok([parameters, ...slots].every((values) => values.every(Number.isFinite)))
      assert.notDeepEqual(parameters, state.parameters)
    }
  })

  it('is nothing where the mean is longer than updates can be, or no number', () => {
    for (const value of [1, NaN, Infinity, -Infinity]) {
      const mean = new Float64Array(task.length).fill(value)
      const { update, passedBy } = readSums(problem, task, [{ mean, totalWeight: 100, included: PEERS }])
      assert.ok(isZero(update) && passedBy)
    }
  })
})

describe('what a learner takes from sums per group', () => {
  const MEAN = 0.01
  let task: Task

  before(async () => {
    const groups = { count: 5, trim: 2 }
    task = await simulatedTask({ recipe, peers: 20, rounds: 1, threat: { corrupt: 0, dropout: 0.05 }, groups })
  })

  /** Of five groups whose means are 0.01, but for some that weigh nothing or are too long. */
  const sums = (bad: number): Summed[] =>
    Array.from({ length: 5 }, (_, group) => {
      const isBad = group < bad
      const mean = new Float64Array(task.length).fill(isBad && group > 0 ? 1 : MEAN)
      return { mean, totalWeight: isBad && group === 0 ? 0 : 400, included: 4, clippedFraction: 0.25 }
    })

  it('is the trimmed mean of those that can be, as long as no more are out than the task trims', () => {
    for (const bad of [0, 1, 2]) {
      const { update, metrics, passedBy } = readSums(problem, task, sums(bad))
      assert.ok(!passedBy)
      assert.ok(update.every((value) => Math.abs(value - MEAN) < 1e-12))
      assert.equal(metrics!.examples, (5 - bad) * 400)
      assert.equal(metrics!.clippedFraction, 0.25)
    }
    assert.deepEqual(readSums(problem, task, sums(3)), {
      update: new Float64Array(task.length - METRICS),
      passedBy: true
    })
  })
})

describe('what a learner takes from a sum with privacy', function () {
  this.timeout(120_000)
  const members = 24
  let task: Task

  before(async () => {
    task = await simulatedTask({ recipe, peers: members, rounds: 1, privacy: privacyTerms(problem, 0.3) })
  })

  /** As far from zero as the clip lets all of them get: every member sends the same. */
  const longest = (): Contribution[] =>
    Array.from({ length: members }, () => ({
      vector: new Float32Array(task.length).fill(1),
      score: { loss: 0, accuracy: 0, examples: 0 }
    }))

  it('is every sum of honest updates, however long they are', async () => {
    for (let run = 0; run < 20; run++)
      assert.ok(!isZero(readSums(problem, task, [await sumOf(task, longest())]).update))
  })

  it('comes with no larger ε than the task promises, whoever of those that may drop out does', () => {
    const { nMin } = task.thresholds
    const everybody = Array.from({ length: members }, (_, member) => member)
    const promised = epsilonAfter(task, [{ status: 'burned', included: [] }])!
    for (const dropped of everybody) {
      const included = everybody.filter((member) => member !== dropped)
      assert.ok(epsilonAfter(task, [{ status: 'summed', included }])! <= promised)
    }
    assert.equal(epsilonAfter(task, [{ status: 'summed', included: everybody.slice(0, nMin) }]), promised)
  })

  it('comes with the ε of the smallest group that is summed, where sums are per group', async () => {
    const groups = { count: 3, trim: 1 }
    const threat = { corrupt: 0, dropout: 0.125 }
    const setting = { recipe, peers: members, rounds: 1, privacy: privacyTerms(problem, 0.3), threat, groups }
    const grouped = privateTerms(await simulatedTask(setting))!
    const included = Array.from({ length: members }, (_, member) => member)
    // Of eight members of a group, three may be missing; as few as three are summed.
    assert.equal(epsilonAfter(grouped, [{ status: 'summed', included }]), PrivacyLedger.epsilonOfRound(grouped, 3))
  })

  it('is nothing where one member of 24 sends what no update can be', async () => {
    for (const share of [1, 0.5]) {
      const poison = (lanes: Lanes, member: number): void => {
        const uniform = reproducible('poison', share)
        if (member === 0) lanes.forEach((_, i) => (lanes[i] = (uniform() - 0.5) * share * 2 ** task.bits))
      }
      const { update } = readSums(problem, task, [await sumOf(task, longest(), poison)])
      assert.ok(isZero(update), `uniform over ${share} of the ring`)
    }
  })
})
