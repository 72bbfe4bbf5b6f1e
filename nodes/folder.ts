import { mkdir } from 'node:fs/promises'
import { SecureAggregationError } from '../src/errors.ts'

/**
 * Makes a folder and what it lies in, unless it is there; `named` is what people are told of it. @returns whether it is new
 * @throws SecureAggregationError NOT_A_FOLDER where there is a file, and what `mkdir` throws
 */
export async function makeFolder(path: string, { named = path, mode }: { named?: string; mode?: number } = {}) {
  try {
    return (await mkdir(path, { recursive: true, mode })) !== undefined
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code !== 'EEXIST' && code !== 'ENOTDIR') throw cause
    const found = code === 'EEXIST' ? 'is a file' : 'lies in a file'
    throw new SecureAggregationError('NOT_A_FOLDER', `${named} ${found}; name a folder`, { cause })
  }
}
