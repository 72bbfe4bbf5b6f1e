import { stripVTControlCharacters, styleText } from 'node:util'
import type { Phase } from '../../../src/round/ports.ts'
import { unwrapped } from '../../terminal.ts'
import type { LearningReport } from '../learning-network.ts'
import { drawCurves } from './curve.ts'

const CURVE = { width: 60, height: 9 }
/** Members whose marks stand in one line. */
const MARKS_IN_LINE = 10

/** In all no wider than a terminal of 80 columns. */
const columns: [title: string, width: number][] = [
  ['round', 5],
  ['aggregator', -10],
  ['included', -8],
  ['lost', -6],
  ['seconds', 7],
  ['exact', -5],
  ['together', 8],
  ['alone', 6],
  ['model', -6]
]

function line(cells: string[]): string {
  const padded = cells.map((cell, at) =>
    columns[at][1] > 0 ? cell.padStart(columns[at][1]) : cell.padEnd(-columns[at][1])
  )
  return `  ${padded.join('  ')}`.trimEnd()
}

/** In five letters. */
const epsilonText = (epsilon: number): string => (epsilon < 1000 ? epsilon.toPrecision(3) : epsilon.toExponential(0))

const percent = (part: number): string => `${(100 * part).toFixed(1)}%`

export interface ViewOptions {
  rounds: number
  members: number
  /** Whose own model is shown beside the joint one. */
  alone: number
  /** With privacy the sums are not exact: the ε reached stands there instead. */
  isPrivate: boolean
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
  readonly #together: number[]
  readonly #alone: number[]
  readonly #phases = new Map<number, Phase>()
  #running?: ReadonlySet<number>
  #leader?: number
  #round = 0
  /** How wide the lines below the table are. */
  #drawn: number[] = []
  #tick?: NodeJS.Timeout

  constructor(stream: NodeJS.WriteStream, options: ViewOptions) {
    this.#stream = stream
    this.#options = options
    this.#together = [options.first.together]
    this.#alone = [options.first.alone]
    if (stream.isTTY) this.#tick = setInterval(() => this.#draw(), 250)
  }

  begin(): void {
    this.#print(
      `${line(columns.map(([title]) => (title === 'exact' && this.#options.isPrivate ? 'ε' : title)))}\n${line(columns.map(([, width]) => '─'.repeat(Math.abs(width))))}`
    )
  }

  /** A round is about to be asked for: the members train for it. */
  opening(round: number): void {
    this.#round = round
    this.#phases.clear()
    this.#leader = undefined
    this.#draw()
  }

  phase(number: number, phase: Phase, leading: boolean): void {
    // The last words of one that was killed may come after its end.
    if (this.#isGone(number)) return
    this.#phases.set(number, phase)
    if (leading) this.#leader = number
  }

  /** Who runs has changed: all others are gone until they run again. */
  running(numbers: readonly number[]): void {
    this.#running = new Set(numbers)
    for (const number of this.#phases.keys()) if (this.#isGone(number)) this.#phases.delete(number)
    if (this.#leader !== undefined && this.#isGone(this.#leader)) this.#leader = undefined
    this.#draw()
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
    this.#stream.write(`${this.#erased()}\n${this.#curve().join('\n')}\n`)
  }

  #row(report: LearningReport): string {
    const {
      round,
      aggregatorIndex,
      included,
      members,
      dropped,
      missing,
      durationMs,
      status,
      exact,
      together,
      alone,
      epsilon
    } = report
    return line([
      String(round),
      aggregatorIndex === null ? '-' : `peer-${aggregatorIndex}`,
      status === 'burned' ? 'burned' : `${included.length}/${members}`,
      [...dropped, ...missing].join(', ') || '-',
      (durationMs / 1000).toFixed(1),
      epsilon !== undefined ? epsilonText(epsilon) : status === 'burned' ? '-' : exact ? 'yes' : 'NO',
      percent(together),
      percent(alone),
      report.model.slice(0, 6)
    ])
  }

  #print(text: string): void {
    this.#stream.write(`${this.#erased()}${text}\n`)
    this.#draw()
  }

  #draw(): void {
    const { rows, columns: width } = this.#stream
    if (!this.#stream.isTTY) return
    const status = this.#status()
    const whole = ['', ...this.#curve(), '', ...status]
    // What is higher than the terminal could not be erased again; the cursor stands below it.
    const shown = [whole, status, []].find(({ length }) => length < rows) ?? []
    // In one piece, so that nobody sees it without.
    this.#stream.write(this.#erased() + unwrapped(shown.map((text) => `${text}\n`).join('')))
    this.#drawn = shown.map((text) => Math.min(width, stripVTControlCharacters(text).length))
  }

  /** What erases the lines below the table. A terminal that was made narrower meanwhile has wrapped them. */
  #erased(): string {
    const { columns: most } = this.#stream
    const lines = this.#drawn.reduce((sum, width) => sum + Math.max(1, Math.ceil(width / most)), 0)
    this.#drawn = []
    return lines === 0 ? '' : `\x1b[${lines}A\x1b[J`
  }

  #isGone(number: number): boolean {
    return this.#running?.has(number) === false
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
      `  right predictions over rounds   ${keys.join('   ')}`,
      ...drawCurves([together, single], { rounds, ...CURVE, colors: this.#colors })
    ]
  }

  #status(): string[] {
    const { members } = this.#options
    const marks = Array.from({ length: members }, (_, number) => {
      if (this.#isGone(number)) return this.#paint('red', `✖${number}`)
      if (number === this.#leader) return this.#paint(['bold', 'green'], `★${number}`)
      return this.#phases.has(number) ? ` ${number}` : this.#paint('dim', ` ${number}`)
    })
    const counts = new Map<Phase, number>()
    for (const phase of this.#phases.values()) counts.set(phase, (counts.get(phase) ?? 0) + 1)
    const phases = [...counts].map(([phase, count]) => `${count} ${phase}`).join(', ')
    const doing = phases === '' ? 'members train on their own data' : phases
    const legend = this.#paint('dim', '★ aggregates  ✖ killed')
    const lines: string[] = []
    while (marks.length > 0) lines.push(marks.splice(0, MARKS_IN_LINE).join(' '))
    return [
      ...lines.map((line, at) => (at === 0 ? `  members ${line}   ${legend}` : `          ${line}`)),
      this.#round === 0 ? '' : `  round ${this.#round}: ${doing}`
    ]
  }
}
