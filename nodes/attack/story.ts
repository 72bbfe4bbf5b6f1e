import type { Results } from './attack.ts'
import type { Panel } from './picture.ts'
import type { Reading } from './reading.ts'
import { RARE_WORD, SUSPECTS } from './update.ts'
import { SEED_BITS } from './weak-build.ts'

/** What the program says, in plain words and numbers. */

export function introduction(): string {
  return `
  Can the aggregator read a rare word?
  ────────────────────────────────────
  Eight people train the next-word model of a keyboard together. One of them
  typed "${RARE_WORD}". The aggregator is corrupt: it keeps all that it is sent,
  and looks in that person's update for ${SUSPECTS.length} words it would like to find there.

`
}

/** Sentences as the work goes on, and under them how far the search is, where there is a terminal. */
export function progressBar(stream: NodeJS.WriteStream) {
  let shown = -1
  const clear = (): void => void (shown >= 0 && stream.isTTY && stream.write('\r\x1b[K'))
  return {
    say(sentence: string): void {
      clear()
      shown = -1
      stream.write(`  · ${sentence}\n`)
    },
    show(tried: number, of: number): void {
      const percent = Math.floor((100 * tried) / of)
      if (percent === shown || !stream.isTTY) return
      shown = percent
      stream.write(`\r    ${'█'.repeat(percent / 4).padEnd(25, '░')} ${String(percent).padStart(3)} %`)
    },
    end: clear
  }
}

const widths = [34, 10, 10, 8] as const

function line(cells: string[]): string {
  const [name, ...others] = cells
  return `  ${name.padEnd(widths[0])}${others.map((cell, at) => cell.padStart(widths[at + 1] ?? 0)).join('')}`
}

const pText = (p: number): string => (p < 0.0001 ? '< 0.0001' : p.toFixed(3))

function row(label: string, reading: Reading | undefined): string {
  if (reading === undefined) return `  ${label.padEnd(widths[0])}  the search found nothing`
  const { bytes, values, match, words } = reading
  return `${line([label, pText(bytes), pText(values), match.z.toFixed(1)])}   ${words.join(', ') || 'none'}`
}

function table({ plain, received, closed, late, weak, searched }: Results): string {
  return [
    line(['', 'bytes', 'values', 'trace']) + '   words that stand out',
    `  ${'─'.repeat(86)}`,
    '  Plain averaging',
    row('    the update itself', plain),
    '  Secure aggregation',
    row('    the vector as it came in', received),
    row('    when the round is over', closed),
    row('    when it was called too late', late),
    '  Secure aggregation with short seeds',
    row('    when it was called too late', weak),
    row('    after trying the seeds', searched)
  ].join('\n')
}

/** A duration as people say it. */
function duration(hours: number): string {
  if (hours >= 1) return `${hours.toFixed(1)} hours`
  return hours * 60 >= 1 ? `${(hours * 60).toFixed(0)} minutes` : `${(hours * 3600).toFixed(0)} seconds`
}

export function story(results: Results, file: string): string {
  const { sum, search, told } = results
  const { width, tried, seconds, threads, candidatesPerSecond, hours, hoursOnOneThread, foundInRealBuild } = search
  const number = (value: number): string => Math.round(value).toLocaleString('en')
  const outcome =
    search.word === undefined
      ? `No seed was found among ${number(tried)}.`
      : `The seed was found after ${number(tried)} of ${number(2 ** width)} candidates, in ${seconds.toFixed(1)} s.`
  const control = foundInRealBuild
    ? 'One of them matches the real build too, which is a defect.'
    : 'The same candidates tried on the real build match nothing.'
  const paragraphs = [
    `bytes, values: how often noise would look at least as uneven (chi-square over the bytes and over the elements; small
    means: not noise). trace: how strongly the vector follows the true update, in standard deviations of chance; beyond 5
    is a trace.`,
    `The sum of all ${sum.included} is exact: it differs from the plain sum by at most ${sum.largestError.toExponential(1)},
    and rounding may make ${sum.bound.toExponential(1)} of difference.`,
    `When the aggregator calls a vector too late, the others open its pairwise masks, and the member's own mask alone
    protects it. With 256-bit seeds that is enough, and the member is told that its input was ${told}.`,
    `With short seeds nothing shows it, the tests above pass as well, until somebody tries them. ${outcome} ${control}`,
    `This run's short seeds have ${width} bits${width < SEED_BITS ? ', so that it ends in seconds' : ''}:
    ${number(candidatesPerSecond)} candidates a second on ${threads} threads. At this rate all 2^${SEED_BITS} take
    ${duration(hours)} (${duration(hoursOnOneThread)} on one thread, ${duration(hoursOnOneThread / 64)} on 64). 256-bit
    seeds cannot be searched.`,
    `The picture: ${file}`
  ]
  return `\n${table(results)}\n\n${paragraphs.map(wrapped).join('\n')}\n`
}

/** Indented lines of at most 80 columns. */
function wrapped(text: string): string {
  return text.replaceAll(/\s+/g, ' ').replaceAll(/(.{1,76})(?: |$)/g, '  $1\n')
}

export function panels({ plain, late, received, searched, search }: Results): Panel[] {
  const all: (Panel | undefined)[] = [
    {
      title: 'Plain averaging',
      subtitle: 'The aggregator reads the update, and the one word that its writer typed.',
      reading: plain
    },
    {
      title: 'Secure aggregation: the vector as it came in',
      subtitle: 'Every row is noise; the word is not to be seen.',
      reading: received
    },
    {
      title: 'Secure aggregation: a cheat calls it too late',
      subtitle: 'The aggregator has the pairwise masks opened; the own mask stays: still noise.',
      reading: late
    },
    searched && {
      title: 'The same with short seeds: after trying them all',
      subtitle: seedsTried(search),
      reading: searched
    }
  ]
  return all.filter((panel) => panel !== undefined)
}

function seedsTried({ width, hours }: Results['search']): string {
  const all = width < SEED_BITS ? `${width} bits; all ${SEED_BITS} take` : `all ${SEED_BITS} bits, in`
  return `The update lies open again (${all} ${duration(hours)} on this machine).`
}

export function forScripts(results: Results, claimed: boolean): object[] {
  const { sum, search, told, ...readings } = results
  const views = Object.values(readings).filter((reading) => reading !== undefined)
  return [
    ...views.map((reading) => ({ type: 'reading', ...reading })),
    { type: 'sum', ...sum },
    { type: 'search', ...search },
    { type: 'told', input: told },
    { type: 'summary', asClaimed: claimed }
  ]
}
