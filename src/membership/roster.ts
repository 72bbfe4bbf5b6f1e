import { peerIdFromString } from '@libp2p/peer-id'
import { H } from '../crypto/hash.ts'
import { compareBytes } from '../crypto/key-agreement.ts'
import { isCanonicalEd25519Key } from '../crypto/primitives.ts'
import { SecureAggregationError } from '../errors.ts'

export interface Member {
  /** Its place in the roster, from 0. */
  readonly index: number
  /** The peer id as libp2p prints it (base58). */
  readonly id: string
  /** The peer id as a multihash, by which members are ordered. */
  readonly bytes: Uint8Array
  /** The raw Ed25519 key, 32 bytes. */
  readonly publicKey: Uint8Array
}

export interface RosterFields {
  epoch: number
  /** Peer ids in any order. */
  members: string[]
  /** Of the roster before it, 32 bytes; the genesis roster has none. */
  previousHash?: Uint8Array
}

// A multihash (identity, 36 bytes) of the protobuf of an Ed25519 key (type 1, 32 bytes): peer id specification, "Keys".
const ed25519Prefix = Uint8Array.of(0x00, 0x24, 0x08, 0x01, 0x12, 0x20)

function refuse(message: string, culprit?: string, cause?: unknown): never {
  throw new SecureAggregationError('ROSTER_INVALID', message, { culprit, cause })
}

function multihashOf(id: string): Uint8Array {
  let peer
  try {
    peer = peerIdFromString(id)
  } catch (cause) {
    refuse(
      `the roster names ${JSON.stringify(id)}, which is not a peer id: write it as libp2p prints it`,
      undefined,
      cause
    )
  }
  if (peer.type !== 'Ed25519') {
    refuse(`the roster names ${id}, whose key is not Ed25519: members sign with Ed25519 keys`, id)
  }
  // Written in another base, one peer would have two names.
  if (peer.toString() !== id) refuse(`the roster names ${id}, which is to be written ${peer.toString()}`, id)
  return new Uint8Array(peer.toMultihash().bytes)
}

function parseMember(id: string): Omit<Member, 'index'> {
  const bytes = multihashOf(id)
  // The protobuf inside could spell one key in several ways, and each would be a member.
  if (bytes.length !== 38 || ed25519Prefix.some((byte, at) => bytes[at] !== byte)) {
    refuse(`the roster names ${id}, which does not encode its key canonically: derive the peer id anew`, id)
  }
  const publicKey = bytes.slice(ed25519Prefix.length)
  if (!isCanonicalEd25519Key(publicKey)) {
    refuse(`the roster names ${id}, whose key is of small order or no proper point: signatures by it prove nothing`, id)
  }
  return { id, bytes, publicKey }
}

/** The member list of an epoch (§2, §7). It never changes, and what it hands out is not to be changed. */
export class Roster {
  readonly epoch: number
  readonly members: readonly Member[]
  /** `H` over epoch, previous hash, count and members; 32 bytes. */
  readonly hash: Uint8Array
  readonly previousHash?: Uint8Array
  readonly #byId: ReadonlyMap<string, Member>

  /** `members` are checked, without duplicates, and in order: `createRoster` sees to that. */
  constructor(epoch: number, members: readonly Member[], previousHash?: Uint8Array) {
    this.epoch = epoch
    this.members = members
    this.previousHash = previousHash
    const ids = members.map((member) => member.bytes)
    this.hash = H('roster', epoch, previousHash ?? new Uint8Array(0), members.length, ...ids)
    this.#byId = new Map(members.map((member) => [member.id, member]))
    Object.freeze(this)
  }

  /** The member's index, or −1 for a stranger. */
  indexOf(id: string): number {
    return this.#byId.get(id)?.index ?? -1
  }

  byId(id: string): Member | undefined {
    return this.#byId.get(id)
  }
}

/**
 * The roster of these peers, ordered by the bytes of their ids, unsigned (§2). Whether it has enough of them is for the
 * thresholds (§3). Throws `SecureAggregationError` ('ROSTER_INVALID') where a peer comes twice or cannot be a member.
 */
export function createRoster({ epoch, members, previousHash }: RosterFields): Roster {
  if (!Number.isSafeInteger(epoch) || epoch < 0) refuse(`an epoch is a whole number from 0, not ${epoch}`)
  if (previousHash !== undefined && previousHash.length !== 32) {
    refuse(`the hash of the previous roster has 32 bytes, not ${previousHash.length}`)
  }
  if (members.length === 0) refuse('the roster names nobody: list the peer id of every member')
  const ordered = members
    .map(parseMember)
    .sort((a, b) => compareBytes(a.bytes, b.bytes))
    .map((member, index) => Object.freeze({ index, ...member }))
  for (let index = 1; index < ordered.length; index++) {
    const { id } = ordered[index]
    if (ordered[index - 1].id === id) refuse(`the roster names ${id} twice: list every member once`, id)
  }
  return new Roster(epoch, Object.freeze(ordered), previousHash?.slice())
}
