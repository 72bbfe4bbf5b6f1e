import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SecureAggregationError } from '../../../src/errors.ts'
import { figureNames } from './names.ts'
import type { FigureName } from './names.ts'

/** `npm run figures [-- NAME …]`: each figure in a few minutes (robustness in ten), as SVG and as numbers, into a folder of results. */

const FOLDER = 'results/learning'

const usage = `Usage: npm run figures [-- NAME …]

Makes all figures, or those that are named, into ${FOLDER}: ${figureNames.join(', ')}.
`

const asked = process.argv.slice(2)
if (asked.some((name) => name === '--help' || name === '-h')) {
  process.stdout.write(usage)
  process.exit(0)
}
const isFigure = (name: string): name is FigureName => (figureNames as readonly string[]).includes(name)
const unknown = asked.find((name) => !isFigure(name))
if (unknown !== undefined) {
  process.stderr.write(`there is no figure "${unknown}"; name some of ${figureNames.join(', ')}\n`)
  process.exit(2)
}
// Whoever asks wrongly need not wait for what learns and draws.
const { figures } = await import('./figures.ts')
await mkdir(FOLDER, { recursive: true })
try {
  for (const name of asked.length > 0 ? asked.filter(isFigure) : figureNames) {
    process.stderr.write(`${name}\n`)
    for (const [file, text] of Object.entries(await figures[name]())) {
      await writeFile(join(FOLDER, file), text)
      if (file.endsWith('.md')) process.stdout.write(`\n${text}\n`)
    }
  }
} catch (error) {
  if (!(error instanceof SecureAggregationError)) throw error
  process.stderr.write(`${error.message}\n`)
  process.exit(1)
}
process.exit(0)
