import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { SecureAggregationError } from '../../src/errors.ts'
import { recipeSchema } from './recipe.ts'

const schema = z.strictObject({
  recipe: recipeSchema,
  /** Whose data this member has. */
  member: z.int().min(0),
  /** After how many rounds it asks for no more; without a launcher only. */
  rounds: z.int().min(1).default(1000)
})

export type LearnerSettings = z.input<typeof schema>

export const settingsFile = (folder: string): string => join(folder, 'learner.json')

/** What a member of a folder learns. Throws SecureAggregationError CONFIG_INVALID. */
export async function readSettings(folder: string): Promise<z.output<typeof schema>> {
  const file = settingsFile(folder)
  try {
    return schema.parse(JSON.parse(await readFile(file, 'utf8')))
  } catch (cause) {
    const why = cause instanceof z.ZodError ? z.prettifyError(cause).replaceAll('\n', ' ') : (cause as Error).message
    throw new SecureAggregationError('CONFIG_INVALID', `${file} says of no learner what it needs: ${why}`, { cause })
  }
}
