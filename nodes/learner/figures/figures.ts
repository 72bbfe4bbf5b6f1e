import { accuracyFigure } from './accuracy.ts'
import type { AccuracyFigure } from './accuracy.ts'
import { plotBars, plotLines } from './plot.ts'
import { privacyTable } from './privacy.ts'
import type { PrivacyRow } from './privacy.ts'
import { robustnessTable } from './robustness.ts'
import type { RobustnessRow } from './robustness.ts'
import type { FigureName } from './names.ts'
import { speedTable } from './speed.ts'
import type { SpeedRow } from './speed.ts'

/** What a bad update keeps to, in two words. */
const limits = { norm: 'norm', encoding: 'clip' }
/** How the mean is taken where some poison. */
const ways = ['mean of all', 'trimmed mean over 8 groups']
const tell = (text: string): void => void process.stderr.write(`  ${text}\n`)

/** What each of `npm run figures` makes: files by their names. */
export const figures: Record<FigureName, () => Promise<Record<string, string>>> = {
  'accuracy-words': () => accuracy({ problem: 'words', peers: 8, rounds: 8, noiseMultiplier: 0.02 }),
  'accuracy-digits': () => accuracy({ problem: 'digits', peers: 32, rounds: 20, noiseMultiplier: 0.3 }),
  privacy: async () => {
    const shape = { peers: 128, rounds: 12, multipliers: [0.3, 0.6, 1, 2, 4] }
    const rows = await privacyTable(shape, tell)
    const table = rows.map(({ noiseMultiplier, epsilon, accuracy: right }) => [
      String(noiseMultiplier ?? 'no noise'),
      epsilon?.toFixed(1) ?? '–',
      percent(right)
    ])
    return {
      'privacy.md': markdown(['noise multiplier z', 'ε at δ = 1e-5', 'digits right'], table),
      'privacy.svg': await privacyPlot(rows, shape)
    }
  },
  robustness: async () => {
    const poisons: RobustnessRow['poison'][] = [
      { members: 0, within: 'norm' },
      { members: 3, within: 'norm' },
      { members: 1, within: 'encoding' },
      { members: 2, within: 'encoding' },
      { members: 3, within: 'encoding' }
    ]
    const threat = { corrupt: 0.05, dropout: 0.05 }
    const shape = { peers: 64, rounds: 10, seeds: 3, threat, groups: { count: 8, trim: 3 }, poisons }
    const { rows, honest } = await robustnessTable(shape, tell)
    const table = rows.map(({ poison, mean, trimmedMean }) => [
      poison.members === 0 ? 'nobody' : `${poison.members}, as far as the ${poison.within} lets them`,
      percent(mean),
      percent(trimmedMean)
    ])
    const heads = ['who poisons', ...ways]
    const hidden = `Honest members in a sum, at least: ${honest.together} of all, ${honest.inGroup} of a group.`
    return {
      'robustness.md': `${markdown(heads, table)}\n${hidden}\n`,
      'robustness.svg': await robustnessPlot(rows, shape)
    }
  },
  speed: async () => {
    const rows = await speedTable([8, 16, 32], 3, tell)
    const kb = (bytes: number): string => `${Math.round(bytes / 1000)} kB`
    const table = rows.map((row) => [
      String(row.members),
      row.seconds.toFixed(2),
      kb(row.memberSent),
      kb(row.memberReceived),
      kb(row.aggregatorSent),
      kb(row.aggregatorReceived)
    ])
    const heads = ['members', 'seconds', 'member sends', 'receives', 'aggregator sends', 'receives']
    return {
      'speed.md': markdown(heads, table),
      'speed.svg': await secondsPlot(rows),
      'bytes.svg': await bytesPlot(rows)
    }
  }
}

