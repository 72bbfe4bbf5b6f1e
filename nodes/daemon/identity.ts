import { join } from 'node:path'
import { generateKeyPair, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import type { PrivateKey } from '@libp2p/interface'
import { SecureAggregationError } from '../../src/errors.ts'
import { readSecret, writeSecret } from './secret-file.ts'

export const keyFile = (dataDir: string): string => join(dataDir, 'identity.key')

/** Makes this member's identity: an Ed25519 key in a file that only its owner can read. Returns the peer id; never overwrites. */
export async function createIdentity(dataDir: string): Promise<string> {
  const key = await generateKeyPair('Ed25519')
  await writeSecret(keyFile(dataDir), privateKeyToProtobuf(key)).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'EEXIST') throw cause
    const sentence = `${keyFile(dataDir)} exists; an identity is made once, so name another folder`
    throw new SecureAggregationError('IDENTITY_EXISTS', sentence, { cause })
  })
  return peerIdFromPrivateKey(key).toString()
}

/** @throws SecureAggregationError IDENTITY_MISSING, IDENTITY_INVALID, SECRET_EXPOSED */
export async function readIdentity(dataDir: string): Promise<PrivateKey> {
  const file = keyFile(dataDir)
  const bytes = await readSecret(file).catch((cause: NodeJS.ErrnoException) => {
    if (cause instanceof SecureAggregationError) throw cause
    const missing = cause.code === 'ENOENT' ? 'is missing' : `cannot be read (${cause.message})`
    const sentence = `${file} ${missing}; make it with: secagg keygen --data ${dataDir}`
    throw new SecureAggregationError('IDENTITY_MISSING', sentence, { cause })
  })
  try {
    return privateKeyFromProtobuf(bytes)
  } catch (cause) {
    const sentence = `${file} holds no libp2p private key; restore it or make a new member`
    throw new SecureAggregationError('IDENTITY_INVALID', sentence, { cause })
  }
}
