import * as dagCbor from '@ipld/dag-cbor'
import { bytesToHex } from '@noble/hashes/utils.js'
import { H } from '../crypto/hash.ts'
import type { Field } from '../crypto/hash.ts'
import type { EvidenceKind } from './evidence.ts'
import { cutHash, valueHash } from './messages.ts'
import type { AnyMessage, Cut, Message } from './messages.ts'
import { fullAdvert } from './short-forms.ts'
import { keyBookHash, maskingSetHash } from './transcript.ts'

/** What a message fixes: whoever says two things in one slot is at fault. */
export interface Claim {
  kind: EvidenceKind
  slot: string
  says: string
}

function claim(kind: EvidenceKind, slot: Field[], says: Field[]): Claim {
  return { kind, slot: bytesToHex(H('slot', ...slot)), says: bytesToHex(H('said', ...says)) }
}

/**
 * Compared is what is said, never the signature, of which a signer can make several. A plan sent with another proof of
 * how the last round was closed, or a value proposed again with another lock or other headers, says nothing else.
 *
 * A leader's statement also says what it rests on: a masking set its key book, a cut both, a lock the value that was
 * proposed and the sum that was shown, a sum its cut. So whoever was shown another of those than the rest finds it out alone.
 */
export function claimsOf(message: AnyMessage): Claim[] {
  const before = known.get(message)
  if (before !== undefined) return before
  const claims = claimsIn(message)
  known.set(message, claims)
  return claims
}

/** Where many members run in one process, each of them remembers each claim: the same strings, hashed once. */
const known = new WeakMap<AnyMessage, Claim[]>()

function claimsIn(message: AnyMessage): Claim[] {
  const { type, body } = message
  switch (type) {
    case 'RoundPlan':
      return [claim('equivocation', [type, body.view, body.attempt], [body.contextHash, body.length])]
    case 'KeyBook':
      return [bookClaim(body.view, body.attemptId, bookHash(message))]
    case 'MaskingSet':
      return [
        setClaim(body.view, body.attemptId, maskingSetHash(body)),
        bookClaim(body.view, body.attemptId, body.keyBookHash)
      ]
    case 'Proposal': {
      const { view, agreement, value, cut } = body
      return [proposalClaim(view, agreement, valueHash(value)), ...(cut === null ? [] : cutClaims(view, cut))]
    }
    case 'Lock': {
      const { view, agreement, value, root } = body.certificate
      return [proposalClaim(view, agreement, value), ...(root === null ? [] : [sumClaim(view, root)])]
    }
    case 'SumHeader': {
      const { view, cut, ...sum } = body
      const opened = claim('equivocation', [type, view, cutHash(cut)], [dagCbor.encode(sum)])
      return [opened, sumClaim(view, sum.root), ...cutClaims(view, cut)]
    }
    case 'KeyAdvert':
    case 'ShareRoot':
    case 'MaskedHeader':
      return [claim('double-statement', [type, body.attemptId], [dagCbor.encode(body)])]
    case 'SliceHeader': {
      const { attemptId, cutHash, slice, root } = body
      return [claim('double-statement', [type, attemptId, cutHash, slice], [root])]
    }
    case 'Prepare':
    case 'Commit':
      return [claim('double-vote', [type, body.agreement, body.view], [body.value, body.root ?? ''])]
    default:
      return []
  }
}

/** Of its adverts in full, however they were sent. */
function bookHash(message: Message<'KeyBook'>): Uint8Array {
  const { attemptId, adverts } = message.body
  return keyBookHash(
    attemptId,
    adverts.map((advert) => fullAdvert(advert, attemptId, message))
  )
}

const bookClaim = (view: number, attemptId: Uint8Array, hash: Uint8Array): Claim =>
  claim('equivocation', ['KeyBook', view, attemptId], [hash])
const setClaim = (view: number, attemptId: Uint8Array, hash: Uint8Array): Claim =>
  claim('equivocation', ['MaskingSet', view, attemptId], [hash])
const proposalClaim = (view: number, agreement: string, hash: Uint8Array): Claim =>
  claim('equivocation', ['Proposal', view, agreement], [hash])
/** A view has one sum: with it the round ends. */
const sumClaim = (view: number, root: Uint8Array): Claim => claim('equivocation', ['sum', view], [root])
function cutClaims(view: number, cut: Cut): Claim[] {
  const { attemptId, keyBookHash, maskingSetHash } = cut
  return [
    claim('equivocation', ['cut', view, attemptId], [cutHash(cut)]),
    bookClaim(view, attemptId, keyBookHash),
    setClaim(view, attemptId, maskingSetHash)
  ]
}
