import { UsageError } from '../usage-error.ts'
import { printJson } from './command.ts'
import type { Command } from './command.ts'

export const keygenCommand: Command = {
  name: 'keygen',
  summary: 'Makes the identity of a new member and prints its peer id, or the key of a private network.',
  options: {
    data: {
      type: 'string',
      requiresArg: true,
      describe: 'the member’s folder; an identity there is never overwritten'
    },
    network: {
      type: 'string',
      requiresArg: true,
      describe: 'a file for a new network key, which every member is given (networkKey in its file)'
    }
  },
  async run({ data, network, json }) {
    if (data === undefined && network === undefined)
      throw new UsageError('keygen needs --data for a member or --network for a network key; see secagg keygen --help')
    if (data !== undefined) {
      const { createIdentity } = await import('../daemon/identity.ts')
      const id = await createIdentity(data as string)
      if (json === true) printJson({ type: 'identity', id })
      else process.stdout.write(`${id}\n`)
    }
    if (network !== undefined) {
      const { createNetworkKey } = await import('../daemon/network-key.ts')
      await createNetworkKey(network as string)
      if (json === true) printJson({ type: 'networkKey', file: network })
      else process.stdout.write(`${network as string}\n`)
    }
    return 0
  }
}
