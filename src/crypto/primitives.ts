import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  diffieHellman,
  hash as hashOnce,
  hkdfSync,
  type KeyObject,
  randomFillSync,
  sign as signNative,
  verify as verifyNative
} from 'node:crypto'
import { isSmallOrderEncoding } from './ed25519-keys.ts'
import { checkLength, LowOrderKeyError } from './low-order.ts'

export { isCanonicalEd25519Key } from './ed25519-keys.ts'

// DER of a raw key is a fixed prefix and the key (RFC 8410). For public keys JWK is imported a sixth faster than DER;
// for secret ones DER, because a JWK's base64 text could not be wiped.
const x25519SecretPrefix = Buffer.from('302e020100300506032b656e04220420', 'hex')
const ed25519SecretPrefix = Buffer.from('302e020100300506032b657004220420', 'hex')
// Ciphers are given their keys as KeyObjects: before Node takes raw bytes it throws, within, two errors that they are none,
// and a cipher takes three times as long to set up.
const rememberedKeys = 2048
const tagLength = 16
const firstBlock = Uint8Array.of(1)

/** SHA-256 of the parts, one after the other (FIPS 180-4). 32 bytes. */
export function sha256(...parts: Uint8Array[]): Uint8Array {
  if (parts.length === 1) return bytesOf(hashOnce('sha256', parts[0], 'binary'))
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return new Uint8Array(hash.digest())
}

/** The same of one part, in hex, as OpenSSL writes it: what is remembered is found by it. */
export function sha256Hex(bytes: Uint8Array): string {
  return hashOnce('sha256', bytes, 'hex')
}

// As a string, a digest comes out of OpenSSL in a third of the time that a Buffer takes.
function bytesOf(binary: string): Uint8Array {
  const bytes = new Uint8Array(binary.length)
  for (let at = 0; at < bytes.length; at++) bytes[at] = binary.charCodeAt(at)
  return bytes
}

export interface Sha256 {
  update(bytes: Uint8Array): void
  /** 32 bytes; the hash cannot be used after it. */
  digest(): Uint8Array
}

/** SHA-256 of what comes in pieces. */
export function createSha256(): Sha256 {
  const hash = createHash('sha256')
  return {
    update: (bytes) => void hash.update(bytes),
    digest: () => new Uint8Array(hash.digest())
  }
}

/**
 * HMAC with SHA-256 (RFC 2104) of a key of at most 64 bytes, as two hashes: an Hmac object of Node costs as much as eight,
 * and every mask takes an HKDF.
 */
function hmacSha256(key: Uint8Array, ...parts: Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 64)
  const inner = new Uint8Array(length).fill(0x36, 0, 64)
  const outer = new Uint8Array(96).fill(0x5c, 0, 64)
  for (let i = 0; i < key.length; i++) {
    inner[i] ^= key[i]
    outer[i] ^= key[i]
  }
  let at = 64
  for (const part of parts) {
    inner.set(part, at)
    at += part.length
  }
  outer.set(hashOnce('sha256', inner, 'buffer'), 64)
  const mac = sha256(outer)
  inner.fill(0)
  outer.fill(0)
  return mac
}

/** HKDF with SHA-256 (RFC 5869): `length` bytes, at most 255 · 32. */
export function hkdfSha256(ikm: Uint8Array, salt: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  if (salt.length <= 64 && length <= 32) {
    const key = hmacSha256(salt, ikm)
    const block = hmacSha256(key, info, firstBlock)
    key.fill(0)
    return length === 32 ? block : block.slice(0, length)
  }
  return new Uint8Array(hkdfSync('sha256', ikm, salt, info, length))
}

function importSecret(prefix: Buffer, secret: Uint8Array): KeyObject {
  checkLength(secret, 32, 'a secret key')
  const der = Buffer.concat([prefix, secret])
  try {
    return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  } finally {
    der.fill(0)
  }
}

