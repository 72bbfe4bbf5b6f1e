import { readFileSync } from 'node:fs'
import * as native from '../../src/crypto/primitives.ts'
import * as portable from '../../src/crypto/primitives.browser.ts'

interface Vectors {
  x25519: {
    scalarMultiplications: { scalar: string; u: string; result: string }[]
    iterated: { iterations: number; result: string }[]
    diffieHellman: Record<'aliceSecret' | 'alicePublic' | 'bobSecret' | 'bobPublic' | 'shared', string>
    lowOrder: string[]
  }
  hkdf: { cases: { ikm: string; salt: string; info: string; okm: string }[] }
  aes256Ctr: { key: string; counter: string; plaintext: string; ciphertext: string }
  chacha20Poly1305: { cases: { key: string; nonce: string; aad: string; plaintext: string; sealed: string }[] }
  ed25519: { cases: { name: string; seed: string; publicKey: string; message: string; signature: string }[] }
  merkle: { leaves: string[]; roots: string[] }
}

/** Published vectors; each block of the file names its source. Byte strings are hexadecimal. */
export const vectors = JSON.parse(readFileSync(new URL('../vectors/crypto.json', import.meta.url), 'utf8')) as Vectors

export const implementations = { native, portable }

export function unhex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'hex'))
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

export function flipBit(bytes: Uint8Array, bit: number): Uint8Array {
  const flipped = bytes.slice()
  flipped[bit >>> 3] ^= 1 << (bit & 7)
  return flipped
}
