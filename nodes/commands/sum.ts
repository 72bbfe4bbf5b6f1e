import { extname } from 'node:path'
import type { ArchivedSum } from '../daemon/archive.ts'
import { decodeNpy } from '../npy.ts'
import { NodeClient, nodeOptions } from '../client/node-client.ts'
import { privacyText, toldInHeaders } from '../client/told-sum.ts'
import type { ToldSum } from '../client/told-sum.ts'
import { sumFormats, writeSumFile } from '../client/vector-file.ts'
import { UsageError } from '../usage-error.ts'
import { printJson } from './command.ts'
import type { Command, Typed } from './command.ts'
import { wholeNumber } from './usage.ts'

interface Fetched {
  values: Float64Array | BigInt64Array
  told: ToldSum
  /** Where the task has groups, and this is asked for. */
  byGroup?: ByGroup
}

interface ByGroup {
  groups?: { included: string[]; totalWeight: number; clippedFraction?: number; values: number[] }[]
  trimmedMean?: number[]
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
    const isJson = json === true || extname(file) === '.json'
    const { values, told, byGroup } =
      data === undefined
        ? await fetched(number, isJson, typed)
        : await stored(number, isJson, data as string, typed.task as string | undefined)
    await writeSumFile(file, values, { ...told, ...byGroup })
    const what = `the sum of round ${number}, ${values.length} elements of ${told.included} members`
    if (json === true) printJson({ type: 'sum', ...told, length: values.length, ...byGroup, file })
    else process.stdout.write(`${file}: ${what}${privacyText(told)}\n`)
    return 0
  }
}

async function fetched(round: number, isJson: boolean, typed: Typed): Promise<Fetched> {
  const client = await NodeClient.of(typed)
  const path = await client.taskPath(typed.task as string | undefined)
  const as = (accept: string): Promise<Response> => client.fetch(`${path}/rounds/${round}/sum`, { headers: { accept } })
  const response = await as('application/x-npy')
  const { values } = await decodeNpy(new Uint8Array(await response.arrayBuffer()), 'the node’s answer')
  const told = { values: values as Fetched['values'], told: toldInHeaders(response.headers) }
  if (!isJson || !response.headers.has('x-secagg-groups')) return told
  const { groups, trimmedMean } = (await (await as('application/json')).json()) as ByGroup
  return { ...told, byGroup: { groups, trimmedMean } }
}

async function stored(round: number, isJson: boolean, dataDir: string, task: string | undefined): Promise<Fetched> {
  const { withStoppedNode } = await import('../client/stopped-node.ts')
  return withStoppedNode(dataDir, task, async (archive) => {
    const sum = await archive.checkedSum(round)
    const { values, totalWeight, included, privacy } = sum
    const spent = privacy && { epsilon: privacy.epsilon, delta: privacy.delta }
    const told = { values, told: { round, totalWeight, included: included.length, ...spent } }
    return isJson ? { ...told, byGroup: byGroup(sum) } : told
  })
}

function byGroup({ groups, trimmedMean }: ArchivedSum): ByGroup {
  return {
    groups: groups?.map(({ included, totalWeight, clippedFraction, values }) => ({
      ...{ included, totalWeight, clippedFraction },
      values: Array.from(values, Number)
    })),
    trimmedMean: trimmedMean && [...trimmedMean]
  }
}