/** Imported public keys, because importing one costs as much as using it. The oldest is forgotten first. */
function publicKeys(curve: 'X25519' | 'Ed25519'): (raw: Uint8Array) => KeyObject {
  const known = new Map<string, KeyObject>()
  return (raw) => {
    const x = Buffer.from(raw.buffer, raw.byteOffset, raw.length).toString('base64url')
    const found = known.get(x)
    if (found !== undefined) return found
    const key = createPublicKey({ key: { kty: 'OKP', crv: curve, x }, format: 'jwk' })
    if (known.size >= rememberedKeys) known.delete(known.keys().next().value!)
    known.set(x, key)
    return key
  }
}

const x25519Key = publicKeys('X25519')
const ed25519Key = publicKeys('Ed25519')

/** The public key of a 32-byte X25519 secret (RFC 7748 §6.1). */
export function x25519PublicKey(secret: Uint8Array): Uint8Array {
  return publicKeyOf(importSecret(x25519SecretPrefix, secret))
}

function publicKeyOf(privateKey: KeyObject): Uint8Array {
  const { x } = createPublicKey(privateKey).export({ format: 'jwk' })
  return new Uint8Array(Buffer.from(x!, 'base64url'))
}

/** The public key and the agreement of one secret, which is imported once: that costs more than all the rest. */
export function x25519KeyPair(secret: Uint8Array): X25519KeyPair {
  const privateKey = importSecret(x25519SecretPrefix, secret)
  return { publicKey: publicKeyOf(privateKey), agree: agreementOf(privateKey) }
}

export interface X25519KeyPair {
  publicKey: Uint8Array
  /** See {@link x25519Agreement}. */
  agree: (publicKey: Uint8Array) => Uint8Array
}

/** X25519 of one secret with many public keys: importing the secret costs more than an agreement. */
export function x25519Agreement(secret: Uint8Array): (publicKey: Uint8Array) => Uint8Array {
  return agreementOf(importSecret(x25519SecretPrefix, secret))
}

function agreementOf(privateKey: KeyObject): X25519KeyPair['agree'] {
  return (publicKey) => {
    checkLength(publicKey, 32, 'an X25519 public key')
    const known = x25519Key(publicKey)
    try {
      return new Uint8Array(diffieHellman({ privateKey, publicKey: known }))
    } catch (cause) {
      // Both keys are well formed: OpenSSL gives up only on a result that is all zero.
      throw new LowOrderKeyError({ cause })
    }
  }
}

/** The shared secret, 32 bytes (RFC 7748 §6.1). Throws `LowOrderKeyError` where it would be all zero. */
export function x25519(secret: Uint8Array, publicKey: Uint8Array): Uint8Array {
  return x25519Agreement(secret)(publicKey)
}

/**
 * Ed25519 (RFC 8032 §5.1.7), by the cofactorless equation, with s < L, and neither the key nor R of small order.
 * Whatever is malformed is false, never an error. OpenSSL decodes the public key leniently; `isCanonicalEd25519Key`
 * keeps odd keys out of a roster.
 */
export function verifyEd25519(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== 32 || signature.length !== 64) return false
  if (isSmallOrderEncoding(publicKey) || isSmallOrderEncoding(signature)) return false
  return verifyNative(null, message, ed25519Key(publicKey), signature)
}

/** Signatures of 64 bytes by a 32-byte seed (RFC 8032 §5.1.6): importing the seed costs more than to sign with it. */
export function ed25519Signer(seed: Uint8Array): (message: Uint8Array) => Uint8Array {
  const key = importSecret(ed25519SecretPrefix, seed)
  return (message) => new Uint8Array(signNative(null, message, key))
}

/** A signature of 64 bytes by a 32-byte seed (RFC 8032 §5.1.6). */
export function signEd25519(seed: Uint8Array, message: Uint8Array): Uint8Array {
  return ed25519Signer(seed)(message)
}

function checkSealing(key: Uint8Array, nonce: Uint8Array): void {
  checkLength(key, 32, 'a ChaCha20-Poly1305 key')
  checkLength(nonce, 12, 'a ChaCha20-Poly1305 nonce')
}

