// Server-sent events, parsed as their standard says.
import { EventSourceParserStream } from 'eventsource-parser/stream'
import type { FeedEvents } from '../daemon/feed.ts'
import type { ToldRound } from '../daemon/round-record.ts'
import { NodeClient, nodeOptions } from '../client/node-client.ts'
import { UsageError } from '../usage-error.ts'
import { printJson } from './command.ts'
import type { Command } from './command.ts'
import { endOnSignals } from './signals.ts'
import { wholeNumber } from './usage.ts'

type Told = Omit<FeedEvents['round:closed'], 'phaseMs'>

export const roundsCommand: Command = {
  name: 'rounds',
  summary: 'Lists the closed rounds of a node.',
  options: {
    limit: { type: 'string', requiresArg: true, describe: 'at most so many, the last ones', defaultDescription: '20' },
    follow: { type: 'boolean', describe: 'go on with each round as it is closed' },
    data: { type: 'string', requiresArg: true, describe: 'the dataDir of a stopped node, instead of --node' },
    ...nodeOptions
  },
  async run({ limit = '20', follow, data, json, ...typed }) {
    const most = wholeNumber('--limit', limit as string, 1, 1000)
    const print = json === true ? (round: Told) => printJson({ type: 'round', ...round }) : table()
    if (data !== undefined) {
      if (follow === true || typed.node !== undefined)
        throw new UsageError('--data is of a stopped node; leave --follow and --node out')
      const { withStoppedNode } = await import('../client/stopped-node.ts')
      const rounds = await withStoppedNode(data as string, typed.task as string | undefined, (archive) =>
        archive.list(most)
      )
      for (const round of rounds.reverse()) print(round)
      return 0
    }
    const client = await NodeClient.of(typed)
    const path = await client.taskPath(typed.task as string | undefined)
    const { rounds } = (await (await client.fetch(`${path}/rounds?limit=${most}`)).json()) as { rounds: ToldRound[] }
    for (const round of rounds.reverse()) print(round)
    if (follow === true) await followRounds(client, rounds.at(-1)?.round ?? 0, print)
    return 0
  }
}

async function followRounds(client: NodeClient, since: number, print: (round: Told) => void): Promise<void> {
  endOnSignals()
  const { body } = await client.fetch('/v1/events')
  const events = body!.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream())
  for await (const { event, data } of events) {
    if (event !== 'round:closed') continue
    const round = JSON.parse(data) as FeedEvents['round:closed']
    if (round.round > since) print(round)
  }
}

/** Prints a line a round, the head first. */
function table(): (round: Told) => void {
  const line = (...cells: string[]): void => void process.stdout.write(`${cells.join('  ').trimEnd()}\n`)
  let begun = false
  return ({ round, status, reason = '', aggregator, included, dropped, missing, durationMs }) => {
    if (!begun) line(' round', 'status', 'aggregator', 'included', 'dropped', 'missing', '      ms', 'reason')
    begun = true
    line(
      String(round).padStart(6),
      status,
      String(aggregator).padStart(10),
      String(included.length).padStart(8),
      String(dropped.length).padStart(7),
      String(missing.length).padStart(7),
      String(Math.round(durationMs)).padStart(8),
      reason
    )
  }
}
