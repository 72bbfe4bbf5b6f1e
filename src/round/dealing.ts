import * as dagCbor from '@ipld/dag-cbor'
import * as z from 'zod'
import { H, lengthPrefixed } from '../crypto/hash.ts'
import { compareBytes, sealKey } from '../crypto/key-agreement.ts'
import { MerkleTree, verifyPath } from '../crypto/merkle.ts'
import { openShares, sealShares } from '../crypto/sealing.ts'
import type { Secret } from '../crypto/secret.ts'
import { shareSecret } from '../crypto/shamir.ts'
import { MessageError } from '../errors.ts'
import type { Graph } from '../membership/graphs.ts'
import type { Side } from './ballot.ts'
import { signedBytes } from './messages.ts'
import type { Body, ShareProof } from './messages.ts'
import type { Random } from './ports.ts'
import { isSignedBy } from './signatures.ts'
import type { RoundRules } from './transcript.ts'

/** Shares of a member's two secrets, each with its path to the dealer's signed root, so that it is checked on its own (§8). */

const bytes = (length: number) =>
  z.custom<Uint8Array>((value) => value instanceof Uint8Array && value.length === length)
const heldShare = z.strictObject({
  slot: z.int().min(1).max(255),
  seedShare: bytes(32),
  keyShare: bytes(32),
  nonce: bytes(32),
  path: z.array(bytes(32)).max(16),
  root: bytes(32),
  signature: bytes(64)
})
/** What one holder keeps of one dealer. */
export type HeldShare = z.infer<typeof heldShare>

/** In the order in which they are sealed. Their names would be a fourteenth of all that goes to the holders. */
const fields = ['slot', 'seedShare', 'keyShare', 'nonce', 'path', 'root', 'signature'] as const

function readShare(encoded: Uint8Array): unknown {
  const values: unknown = dagCbor.decode(encoded)
  if (!Array.isArray(values) || values.length !== fields.length) return undefined
  return Object.fromEntries(fields.map((field, place) => [field, values[place] as unknown]))
}

const seedSide = (nonce: Uint8Array, share: Uint8Array) => H('seed-share', nonce, share)
const keySide = (nonce: Uint8Array, share: Uint8Array) => H('key-share', nonce, share)
/** Names the holder, so that a share is its holder's whatever graph the attempt had, which evidence does not tell. */
const leaf = (
  { attemptId, dealer, holder }: { attemptId: Uint8Array; dealer: number; holder: number },
  seedHash: Uint8Array,
  keyHash: Uint8Array
) => H('share-leaf', attemptId, dealer, holder, seedHash, keyHash)

/** One dealing: all holders' shares under one root. Made once an attempt, whatever key books appear (S1). */
export interface Dealing {
  root: Uint8Array
  /** The share of one holder, without the root's signature. */
  of(holder: number): Omit<HeldShare, 'signature'>
  wipe(): void
}

/** Deals both secrets among the dealer's holders. A place in the tree that is nobody's holds a random leaf. */
export function deal(
  {
    seed,
    maskSecret,
    attemptId,
    dealer,
    graph,
    threshold
  }: { seed: Secret; maskSecret: Secret; attemptId: Uint8Array; dealer: number; graph: Graph; threshold: number },
  random: Random
): Dealing {
  const holders = graph.holders(dealer)
  const slots = holders.map((holder) => graph.slot(dealer, holder)!)
  const seedShares = shareSecret(seed, threshold, slots, random)
  const keyShares = shareSecret(maskSecret, threshold, slots, random)
  const nonces = holders.map(() => random(32))
  const leaves = new Map(
    holders.map((holder, at) => {
      const sides = [seedSide(nonces[at], seedShares[at]), keySide(nonces[at], keyShares[at])] as const
      return [slots[at], leaf({ attemptId, dealer, holder }, ...sides)]
    })
  )
  const tree = MerkleTree.from(Array.from({ length: graph.places }, (_, place) => leaves.get(1 + place) ?? random(32)))
  return {
    root: tree.root,
    of(holder) {
      const place = holders.indexOf(holder)
      return {
        slot: slots[place],
        seedShare: seedShares[place],
        keyShare: keyShares[place],
        nonce: nonces[place],
        path: tree.path(slots[place] - 1),
        root: tree.root
      }
    },
    wipe() {
      for (const share of [...seedShares, ...keyShares]) share.fill(0)
    }
  }
}

