import { writeFile } from 'node:fs/promises'
import type { Logger } from 'pino'
import { Asking } from '../../src/network/asking.ts'
import type { RoundOutcome } from '../../src/round/outcome.ts'
import type { Daemon } from '../daemon/daemon.ts'
import type { Ordered } from '../daemon/launcher-link.ts'
import { runNode } from '../daemon/run-node.ts'
import type { Program } from '../daemon/run-node.ts'
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
export function runLearner(file: string): Promise<number> {
  return runNode(file, [], openLearner)
}

async function openLearner(folder: string, logger: Logger): Promise<Program> {
  const { recipe, member, rounds } = await readSettings(folder)
  const problem = problemNamed(recipe.problem)
  const data = { own: problem.own(member), heldOut: problem.heldOut(member) }
  let asking: Asking | undefined
  const taken = (outcome: RoundOutcome): void => asking?.closed(outcome)
  const learner = await Learner.open({ recipe, data, folder, seed: trainingSeed(recipe.seed, member), logger, taken })
  return {
    application: learner,
    ordered: (daemon) => ordered(daemon, learner),
    began: (daemon) => {
      const next = (): number => daemon.status().closedRound + 1
      asking = new Asking({
        // Deadlines run from here, so it has trained before.
        want: async () => {
          await learner.prepare(next())
          await daemon.want()
        },
        isDue: () => next() <= rounds && !learner.isSpent,
        deadlineMs: daemon.task.deadlineMs,
        refused: ({ message }) => logger.warn({ reason: message }, 'no round was asked for')
      })
      asking.again()
    }
  }
}

/** What a member's training in a round can be repeated by. */
export function trainingSeed(seed: string, member: number): (string | number)[] {
  return ['training', seed, member]
}

/** A launcher that compares sums with what went into them has each member write its vector where the input would lie. */
function ordered(daemon: Daemon, learner: Learner): Ordered {
  return {
    id: daemon.id,
    addresses: daemon.addresses,
    feed: daemon.feed,
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
