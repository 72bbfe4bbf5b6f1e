import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { pino } from 'pino'
import { quantisationBound } from '../../src/encoding/encoder.ts'
import { createTask } from '../../src/task/task.ts'
import type { Task, TaskInput } from '../../src/task/task.ts'
import { Daemon } from '../../nodes/daemon/daemon.ts'
import type { DaemonOutcome } from '../../nodes/daemon/daemon-options.ts'
import { createIdentity } from '../../nodes/daemon/identity.ts'
import { learnAlone, learnTogether, simulatedTask } from '../../nodes/learner/figures/simulation.ts'
import type { Setting } from '../../nodes/learner/figures/simulation.ts'
import { decodeHandover, encodeHandover } from '../../nodes/learner/handover.ts'
import { Learner } from '../../nodes/learner/learner.ts'
import { applyMean, initialState } from '../../nodes/learner/optimizers.ts'
import { problemNamed } from '../../nodes/learner/problems.ts'
import { baseModel, modelHash, privacyTerms, serverSteps, taskTerms } from '../../nodes/learner/recipe.ts'
import type { Recipe } from '../../nodes/learner/recipe.ts'
import { readModel } from '../../nodes/learner/saved-model.ts'
import { temporaryFolder } from './secagg.ts'

const digits: Recipe = { problem: 'digits', algorithm: { name: 'fedavg', rate: 1.5 }, seed: 'test' }
const logger = pino({ level: 'silent' })

describe('the optimizers of a learner', () => {
  it('take FedAvg, FedAvgM and FedAdam steps as they are published', () => {
    const mean = Float64Array.of(0.5, -0.25)
    const begin = (name: 'fedavg' | 'fedavgm' | 'fedadam') => initialState(name, Float32Array.of(1, 2))
    const twice = (name: 'fedavg' | 'fedavgm' | 'fedadam', rate: number) =>
      [1, 2].reduce((state) => applyMean({ name, rate }, state, mean), begin(name))
    assert.deepEqual([...twice('fedavg', 1).parameters], [2, 1.5])
    // 1 + 0.5 + (0.9 · 0.5 + 0.5)
    assert.deepEqual([...twice('fedavgm', 1).parameters].map(rounded), [2.45, 1.275])
    // m = 0.05 then 0.095, v = 0.0025 then 0.004975 for the first: 1 + 0.1 · (0.05/(0.05 + 0.001) + 0.095/(√0.004975 + 0.001))
    const first = 1 + 0.1 * (0.05 / 0.051 + 0.095 / (Math.sqrt(0.004975) + 0.001))
    assert.equal(rounded(twice('fedadam', 0.1).parameters[0]), rounded(first))
  })

  it('leave the model before a round as it was', () => {
    const state = initialState('fedadam', Float32Array.of(1))
    applyMean({ name: 'fedadam', rate: 1 }, state, Float64Array.of(1))
    assert.deepEqual([state.parameters[0], state.slots[0][0], state.slots[1][0]], [1, 0, 0])
  })
})

