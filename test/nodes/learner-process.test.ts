import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { problemNamed } from '../../nodes/learner/problems.ts'
import { packageFile } from '../../nodes/package-root.ts'
import { baseModel, modelHash, privacyTerms, taskTerms } from '../../nodes/learner/recipe.ts'
import type { Recipe } from '../../nodes/learner/recipe.ts'
import { settingsFile } from '../../nodes/learner/settings.ts'
import type { LearnerSettings } from '../../nodes/learner/settings.ts'
import { until } from '../network/nodes.ts'
import { makeMembers } from './daemons.ts'
import type { Members } from './daemons.ts'
import { secagg, startSecagg, temporaryFolder } from './secagg.ts'

const ROUNDS = 2
const recipe: Recipe = { problem: 'digits', algorithm: { name: 'fedavgm', rate: 0.4 }, seed: 'test' }

interface Line {
  msg: string
  round?: number
  model?: string
  examples?: number
  epsilon?: number
  delta?: number
  addresses?: string[]
}

/** `secagg learner` in a process of its own, and what it logs. */
class LearnerProcess {
  readonly child: ChildProcess
  readonly ended
  #log = ''

  constructor(file: string) {
    const { child, ended } = startSecagg('learner', '--config', file)
    this.child = child
    this.ended = ended
    child.stdout!.on('data', (text: string) => (this.#log += text))
  }

  of(msg: string): Line[] {
    const whole = this.#log.slice(0, this.#log.lastIndexOf('\n') + 1)
    return whole
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Line)
      .filter((line) => line.msg === msg)
  }
}

describe('secagg learner, which nobody launches', () => {
  const folder = temporaryFolder()
  const learners: LearnerProcess[] = []
  let members: Members

  before(async () => {
    members = await makeMembers(folder(), 3, { ...taskTerms(problemNamed('digits')), deadline: 5 })
  })
  after(() => learners.forEach(({ child }) => child.kill('SIGKILL')))

  async function configure(number: number, bootstrap: string[], settings: object, of = members): Promise<string> {
    const dataDir = of.folders[number]
    await writeFile(settingsFile(dataDir), JSON.stringify(settings))
    const file = join(dataDir, 'node.yaml')
    await writeFile(file, stringify({ dataDir, task: of.taskFile, bootstrap, local: true, api: { listen: 'off' } }))
    return file
  }

  async function started(member: number, bootstrap: string[], of = members): Promise<LearnerProcess> {
    const settings: LearnerSettings = { recipe, member, rounds: ROUNDS }
    const learner = new LearnerProcess(await configure(member, bootstrap, settings, of))
    learners.push(learner)
    await until(() => learner.of('started').length > 0, 'it runs', 30_000)
    return learner
  }

  it('trains, asks for one round after the other by itself, and ends with one model on every member', async () => {
    const first = await started(0, [])
    await Promise.all([1, 2].map((number) => started(number, first.of('started')[0].addresses!)))
    const learned = (learner: LearnerProcess): Line | undefined =>
      learner.of('learned').find(({ round }) => round === 2)
    await until(() => learners.every((learner) => learned(learner) !== undefined), 'all have learned', 60_000)
    const models = new Set(learners.map((learner) => learned(learner)!.model))
    assert.equal(models.size, 1)
    assert.notEqual([...models][0], Buffer.from(modelHash(recipe, baseModel(recipe))).toString('hex'))
    const examples = [0, 1, 2].reduce((sum, member) => sum + problemNamed('digits').own(member).count, 0)
    assert.equal(learned(learners[0])!.examples, examples)
    for (const { child } of learners) child.kill('SIGTERM')
    assert.deepEqual(
      (await Promise.all(learners.map(({ ended }) => ended))).map(({ code, stderr }) => [code, stderr]),
      Array(3).fill([0, ''])
    )
  })

  it('tells the ε that its own updates have reached, where the task has privacy', async () => {
    const privacy = privacyTerms(problemNamed('digits'), 1)
    const terms = { encoding: undefined, ...taskTerms(problemNamed('digits'), privacy), deadline: 5 }
    const own = await makeMembers(folder(), 3, terms)
    const first = await started(0, [], own)
    const known = first.of('started')[0].addresses!
    const others = await Promise.all([1, 2].map((number) => started(number, known, own)))
    await until(() => first.of('learned').length === ROUNDS, 'it has learned', 60_000)
    const [one, two] = first.of('learned')
    assert.ok(one.epsilon! > 0 && two.epsilon! > one.epsilon!, JSON.stringify([one, two]))
    assert.equal(two.delta, privacy.delta)
    for (const { child } of [first, ...others]) child.kill('SIGTERM')
    await Promise.all([first, ...others].map(({ ended }) => ended))
  })

  it('says in one line what is missing from its folder', async () => {
    const file = await configure(0, [], { recipe, member: 'first' })
    const { code, stderr } = await secagg('learner', '--config', file)
    assert.equal(code, 1)
    assert.match(stderr, /^secagg: \S+learner\.json says of no learner what it needs: [^\n]*member[^\n]*\n$/)
  })

  it('refuses a task that does not fit what it learns', async () => {
    await rm(join(members.folders[0], 'model.cbor'))
    const file = await configure(0, [], { recipe: { ...recipe, problem: 'words' }, member: 0 })
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
