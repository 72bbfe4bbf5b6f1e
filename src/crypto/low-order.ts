import { hexToBytes } from '@noble/hashes/utils.js'
import { SecureAggregationError } from '../errors.ts'

// The u-coordinates 0, 1, the two of order 8, p − 1, p and p + 1: with the top bit, which X25519 ignores, every 32 bytes
// that stand for a point of small order of the curve or its twist (RFC 7748 §6.1).
const lowOrderKeys = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f'
].map((hex) => hexToBytes(hex))

/** Whether an X25519 public key gives the all-zero secret with every secret key. */
export function isLowOrderKey(key: Uint8Array): boolean {
  return lowOrderKeys.some((low) => low.every((byte, i) => byte === (i < 31 ? key[i] : key[i] & 0x7f)))
}

/**
 * An X25519 public key of small order: the shared secret would be all zero, whatever the secret key (RFC 7748 §6.1).
 */
export class LowOrderKeyError extends SecureAggregationError {
  static override name = 'LowOrderKeyError'
  declare readonly code: 'LOW_ORDER_KEY'
  constructor(options?: { culprit?: string; cause?: unknown }) {
    super(
      'LOW_ORDER_KEY',
      'the X25519 public key is of low order and gives no secret; refuse the peer that sent it',
      options
    )
  }
}

/** Refuses a value of the wrong length before any cryptography sees it. */
export function checkLength(bytes: Uint8Array, length: number, what: string): void {
  if (bytes.length !== length) throw new RangeError(`${what} has ${length} bytes, not ${bytes.length}`)
}
