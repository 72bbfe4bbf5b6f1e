// WebCrypto has no synchronous cipher.
import { ctr } from '@noble/ciphers/aes.js'
import { chacha20poly1305 } from '@noble/ciphers/chacha.js'
import { ed25519, x25519 as x25519Noble } from '@noble/curves/ed25519.js'
import { hkdf } from '@noble/hashes/hkdf.js'
import { sha256 as sha256Noble, sha512 } from '@noble/hashes/sha2.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import { isSmallOrderEncoding } from './ed25519-keys.ts'
import { checkLength, LowOrderKeyError } from './low-order.ts'
import type { Keystream, Sha256, X25519KeyPair } from './primitives.ts'

// The portable twin of primitives.ts, which documents each function: same names, same bytes, held equal by tests.
export { isCanonicalEd25519Key } from './ed25519-keys.ts'
export type { Keystream, Sha256 } from './primitives.ts'

const { Point } = ed25519
const tagLength = 16
const largestRandom = 65_536

export function sha256(...parts: Uint8Array[]): Uint8Array {
  const hash = sha256Noble.create()
  for (const part of parts) hash.update(part)
  return hash.digest()
}

export function sha256Hex(bytes: Uint8Array): string {
  return bytesToHex(sha256Noble(bytes))
}

export function createSha256(): Sha256 {
  const hash = sha256Noble.create()
  return {
    update: (bytes) => void hash.update(bytes),
    digest: () => hash.digest()
  }
}

export function hkdfSha256(ikm: Uint8Array, salt: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  return hkdf(sha256Noble, ikm, salt, info, length)
}

export function x25519PublicKey(secret: Uint8Array): Uint8Array {
  checkLength(secret, 32, 'a secret key')
  return x25519Noble.getPublicKey(secret)
}

export function x25519Agreement(secret: Uint8Array): (publicKey: Uint8Array) => Uint8Array {
  checkLength(secret, 32, 'a secret key')
  const kept = Uint8Array.from(secret)
  return (publicKey) => {
    checkLength(publicKey, 32, 'an X25519 public key')
    try {
      return x25519Noble.getSharedSecret(kept, publicKey)
    } catch (cause) {
      // Both keys have the right length: only a result that is all zero is left to refuse.
      throw new LowOrderKeyError({ cause })
    }
  }
}

export function x25519KeyPair(secret: Uint8Array): X25519KeyPair {
  return { publicKey: x25519PublicKey(secret), agree: x25519Agreement(secret) }
}

export function x25519(secret: Uint8Array, publicKey: Uint8Array): Uint8Array {
  return x25519Agreement(secret)(publicKey)
}

function littleEndian(bytes: Uint8Array): bigint {
  return bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n)
}

/**
 * What OpenSSL computes: A decoded leniently (ZIP 215), k over the bytes as they came, and encode(s·B − k·A) = R as
 * bytes.
 */
export function verifyEd25519(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== 32 || signature.length !== 64) return false
  if (isSmallOrderEncoding(publicKey) || isSmallOrderEncoding(signature)) return false
  const order = Point.Fn.ORDER
  const R = signature.subarray(0, 32)
  const s = littleEndian(signature.subarray(32))
  if (s >= order) return false
  let A
  try {
    A = Point.fromBytes(publicKey, true)
  } catch {
    return false
  }
  const k = littleEndian(sha512.create().update(R).update(publicKey).update(message).digest()) % order
  const expected = Point.BASE.multiplyUnsafe(s).subtract(A.multiplyUnsafe(k)).toBytes()
  return expected.every((byte, i) => byte === R[i])
}

export function ed25519Signer(seed: Uint8Array): (message: Uint8Array) => Uint8Array {
  checkLength(seed, 32, 'a secret key')
  return (message) => ed25519.sign(message, seed)
}

export function signEd25519(seed: Uint8Array, message: Uint8Array): Uint8Array {
  return ed25519Signer(seed)(message)
}

function chacha(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array): ReturnType<typeof chacha20poly1305> {
  checkLength(key, 32, 'a ChaCha20-Poly1305 key')
  checkLength(nonce, 12, 'a ChaCha20-Poly1305 nonce')
  return chacha20poly1305(key, nonce, aad)
}

export function seal(key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array, aad: Uint8Array): Uint8Array {
  return chacha(key, nonce, aad).encrypt(plaintext)
}

export function open(key: Uint8Array, nonce: Uint8Array, sealed: Uint8Array, aad: Uint8Array): Uint8Array {
  const cipher = chacha(key, nonce, aad)
  if (sealed.length < tagLength)
    throw new Error(`a sealed message has at least ${tagLength} bytes, not ${sealed.length}`)
  return cipher.decrypt(sealed)
}

export function randomBytes(length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  for (let at = 0; at < length; at += largestRandom) crypto.getRandomValues(bytes.subarray(at, at + largestRandom))
  return bytes
}

/** Web APIs take no views of shared memory. */
function copyOf(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(bytes)
}

async function importAes(key: Uint8Array): Promise<CryptoKey> {
  const copy = copyOf(key)
  try {
    return await crypto.subtle.importKey('raw', copy, 'AES-CTR', false, ['encrypt'])
  } finally {
    copy.fill(0)
  }
}

async function encrypt(key: CryptoKey, counter: Uint8Array<ArrayBuffer>, bytes: Uint8Array<ArrayBuffer>) {
  return new Uint8Array(await crypto.subtle.encrypt({ name: 'AES-CTR', counter, length: 128 }, key, bytes))
}

export async function aesCtr(key: Uint8Array, counter: Uint8Array, bytes: Uint8Array): Promise<Uint8Array> {
  checkLength(key, 32, 'an AES-256 key')
  checkLength(counter, 16, 'a counter block')
  return encrypt(await importAes(key), copyOf(counter), copyOf(bytes))
}

export function aesCtrBytes(key: Uint8Array, byteOffset: number, length: number): Uint8Array {
  const counter = new Uint8Array(16)
  new DataView(counter.buffer).setBigUint64(8, BigInt(Math.floor(byteOffset / 16)))
  const skipped = byteOffset % 16
  return ctr(key, counter)
    .encrypt(new Uint8Array(skipped + length))
    .slice(skipped)
}

export function aesCtrKeystream(key: Uint8Array, byteOffset = 0): Keystream {
  checkLength(key, 32, 'an AES-256 key')
  const importing = importAes(key)
  // Whoever awaits `prepare` hears of a failed import; a stream that is never read must not end the process.
  importing.catch(() => undefined)
  let position = byteOffset
  let prepared: Uint8Array | undefined
  return {
    prepare: async (length) => {
      const counter = new Uint8Array(16)
      new DataView(counter.buffer).setBigUint64(8, BigInt(Math.floor(position / 16)))
      const skipped = position % 16
      const bytes = await encrypt(await importing, counter, new Uint8Array(skipped + length))
      prepared = bytes.subarray(skipped)
      position += length
    },
    next: (length) => {
      const bytes = prepared
      prepared = undefined
      if (bytes?.length !== length) throw new Error('await prepare with the same length before each next')
      return bytes
    },
    release: () => undefined
  }
}
