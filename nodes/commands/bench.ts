import { UsageError } from '../usage-error.ts'
import type { Command } from './command.ts'

export const benchCommand: Command = {
  name: 'bench',
  summary:
    'Measures this machine: masks, a member’s work, and whole rounds of real processes, beside what it could do at best.',
  options: {
    only: {
      type: 'string',
      requiresArg: true,
      describe: 'some of masks, hashing, votes, member, upload, audit and round, with commas'
    }
  },
  examples: [
    ['bench', 'all of it, a few minutes'],
    ['bench --only masks --json', 'one kind, for scripts']
  ],
  async run({ only, json }) {
    const { benches } = await import('../bench/benches.ts')
    const wanted = only === undefined ? Object.keys(benches) : (only as string).split(',')
    const unknown = wanted.filter((name) => !Object.hasOwn(benches, name))
    if (unknown.length > 0)
      throw new UsageError(
        `there is no benchmark "${unknown.join(', ')}"; --only takes ${Object.keys(benches).join(', ')}`
      )
    const { reportAs } = await import('../bench/measure.ts')
    reportAs(json === true ? 'json' : 'text')
    for (const name of wanted) for (const bench of benches[name]) await bench()
    return 0
  }
}
