import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { printJson } from '../commands/command.ts'
import { makeFolder } from '../folder.ts'
import { writeNpy } from '../npy.ts'
import { runLearning } from './learning-network.ts'
import type { Learned, LearningReport, LearningRun } from './learning-network.ts'
import { LiveView } from './live/view.ts'
import { predictions, typePredictions } from './predictions.ts'

export interface LearnOptions {
  run: LearningRun
  /** Folder for the model and a line for each round. */
  out?: string
  json: boolean
}

/** Members learn together, for people to watch. @returns the exit code: 0 where every round was summed and right */
export async function learn({ run, out, json }: LearnOptions): Promise<number> {
  const people = json ? process.stderr : process.stdout
  if (out !== undefined) await makeFolder(out, { named: `--out ${out}` })
  people.write(introduction(run))
  let view: LiveView | undefined
  people.write(`\n  starting ${run.peers} processes …\n\n`)
  const learned = await runLearning(run, {
    started: (first) => {
      view = new LiveView(people, {
        rounds: run.rounds,
        members: run.peers,
        alone: run.alone,
        isPrivate: run.privacy !== undefined,
        first
      })
      view.begin()
    },
    opening: (round) => view?.opening(round),
    phase: (number, { phase, leading }) => view?.phase(number, phase, leading),
    running: (numbers) => view?.running(numbers),
    round: (report) => {
      view?.round(report)
      for (const number of report.killed)
        view?.note(`peer-${number} was killed while it masked its update, and is started again`)
      if (json) printJson(report)
    },
    warn: (text) => view?.note(text)
  }).finally(() => view?.end())
  const rows = run.recipe.problem === 'words' ? predictions(learned.joint.parameters, learned.alone) : []
  if (rows.length > 0) await typePredictions(people, rows, run.alone)
  people.write(conclusion(run, learned))
  const summary = summarise(learned.reports)
  if (json) {
    if (rows.length > 0) printJson({ type: 'predictions', predictions: rows })
    printJson(summary)
  }
  if (out !== undefined) await writeResults(out, learned)
  return summary.right === summary.rounds ? 0 : 1
}

function summarise(reports: LearningReport[]) {
  const summed = reports.filter(({ status }) => status === 'summed')
  const { together, alone, model, epsilon } = reports.at(-1)!
  return {
    type: 'summary',
    rounds: reports.length,
    summed: summed.length,
    /** Sums that equal the plain sum of the updates, of members that all started from one model. */
    right: summed.filter(({ exact, sameModel, epsilon }) => (exact || epsilon !== undefined) && sameModel).length,
    distinctAggregators: new Set(reports.map(({ aggregatorIndex }) => aggregatorIndex)).size,
    together,
    alone,
    model,
    ...(epsilon !== undefined && { epsilon })
  }
}

async function writeResults(out: string, { reports, joint }: Learned): Promise<void> {
  await writeFile(join(out, 'rounds.jsonl'), reports.map((report) => `${JSON.stringify(report)}\n`).join(''))
  await writeNpy(join(out, 'model.npy'), joint.parameters)
}

function introduction({ recipe, peers, rounds, privacy }: LearningRun): string {
  const what =
    recipe.problem === 'words'
      ? `${peers} keyboards learn to predict the next word. Each has what one person typed,`
      : `${peers} members learn to read digits. Each has drawings of two or three kinds,`
  const noise =
    privacy === undefined
      ? ''
      : `\n  Each adds noise to its update: multiplier ${privacy.noiseMultiplier}, clip ${privacy.clip}.`
  return `
  Private federated learning
  ──────────────────────────
  ${what}
  trains on it by itself, and contributes only the change of its model, under
  masks. There is no server: in each of ${rounds} rounds another member adds up what it
  cannot read.${noise}
`
}

function conclusion(run: LearningRun, { reports }: Learned): string {
  const { rounds, right, together, alone, distinctAggregators, epsilon } = summarise(reports)
  const percent = (part: number): string => `${(100 * part).toFixed(0)}%`
  const sums =
    epsilon === undefined
      ? `${right} of ${rounds} sums equal plain averaging within rounding`
      : `ε reached by each member: ${epsilon.toFixed(1)} at δ = ${run.privacy!.delta}`
  return `
  Together ${percent(together)} of the predictions are right, peer-${run.alone} alone ${percent(alone)}.
  ${sums};
  ${distinctAggregators === 1 ? '1 member' : `${distinctAggregators} different members`} aggregated.

`
}
