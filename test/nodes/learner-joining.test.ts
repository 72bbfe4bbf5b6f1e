import assert from 'node:assert/strict'
import { problemNamed } from '../../nodes/learner/problems.ts'
import { taskTerms } from '../../nodes/learner/recipe.ts'
import type { Recipe } from '../../nodes/learner/recipe.ts'
import { until } from '../network/nodes.ts'
import { makeMembers } from './daemons.ts'
import { learnerProcesses } from './learner-processes.ts'
import type { LearnerProcess } from './learner-processes.ts'
import { temporaryFolder } from './secagg.ts'

const FOUNDERS = 3
const ROUNDS = 60
const patience = 60_000
const problem = problemNamed('digits')
const recipe: Recipe = { problem: 'digits', algorithm: { name: 'fedavgm', rate: 0.4 }, seed: 'joining' }

describe('a learner that is no member yet', function () {
  this.timeout(2 * patience)
  const learners = learnerProcesses()
  const folder = temporaryFolder()

  it('is let in by the task, takes the model that the others have by then, and adds its own examples to the next', async () => {
    const made = await makeMembers(folder(), FOUNDERS + 1, { ...taskTerms(problem), deadline: 5 }, FOUNDERS)
    const settings = (member: number) => ({ recipe, member, rounds: ROUNDS })
    const first = await learners.start(made, settings(0))
    const bootstrap = first.addresses
    await Promise.all([1, 2].map((member) => learners.start(made, settings(member), bootstrap)))
    await until(() => first.learned >= 2, 'the founders have learned', patience)
    const newcomer = await learners.start(made, settings(FOUNDERS), bootstrap)
    const examples = Array.from({ length: FOUNDERS + 1 }, (_, member) => problem.own(member).count)
    const all = examples.reduce((sum, count) => sum + count)
    const withAll = () => first.of('learned').find((line) => line.examples === all)
    await until(() => withAll() !== undefined, 'the newcomer contributes', patience)
    const { round, model } = withAll()!
    const of = (learner: LearnerProcess, number: number) =>
      learner.of('learned').find((line) => line.round === number)?.model
    await until(() => learners.running.every((learner) => of(learner, round!) !== undefined), 'all learn it', patience)
    for (const learner of learners.running) assert.equal(of(learner, round!), model)
    // The first that it holds is one to which it gave nothing, as the others hold it.
    const [fetched] = newcomer.of('learned')
    assert.ok(fetched.round! > 2 && fetched.round! < round!, `${fetched.round} before ${round}`)
    assert.equal(fetched.examples, all - examples[FOUNDERS])
    assert.equal(fetched.model, of(first, fetched.round!))
  })
})
