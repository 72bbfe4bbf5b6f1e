import { printJson } from './command.ts'
import type { Command } from './command.ts'

export const keygenCommand: Command = {
  name: 'keygen',
  summary: 'Makes the identity of a new member and prints its peer id.',
  options: {
    data: {
      type: 'string',
      requiresArg: true,
      demandOption: true,
      describe: 'the member’s folder; an identity there is never overwritten'
    }
  },
  async run({ data, json }) {
    const { createIdentity } = await import('../daemon/daemon.ts')
    const id = await createIdentity(data as string)
    if (json === true) printJson({ type: 'identity', id })
    else process.stdout.write(`${id}\n`)
    return 0
  }
}
