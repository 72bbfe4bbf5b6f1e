import assert from 'node:assert/strict'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { problemNamed } from '../../nodes/learner/problems.ts'
import { packageFile } from '../../nodes/package-root.ts'
import { baseModel, modelHash, privacyTerms, taskTerms } from '../../nodes/learner/recipe.ts'
import type { Recipe } from '../../nodes/learner/recipe.ts'
import { until } from '../network/nodes.ts'
import { makeMembers } from './daemons.ts'
import type { Members } from './daemons.ts'
import { configure, learnerProcesses } from './learner-processes.ts'
import type { LearnerProcess } from './learner-processes.ts'
import { secagg, temporaryFolder } from './secagg.ts'

const ROUNDS = 2
const problem = problemNamed('digits')
const recipe: Recipe = { problem: 'digits', algorithm: { name: 'fedavgm', rate: 0.4 }, seed: 'test' }

describe('secagg learner, which nobody launches', () => {
  const learners = learnerProcesses()
  const folder = temporaryFolder()
  let members: Members

  before(async () => {
    members = await makeMembers(folder(), 3, { ...taskTerms(problem), deadline: 5 })
  })

  /** All three, each asking for so many rounds. */
  async function startAll(of: Members, rounds: number): Promise<LearnerProcess[]> {
    const first = await learners.start(of, { recipe, member: 0, rounds })
    const bootstrap = first.addresses
    const others = [1, 2].map((member) => learners.start(of, { recipe, member, rounds }, bootstrap))
    return [first, ...(await Promise.all(others))]
  }

  /** A task with noise in its sums. */
  function makePrivate(more: object = {}, deadline = 5): Promise<Members> {
    const { length, privacy } = taskTerms(problem, privacyTerms(problem, 1))
    return makeMembers(folder(), 3, { encoding: undefined, length, privacy: { ...privacy!, ...more }, deadline })
  }

  it('trains, asks for one round after the other by itself, and ends with one model on every member', async () => {
    const running = await startAll(members, ROUNDS)
    await until(() => running.every(({ learned }) => learned === ROUNDS), 'all have learned', 60_000)
    const last = running.map((learner) => learner.of('learned').at(-1)!)
    assert.equal(new Set(last.map(({ model }) => model)).size, 1)
    assert.notEqual(last[0].model, Buffer.from(modelHash(recipe, baseModel(recipe))).toString('hex'))
    const examples = [0, 1, 2].reduce((sum, member) => sum + problem.own(member).count, 0)
    assert.equal(last[0].examples, examples)
    const ended = await learners.stop()
    assert.deepEqual(
      ended.map(({ code, stderr }) => [code, stderr]),
      Array(3).fill([0, ''])
    )
  })

  it('tells the ε that its own updates have reached, and nothing that it measured, where the task has privacy', async () => {
    const [first] = await startAll(await makePrivate(), ROUNDS)
    await until(() => first.learned === ROUNDS, 'it has learned', 60_000)
    const [one, two] = first.of('learned')
    assert.ok(one.epsilon! > 0 && two.epsilon! > one.epsilon!, JSON.stringify([one, two]))
    assert.equal(two.delta, privacyTerms(problem, 1).delta)
    for (const told of ['loss', 'accuracy', 'examples', 'clippedFraction']) assert.ok(!(told in two), told)
    await learners.stop()
  })

  it('learns no further where that would go beyond the budget of the task, says so, and asks for no round in vain', async () => {
    const running = await startAll(await makePrivate({ budget: 12 }, 1), 50)
    const spent = (learner: LearnerProcess) => learner.of('the budget is spent')
    await until(() => running.some((learner) => spent(learner).length > 0), 'a budget is spent', 60_000)
    const opened = () => Math.max(...running.map((learner) => learner.of('round opened').at(-1)!.round!))
    const first = opened()
    // Where they all asked on, there would be ten rounds a second.
    await new Promise((resolve) => setTimeout(resolve, 4_000))
    assert.ok(opened() <= first + 4, `round ${opened()} after round ${first}`)
    for (const learner of running) {
      const why = learner.of('refused').filter(({ code }) => code === 'PRIVACY_BUDGET')
      // In each view of one round, and in no other round.
      assert.ok(new Set(why.map(({ reason }) => reason)).size <= 1, JSON.stringify(why))
      assert.equal(spent(learner).length, Math.min(why.length, 1))
      for (const { reason } of spent(learner)) assert.match(reason!, /beyond the budget of 12; it contributes no more/)
      for (const { epsilon } of learner.of('learned')) assert.ok(epsilon! <= 12)
    }
    await learners.stop()
  })

  it('says in one line what is missing from its folder', async () => {
    const file = await configure(members, 0, { recipe, member: 'first' })
    const { code, stderr } = await secagg('learner', '--config', file)
    assert.equal(code, 1)
    assert.match(stderr, /^secagg: \S+learner\.json says of no learner what it needs: [^\n]*member[^\n]*\n$/)
  })

  it('refuses a task that does not fit what it learns', async () => {
    await rm(join(members.folders[0], 'model.cbor'))
    const file = await configure(members, 0, { recipe: { ...recipe, problem: 'words' }, member: 0 })
    const { code, stderr } = await secagg('learner', '--config', file)
    assert.equal(code, 1)
    assert.match(stderr, /^secagg: the task test does not fit the problem words, which wants length 15181[^\n]*\n$/)
  })

  it('is told the terms of a task in its guide as they are', async () => {
    const guide = await readFile(packageFile('nodes/learner/README.md'), 'utf8')
    for (const name of ['digits', 'words'] as const) {
      const { length, encoding } = taskTerms(problemNamed(name))
      const { clip, weighted } = encoding as { clip: number; weighted: number }
      for (const term of [`length: ${length}`, `clip: ${clip}`, `weighted: ${weighted}`])
        assert.ok(guide.includes(term), term)
      assert.ok(guide.includes(String(taskTerms(problemNamed(name), privacyTerms(problemNamed(name), 1)).length)))
    }
  })
})