describe('learning together', () => {
  const setting: Setting = { recipe: digits, peers: 6, rounds: 8 }

  it('recognises more than half as many digits again as the best of the members alone', async () => {
    const together = await learnTogether(setting, 'secure')
    const alone = await learnAlone(setting)
    const best = Math.max(...alone.map((curve) => curve.at(-1)!))
    assert.ok(together.accuracy.at(-1)! > 1.5 * best, `${together.accuracy.at(-1)} against ${best}`)
  })

  it('learns with FedAvgM and FedAdam as well, more than the best of the members alone', async () => {
    const best = Math.max(...(await learnAlone(setting)).map((curve) => curve.at(-1)!))
    for (const name of ['fedavgm', 'fedadam'] as const) {
      const recipe: Recipe = { ...digits, algorithm: serverSteps(problemNamed('digits'), name, false) }
      const { accuracy } = await learnTogether({ ...setting, recipe }, 'secure')
      assert.ok(accuracy.at(-1)! > 1.1 * best, `${name}: ${accuracy.at(-1)} against ${best}`)
    }
  })

  it('learns under noise, and tells what that has given away', async () => {
    const privacy = privacyTerms(problemNamed('digits'), 0.3)
    const recipe: Recipe = { ...digits, algorithm: serverSteps(problemNamed('digits'), 'fedavg', true) }
    const { accuracy, epsilon } = await learnTogether({ recipe, peers: 24, rounds: 8, privacy }, 'secure')
    assert.ok(accuracy.at(-1)! > 2 * accuracy[0], accuracy.join(' '))
    assert.ok(epsilon! > 0 && epsilon! < 200, String(epsilon))
  })

  it('is kept from learning by two that poison one mean of all, and not where the mean over groups is trimmed', async () => {
    const poisoned: Setting = {
      ...{ recipe: digits, peers: 24, rounds: 4, threat: { corrupt: 0.0417, dropout: 0 } },
      poison: { members: 2, within: 'encoding' }
    }
    const together = async (setting: Setting) => (await learnTogether(setting, 'secure')).accuracy
    const one = await together(poisoned)
    const trimmed = await together({ ...poisoned, groups: { count: 6, trim: 2 } })
    assert.ok(trimmed.at(-1)! > 2 * trimmed[0], trimmed.join(' '))
    assert.ok(trimmed.at(-1)! > 1.5 * one.at(-1)!, `${trimmed.at(-1)} against ${one.at(-1)}`)
  })

  it('equals plain averaging within quantisation after a round', async () => {
    const once = { ...setting, rounds: 1 }
    const [secure, plain] = [await learnTogether(once, 'secure'), await learnTogether(once, 'plain')]
    const task = await simulatedTask(once)
    const examples = Array.from({ length: setting.peers }, (_, member) => problemNamed('digits').own(member).count)
    const total = examples.reduce((sum, count) => sum + count)
    const bound = (digits.algorithm.rate * quantisationBound(task, setting.peers)) / total + 1e-6
    const apart = secure.state.parameters.map((value, at) => Math.abs(value - plain.state.parameters[at]))
    assert.ok(Math.max(...apart) <= bound, `${Math.max(...apart)} apart, and ${bound} at most`)
    assert.ok(Math.max(...apart) > 0, 'nothing was quantised')
  })
})

describe('learners in a network', () => {
  const folder = temporaryFolder()
  const recipe: Recipe = { ...digits, algorithm: { name: 'fedadam', rate: 0.02 } }
  let running: Member[]

  beforeEach(() => {
    running = []
  })
  afterEach(async () => {
    await Promise.all(running.map(({ daemon }) => daemon.stop()))
  })

  it('hold the same model bit by bit after each round, and one that comes late holds it as well', async () => {
    const { task, dirs } = await makeTask(join(folder(), 'late'))
    running = await startAll(task, dirs.slice(0, 3), recipe)
    await round(running, 1)
    await round(running, 2)
    const hashes = new Set(running.map(({ learner }) => learner.hash))
    assert.equal(hashes.size, 1)
    assert.notEqual([...hashes][0], Buffer.from(modelHash(recipe, baseModel(recipe))).toString('hex'))
    const late = await start(task, dirs[3], 3, recipe, running[0].daemon.addresses)
    running.push(late)
    await until(() => late.learner.round === 2)
    assert.equal(late.learner.hash, [...hashes][0])
    const outcomes = await round(running, 3)
    assert.equal(outcomes[0].included.length, 4)
    assert.equal(new Set(running.map(({ learner }) => learner.hash)).size, 1)
  })

  it('learn from sums per group, from one that is proved to who comes late by what drew the groups', async () => {
    const terms = { threat: { corrupt: 0, dropout: 0.125 }, groups: { count: 2, trim: 0 } }
    const { task, dirs } = await makeTask(join(folder(), 'groups'), 8, terms)
    running = await startAll(task, dirs.slice(0, 7), recipe)
    await round(running, 1)
    await round(running, 2)
    assert.deepEqual(
      running.map(({ learner }) => learner.round),
      Array(7).fill(2)
    )
    const hashes = new Set(running.map(({ learner }) => learner.hash))
    assert.equal(hashes.size, 1)
    const late = await start(task, dirs[7], 7, recipe, running[0].daemon.addresses)
    running.push(late)
    await until(() => late.learner.round === 2)
    assert.equal(late.learner.hash, [...hashes][0])
    const shown = decodeHandover((await readModel(dirs[7], recipe)).handover!)
    assert.equal((await running[0].learner.verify(shown)).sums.length, 2)
    const refused = (closedBefore: Uint8Array | undefined, why: RegExp) =>
      assert.rejects(running[0].learner.verify({ ...shown, closedBefore }), why)
    await refused(undefined, /what closed round 1 is missing/)
    await refused(shown.decision, /what closed round 2 stands for the round before 2/)
    const outcomes = await round(running, 3)
    assert.equal(outcomes[0].included.length, 8)
    assert.equal(new Set(running.map(({ learner }) => learner.hash)).size, 1)
  })

  it('leave out a member that starts from another model, and sum the others', async () => {
    const { task, dirs } = await makeTask(join(folder(), 'other'))
    running = await startAll(task, dirs.slice(0, 3), recipe)
    const other = await start(task, dirs[3], 3, { ...recipe, seed: 'another' }, running[0].daemon.addresses)
    running.push(other)
    const own = other.learner.hash
    const outcomes = await round(running, 1)
    const index = task.members.indexOf(other.daemon.id)
    for (const { status, included } of outcomes.slice(0, 3)) {
      assert.equal(status, 'summed')
      assert.deepEqual(
        included,
        [0, 1, 2, 3].filter((member) => member !== index)
      )
    }
    assert.equal(new Set(running.slice(0, 3).map(({ learner }) => learner.hash)).size, 1)
    assert.equal(other.learner.hash, own)
  })

  it('believe a shown model only where a quorum signed for it and its sum', async () => {
    const { task, dirs } = await makeTask(join(folder(), 'shown'))
    running = await startAll(task, dirs.slice(0, 3), recipe)
    await round(running, 1)
    const { handover } = await readModel(dirs[0], recipe)
    const shown = decodeHandover(handover!)
    const { verify } = running[1].learner
    assert.equal((await verify(shown)).round, 1)
    const flipped = (bytes: Uint8Array, at: number): Uint8Array => bytes.map((byte, i) => (i === at ? byte ^ 1 : byte))
    const refused = (change: Partial<typeof shown>, why: RegExp) => assert.rejects(verify({ ...shown, ...change }), why)
    await refused({ before: flipped(shown.before, 100) }, /started from another model/)
    await refused({ sum: flipped(shown.sum, 100) }, /does not match its root/)
    await refused({ sum: shown.sum.subarray(1) }, /bytes/)
    await refused({ header: shown.decision }, /header of another sum/)
    await refused({ decision: flipped(shown.decision, shown.decision.length - 1) }, /./)
    assert.throws(() => decodeHandover(encodeHandover(shown).subarray(1)), /no form that is known/)
  })
})

