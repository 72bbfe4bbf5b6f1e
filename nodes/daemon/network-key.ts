import { generateKey } from '@libp2p/pnet'
import { SecureAggregationError } from '../../src/errors.ts'
import { readSecret, writeSecret } from './secret-file.ts'

/** The form of libp2p's private networks, as js-libp2p writes it and go-libp2p reads it. */
const keyLength = 95
const form = /^\/key\/swarm\/psk\/1\.0\.0\/\r?\n\/base16\/\r?\n[0-9a-f]{64}\s*$/

/** Makes the key of a private network, for all its members: a peer without it cannot even begin to speak with them. */
export async function createNetworkKey(file: string): Promise<void> {
  const key = new Uint8Array(keyLength)
  generateKey(key)
  await writeSecret(file, key).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'EEXIST') throw cause
    throw new SecureAggregationError('NETWORK_KEY_EXISTS', `${file} exists; name a new file, or remove it`, { cause })
  })
}

/** @throws SecureAggregationError NETWORK_KEY_MISSING, NETWORK_KEY_INVALID, SECRET_EXPOSED; none of them says what is in the file */
export async function readNetworkKey(file: string): Promise<Uint8Array> {
  const bytes = await readSecret(file).catch((cause: NodeJS.ErrnoException) => {
    if (cause instanceof SecureAggregationError) throw cause
    const sentence = `the network key ${file} cannot be read (${cause.code === 'ENOENT' ? 'no such file' : cause.message}); copy it from another member`
    throw new SecureAggregationError('NETWORK_KEY_MISSING', sentence, { cause })
  })
  if (form.test(new TextDecoder().decode(bytes))) return bytes
  const sentence = `${file} holds no network key; make one with: secagg keygen --network FILE`
  throw new SecureAggregationError('NETWORK_KEY_INVALID', sentence)
}
