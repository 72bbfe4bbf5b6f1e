import { extname } from 'node:path'
import { decodeNpy } from '../npy.ts'
import { NodeClient, nodeOptions } from '../client/node-client.ts'
import { sumFormats, writeSumFile } from '../client/vector-file.ts'
import { UsageError } from '../usage-error.ts'
import { printJson } from './command.ts'
import type { Command, Typed } from './command.ts'
import { wholeNumber } from './usage.ts'

interface Fetched {
  values: Float64Array | BigInt64Array
  totalWeight: number
  included: number
}

export const sumCommand: Command = {
  name: 'sum',
  argument: { name: 'round', describe: 'the number of a summed round' },
  summary: 'Writes the sum of a round to a file.',
  options: {
    out: { type: 'string', requiresArg: true, demandOption: true, describe: 'the file: .npy, .json or .csv' },
    data: { type: 'string', requiresArg: true, describe: 'the dataDir of a stopped node, instead of --node' },
    ...nodeOptions
  },
  async run({ round, out, data, json, ...typed }) {
    const number = wholeNumber('the round', String(round), 1)
    const file = out as string
    if (!(sumFormats as readonly string[]).includes(extname(file)))
      throw new UsageError(`--out must end in ${sumFormats.join(', ')}, unlike "${file}"`)
    if (data !== undefined && typed.node !== undefined) throw new UsageError('give --data or --node, not both')
    const { values, totalWeight, included } =
      data === undefined
        ? await fetched(number, typed)
        : await stored(number, data as string, typed.task as string | undefined)
    await writeSumFile(file, values, { round: number, totalWeight, included })
    if (json === true) printJson({ type: 'sum', round: number, length: values.length, totalWeight, included, file })
    else process.stdout.write(`${file}: the sum of round ${number}, ${values.length} elements of ${included} members\n`)
    return 0
  }
}

async function fetched(round: number, typed: Typed): Promise<Fetched> {
  const client = await NodeClient.of(typed)
  const path = await client.taskPath(typed.task as string | undefined)
  const response = await client.fetch(`${path}/rounds/${round}/sum`, { headers: { accept: 'application/x-npy' } })
  const { values } = await decodeNpy(new Uint8Array(await response.arrayBuffer()), 'the node’s answer')
  return {
    values: values as Fetched['values'],
    totalWeight: Number(response.headers.get('x-secagg-total-weight')),
    included: Number(response.headers.get('x-secagg-included'))
  }
}

async function stored(round: number, dataDir: string, task: string | undefined): Promise<Fetched> {
  const { withStoppedNode } = await import('../client/stopped-node.ts')
  return withStoppedNode(dataDir, task, async (archive) => {
    const { values, totalWeight, included } = await archive.checkedSum(round)
    return { values, totalWeight, included: included.length }
  })
}
