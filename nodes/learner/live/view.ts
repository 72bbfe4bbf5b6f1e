import { styleText } from 'node:util'
import type { Phase } from '../../../src/round/ports.ts'
import type { LearningReport } from '../learning-network.ts'
import { drawCurves } from './curve.ts'

const CURVE = { width: 60, height: 9 }
/** What there must be room for, so that the lower part can be drawn again in its place. */
const LEAST_ROWS = 16
const LEAST_COLUMNS = 72

const columns: [title: string, width: number][] = [
  ['round', 5],
  ['aggregator', -10],
  ['included', -8],
  ['lost', -8],
  ['seconds', 7],
  ['exact', -5],
  ['together', 8],
  ['alone', 6],
  ['model', -8]
]

function line(cells: string[]): string {
  const padded = cells.map((cell, at) =>
    columns[at][1] > 0 ? cell.padStart(columns[at][1]) : cell.padEnd(-columns[at][1])
  )
  return `  ${padded.join('  ')}`.trimEnd()
}

const percent = (part: number): string => `${(100 * part).toFixed(1)}%`

export interface ViewOptions {
  rounds: number
  members: number
  /** Whose own model is shown beside the joint one. */
  alone: number
  /** Of the model that all begin with. */
  first: { together: number; alone: number }
}

/**
 * What people look at while the members learn: a line for each round, and on a terminal below it, drawn again and again,
 * the curve so far and what each member is doing.
 */
export class LiveView {
  readonly #stream: NodeJS.WriteStream
  readonly #options: ViewOptions
  readonly #isLive: boolean
  readonly #together: number[]
  readonly #alone: number[]
  readonly #phases = new Map<number, Phase>()
  readonly #gone = new Set<number>()
  #leader?: number
  #doing = 'starting'
  #drawn = 0
  #tick?: NodeJS.Timeout

  constructor(stream: NodeJS.WriteStream, options: ViewOptions) {
    this.#stream = stream
    this.#options = options
    this.#isLive = stream.isTTY && stream.rows >= LEAST_ROWS && stream.columns >= LEAST_COLUMNS
    this.#together = [options.first.together]
    this.#alone = [options.first.alone]
    if (this.#isLive) this.#tick = setInterval(() => this.#draw(), 250)
  }

  begin(): void {
    this.#print(
      `${line(columns.map(([title]) => title))}\n${line(columns.map(([, width]) => '─'.repeat(Math.abs(width))))}`
    )
  }

  doing(text: string): void {
    this.#doing = text
    this.#phases.clear()
    this.#gone.clear()
    this.#leader = undefined
    this.#draw()
  }

  phase(number: number, phase: Phase, leading: boolean): void {
    this.#phases.set(number, phase)
    this.#gone.delete(number)
    if (leading) this.#leader = number
  }

  gone(number: number): void {
    this.#gone.add(number)
  }

  round(report: LearningReport): void {
    this.#together.push(report.together)
    this.#alone.push(report.alone)
    this.#print(this.#row(report))
  }

  note(text: string): void {
    this.#print(`         ${text}`)
  }

  end(): void {
    clearInterval(this.#tick)
    this.#erase()
    this.#stream.write(`\n${this.#curve().join('\n')}\n`)
  }

  #row(report: LearningReport): string {
    const { round, aggregatorIndex, included, members, dropped, missing, durationMs, status, exact, together, alone } =
      report
    return line([
      String(round),
      aggregatorIndex === null ? '-' : `peer-${aggregatorIndex}`,
      status === 'burned' ? 'burned' : `${included.length}/${members}`,
      [...dropped, ...missing].map((number) => `peer-${number}`).join(' ') || '-',
      (durationMs / 1000).toFixed(1),
      status === 'burned' || report.epsilon !== undefined ? '-' : exact ? 'yes' : 'NO',
      percent(together),
      percent(alone),
      report.model.slice(0, 8)
    ])
  }

  #print(text: string): void {
    this.#erase()
    this.#stream.write(`${text}\n`)
    this.#draw()
  }

  #draw(): void {
    if (!this.#isLive) return
    const text = [...this.#curve(), '', ...this.#status()]
    this.#erase()
    this.#stream.write(`\n${text.join('\n')}\n`)
    this.#drawn = text.length + 1
  }

  #erase(): void {
    if (this.#drawn > 0) this.#stream.write(`\x1b[${this.#drawn}A\x1b[J`)
    this.#drawn = 0
  }

  get #colors(): boolean {
    return this.#stream.isTTY && process.env.NO_COLOR === undefined
  }

  #paint(color: Parameters<typeof styleText>[0], text: string): string {
    return this.#colors ? styleText(color, text, { validateStream: false }) : text
  }

  #curve(): string[] {
    const { rounds, alone } = this.#options
    const together = { label: 'together', values: this.#together, color: 'cyan' } as const
    const single = { label: 'alone', values: this.#alone, color: 'yellow' } as const
    const last = (values: number[]): string => percent(values.at(-1)!)
    const keys = [
      this.#paint('cyan', `━ together ${last(this.#together)}`),
      this.#paint('yellow', `━ peer-${alone} alone ${last(this.#alone)}`)
    ]
    return [
      `  predictions that are right, over rounds     ${keys.join('   ')}`,
      ...drawCurves([together, single], { rounds, ...CURVE, colors: this.#colors })
    ]
  }

  #status(): string[] {
    const { members } = this.#options
    const marks = Array.from({ length: members }, (_, number) => {
      if (this.#gone.has(number)) return this.#paint('red', `✖${number}`)
      if (number === this.#leader) return this.#paint(['bold', 'green'], `★${number}`)
      return this.#phases.has(number) ? ` ${number}` : this.#paint('dim', ` ${number}`)
    })
    const counts = new Map<Phase, number>()
    for (const [number, phase] of this.#phases)
      if (!this.#gone.has(number)) counts.set(phase, (counts.get(phase) ?? 0) + 1)
    const phases = [...counts].map(([phase, count]) => `${count} ${phase}`).join(', ')
    return [
      `  members ${marks.join(' ')}   ${this.#paint('dim', '★ aggregates  ✖ killed')}`,
      `  ${this.#doing}${phases === '' ? '' : `: ${phases}`}`
    ]
  }
}