async function accuracy(figure: AccuracyFigure): Promise<Record<string, string>> {
  const { svg, curves, apart } = await accuracyFigure(figure, tell)
  const rows = Object.entries(curves).map(([name, values]) => [name, percent(values[0]), percent(values.at(-1)!)])
  const table = markdown(['', 'before', `after ${figure.rounds} rounds`], rows)
  const name = `accuracy-${figure.problem}`
  return { [`${name}.svg`]: svg, [`${name}.md`]: `${table}\nPlain and secure differ by ${percent(apart)} at most.\n` }
}

function privacyPlot(rows: PrivacyRow[], { peers, rounds }: { peers: number; rounds: number }): Promise<string> {
  const private_ = rows.filter(({ epsilon }) => epsilon !== undefined)
  const epsilons = private_.map(({ epsilon }) => epsilon!)
  const [none] = rows.filter(({ epsilon }) => epsilon === undefined)
  const line = (x: number) => ({ x, y: none.accuracy, series: 'no noise' })
  return plotLines({
    title: `digits: ${peers} members, ${rounds} rounds, with privacy`,
    subtitle: 'z: noise multiplier',
    x: 'ε at δ = 1e-5',
    y: 'digits right',
    points: [
      ...private_.map(({ noiseMultiplier, epsilon, accuracy: y }) => ({
        ...{ x: epsilon!, y, series: 'with noise' },
        label: `z = ${noiseMultiplier}`
      })),
      line(Math.min(...epsilons)),
      line(Math.max(...epsilons))
    ],
    series: [
      { name: 'with noise', color: '#0072b2' },
      { name: 'no noise', color: '#707070', dash: [5, 4] }
    ],
    percent: true,
    logarithmic: true
  })
}

function robustnessPlot(rows: RobustnessRow[], { peers, rounds }: { peers: number; rounds: number }): Promise<string> {
  return plotBars({
    title: `digits: ${peers} members, some of which poison, ${rounds} rounds`,
    x: 'members that poison, and how far they go',
    y: 'digits right',
    bars: rows.flatMap(({ poison, mean, trimmedMean }) => {
      const group = poison.members === 0 ? 'nobody' : `${poison.members}, up to the ${limits[poison.within]}`
      return [mean, trimmedMean].map((y, way) => ({ group, series: ways[way], y }))
    }),
    series: [
      { name: ways[0], color: '#e69f00' },
      { name: ways[1], color: '#0072b2' }
    ],
    percent: true
  })
}

function secondsPlot(rows: SpeedRow[]): Promise<string> {
  return plotLines({
    title: 'A round of the words problem, processes on one machine',
    x: 'members',
    y: 'seconds',
    points: rows.map(({ members, seconds }) => ({ x: members, y: seconds, series: 'a round' })),
    series: [{ name: 'a round', color: '#0072b2' }]
  })
}

function bytesPlot(rows: SpeedRow[]): Promise<string> {
  const lines: Record<string, { color: string; dash?: number[]; of: (row: SpeedRow) => number }> = {
    'aggregator receives': { color: '#d55e00', of: (row) => row.aggregatorReceived },
    'aggregator sends': { color: '#d55e00', dash: [5, 4], of: (row) => row.aggregatorSent },
    'member receives': { color: '#0072b2', of: (row) => row.memberReceived },
    'member sends': { color: '#0072b2', dash: [5, 4], of: (row) => row.memberSent }
  }
  return plotLines({
    title: 'Bytes of a round of the words problem',
    x: 'members',
    y: 'bytes',
    points: Object.entries(lines).flatMap(([series, { of }]) =>
      rows.map((row) => ({ x: row.members, y: of(row), series }))
    ),
    series: Object.entries(lines).map(([name, { color, dash }]) => ({ name, color, dash }))
  })
}

function percent(part: number): string {
  return `${(100 * part).toFixed(1)} %`
}

function markdown(heads: string[], rows: string[][]): string {
  const line = (cells: string[]): string => `| ${cells.join(' | ')} |\n`
  return line(heads) + line(heads.map(() => '---')) + rows.map(line).join('')
}
