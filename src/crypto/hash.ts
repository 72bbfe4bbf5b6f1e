import { sha256 } from './primitives.ts'

/** A field of a hash: bytes as they are, text as UTF-8, whole numbers from 0 to 2^53 − 1 as eight bytes big-endian. */
export type Field = Uint8Array | string | number

const encoder = new TextEncoder()

function bytesOf(field: Field): Uint8Array {
  if (field instanceof Uint8Array) return field
  if (typeof field === 'string') return encoder.encode(field)
  if (!Number.isSafeInteger(field) || field < 0)
    throw new RangeError(`a hashed number is whole and not negative, not ${field}`)
  const bytes = new Uint8Array(8)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, Math.floor(field / 2 ** 32))
  view.setUint32(4, field % 2 ** 32)
  return bytes
}

/** The fields one after the other, each behind its length (four bytes, big-endian), so that no two lists give the same bytes. */
export function lengthPrefixed(fields: Field[]): Uint8Array {
  const parts = fields.map(bytesOf)
  const out = new Uint8Array(parts.reduce((sum, part) => sum + 4 + part.length, 0))
  const view = new DataView(out.buffer)
  let at = 0
  for (const part of parts) {
    view.setUint32(at, part.length)
    out.set(part, at + 4)
    at += 4 + part.length
  }
  return out
}

/** `H` of the protocol: SHA-256 over a domain tag and length-prefixed fields. 32 bytes. */
export function H(domain: string, ...fields: Field[]): Uint8Array {
  return sha256(lengthPrefixed([`secagg/1/${domain}`, ...fields]))
}
