import type { Command } from './command.ts'
import { endOnSignals } from './signals.ts'

export const wordCountsCommand: Command = {
  name: 'word-counts',
  summary: 'Private word counts: eight members learn which words are frequent, and nobody reads a text.',
  options: {},
  async run({ json }) {
    endOnSignals()
    const { runWordCounts } = await import('../word-counts/program.ts')
    return runWordCounts({ json: json === true })
  }
}
