import { randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { stringify } from 'yaml'
import { SecureAggregationError } from '../../src/errors.ts'
import { createTask } from '../../src/task/task.ts'
import type { Task, TaskInput } from '../../src/task/task.ts'
import { carriedThresholds, LARGEST_COMPLETE_GRAPH, TEN_THOUSANDTHS } from '../../src/task/thresholds.ts'
import { createIdentity } from '../daemon/identity.ts'
import { makeFolder } from '../folder.ts'
import { readNpy } from '../npy.ts'
import { compareWithPlainSum, plainEncoding } from './exactness.ts'
import { readInputs, writeInputs } from './inputs.ts'
import type { Inputs } from './inputs.ts'
import type { Kill } from './kills.ts'
import { LocalNetwork } from './network.ts'
import type { Glimpse, Place, Watch } from './network.ts'
import { reportRound, summarise } from './report.ts'
import type { RoundReport, Summary } from './report.ts'
import type { ClosedRound } from './running-round.ts'
import { describeSum } from './sum-file.ts'
import { whileWaiting } from './waiting.ts'

/** What to run. */
export interface NetworkRun {
  peers: number
  rounds: number
  encoding: TaskInput['encoding']
  threat: { corrupt: number; dropout: number }
  /** Members that share the adding up (§13); 1 if left out. */
  shards?: number
  /** Seconds. */
  deadline: number
  /** Expected audits of each chunk of a sum, or all by everybody; the task's own default if left out. */
  audit?: number | 'full'
  /** A folder of inputs, or what to generate. */
  inputs: { folder: string; length?: number } | { length: number; seed?: string }
  weights?: number[]
  kills: readonly Kill[]
  restart: boolean
  inProcess: boolean
  place?: (number: number) => Place
  out?: string
  data?: string
  glimpse?: Glimpse
  watch?: Watch
}

/** Who is told of it, as it happens. */
export interface Audience {
  started?(task: Task, network: LocalNetwork): Promise<void> | void
  round(report: RoundReport, sumFile: string | undefined): Promise<void> | void
  warn: (text: string) => void
  /** Whether people are told on stderr what is being waited for; so unless false. */
  progress?: boolean
}

/** Runs a network from its first process to its last. Throws what a user can act on; no process outlives it. */
export async function runNetwork(run: NetworkRun, audience: Audience): Promise<Summary> {
  const folder = await dataFolder(run.data)
  try {
    const { task, taskFile, ids, inputs } = await prepare(run, folder.path).catch((error: Error) => {
      folder.discard()
      throw error
    })
    const { inProcess, place, kills, restart, glimpse, watch } = run
    const network = new LocalNetwork({
      task,
      taskFile,
      ids,
      folder: (number) => join(folder.path, `peer-${number}`),
      inProcess,
      place,
      kills,
      restart,
      warn: audience.warn,
      glimpse,
      watch
    })
    try {
      await waiting(network, audience, network.start())
      await audience.started?.(task, network)
      return await runRounds(run, { network, task, ids, inputs, folder: folder.path }, audience)
    } finally {
      await network.stop()
    }
  } finally {
    folder.remove()
  }
}

function waiting<T>(network: LocalNetwork, { progress }: Audience, work: Promise<T>): Promise<T> {
  return progress === false ? work : whileWaiting(() => network.doing, work)
}

interface Prepared {
  network: LocalNetwork
  task: Task
  ids: string[]
  inputs: Inputs
  folder: string
}

async function runRounds(run: NetworkRun, prepared: Prepared, audience: Audience): Promise<Summary> {
  const { network, task, ids, inputs, folder } = prepared
  const reports: RoundReport[] = []
  const contribution = (round: number) => (number: number) => ({
    file: resolve(inputs.file(number, round)),
    weight: run.weights?.[number]
  })
  for (let round = 1; round <= run.rounds; round++) {
    const closed = await waiting(network, audience, network.runRound(round, contribution(round)))
    const file = resolve(run.out ?? folder, `round-${round}.npy`)
    const sumFile = closed.status === 'summed' ? file : undefined
    // A burned round has no sum, not even that of an earlier run.
    await (sumFile === undefined ? rm(file, { force: true }) : network.export(closed, sumFile))
    const report = await examine(closed, sumFile, closed.included.map(contribution(round)), task, ids)
    reports.push(report)
    if (run.out !== undefined) await writeReport(join(run.out, `round-${round}.json`), report, sumFile)
    await audience.round(report, sumFile)
    if (run.out === undefined && sumFile !== undefined) await rm(sumFile)
  }
  return summarise(reports)
}

async function examine(
  closed: ClosedRound,
  sumFile: string | undefined,
  included: { file: string; weight?: number }[],
  task: Task,
  ids: string[]
): Promise<RoundReport> {
  if (sumFile === undefined) return reportRound(closed, ids, task.length)
  const { values } = await readNpy(sumFile)
  return reportRound(closed, ids, task.length, await compareWithPlainSum(task, values, included))
}

async function writeReport(file: string, report: RoundReport, sumFile: string | undefined): Promise<void> {
  const values = sumFile === undefined ? undefined : describeSum((await readNpy(sumFile)).values)
  await writeFile(file, `${JSON.stringify({ ...report, values }, undefined, 2)}\n`)
}

const inTenThousandths = (fraction: number): number => Math.round(fraction * TEN_THOUSANDTHS)

/** Inputs, identities and the task on disk, and where sums go. Whatever is wrong with any of them is said before a process is started. */
async function prepare(
  run: NetworkRun,
  folder: string
): Promise<Omit<Prepared, 'network' | 'folder'> & { taskFile: string }> {
  const { peers, encoding } = run
  const { corrupt, dropout } = run.threat
  // What is infeasible is refused before an identity is made for everyone.
  carriedThresholds({ members: peers, corrupt: inTenThousandths(corrupt), dropout: inTenThousandths(dropout) })
  const ids: string[] = []
  for (let number = 0; number < peers; number++) ids.push(await createIdentity(join(folder, `peer-${number}`)))
  const randomness = randomBytes(32).toString('hex')
  const terms = (length: number): TaskInput => ({
    name: 'local-network',
    members: ids,
    length,
    encoding,
    threat: run.threat,
    deadline: run.deadline,
    ...(run.shards !== undefined && run.shards > 1 && { shards: run.shards }),
    ...(run.audit !== undefined && { audit: run.audit }),
    // Beyond 128 members the first graph takes some that nobody knew when they were made.
    ...(peers > LARGEST_COMPLETE_GRAPH && { randomness })
  })
  // With any length: the threat and the bits are refused before long inputs are read or made.
  const shape = { peers, rounds: run.rounds, encoding: plainEncoding(createTask(terms(1))) }
  const inputs =
    'folder' in run.inputs
      ? await readInputs(run.inputs.folder, shape, run.inputs.length)
      : await writeInputs(folder, shape, run.inputs.length, run.inputs.seed ?? randomBytes(16).toString('hex'))
  const task = createTask(terms(inputs.length))
  const taskFile = join(folder, 'task.yaml')
  await writeFile(taskFile, stringify(terms(inputs.length)))
  if (run.out !== undefined) await makeFolder(run.out, { named: `--out ${run.out}` })
  return { task, taskFile, ids, inputs }
}

interface DataFolder {
  path: string
  /** When all is over. */
  remove(): void
  /** When nothing came of it. */
  discard(): void
}

/** The folder that the user named, which stays, or a temporary one, which goes with this process whatever ends it. */
async function dataFolder(named: string | undefined): Promise<DataFolder> {
  if (named === undefined) {
    const path = mkdtempSync(join(tmpdir(), 'secagg-'))
    const remove = (): void => {
      process.off('exit', remove)
      // Processes that were killed a moment ago may still be about to write.
      rmSync(path, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 })
    }
    process.on('exit', remove)
    return { path, remove, discard: remove }
  }
  const path = resolve(named)
  const isNew = await makeFolder(path, { named: `--data ${named}`, mode: 0o700 })
  if ((await readdir(path)).length > 0) {
    throw new SecureAggregationError('DATA_NOT_EMPTY', `the folder ${named} is not empty; name a new one for --data`)
  }
  // Where nothing was started, the same command can be typed again.
  const discard = (): void => {
    const made = isNew ? [path] : readdirSync(path).map((name) => join(path, name))
    made.forEach((one) => rmSync(one, { recursive: true }))
  }
  return { path, remove: () => {}, discard }
}
