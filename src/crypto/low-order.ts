import { SecureAggregationError } from '../errors.ts'

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
