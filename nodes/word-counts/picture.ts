import type { Vocabulary } from './counts.ts'

const barWidth = 44

/** The most frequent words of the vocabulary, each with a bar. */
export function frequentWords(vocabulary: Vocabulary, totals: readonly number[], shown: number): string {
  const ranked = vocabulary.words
    .map((word, place) => ({ word, count: totals[place] }))
    .sort((a, b) => b.count - a.count || a.word.localeCompare(b.word))
    .slice(0, shown)
  const longest = Math.max(...ranked.map(({ word }) => word.length))
  const most = ranked[0].count
  const lines = ranked.map(({ word, count }) => {
    const bar = '█'.repeat(Math.max(1, Math.round((count / most) * barWidth)))
    return `  ${word.padEnd(longest)}  ${String(count).padStart(5)}  ${bar}`
  })
  return lines.join('\n')
}

export interface Row {
  label: string
  truth: number
  received: number
  total: number
}

/** One member's counts beside what its aggregator received instead of them, and what the network learned. */
export function comparison(rows: Row[], aggregator: number): string {
  const widest = Math.max(...rows.map(({ label }) => label.length), 4)
  const line = (...cells: string[]): string =>
    `  ${cells[0].padEnd(widest)}  ${cells[1].padStart(9)}  ${cells[2].padStart(20)}  ${cells[3].padStart(13)}`
  const header = line('word', 'its count', `peer-${aggregator} received`, 'sum of all')
  const rule = line('─'.repeat(widest), '─'.repeat(9), '─'.repeat(20), '─'.repeat(13))
  return [
    header,
    rule,
    ...rows.map(({ label, truth, received, total }) => line(label, ...[truth, received, total].map(String)))
  ].join('\n')
}
