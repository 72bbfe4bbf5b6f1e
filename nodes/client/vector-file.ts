import { readFile, writeFile } from 'node:fs/promises'
import { extname } from 'node:path'
import { InputError } from '../../src/errors.ts'
import type { VectorType } from '../daemon/api/vectors.ts'
import { npyPreamble, writeNpy } from '../npy.ts'

/** A vector's file as the API takes it: .npy and .json as they are, .csv as .npy, anything else as raw float32. */
export async function readVectorFile(file: string): Promise<{ type: VectorType; bytes: Uint8Array<ArrayBuffer> }> {
  const bytes = new Uint8Array(
    await readFile(file).catch((cause: NodeJS.ErrnoException) => {
      const why = cause.code === 'ENOENT' ? 'no such file' : (cause.code ?? cause.message)
      throw new InputError('INPUT_FILE', `${file} cannot be read (${why})`, { cause })
    })
  )
  switch (extname(file).toLowerCase()) {
    case '.npy':
      return { type: 'application/x-npy', bytes }
    case '.json':
      return { type: 'application/json', bytes }
    case '.csv': {
      const values = numbersOf(file, new TextDecoder().decode(bytes))
      return {
        type: 'application/x-npy',
        bytes: new Uint8Array(Buffer.concat([npyPreamble(values), Buffer.from(values.buffer)]))
      }
    }
    default:
      return { type: 'application/octet-stream', bytes }
  }
}

/** Numbers between commas, semicolons, spaces and ends of lines. */
function numbersOf(file: string, text: string): Float64Array<ArrayBuffer> {
  const words = text.split(/[\s,;]+/).filter((word) => word !== '')
  return Float64Array.from(words, (word, at) => {
    const value = Number(word)
    if (Number.isNaN(value) && !/^nan$/i.test(word))
      throw new InputError('INPUT_FILE', `${file} has "${word.slice(0, 40)}" as element ${at}, which is no number`)
    return value
  })
}

export const sumFormats = ['.npy', '.json', '.csv'] as const

/** Writes a sum by the extension of the file: .npy, .json (with what it is of) or .csv (an element a line). */
export async function writeSumFile(
  file: string,
  values: Float64Array | BigInt64Array,
  told: Record<string, unknown>
): Promise<void> {
  if (file.endsWith('.npy')) return writeNpy(file, values)
  const text = file.endsWith('.csv')
    ? `${values.join('\n')}\n`
    : `${JSON.stringify(told).slice(0, -1)},"values":[${values.join(',')}]}\n`
  await writeFile(file, text).catch((cause: Error) => {
    throw new InputError('INPUT_FILE', `${file} cannot be written (${cause.message})`, { cause })
  })
}
