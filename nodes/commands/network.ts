import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { TaskError } from '../../src/errors.ts'
import type { NetworkPage } from '../local-network/page.ts'
import { printJson } from './command.ts'
import type { Command } from './command.ts'
import { endOnSignals } from './signals.ts'
import { networkOptions, networkRun, pauseMs } from './network-options.ts'

export const networkCommand: Command = {
  name: 'network',
  summary: 'Runs a real network on this machine: N processes over libp2p, round after round.',
  options: networkOptions,
  examples: [
    ['network --peers 16 --rounds 3', 'sixteen members, generated vectors'],
    ['network --dashboard', 'and a page that shows them'],
    ['network --kill aggregator@sum', 'kills who leads, at the last moment'],
    ['network --inputs DIR --out SUMS', 'your own vectors, and their sums']
  ],
  async run(typed) {
    const run = networkRun(typed)
    const pause = pauseMs(typed)
    const endNoMore = endOnSignals()
    const { runNetwork } = await import('../local-network/run.ts')
    const { Table } = await import('./table.ts')
    const json = typed.json === true
    const people = json ? process.stderr : process.stdout
    const table = new Table(people)
    const page = typed.dashboard === true ? await openPage(people, json) : undefined
    const summary = await runNetwork(
      { ...run, watch: page?.watch },
      {
        started: (task, network) => page?.started(task, network),
        round: async (report, sumFile) => {
          table.row(report)
          if (json) printJson(report)
          await page?.closed(report, sumFile)
          if (report.round < run.rounds) await sleep(pause)
        },
        warn: (text) => void process.stderr.write(`secagg: ${text}\n`)
      }
    ).catch((error: Error) => Promise.reject(inOptions(error)))
    table.end(summary)
    if (json) printJson(summary)
    if (page !== undefined && process.stdout.isTTY) {
      people.write('\n  The dashboard stays until Ctrl-C.\n')
      endNoMore()
      await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
    }
    await page?.close()
    return summary.exact === summary.rounds ? 0 : 1
  }
}

/** What a task's fields are called here, where there is no file of a task. */
const optionOf = new Map([
  ['encoding.bits', '--bits'],
  ['encoding.max', '--max'],
  ['encoding.weighted', '--weights']
])

function inOptions(error: Error): Error {
  if (!(error instanceof TaskError)) return error
  const named = error.message.replaceAll(/encoding\.\w+/g, (field) => optionOf.get(field) ?? field)
  return named === error.message ? error : new TaskError(error.code, named, { cause: error })
}

async function openPage(people: NodeJS.WriteStream, json: boolean): Promise<NetworkPage> {
  const { NetworkPage } = await import('../local-network/page.ts')
  const page = await NetworkPage.open()
  people.write(`\n  dashboard: ${page.url}\n`)
  if (json) printJson({ type: 'dashboard', url: page.url })
  return page
}
