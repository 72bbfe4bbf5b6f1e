import { createWriteStream } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { NodeClient, nodeOptions } from '../client/node-client.ts'
import { UsageError } from '../usage-error.ts'
import { printJson } from './command.ts'
import type { Command, Typed } from './command.ts'
import { wholeNumber } from './usage.ts'

export const exportCommand: Command = {
  name: 'export',
  argument: { name: 'round', describe: 'its number' },
  summary: 'Writes all that is held of a round to one file, which anyone can check without the network.',
  options: {
    out: { type: 'string', requiresArg: true, demandOption: true, describe: 'the file, a tar' },
    data: { type: 'string', requiresArg: true, describe: 'the dataDir of a stopped node, instead of --node' },
    ...nodeOptions
  },
  examples: [['export 7 --out round-7.tar --data data/me', 'and then, anywhere: secagg audit --file round-7.tar']],
  async run({ round, out, data, json, ...typed }) {
    const number = wholeNumber('the round', String(round), 1)
    const file = out as string
    if (data !== undefined && typed.node !== undefined) throw new UsageError('give --data or --node, not both')
    const bytes = await (data === undefined
      ? fetched(number, file, typed)
      : stored(number, file, data as string, typed.task as string | undefined))
    if (json === true) printJson({ type: 'export', round: number, bytes, file })
    else process.stdout.write(`${file}: round ${number}, ${bytes} bytes; check it with secagg audit --file ${file}\n`)
    return 0
  }
}

async function fetched(round: number, file: string, typed: Typed): Promise<number> {
  const client = await NodeClient.of(typed)
  const path = await client.taskPath(typed.task as string | undefined)
  const { body } = await client.fetch(`${path}/rounds/${round}/transcript`)
  return write(file, Readable.fromWeb(body as Parameters<typeof Readable.fromWeb>[0]))
}

async function stored(round: number, file: string, dataDir: string, task: string | undefined): Promise<number> {
  const { withStoppedNode } = await import('../client/stopped-node.ts')
  const { exportRound } = await import('../record/export.ts')
  return withStoppedNode(dataDir, task, async (archive, id) =>
    write(file, Readable.from(exportRound(await archive.held(round, id)), { objectMode: false }))
  )
}

/** Whole or not at all. */
async function write(file: string, bytes: Readable): Promise<number> {
  const unfinished = `${file}.part`
  const stream = createWriteStream(unfinished)
  try {
    await pipeline(bytes, stream)
    await rename(unfinished, file)
    return stream.bytesWritten
  } catch (error) {
    await rm(unfinished, { force: true })
    throw error
  }
}
