import { SecureAggregationError } from '../../src/errors.ts'
import type { LearningRun } from '../learner/learning-network.ts'
import { UsageError } from '../usage-error.ts'
import { nearest } from '../suggestion.ts'
import type { Command, Typed } from './command.ts'
import { endOnSignals } from './signals.ts'
import { decimalNumber, wholeNumber } from './usage.ts'

const text = (describe: string, defaultDescription?: string) =>
  ({ type: 'string', requiresArg: true, describe, defaultDescription }) as const

/** In this round one member is killed while it masks. */
const KILLED_IN = 3

export const learnCommand: Command = {
  name: 'learn',
  summary: 'Private federated learning: members train one model together, and nobody sees anyone’s update.',
  options: {
    problem: text('words (predict the next word) or digits (read drawn digits)', 'words'),
    peers: text('members, at least 3', '8'),
    rounds: text('rounds', '8'),
    algorithm: text('fedavg, fedavgm or fedadam', 'fedavg'),
    privacy: text('differential privacy with this noise multiplier (z)'),
    out: text('folder for the model and a line for each round')
  },
  async run(typed) {
    endOnSignals()
    const run = await withLibraries(() => learningRun(typed))
    const { learn } = await import('../learner/program.ts')
    return learn({ run, out: typed.out as string | undefined, json: typed.json === true })
  }
}

/** One learning member, as `learn` starts it. */
export const learnerCommand: Command = {
  name: 'learner',
  summary: 'Runs one learning member as a daemon: a node’s file, and learner.json in its folder.',
  options: { config: { ...text('the node’s file (YAML)'), demandOption: true } },
  async run({ config }) {
    const { runLearner } = await withLibraries(() => import('../learner/run-learner.ts'))
    return runLearner(config as string)
  }
}

/** TensorFlow.js is a development dependency: an application that embeds the library has no use for it. */
async function withLibraries<T>(load: () => Promise<T>): Promise<T> {
  try {
    return await load()
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw cause
    const sentence = 'learning needs TensorFlow.js; npm install @tensorflow/tfjs-core @tensorflow/tfjs-backend-cpu'
    throw new SecureAggregationError('LIBRARY_MISSING', sentence, { cause })
  }
}

async function learningRun(typed: Typed): Promise<LearningRun> {
  const { algorithms } = await import('../learner/optimizers.ts')
  const { problemNamed, problemNames } = await import('../learner/problems.ts')
  const { privacyTerms, serverSteps } = await import('../learner/recipe.ts')
  const given = (option: string, fallback: string): string => (typed[option] as string | undefined) ?? fallback
  const problem = oneOf('--problem', given('problem', 'words'), problemNames)
  const name = oneOf('--algorithm', given('algorithm', 'fedavg'), algorithms)
  const rounds = wholeNumber('--rounds', given('rounds', '8'), 1)
  const privacy =
    typed.privacy === undefined
      ? undefined
      : privacyTerms(problemNamed(problem), decimalNumber('--privacy', typed.privacy as string, 1e-4, 1000))
  return {
    recipe: {
      problem,
      algorithm: serverSteps(problemNamed(problem), name, privacy !== undefined),
      seed: 'secagg'
    },
    peers: wholeNumber('--peers', given('peers', '8'), 3, problemNamed(problem).members),
    rounds,
    privacy,
    kills: rounds > KILLED_IN ? [{ who: 'member', phase: 'mask', round: KILLED_IN }] : [],
    alone: 0,
    threat: { corrupt: 0.125, dropout: 0.25 },
    deadline: 10
  }
}

function oneOf<T extends string>(option: string, value: string, choices: readonly T[]): T {
  const found = choices.find((choice) => choice === value)
  if (found !== undefined) return found
  const meant = nearest(value, choices)
  throw new UsageError(
    `${option} must be ${choices.join(' or ')}, not "${value}"${meant === undefined ? '' : ` (did you mean ${meant}?)`}`
  )
}
