import type { Command } from './command.ts'

export const nodeCommand: Command = {
  name: 'node',
  summary: 'Runs one member as a daemon until it is told to end (SIGTERM or SIGINT).',
  options: {
    config: {
      type: 'string',
      requiresArg: true,
      demandOption: true,
      describe: 'the node’s file (YAML); see config/node.yaml'
    }
  },
  async run({ config }) {
    const { runNode } = await import('../daemon/run-node.ts')
    return runNode(config as string)
  }
}