interface Member {
  daemon: Daemon
  learner: Learner
  outcomes: DaemonOutcome[]
}

const rounded = (value: number): number => Math.round(value * 1e5) / 1e5

async function makeTask(
  folder: string,
  count = 4,
  { threat = { corrupt: 0, dropout: 0.25 }, ...more }: Partial<TaskInput> = {}
): Promise<{ task: Task; dirs: string[] }> {
  const dirs = Array.from({ length: count }, (_, number) => join(folder, `peer-${number}`))
  const members: string[] = []
  for (const dir of dirs) members.push(await createIdentity(dir))
  const terms: TaskInput = {
    name: 'learning',
    members,
    ...taskTerms(problemNamed('digits')),
    threat,
    ...more,
    deadline: 2
  }
  await writeFile(join(folder, 'task.yaml'), stringify(terms))
  return { task: createTask(terms), dirs }
}

async function start(
  task: Task,
  dataDir: string,
  member: number,
  recipe: Recipe,
  bootstrap: string[]
): Promise<Member> {
  const problem = problemNamed(recipe.problem)
  const data = { own: problem.own(member), heldOut: problem.heldOut(member) }
  const learner = await Learner.open({ recipe, data, folder: dataDir, seed: ['test', member], logger })
  const outcomes: DaemonOutcome[] = []
  const daemon = await Daemon.start({
    dataDir,
    task,
    listen: ['/ip4/127.0.0.1/tcp/0'],
    bootstrap,
    mdns: false,
    local: true,
    application: learner,
    closed: (outcome) => outcomes.push(outcome),
    logger
  })
  return { daemon, learner, outcomes }
}

async function startAll(task: Task, dirs: string[], recipe: Recipe): Promise<Member[]> {
  const first = await start(task, dirs[0], 0, recipe, [])
  const others = dirs.slice(1).map((dir, at) => start(task, dir, at + 1, recipe, first.daemon.addresses))
  return [first, ...(await Promise.all(others))]
}

/** Runs a round; resolves when all have taken it in. */
async function round(members: Member[], number: number): Promise<DaemonOutcome[]> {
  const others = members.length - 1
  await until(() => members.every(({ daemon }) => daemon.status().subscribed.length >= others))
  await members[0].daemon.want()
  await until(() => members.every(({ outcomes }) => outcomes.some((outcome) => outcome.round === number)))
  await Promise.all(members.map(({ learner }) => learner.prepare(number + 1)))
  return members.map(({ outcomes }) => outcomes.find((outcome) => outcome.round === number)!)
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 20))
}
