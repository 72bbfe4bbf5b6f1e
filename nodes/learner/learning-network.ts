import { mkdtempSync, rmSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { stringify } from 'yaml'
import { bytesToHex } from '@noble/hashes/utils.js'
import { createTask } from '../../src/task/task.ts'
import type { Task, TaskInput } from '../../src/task/task.ts'
import { createIdentity } from '../daemon/identity.ts'
import { compareWithPlainSum } from '../local-network/exactness.ts'
import { reproducible } from '../local-network/generated-inputs.ts'
import type { Kill } from '../local-network/kills.ts'
import { LocalNetwork } from '../local-network/network.ts'
import type { Watch } from '../local-network/network.ts'
import { reportRound } from '../local-network/report.ts'
import type { RoundReport } from '../local-network/report.ts'
import type { ClosedRound } from '../local-network/running-round.ts'
import { readNpy } from '../npy.ts'
import { readSums } from './contribution.ts'
import type { SummedMetrics } from './contribution.ts'
import { evaluate, train } from './neural-network.ts'
import { applyMean } from './optimizers.ts'
import type { ModelState } from './optimizers.ts'
import { pooled } from './problem.ts'
import type { Problem } from './problem.ts'
import { problemNamed } from './problems.ts'
import { epsilonAfter } from './privacy.ts'
import { baseModel, modelHash, taskTerms } from './recipe.ts'
import type { PrivacyTerms, Recipe } from './recipe.ts'
import { trainingSeed } from './run-learner.ts'
import type { Told } from './run-learner.ts'
import { settingsFile } from './settings.ts'
import type { LearnerSettings } from './settings.ts'

/** What to run. */
export interface LearningRun {
  recipe: Recipe
  peers: number
  rounds: number
  privacy?: PrivacyTerms
  kills: readonly Kill[]
  /** The member whose own model is trained beside the joint one, for comparison. */
  alone: number
  threat: { corrupt: number; dropout: number }
  /** Seconds. */
  deadline: number
}

export interface LearningReport extends RoundReport {
  /** Of the model after this round, in hex: what this process computes from the sum. */
  model: string
  /** Whether every member that contributed started from the model of the round before. */
  sameModel: boolean
  /** Which part of all members' held-out examples the joint model has right, and the model of one member alone. */
  together: number
  alone: number
  /** Summed securely in this round, of the model that it started from; none with privacy. */
  summed?: SummedMetrics
  /** Reached so far, with privacy. */
  epsilon?: number
}

export interface LearningAudience extends Watch {
  started?(first: { together: number; alone: number }): void
  opening?(round: number): void
  round(report: LearningReport): Promise<void> | void
  warn(text: string): void
}

export interface Learned {
  reports: LearningReport[]
  joint: ModelState
  alone: Float32Array
}

/** Runs learning members as processes of their own, and recomputes from their sums what they have learned. */
export async function runLearning(run: LearningRun, audience: LearningAudience): Promise<Learned> {
  const folder = mkdtempSync(join(tmpdir(), 'secagg-learn-'))
  const remove = (): void => rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 })
  process.on('exit', remove)
  try {
    const { task, taskFile, ids } = await prepare(run, folder)
    const network = new LocalNetwork({
      task,
      taskFile,
      ids,
      folder: (number) => memberFolder(folder, number),
      inProcess: false,
      command: 'learner',
      kills: run.kills,
      restart: true,
      warn: (text) => audience.warn(text),
      watch: audience
    })
    try {
      await network.start()
      return await new Launcher(run, { network, task, ids, folder }).run(audience)
    } finally {
      await network.stop()
    }
  } finally {
    process.off('exit', remove)
    remove()
  }
}

const memberFolder = (folder: string, number: number): string => join(folder, `peer-${number}`)

async function prepare(run: LearningRun, folder: string): Promise<{ task: Task; taskFile: string; ids: string[] }> {
  const ids: string[] = []
  for (let number = 0; number < run.peers; number++) {
    const own = memberFolder(folder, number)
    ids.push(await createIdentity(own))
    const settings: LearnerSettings = { recipe: run.recipe, member: number }
    await writeFile(settingsFile(own), JSON.stringify(settings))
  }
  const terms: TaskInput = {
    name: 'learning',
    members: ids,
    ...taskTerms(problemNamed(run.recipe.problem), run.privacy),
    threat: run.threat,
    deadline: run.deadline
  }
  const taskFile = join(folder, 'task.yaml')
  await writeFile(taskFile, stringify(terms))
  await mkdir(join(folder, 'updates'))
  return { task: createTask(terms), taskFile, ids }
}

