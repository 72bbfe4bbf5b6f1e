import { open, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { decode, encode } from '@ipld/dag-cbor'
import { z } from 'zod'
import { SecureAggregationError } from '../../src/errors.ts'
import type { ModelState } from './optimizers.ts'
import { baseModel, stateBytes, stateFromBytes } from './recipe.ts'
import type { Recipe } from './recipe.ts'

const schema = z.strictObject({
  round: z.int().min(0),
  settled: z.int().min(0),
  model: z.custom<Uint8Array>((value) => value instanceof Uint8Array),
  handover: z.custom<Uint8Array>((value) => value instanceof Uint8Array).nullable()
})

/** What a learner holds. */
export interface Held {
  /** The last round whose sum is in the model; 0 for the one that all begin with. */
  round: number
  /** The last round that is known to be over; between the two no round was summed. */
  settled: number
  state: ModelState
  /** What proves the model to others; none for the first. */
  handover?: Uint8Array
}

const file = (folder: string): string => join(folder, 'model.cbor')

/** The model that a folder holds, or the one that all begin with. Throws SecureAggregationError MODEL_INVALID. */
export async function readModel(folder: string, recipe: Recipe): Promise<Held> {
  const bytes = await readFile(file(folder)).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
    return undefined
  })
  if (bytes === undefined) return { round: 0, settled: 0, state: baseModel(recipe) }
  try {
    const { model, handover, ...rounds } = schema.parse(decode(bytes))
    return { ...rounds, state: stateFromBytes(recipe, model), handover: handover ?? undefined }
  } catch (cause) {
    const sentence = `${file(folder)} holds no model of this recipe; remove it, and the members send the current one`
    throw new SecureAggregationError('MODEL_INVALID', sentence, { cause })
  }
}

/** Replaces what the folder holds, whole or not at all. */
export async function writeModel(folder: string, { round, settled, state, handover }: Held): Promise<void> {
  const draft = `${file(folder)}.new`
  const opened = await open(draft, 'w', 0o600)
  try {
    await opened.writeFile(encode({ round, settled, model: stateBytes(state), handover: handover ?? null }))
    await opened.sync()
  } finally {
    await opened.close()
  }
  await rename(draft, file(folder))
}
