import type { ProblemName } from '../problems.ts'
import { problemNamed } from '../problems.ts'
import { privacyTerms, serverSteps } from '../recipe.ts'
import type { Recipe } from '../recipe.ts'
import { plotLines } from './plot.ts'
import type { Point } from './plot.ts'
import { learnAlone, learnTogether } from './simulation.ts'
import type { Setting } from './simulation.ts'

export interface AccuracyFigure {
  problem: ProblemName
  peers: number
  rounds: number
  noiseMultiplier: number
  /** The members whose own models stand for all; everybody, if left out. */
  alone?: number[]
}

export interface AccuracyResult {
  svg: string
  curves: Record<string, number[]>
  epsilon: number
  /** The largest difference between the plain and the secure curve. */
  apart: number
}

/** Accuracy over rounds: members alone (mean and best), plain averaging, secure sums, secure sums with privacy. */
export async function accuracyFigure(figure: AccuracyFigure, tell: (text: string) => void): Promise<AccuracyResult> {
  const { problem, peers, rounds, noiseMultiplier, alone: some } = figure
  const recipe = (isPrivate: boolean): Recipe => ({
    problem,
    algorithm: serverSteps(problemNamed(problem), 'fedavg', isPrivate),
    seed: 'figures'
  })
  const privacy = privacyTerms(problemNamed(problem), noiseMultiplier)
  const setting: Setting = { recipe: recipe(false), peers, rounds }
  tell('alone')
  const single = await learnAlone(setting, some)
  tell('plain averaging')
  const plain = await learnTogether(setting, 'plain')
  tell('secure sums')
  const secure = await learnTogether(setting, 'secure')
  tell('secure sums with privacy')
  const noisy = await learnTogether({ ...setting, recipe: recipe(true), privacy }, 'secure')
  const at = (of: (values: number[]) => number): number[] =>
    plain.accuracy.map((_, round) => of(single.map((curve) => curve[round])))
  const name = `secure, ε = ${noisy.epsilon!.toLocaleString('en', { maximumFractionDigits: noisy.epsilon! < 1000 ? 1 : 0 })}`
  const curves = {
    'alone, mean': at((values) => values.reduce((sum, value) => sum + value) / values.length),
    'alone, best': at((values) => Math.max(...values)),
    plain: plain.accuracy,
    secure: secure.accuracy,
    [name]: noisy.accuracy
  }
  const points = Object.entries(curves).flatMap(([series, values]) => values.map((y, x): Point => ({ x, y, series })))
  const svg = await plotLines({
    title: `${problem}: ${peers} members, FedAvg`,
    subtitle: 'on the held-out examples of all members',
    x: 'rounds',
    y: 'right predictions',
    points,
    series: [
      { name: 'alone, mean', color: '#b0b0b0' },
      { name: 'alone, best', color: '#707070' },
      { name: 'plain', color: '#e69f00' },
      { name: 'secure', color: '#0072b2', dash: [5, 4] },
      { name, color: '#cc79a7' }
    ],
    percent: true
  })
  const apart = Math.max(...plain.accuracy.map((value, round) => Math.abs(value - secure.accuracy[round])))
  return { svg, curves, epsilon: noisy.epsilon!, apart }
}
