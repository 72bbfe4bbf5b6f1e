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
  return prefixed(fields.map(bytesOf))
}

function prefixed(parts: Uint8Array[]): Uint8Array {
  let length = 0
  for (const part of parts) length += 4 + part.length
  const out = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    const { length } = part
    out[at] = length >>> 24
    out[at + 1] = length >>> 16
    out[at + 2] = length >>> 8
    out[at + 3] = length
    out.set(part, at + 4)
    at += 4 + length
  }
  return out
}

/** The few domains that there are, as bytes. */
const domains = new Map<string, Uint8Array>()

function domainBytes(domain: string): Uint8Array {
  const known = domains.get(domain)
  if (known !== undefined) return known
  const made = encoder.encode(`secagg/1/${domain}`)
  domains.set(domain, made)
  return made
}

/** `H` of the protocol: SHA-256 over a domain tag and length-prefixed fields. 32 bytes. */
export function H(domain: string, ...fields: Field[]): Uint8Array {
  return sha256(prefixed([domainBytes(domain), ...fields.map(bytesOf)]))
}
