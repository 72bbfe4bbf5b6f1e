import { addMasks, createLanes } from '../../src/crypto/mask-stream.ts'
// In Node this is the native path, in a bundle for browsers the portable one over WebCrypto.
import {
  aesCtr,
  hkdfSha256,
  open,
  seal,
  sha256,
  signEd25519,
  verifyEd25519,
  x25519,
  x25519PublicKey
} from '../../src/crypto/primitives.ts'

const unhex = (text: string): Uint8Array => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16))
const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')

/** Published vectors, as far as they are asked here: all strings are hexadecimal. */
export interface Questions {
  x25519: { scalarMultiplications: { scalar: string; u: string }[] }
  hkdf: { cases: { ikm: string; salt: string; info: string; okm: string }[] }
  aes256Ctr: { key: string; counter: string; plaintext: string }
  chacha20Poly1305: { cases: { key: string; nonce: string; aad: string; plaintext: string }[] }
  ed25519: { cases: { seed: string; publicKey: string; message: string; signature: string }[] }
}

export async function answersTo({ x25519: dh, hkdf, aes256Ctr: aes, chacha20Poly1305, ed25519 }: Questions) {
  return {
    x25519: dh.scalarMultiplications.map(({ scalar, u }) => hex(x25519(unhex(scalar), unhex(u)))),
    publicKeys: dh.scalarMultiplications.map(({ scalar }) => hex(x25519PublicKey(unhex(scalar)))),
    hkdf: hkdf.cases.map(({ ikm, salt, info, okm }) =>
      hex(hkdfSha256(unhex(ikm), unhex(salt), unhex(info), okm.length / 2))
    ),
    aes: hex(await aesCtr(unhex(aes.key), unhex(aes.counter), unhex(aes.plaintext))),
    sealed: chacha20Poly1305.cases.map(({ key, nonce, aad, plaintext }) => {
      const sealed = seal(unhex(key), unhex(nonce), unhex(plaintext), unhex(aad))
      return [hex(sealed), hex(open(unhex(key), unhex(nonce), sealed, unhex(aad)))]
    }),
    signatures: ed25519.cases.map(({ seed, message }) => hex(signEd25519(unhex(seed), unhex(message)))),
    verified: ed25519.cases.map(({ publicKey, message, signature }) =>
      verifyEd25519(unhex(publicKey), unhex(message), unhex(signature))
    ),
    masked: await Promise.all([12, 16, 17, 32].map((bits) => masked(bits)))
  }
}

/** The hash of some lanes under masks added and subtracted, over more than a block. */
async function masked(bits: number): Promise<string> {
  const lanes = createLanes(bits, 70_001).map((_, i) => i * 2_654_435_761)
  const seed = (fill: number): Uint8Array => new Uint8Array(32).fill(fill)
  await addMasks(
    lanes,
    [
      { seed: seed(1), sign: 1 },
      { seed: seed(2), sign: -1 },
      { seed: seed(3), sign: 1 }
    ],
    { offset: 16_384 }
  )
  return hex(sha256(new Uint8Array(lanes.buffer)))
}