interface Pair {
  /** This member's seal secret, as `x25519Agreement` gives it. */
  secret: (publicKey: Uint8Array) => Uint8Array
  partnerKey: Uint8Array
  attemptId: Uint8Array
  dealer: number
  holder: number
}

const associated = ({ attemptId, dealer, holder }: Pair) => lengthPrefixed([attemptId, dealer, holder])

function keyOf({ secret, partnerKey, attemptId, dealer, holder }: Pair, { roster }: RoundRules): Secret {
  return sealKey({
    secret,
    partnerKey,
    attemptId,
    dealer: roster.members[dealer].bytes,
    holder: roster.members[holder].bytes
  })
}

/** Seals a share for its holder: nobody else can read it, the aggregator that may relay it included. */
export function sealDelivery(share: HeldShare, pair: Pair, rules: RoundRules): Body<'ShareDelivery'> {
  const key = keyOf(pair, rules)
  const plaintext = dagCbor.encode(fields.map((field) => share[field]))
  const sealed = sealShares(key, plaintext, associated(pair))
  plaintext.fill(0)
  key.wipe()
  return { attemptId: pair.attemptId, dealer: pair.dealer, holder: pair.holder, sealed }
}

/** Opens a delivery and checks the share against the dealer's signed root. @throws MessageError, the dealer being the culprit */
export function openDelivery(body: Body<'ShareDelivery'>, pair: Pair, graph: Graph, rules: RoundRules): HeldShare {
  const culprit = rules.roster.members[pair.dealer].id
  const key = keyOf(pair, rules)
  try {
    const opened = heldShare.safeParse(readShare(openShares(key, body.sealed, associated(pair))))
    if (!opened.success)
      throw new MessageError('MALFORMED', `the share dealt by member ${pair.dealer} does not have its shape`, {
        culprit
      })
    if (opened.data.slot !== graph.slot(pair.dealer, pair.holder))
      throw new MessageError('INVALID', `member ${pair.dealer} dealt a share of a slot that is not its holder's`, {
        culprit
      })
    checkProof(proofOf(opened.data, pair.dealer, 'seed'), 'seed', pair.holder, pair.attemptId, rules)
    return opened.data
  } catch (cause) {
    if (cause instanceof MessageError && cause.culprit !== undefined) throw cause
    throw new MessageError('INVALID', `the share dealt by member ${pair.dealer} cannot be opened`, { culprit, cause })
  } finally {
    key.wipe()
  }
}

/** One side of a held share, with its proof; of the other side only a hash. Only the ballot's word lets it leave. */
export function proofOf(held: HeldShare, dealer: number, side: Side): ShareProof {
  const { slot, seedShare, keyShare, nonce, path, root, signature } = held
  const [share, sibling] =
    side === 'seed' ? [seedShare, keySide(nonce, keyShare)] : [keyShare, seedSide(nonce, seedShare)]
  return { dealer, slot, share, sibling, nonce, path, root, signature }
}

/** Does this share stand in the dealer's signed tree as this holder's, at the place of its slot? @throws MessageError INVALID */
export function checkProof(
  proof: ShareProof,
  side: Side,
  holder: number,
  attemptId: Uint8Array,
  { context, roster, thresholds }: RoundRules
): void {
  const { dealer, slot, share, sibling, nonce, path, root, signature } = proof
  const member = roster.members[dealer]
  if (member === undefined || dealer === holder)
    throw new MessageError('INVALID', `a share names member ${dealer} as its dealer`)
  const [seedHash, keyHash] = side === 'seed' ? [seedSide(nonce, share), sibling] : [sibling, keySide(nonce, share)]
  if (
    !verifyPath({
      root,
      leaf: leaf({ attemptId, dealer, holder }, seedHash, keyHash),
      index: slot - 1,
      count: thresholds.graph?.shareDegree ?? roster.members.length,
      path
    })
  ) {
    throw new MessageError(
      'INVALID',
      `a share of member ${dealer} is not in the dealer's tree as that of member ${holder}`
    )
  }
  if (!isSignedBy(member.publicKey, signedBytes('ShareRoot', context, { attemptId, root }), signature)) {
    throw new MessageError('INVALID', `the root above a share of member ${dealer} is not signed by it`)
  }
}

export const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => compareBytes(a, b) === 0
