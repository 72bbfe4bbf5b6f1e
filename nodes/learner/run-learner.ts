import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { pino } from 'pino'
import { readConfig } from '../daemon/config.ts'
import type { Daemon } from '../daemon/daemon.ts'
import { LauncherLink } from '../daemon/launcher-link.ts'
import type { Ordered } from '../daemon/launcher-link.ts'
import { startDaemon } from '../daemon/run-node.ts'
import { writeNpy } from '../npy.ts'
import { Learner } from './learner.ts'
import { problemNamed } from './problems.ts'
import { readSettings } from './settings.ts'

/** What a learner tells its launcher of itself before a round, beside its vector. */
export interface Told {
  model: string
  examples: number
}

/** Runs a learning member from its node's file: under a launcher's orders where it was started with an IPC channel. */
export async function runLearner(file: string): Promise<number> {
  if (process.send !== undefined) return obey(file, new LauncherLink())
  const { learner, rounds } = await openLearner(file)
  const daemon = await startDaemon(file, { application: learner, closed: () => void ask() })
  const ask = async (): Promise<void> => {
    const { closedRound } = daemon.status()
    if (closedRound >= rounds) return
    await learner.prepare(closedRound + 1)
    await daemon.want()
  }
  await ask()
  await Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')])
  await daemon.stop()
  return 0
}

async function openLearner(file: string): Promise<{ learner: Learner; rounds: number }> {
  const { dataDir: folder, logLevel } = await readConfig(file)
  const { recipe, member, rounds } = await readSettings(folder)
  const problem = problemNamed(recipe.problem)
  const data = { own: problem.own(member), heldOut: problem.heldOut(member) }
  const logger = pino({ level: logLevel, base: undefined }, pino.destination({ fd: process.stdout.fd, sync: true }))
  const learner = await Learner.open({ recipe, data, folder, seed: trainingSeed(recipe.seed, member), logger })
  return { learner, rounds }
}

/** What a member's training in a round can be repeated by. */
export function trainingSeed(seed: string, member: number): (string | number)[] {
  return ['training', seed, member]
}

async function obey(file: string, link: LauncherLink): Promise<number> {
  try {
    await link.permitted()
    const { learner } = await openLearner(file)
    const daemon = await startDaemon(file, { ...link.hooks, application: learner })
    await link.serve(ordered(daemon, learner))
    await daemon.stop()
    return 0
  } catch (error) {
    link.failed(error as Error)
    throw error
  }
}

/** A launcher that compares sums with what went into them has each member write its vector where the input would lie. */
function ordered(daemon: Daemon, learner: Learner): Ordered {
  return {
    id: daemon.id,
    addresses: daemon.addresses,
    stage: async (round, file) => {
      const { vector, score, weight } = await learner.prepare(round)
      await writeNpy(file, vector)
      const told: Told = { model: learner.hash, examples: weight ?? score.examples }
      await writeFile(`${file}.json`, JSON.stringify(told))
    },
    want: () => daemon.want(),
    isolate: (isolated) => daemon.isolate(isolated),
    status: () => daemon.status(),
    export: (round, file) => daemon.export(round, file),
    glimpse: (...told) => daemon.glimpse(...told)
  }
}
