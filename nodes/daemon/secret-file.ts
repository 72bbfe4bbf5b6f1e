import { open, readFile, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { SecureAggregationError } from '../../src/errors.ts'
import { makeFolder } from '../folder.ts'

/** A file that nobody but its owner may read: identity, network key, token. */

const OTHERS = 0o077

/** The mode in octal where others than the owner may do anything with the file, else undefined. Windows has no such modes. */
export async function openToOthers(file: string): Promise<string | undefined> {
  if (process.platform === 'win32') return undefined
  const { mode } = await stat(file)
  return (mode & OTHERS) === 0 ? undefined : (mode & 0o777).toString(8)
}

/** @throws what `readFile` throws; SecureAggregationError SECRET_EXPOSED where others may read or write it */
export async function readSecret(file: string): Promise<Uint8Array> {
  const bytes = await readFile(file)
  const mode = await openToOthers(file)
  if (mode === undefined) return bytes
  const sentence = `${file} is open to other users (mode ${mode}); if it was never copied, close it with: chmod 600 ${file}`
  throw new SecureAggregationError('SECRET_EXPOSED', sentence)
}

/**
 * Writes a new file, 0600, on disk when the promise resolves.
 * @throws SecureAggregationError NOT_A_FOLDER; EEXIST only where there is such a file
 */
export async function writeSecret(file: string, bytes: Uint8Array): Promise<void> {
  await makeFolder(dirname(file), { mode: 0o700 })
  const handle = await open(file, 'wx', 0o600)
  try {
    await handle.writeFile(bytes)
    await handle.sync()
  } finally {
    await handle.close()
  }
}
