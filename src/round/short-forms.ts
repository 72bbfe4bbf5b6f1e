import { decodeSet } from '../membership/member-set.ts'
import { encodeMessage } from './messages.ts'
import type { Cut, Message, RoundContext } from './messages.ts'

/**
 * Adverts and headers without what everybody knows, for the key books and proposals of a round that is summed in slices
 * (§13): there, what a leader tells everyone is the largest part of what it sends. Each has one full form, which is what
 * its member has signed, and what hashes and roots are over.
 */

const HASH = 32
const SIGNATURE = 64
const HEADER_BYTES = HASH + SIGNATURE
const ADVERT_BYTES = 3 + 3 * HASH + SIGNATURE

/** The full form of what came in short; it goes with the message that it came in. */
const known = new WeakMap<Uint8Array, Uint8Array>()

function once(short: Uint8Array, make: () => Uint8Array): Uint8Array {
  const full = known.get(short) ?? make()
  known.set(short, full)
  return full
}

/** root ‖ signature */
export function shortHeader({ body, signature }: Message<'MaskedHeader'>): Uint8Array {
  return joined(body.root, signature)
}

/** A header as its member signed it; one that is not short is given back as it is. */
export function fullHeader(
  header: Uint8Array,
  member: number | undefined,
  { attemptId, maskingSetHash }: Pick<Cut, 'attemptId' | 'maskingSetHash'>,
  context: RoundContext
): Uint8Array {
  if (header.length !== HEADER_BYTES || member === undefined) return header
  const root = header.subarray(0, HASH)
  const signature = header.subarray(HASH)
  const body = { attemptId, maskingSetHash, root }
  return once(header, () => encodeMessage('MaskedHeader', context, member, body, signature).encoded)
}

/** The headers of a proposal, in full. */
export function fullHeaders(proposal: Message<'Proposal'>): Uint8Array[] {
  const { headers, cut } = proposal.body
  if (cut === null) return headers
  const included = decodeSet(cut.included, 8 * cut.included.length)
  return headers.map((header, place) => fullHeader(header, included[place], cut, proposal))
}

/** member (two bytes, big-endian) ‖ contributes (0 or 1) ‖ mask key ‖ seal key ‖ seed commitment ‖ signature */
export function shortAdvert({ from, body, signature }: Message<'KeyAdvert'>): Uint8Array {
  const { contributes, maskKey, sealKey, seedCommitment } = body
  const head = Uint8Array.of(from >> 8, from & 0xff, Number(contributes))
  return joined(head, maskKey, sealKey, seedCommitment, signature)
}

/** An advert as its member signed it; one that is not short, or is not canonical, is given back as it is. */
export function fullAdvert(advert: Uint8Array, attemptId: Uint8Array, context: RoundContext): Uint8Array {
  if (advert.length !== ADVERT_BYTES || advert[2] > 1) return advert
  const part = (place: number): Uint8Array => advert.subarray(3 + place * HASH, 3 + (place + 1) * HASH)
  const body = {
    attemptId,
    contributes: advert[2] === 1,
    maskKey: part(0),
    sealKey: part(1),
    seedCommitment: part(2)
  }
  const from = (advert[0] << 8) | advert[1]
  return once(advert, () => encodeMessage('KeyAdvert', context, from, body, advert.subarray(-SIGNATURE)).encoded)
}

function joined(...parts: Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}
