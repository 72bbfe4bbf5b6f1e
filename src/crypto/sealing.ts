import { MessageError } from '../errors.ts'
import { open, seal } from './primitives.ts'
import type { Secret } from './secret.ts'

// A nonce tells apart the messages under one key. Here each key, derived per attempt, dealer and holder, seals exactly
// one message ever (rule S1: one dealing an attempt), so a constant one is safe, and there is none to draw or to
// repeat.
const nonce = new Uint8Array(12)

/**
 * Seals a dealer's shares for one holder: ChaCha20-Poly1305 (RFC 8439), ciphertext and tag, 16 bytes longer than
 * `plaintext`. Must not be called with two plaintexts under one key.
 */
export function sealShares(key: Secret, plaintext: Uint8Array, aad: Uint8Array): Uint8Array {
  return seal(key.expose(), nonce, plaintext, aad)
}

/**
 * What `sealShares` sealed. Throws `MessageError` INVALID that names the dealer where it was not sealed for this place.
 */
export function openShares(key: Secret, sealed: Uint8Array, aad: Uint8Array, dealer?: string): Uint8Array {
  try {
    return open(key.expose(), nonce, sealed, aad)
  } catch (cause) {
    const who = dealer ?? 'the dealer'
    const sentence = `the shares from ${who} do not open with the key of this attempt; do not acknowledge them`
    throw new MessageError('INVALID', sentence, { culprit: dealer, cause })
  }
}
