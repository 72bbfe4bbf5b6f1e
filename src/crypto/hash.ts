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
  write32(bytes, 0, Math.floor(field / 2 ** 32))
  write32(bytes, 4, field)
  return bytes
}

function write32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}

/** The fields one after the other, each behind its length (four bytes, big-endian), so that no two lists give the same bytes. */
export function lengthPrefixed(fields: Field[]): Uint8Array {
  const parts = fields.map(bytesOf)
  return prefixed(parts, new Uint8Array(lengthOf(parts)))
}

function lengthOf(parts: Uint8Array[]): number {
  let length = 4 * parts.length
  for (const part of parts) length += part.length
  return length
}

function prefixed(parts: Uint8Array[], into: Uint8Array): Uint8Array {
  let at = 0
  for (const part of parts) {
    write32(into, at, part.length)
    into.set(part, at + 4)
    at += 4 + part.length
  }
  return into
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

/** Where all short inputs are put together: to allocate each would take longer than to hash it. */
const scratch = new Uint8Array(1024)

/** `H` of the protocol: SHA-256 over a domain tag and length-prefixed fields. 32 bytes. */
export function H(domain: string, ...fields: Field[]): Uint8Array {
  const parts = [domainBytes(domain)]
  for (const field of fields) parts.push(bytesOf(field))
  const length = lengthOf(parts)
  if (length > scratch.length) return sha256(prefixed(parts, new Uint8Array(length)))
  const bytes = prefixed(parts, scratch.subarray(0, length))
  const hash = sha256(bytes)
  // Some fields are secrets.
  bytes.fill(0)
  return hash
}
