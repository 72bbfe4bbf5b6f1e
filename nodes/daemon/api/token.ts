import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { mkdir, open, readFile, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { SecureAggregationError } from '../../../src/errors.ts'

const TOKEN_BYTES = 32
/** A token of a user's own making that is shorter could be guessed. */
const SHORTEST_TOKEN = 16

function refuse(file: string, what: string, cause?: unknown): never {
  throw new SecureAggregationError('TOKEN_INVALID', `the token file ${file} ${what}`, { cause })
}

/** The bearer token in a file; made (0600) where there is none. @throws SecureAggregationError TOKEN_INVALID */
export async function ensureToken(file: string): Promise<string> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  try {
    const handle = await open(file, 'wx', 0o600)
    try {
      await handle.writeFile(`${randomBytes(TOKEN_BYTES).toString('base64url')}\n`)
      await handle.sync()
    } finally {
      await handle.close()
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') refuse(file, 'cannot be made', error)
  }
  const mode = (await stat(file)).mode & 0o777
  if ((mode & 0o077) !== 0) refuse(file, `can be read by others (mode ${mode.toString(8)}): chmod 600 it`)
  return readToken(file)
}

/** @throws SecureAggregationError TOKEN_INVALID */
export async function readToken(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) =>
    refuse(file, `cannot be read (${cause.code === 'ENOENT' ? 'no such file' : (cause.code ?? 'unknown')})`, cause)
  )
  const token = text.trim()
  if (!/^[\x21-\x7e]+$/.test(token) || token.length < SHORTEST_TOKEN)
    refuse(file, `holds no token of at least ${SHORTEST_TOKEN} printable characters without spaces: remove it`)
  return token
}

/** Whether what was sent is the token, in a time that tells nothing about how much of it was right. */
export function tokenCheck(token: string): (sent: string) => boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
  const expected = digest(token)
  return (sent) => timingSafeEqual(digest(sent), expected)
}
