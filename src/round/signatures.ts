import { sha256Hex, verifyEd25519 } from '../crypto/primitives.ts'
import type { Sign } from './ports.ts'

/** Some rounds of a large roster. */
const REMEMBERED = 8192

const valid = new Set<string>()

/**
 * Whether the owner of the raw Ed25519 key signed these bytes. The same signature comes again and again in a round (an
 * advert alone and in the key book, a vote alone and in certificates), so valid ones are remembered by the hash of key,
 * signature and bytes; the oldest are forgotten first. Invalid ones never are.
 */
export function isSignedBy(publicKey: Uint8Array, bytes: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== 32 || signature.length !== 64) return false
  const key = keyOf(publicKey, bytes, signature)
  if (valid.has(key)) return true
  if (!verifyEd25519(publicKey, bytes, signature)) return false
  remember(key)
  return true
}

/** Signs with the key's secret half, and remembers it: what one has just signed need not be verified when it comes back. */
export function signingAs(publicKey: Uint8Array, sign: Sign): Sign {
  return async (bytes) => {
    const signature = await sign(bytes)
    if (publicKey.length === 32 && signature.length === 64) remember(keyOf(publicKey, bytes, signature))
    return signature
  }
}

function keyOf(publicKey: Uint8Array, bytes: Uint8Array, signature: Uint8Array): string {
  // Key and signature have fixed lengths, so that nothing else gives the same bytes.
  const all = new Uint8Array(96 + bytes.length)
  all.set(publicKey)
  all.set(signature, 32)
  all.set(bytes, 96)
  return sha256Hex(all)
}

function remember(key: string): void {
  if (valid.size >= REMEMBERED) valid.delete(valid.values().next().value!)
  valid.add(key)
}