interface Place {
  network: LocalNetwork
  task: Task
  ids: string[]
  folder: string
}

/** Round after round, with what the launcher alone can see: all updates, all held-out examples, and a member by itself. */
class Launcher {
  readonly #run: LearningRun
  readonly #place: Place
  readonly #problem: Problem
  readonly #test
  #joint: ModelState
  #alone: Float32Array

  constructor(run: LearningRun, place: Place) {
    this.#run = run
    this.#place = place
    this.#problem = problemNamed(run.recipe.problem)
    this.#test = pooled(Array.from({ length: run.peers }, (_, member) => this.#problem.heldOut(member)))
    this.#joint = baseModel(run.recipe)
    this.#alone = this.#joint.parameters
  }

  async run(audience: LearningAudience): Promise<Learned> {
    const first = this.#accuracy(this.#joint.parameters)
    audience.started?.({ together: first, alone: first })
    const reports: LearningReport[] = []
    for (let round = 1; round <= this.#run.rounds; round++) {
      audience.opening?.(round)
      const input = (number: number) => ({ file: this.#update(number, round) })
      const [closed] = await Promise.all([this.#place.network.runRound(round, input), this.#trainAlone(round)])
      const report = await this.#report(closed, reports)
      reports.push(report)
      await audience.round(report)
    }
    return { reports, joint: this.#joint, alone: this.#alone }
  }

  #update(number: number, round: number): string {
    return resolve(this.#place.folder, 'updates', `peer-${number}.round-${round}.npy`)
  }

  #accuracy(parameters: Float32Array): number {
    return evaluate(this.#problem.architecture, parameters, this.#test).accuracy
  }

  async #trainAlone(round: number): Promise<void> {
    const { alone: member, recipe } = this.#run
    const { architecture, training } = this.#problem
    const uniform = reproducible(...trainingSeed(recipe.seed, member), round)
    this.#alone = await train(architecture, this.#alone, this.#problem.own(member), training, uniform)
  }

  async #report(closed: ClosedRound, before: LearningReport[]): Promise<LearningReport> {
    const { task, ids } = this.#place
    const held = bytesToHex(modelHash(this.#run.recipe, this.#joint))
    const told = await Promise.all(closed.included.map((number) => this.#told(number, closed.round)))
    const sum = closed.status === 'summed' ? await this.#takeIn(closed, told) : undefined
    const base = reportRound(closed, ids, task.length, sum?.exactness)
    const epsilon = epsilonAfter(task, [...before, base])
    return {
      ...base,
      model: bytesToHex(modelHash(this.#run.recipe, this.#joint)),
      sameModel: told.every(({ model }) => model === held),
      together: this.#accuracy(this.#joint.parameters),
      alone: this.#accuracy(this.#alone),
      ...(sum?.metrics && { summed: sum.metrics }),
      ...(epsilon !== undefined && { epsilon })
    }
  }

  async #told(number: number, round: number): Promise<Told> {
    return JSON.parse(await readFile(`${this.#update(number, round)}.json`, 'utf8')) as Told
  }

  /** The model that follows from a sum, and whether that is the plain sum of the included updates. */
  async #takeIn(closed: ClosedRound, told: Told[]) {
    const { network, task, folder } = this.#place
    const file = join(folder, `sum-${closed.round}.npy`)
    const { clippedFraction } = await network.export(closed, file)
    const values = (await readNpy(file)).values as Float64Array
    const isPrivate = task.encoding.type === 'skellam'
    const totalWeight = isPrivate ? closed.included.length : told.reduce((total, { examples }) => total + examples, 0)
    const mean = values.map((value) => value / totalWeight)
    const sum = { mean, totalWeight, included: closed.included.length, clippedFraction }
    const { update, metrics } = readSums(problemNamed(this.#run.recipe.problem), task, [sum])
    this.#joint = applyMean(this.#run.recipe.algorithm, this.#joint, update)
    if (isPrivate) return { metrics }
    const inputs = closed.included.map((number, at) => ({
      file: this.#update(number, closed.round),
      weight: told[at].examples
    }))
    return { metrics, exactness: await compareWithPlainSum(task, values, inputs) }
  }
}
