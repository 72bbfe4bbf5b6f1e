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
    },
    set: {
      type: 'string',
      array: true,
      requiresArg: true,
      describe: 'field=value over the file, like api.listen=off; repeatable. SECAGG_API_LISTEN=off comes after it'
    }
  },
  async run({ config, set }) {
    const { runNode } = await import('../daemon/run-node.ts')
    const { fromEnvironment, fromFlags } = await import('../daemon/overrides.ts')
    return runNode(config as string, [
      ...fromEnvironment(process.env),
      ...fromFlags((set as string[] | undefined) ?? [])
    ])
  }
}
