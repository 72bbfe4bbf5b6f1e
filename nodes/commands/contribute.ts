import { NodeClient, nodeOptions } from '../client/node-client.ts'
import { privacyText, toldInHeaders } from '../client/told-sum.ts'
import { readVectorFile } from '../client/vector-file.ts'
import { printJson } from './command.ts'
import type { Command } from './command.ts'
import { wholeNumber } from './usage.ts'

export const contributeCommand: Command = {
  name: 'contribute',
  argument: { name: 'file', describe: 'the vector: .npy, .json, .csv, or raw float32 little-endian' },
  summary: 'Hands a vector to a running node, for the next round.',
  options: {
    weight: { type: 'string', requiresArg: true, describe: 'in weighted tasks', defaultDescription: '1' },
    round: { type: 'string', requiresArg: true, describe: 'into this one or none', defaultDescription: 'the next' },
    wait: { type: 'boolean', describe: 'wait until the round is summed' },
    ...nodeOptions
  },
  examples: [
    ['contribute x.npy', 'for the next round'],
    ['contribute x.csv --wait', 'and waits until it is summed']
  ],
  async run({ file, weight, round, wait, json, ...typed }) {
    const query = new URLSearchParams()
    if (weight !== undefined) query.set('weight', String(wholeNumber('--weight', weight as string, 1)))
    if (round !== undefined) query.set('round', String(wholeNumber('--round', round as string, 1)))
    if (wait === true) query.set('wait', 'sum')
    const client = await NodeClient.of(typed)
    const { type, bytes } = await readVectorFile(file as string)
    const path = await client.taskPath(typed.task as string | undefined)
    const response = await client.fetch(`${path}/contributions?${query.toString()}`, {
      method: 'POST',
      body: bytes,
      // The sum itself is fetched with `secagg sum`.
      headers: { 'content-type': type, accept: 'application/octet-stream, application/json;q=0.5' }
    })
    if (wait === true) {
      const summed = toldInHeaders(response.headers)
      await response.arrayBuffer()
      if (json === true) printJson({ type: 'contribution', status: 'summed', ...summed })
      else
        process.stdout.write(`summed in round ${summed.round}, with ${summed.included} members${privacyText(summed)}\n`)
      return 0
    }
    const told = (await response.json()) as { id: string; round: number; status: string }
    if (json === true) printJson({ type: 'contribution', ...told })
    else process.stdout.write(`taken for round ${told.round}\n`)
    return 0
  }
}
