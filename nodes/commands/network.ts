import { printJson } from './command.ts'
import type { Command } from './command.ts'
import { endOnSignals } from './signals.ts'
import { networkOptions, networkRun } from './network-options.ts'

export const networkCommand: Command = {
  name: 'network',
  summary: 'Runs a real network on this machine: N processes over libp2p, round after round.',
  options: networkOptions,
  async run(typed) {
    const run = networkRun(typed)
    endOnSignals()
    const { runNetwork } = await import('../local-network/run.ts')
    const { Table } = await import('./table.ts')
    const json = typed.json === true
    const table = new Table(json ? process.stderr : process.stdout)
    const summary = await runNetwork(run, {
      round: (report) => {
        table.row(report)
        if (json) printJson(report)
      },
      warn: (text) => void process.stderr.write(`secagg: ${text}\n`)
    })
    table.end(summary)
    if (json) printJson(summary)
    return summary.exact === summary.rounds ? 0 : 1
  }
}
