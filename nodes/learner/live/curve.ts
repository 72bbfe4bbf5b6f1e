import { styleText } from 'node:util'

export interface Series {
  label: string
  /** From 0 to 1, one for each round from the first point on. */
  values: number[]
  color: 'cyan' | 'yellow' | 'magenta' | 'green'
}

/** A braille character is two dots wide and four high; these are their bits, by column and row. */
const dots = [
  [0x01, 0x02, 0x04, 0x40],
  [0x08, 0x10, 0x20, 0x80]
]
const BLANK = 0x2800

/** Curves over rounds 0 to `rounds`, up to all of it, as lines of text; later series do not cover earlier ones. */
export function drawCurves(
  series: Series[],
  { rounds, width, height, colors }: { rounds: number; width: number; height: number; colors: boolean }
): string[] {
  const cells = Array.from({ length: height }, () => Array.from({ length: width }, () => ({ bits: 0, owner: -1 })))
  series.forEach(({ values }, owner) => {
    for (const [x, y] of traced(values, { rounds, columns: 2 * width, rows: 4 * height })) {
      const cell = cells[y >> 2][x >> 1]
      if (cell.owner < 0) cell.owner = owner
      if (cell.owner === owner) cell.bits |= dots[x & 1][y & 3]
    }
  })
  const paint = (text: string, owner: number): string =>
    colors && owner >= 0 ? styleText(series[owner].color, text, { validateStream: false }) : text
  const lines = cells.map((row, at) => {
    const value = 1 - at / (height - 1)
    const label = at % 2 === 0 ? `${Math.round(100 * value)}%` : ''
    return `  ${label.padStart(4)} ┤${row.map(({ bits, owner }) => paint(String.fromCharCode(BLANK + bits), owner)).join('')}`
  })
  return [...lines, `       └${axis(rounds, width)}`]
}

/** Every dot of the lines between the points. */
function* traced(
  values: number[],
  { rounds, columns, rows }: { rounds: number; columns: number; rows: number }
): Generator<[x: number, y: number]> {
  const xOf = (round: number): number => Math.round((round / rounds) * (columns - 1))
  const yOf = (value: number): number => Math.round((1 - value) * (rows - 1))
  for (let at = 0; at < values.length; at++) {
    const [x, y] = [xOf(at), yOf(values[at])]
    yield [x, y]
    if (at === 0) continue
    const [fromX, fromY] = [xOf(at - 1), yOf(values[at - 1])]
    const steps = Math.max(Math.abs(x - fromX), Math.abs(y - fromY))
    for (let step = 0; step < steps; step++)
      yield [Math.round(fromX + ((x - fromX) * step) / steps), Math.round(fromY + ((y - fromY) * step) / steps)]
  }
}

/** A rule with the numbers of rounds on it, as many as there is room for. */
function axis(rounds: number, width: number): string {
  const rule = Array<string>(width).fill('─')
  const every = Math.ceil((rounds * 4) / width)
  for (let round = every; round <= rounds; round += every) {
    const text = String(round)
    const at = Math.min(width - text.length, Math.round((round / rounds) * (width - 1)))
    rule.splice(at, text.length, ...text)
  }
  return rule.join('')
}
