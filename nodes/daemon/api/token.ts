import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { SecureAggregationError } from '../../../src/errors.ts'
import { readSecret, writeSecret } from '../secret-file.ts'

const TOKEN_BYTES = 32
/** A token of a user's own making that is shorter could be guessed. */
const SHORTEST_TOKEN = 16

function refuse(file: string, what: string, cause?: unknown): never {
  throw new SecureAggregationError('TOKEN_INVALID', `the token file ${file} ${what}`, { cause })
}

/** The bearer token in a file; made (0600) where there is none. @throws SecureAggregationError TOKEN_INVALID, SECRET_EXPOSED */
export async function ensureToken(file: string): Promise<string> {
  const fresh = Buffer.from(`${randomBytes(TOKEN_BYTES).toString('base64url')}\n`)
  await writeSecret(file, fresh).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') refuse(file, `cannot be made (${error.code ?? error.message})`, error)
  })
  return readToken(file)
}

/** @throws SecureAggregationError TOKEN_INVALID, SECRET_EXPOSED where others may read it */
export async function readToken(file: string): Promise<string> {
  const bytes = await readSecret(file).catch((cause: NodeJS.ErrnoException) => {
    if (cause instanceof SecureAggregationError) throw cause
    return refuse(
      file,
      `cannot be read (${cause.code === 'ENOENT' ? 'no such file' : (cause.code ?? 'unknown')})`,
      cause
    )
  })
  const token = new TextDecoder().decode(bytes).trim()
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