/** ChaCha20-Poly1305 (RFC 8439 §2.8): the ciphertext and behind it the tag of 16 bytes. */
export function seal(key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array, aad: Uint8Array): Uint8Array {
  checkSealing(key, nonce)
  const cipher = createCipheriv('chacha20-poly1305', createSecretKey(key), nonce, { authTagLength: tagLength })
  cipher.setAAD(aad, { plaintextLength: plaintext.length })
  const sealed = new Uint8Array(plaintext.length + tagLength)
  sealed.set(cipher.update(plaintext))
  cipher.final()
  sealed.set(cipher.getAuthTag(), plaintext.length)
  return sealed
}

/** The plaintext of what `seal` gave. Throws where key, nonce, associated data or a single bit differ. */
export function open(key: Uint8Array, nonce: Uint8Array, sealed: Uint8Array, aad: Uint8Array): Uint8Array {
  checkSealing(key, nonce)
  if (sealed.length < tagLength)
    throw new Error(`a sealed message has at least ${tagLength} bytes, not ${sealed.length}`)
  const end = sealed.length - tagLength
  const decipher = createDecipheriv('chacha20-poly1305', createSecretKey(key), nonce, { authTagLength: tagLength })
  decipher.setAAD(aad, { plaintextLength: end })
  decipher.setAuthTag(sealed.subarray(end))
  const plaintext = new Uint8Array(decipher.update(sealed.subarray(0, end)))
  decipher.final()
  return plaintext
}

/** Bytes of the system's CSPRNG. */
export function randomBytes(length: number): Uint8Array {
  return randomFillSync(new Uint8Array(length))
}

/** AES-256-CTR over `bytes` from an explicit first counter block of 16 bytes (SP 800-38A §6.5). */
export function aesCtr(key: Uint8Array, counter: Uint8Array, bytes: Uint8Array): Uint8Array | Promise<Uint8Array> {
  checkLength(key, 32, 'an AES-256 key')
  checkLength(counter, 16, 'a counter block')
  return new Uint8Array(createCipheriv('aes-256-ctr', createSecretKey(key), counter).update(bytes))
}

/** The bytes of {@link aesCtrKeystream} at one place, at once: for a few of them. */
export function aesCtrBytes(key: Uint8Array, byteOffset: number, length: number): Uint8Array {
  return new Uint8Array(aesCtrKeystream(key, byteOffset).next(length))
}

/** A key stream, read from front to back. */
export interface Keystream {
  /** Where it is there, to be awaited before each `next`, with the same length: WebCrypto has no synchronous cipher. */
  prepare?(length: number): Promise<void>
  /** The bytes that follow those of the last call. */
  next(length: number): Uint8Array
  /** Gives the memory of `bytes` back at once; they cannot be read any more. */
  release(bytes: Uint8Array): void
}

const zeros = new Uint8Array(65_536)

/**
 * The bytes of AES-256-CTR over zeros with a zero IV from `byteOffset` on: block counter = byte offset / 16 (protocol,
 * §11).
 */
export function aesCtrKeystream(key: Uint8Array, byteOffset = 0): Keystream {
  checkLength(key, 32, 'an AES-256 key')
  const counter = new Uint8Array(16)
  new DataView(counter.buffer).setBigUint64(8, BigInt(Math.floor(byteOffset / 16)))
  const cipher = createCipheriv('aes-256-ctr', createSecretKey(key), counter)
  if (byteOffset % 16 !== 0) cipher.update(zeros.subarray(0, byteOffset % 16))
  return {
    next: (length) => cipher.update(length <= zeros.length ? zeros.subarray(0, length) : new Uint8Array(length)),
    release: (bytes) => {
      // Detaching frees the memory now instead of at the next collection, so that the following call gets the same,
      // still in cache: this alone is a third of the time of masking. A buffer from Node's shared pool is left alone.
      const { buffer } = bytes
      if (buffer instanceof ArrayBuffer && buffer.byteLength === bytes.length) buffer.transfer(0)
    }
  }
}
