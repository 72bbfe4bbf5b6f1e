import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { publicKeyFromRaw } from '@libp2p/crypto/keys'
import { ed25519 } from '@noble/curves/ed25519.js'

/** The peer id of an Ed25519 public key of 32 bytes. */
export function peerIdOf(publicKey: Uint8Array): string {
  return peerIdFromPublicKey(publicKeyFromRaw(publicKey)).toString()
}

/** Peer ids of keys that anybody can make again: key i comes from a seed of bytes i, beyond 255 with another last one. */
export function members(count: number): string[] {
  return Array.from({ length: count }, (_, i) => {
    const seed = new Uint8Array(32).fill(i + 1)
    seed[31] ^= i >> 8
    return peerIdOf(ed25519.getPublicKey(seed))
  })
}
