import { ed25519 } from '@noble/curves/ed25519.js'

const alphabet = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'

/** Base58 of the Bitcoin alphabet, written anew so that a test can spell any peer id, wrong ones included. */
export function base58(bytes: Uint8Array): string {
  let text = ''
  for (let value = BigInt(`0x${Buffer.from(bytes).toString('hex')}`); value > 0n; value /= 58n) {
    text = alphabet[Number(value % 58n)] + text
  }
  const zeros = bytes.findIndex((byte) => byte !== 0)
  return '1'.repeat(zeros === -1 ? bytes.length : zeros) + text
}

/** The multihash of the peer with this raw Ed25519 key. */
export function peerBytes(publicKey: Uint8Array): Uint8Array {
  return Uint8Array.of(0x00, 0x24, 0x08, 0x01, 0x12, 0x20, ...publicKey)
}

/** The raw Ed25519 key of peer number `number`, the same in every run. */
export function peerKey(number: number): Uint8Array {
  const seed = new Uint8Array(32)
  new DataView(seed.buffer).setUint32(0, number)
  return ed25519.getPublicKey(seed)
}

/** The ids of the first `count` peers. */
export function peerIds(count: number): string[] {
  return Array.from({ length: count }, (_, number) => base58(peerBytes(peerKey(number))))
}
