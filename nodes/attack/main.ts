import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import yargs from 'yargs'
import { SecureAggregationError } from '../../src/errors.ts'
import { printJson } from '../commands/command.ts'
import { UsageError } from '../usage-error.ts'
import { attack, isAsClaimed } from './attack.ts'
import { picture } from './picture.ts'
import { forScripts, introduction, panels, progressBar, story } from './story.ts'
import { RARE_WORD } from './update.ts'

/** `npm run attack`: exits 0 where everything came out as the README says, 1 where not, 2 on wrong usage. */

const PICTURE = 'attack.svg'

async function main(args: string[]): Promise<number> {
  const { json, bits, out } = options(args)
  const people = json ? process.stderr : process.stdout
  people.write(introduction())
  const bar = progressBar(people)
  const results = await attack(bits, {
    say: (sentence) => bar.say(sentence),
    tried: (tried, of) => bar.show(tried, of)
  })
  bar.end()
  await mkdir(out, { recursive: true })
  const file = join(out, PICTURE)
  await writeFile(file, await picture(panels(results)))
  people.write(story(results, file))
  const claimed = isAsClaimed(results, RARE_WORD)
  if (json) for (const line of forScripts(results, claimed)) printJson(line)
  return claimed ? 0 : 1
}

function options(args: string[]): { json: boolean; bits?: number; out: string } {
  const typed = yargs(args)
    .scriptName('npm run attack --')
    .locale('en')
    .options({
      json: { type: 'boolean', default: false, describe: 'one JSON object a line on stdout, people’s text on stderr' },
      bits: {
        type: 'string',
        describe: 'bits of the weakened build’s seeds, 12 to 32 (chosen by the speed of this machine)'
      },
      out: { type: 'string', default: join('results', 'attack'), describe: 'folder for the picture' }
    })
    .version(false)
    .strict()
    .exitProcess(false)
    .fail((message) => {
      throw new UsageError(`${message}; see npm run attack -- --help`)
    })
    .parseSync()
  if ('help' in typed) process.exit(0)
  const { json, out } = typed
  if (typed.bits === undefined) return { json, out }
  const bits = Number(typed.bits)
  if (!Number.isInteger(bits) || bits < 12 || bits > 32)
    throw new UsageError(`--bits is a whole number from 12 to 32, not "${typed.bits}"`)
  return { json, out, bits }
}

try {
  process.exit(await main(process.argv.slice(2)))
} catch (error) {
  // A folder that cannot be written to is the system's to explain.
  const expected = error instanceof SecureAggregationError || (error as NodeJS.ErrnoException).syscall !== undefined
  process.stderr.write(`attack: ${expected ? (error as Error).message : (error as Error).stack}\n`)
  process.exit(error instanceof UsageError ? 2 : 1)
}
