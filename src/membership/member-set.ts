import { MessageError } from '../errors.ts'

/**
 * A set of member indices as a bitmap of ⌈n/8⌉ bytes: member i is bit i mod 8, counted from the lowest, of byte ⌊i/8⌋.
 * The order of `indices` does not matter. Throws `RangeError` where an index is outside 0 … n − 1 or comes twice.
 */
export function encodeSet(indices: Iterable<number>, n: number): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(n / 8))
  for (const index of indices) {
    if (!Number.isInteger(index) || index < 0 || index >= n) {
      throw new RangeError(`a set of ${n} members has no index ${index}`)
    }
    const bit = 1 << (index & 7)
    if ((bytes[index >> 3] & bit) !== 0) throw new RangeError(`member ${index} is in the set twice`)
    bytes[index >> 3] |= bit
  }
  return bytes
}

/** The indices, rising, of a bitmap that a peer sent. One set has one encoding: length and padding bits are checked. */
export function decodeSet(bytes: Uint8Array, n: number): number[] {
  const length = Math.ceil(n / 8)
  if (bytes.length !== length) {
    throw new MessageError('MALFORMED', `a set of ${n} members has ${length} bytes, and this one ${bytes.length}`)
  }
  if (n % 8 !== 0 && bytes[length - 1] >> (n % 8) !== 0) {
    throw new MessageError('MALFORMED', `a set of ${n} members names one beyond the last`)
  }
  const indices: number[] = []
  for (let index = 0; index < n; index++) {
    if (((bytes[index >> 3] >> (index & 7)) & 1) === 1) indices.push(index)
  }
  return indices
}
