import { readFileSync } from 'node:fs'
import yargs from 'yargs'
import type { Options } from 'yargs'
import { SecureAggregationError } from '../src/errors.ts'
import { auditCommand } from './commands/audit.ts'
import type { Command, Typed } from './commands/command.ts'
import { benchCommand } from './commands/bench.ts'
import { contributeCommand } from './commands/contribute.ts'
import { doctorCommand } from './commands/doctor.ts'
import { evidenceCommand } from './commands/evidence.ts'
import { exportCommand } from './commands/export.ts'
import { keygenCommand } from './commands/keygen.ts'
import { learnCommand, learnerCommand } from './commands/learn.ts'
import { networkCommand } from './commands/network.ts'
import { nodeCommand } from './commands/node.ts'
import { roundsCommand } from './commands/rounds.ts'
import { sumCommand } from './commands/sum.ts'
import { wordCountsCommand } from './commands/word-counts.ts'
import { packageFile } from './package-root.ts'
import { nearest } from './suggestion.ts'
import { UsageError } from './usage-error.ts'

const commands: Command[] = [
  learnCommand,
  networkCommand,
  wordCountsCommand,
  keygenCommand,
  doctorCommand,
  nodeCommand,
  contributeCommand,
  roundsCommand,
  sumCommand,
  auditCommand,
  exportCommand,
  evidenceCommand,
  benchCommand,
  learnerCommand
]
const common = {
  json: { type: 'boolean', describe: 'one JSON object a line on stdout, people’s text on stderr' }
} as const
const EXIT_FAILURE = 1
const EXIT_USAGE = 2
/** What shells say of a program that ended because nobody reads its output any more (SIGPIPE). */
const EXIT_UNREAD = 141

/** The command line. Expected errors are one line on stderr. @returns the exit code: 0, 1 on failure, 2 on wrong usage */
export async function main(args: string[]): Promise<number> {
  let unread = EXIT_UNREAD
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(unread)
    process.stderr.write(`secagg: the output cannot be written (${error.code ?? error.message})\n`)
    process.exit(EXIT_FAILURE)
  })
  const code = await run(args)
  // Whoever has read enough takes nothing from a command that has done its work.
  unread = code
  // What was written last may still fail.
  await new Promise<void>((resolve) => process.stdout.write('', () => resolve()))
  return code
}

async function run(args: string[]): Promise<number> {
  try {
    return await parse(args)
  } catch (error) {
    const expected = error instanceof SecureAggregationError || isSystemError(error)
    process.stderr.write(`secagg: ${expected ? oneLine((error as Error).message) : (error as Error).stack}\n`)
    return error instanceof UsageError ? EXIT_USAGE : EXIT_FAILURE
  }
}

async function parse(args: string[]): Promise<number> {
  let code = 0
  let parser = yargs(args)
    .scriptName('secagg')
    .usage('$0 <command>\n\nSums the private vectors of a peer-to-peer network without a server.')
    .locale('en')
    // yargs would look for it beside the program that was typed, which for an installed package is a link elsewhere.
    .version((JSON.parse(readFileSync(packageFile('package.json'), 'utf8')) as { version: string }).version)
    .parserConfiguration({ 'camel-case-expansion': false, 'boolean-negation': false })
    .options(common)
    .strict()
    .demandCommand(1, 'name a command')
    .exitProcess(false)
    .wrap(Math.min(100, process.stdout.columns ?? 100))
    .fail((message, error: Error | undefined) => {
      throw error === undefined || error.name === 'YError'
        ? new UsageError(advise(error?.message ?? message, args))
        : error
    })
  for (const command of commands) {
    const { argument } = command
    const word = argument && (argument.optional === true ? `[${argument.name}]` : `<${argument.name}>`)
    const usage = word === undefined ? command.name : `${command.name} ${word}`
    parser = parser.command(
      usage,
      command.summary,
      (own) => {
        const described = own
          .group(argument === undefined ? [] : [argument.name], 'Positionals:')
          .usage(`secagg ${usage}\n\n${command.summary}`)
          .options(command.options)
          .group(Object.keys(command.options), 'Options:')
          .group([...Object.keys(common), 'help', 'version'], 'Always:')
          .example((command.examples ?? []).map(([line, what]) => [`secagg ${line}`, what] as [string, string]))
        return argument === undefined
          ? described
          : described.positional(argument.name, { type: 'string', describe: argument.describe })
      },
      async (typed) => {
        if (typed._.length > 1)
          throw new UsageError(`${command.name} takes no argument "${typed._[1]}"; see secagg ${command.name} --help`)
        refuseRepeated(command, typed)
        refuseEmpty(command, typed)
        code = await command.run(typed as Typed)
      }
    )
  }
  await parser.parseAsync()
  return code
}

/** Of an option that was typed twice nobody knows which one was meant. */
function refuseRepeated(command: Command, typed: Record<string, unknown>): void {
  const all = { ...command.options, ...common }
  for (const [name, option] of Object.entries<Options>(all)) {
    if (option.array !== true && Array.isArray(typed[name]))
      throw new UsageError(`--${name} is given twice; give it once`)
  }
}

/** An empty name would be the current folder, and is mostly a shell's variable that was never set. */
function refuseEmpty(command: Command, typed: Record<string, unknown>): void {
  for (const [name, { requiresArg }] of Object.entries(command.options)) {
    if (requiresArg === true && [typed[name]].flat().includes('')) throw new UsageError(`--${name} needs a value`)
  }
  const { argument } = command
  if (argument !== undefined && typed[argument.name] === '')
    throw new UsageError(`${command.name} needs <${argument.name}>: ${argument.describe}`)
}

/** yargs says what it did not understand; beside it what was probably meant. */
function advise(message: string, args: string[]): string {
  const missing = /^(Missing required argument|Not enough arguments following)s?: (.*)$/.exec(message)
  if (missing !== null) {
    const lacks = missing[1].startsWith('Missing') ? `needs --${missing[2]}` : `needs a value after --${missing[2]}`
    return `${args[0]} ${lacks}; see secagg ${args[0]} --help`
  }
  const argument = commands.find(({ name }) => name === args[0])?.argument
  if (argument !== undefined && message.startsWith('Not enough non-option arguments'))
    return `${args[0]} needs <${argument.name}>: ${argument.describe}; see secagg ${args[0]} --help`
  const unknown = /^Unknown (argument|command)s?: (.*?)(,|$)/.exec(message)?.[2]
  if (unknown === undefined) return `${oneLine(message)}; see secagg --help`
  const command = commands.find(({ name }) => name === args[0])
  if (command === undefined) {
    const meant = nearest(
      unknown,
      commands.map(({ name }) => name)
    )
    return `there is no command "${unknown}"${meant === undefined ? '; see secagg --help' : ` (did you mean "${meant}"?)`}`
  }
  const meant = nearest(unknown, [...Object.keys(command.options), ...Object.keys(common), 'help'])
  const advice = meant === undefined ? `; see secagg ${command.name} --help` : ` (did you mean --${meant}?)`
  return args.includes(unknown)
    ? `${command.name} takes no argument "${unknown}"${advice}`
    : `${command.name} has no option --${unknown}${advice}`
}

function isSystemError(error: unknown): boolean {
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).syscall === 'string'
}

function oneLine(text: string): string {
  return text.trim().replaceAll(/\s*\n\s*/g, ' ')
}
