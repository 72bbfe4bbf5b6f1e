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
  /** Peer ids in any order of those that are suspended, and return by asking. */
  suspended?: string[]
  /** The f of the roster that they were suspended from: it is not lowered. */
  leastCorrupt?: number
  /** Peer ids in any order of those that broke the protocol, and are never let in again. */
  removed?: string[]
}

/** A peer that may be a member, once or later. */
export type Peer = Omit<Member, 'index'>

/** Checking a key takes a thousand times as long as looking it up; the oldest are forgotten first. */
const REMEMBERED = 4096
const parsed = new Map<string, Peer>()

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

/** Its bytes and key, in no roster. Throws `SecureAggregationError` ('ROSTER_INVALID') for a peer that can be no member. */
export function parsePeer(id: string): Peer {
  const before = parsed.get(id)
  if (before !== undefined) return before
  const peer = Object.freeze(parse(id))
  if (parsed.size >= REMEMBERED) parsed.delete(parsed.keys().next().value!)
  parsed.set(id, peer)
  return peer
}

function parse(id: string): Peer {
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

/** Who is no member, and yet named: the suspended, with the f that is kept because of them, and the removed. */
export interface Outside {
  readonly suspended: readonly Peer[]
  readonly leastCorrupt: number
  readonly removed: readonly Peer[]
}

const nobody: readonly Peer[] = Object.freeze([])
const nobodyOutside: Outside = Object.freeze({ suspended: nobody, leastCorrupt: 0, removed: nobody })

/** What a roster's hash is over; whoever is named, as multihashes in the order of members. */
export interface HashedRoster extends Pick<RosterFields, 'epoch' | 'previousHash'> {
  members: readonly Uint8Array[]
  suspended: readonly Uint8Array[]
  leastCorrupt: number
  removed: readonly Uint8Array[]
}

/** 32 bytes, see {@link Roster}. Whether such a roster can be is not looked at. */
export function rosterHash(roster: HashedRoster): Uint8Array {
  const { epoch, previousHash, members, suspended, leastCorrupt, removed } = roster
  const outside = [...suspended, ...removed]
  const more = outside.length === 0 ? [] : [leastCorrupt, suspended.length, ...outside]
  return H('roster', epoch, previousHash ?? new Uint8Array(0), members.length, ...members, ...more)
}

/** The member list of an epoch (§2, §7). It never changes, and what it hands out is not to be changed. */
export class Roster {
  readonly epoch: number
  readonly members: readonly Member[]
  /** Peers that were suspended when absent, in the order of members; they return by asking. */
  readonly suspended: readonly Peer[]
  /** What f may not fall below while anybody is suspended (§7). */
  readonly leastCorrupt: number
  /**
   * Peers that were taken out by evidence, in the order of members. They are named for ever, so that whoever reads the
   * chain of rosters, and not only who holds the evidence, refuses them.
   */
  readonly removed: readonly Peer[]
  /**
   * `H` over epoch, previous hash, count and members, and where anybody is suspended or removed the least f, the count of
   * the suspended, them and the removed; 32 bytes.
   */
  readonly hash: Uint8Array
  readonly previousHash?: Uint8Array
  readonly #byId: ReadonlyMap<string, Member>

  /** `members` are checked, without duplicates, and in order: `createRoster` sees to that. */
  constructor(
    epoch: number,
    members: readonly Member[],
    previousHash?: Uint8Array,
    { suspended, leastCorrupt, removed }: Outside = nobodyOutside
  ) {
    this.epoch = epoch
    this.members = members
    this.previousHash = previousHash
    this.suspended = suspended
    this.leastCorrupt = leastCorrupt
    this.removed = removed
    const idsOf = (peers: readonly Peer[]): Uint8Array[] => peers.map(({ bytes }) => bytes)
    const named = { members: idsOf(members), suspended: idsOf(suspended), removed: idsOf(removed) }
    this.hash = rosterHash({ epoch, previousHash, leastCorrupt, ...named })
    this.#byId = new Map(members.map((member) => [member.id, member]))
    Object.freeze(this)
  }

  /** The member's index, or −1 for a stranger. */
  indexOf(id: string): number {
    return this.#byId.get(id)?.index ?? -1
  }

  isSuspended(id: string): boolean {
    return this.suspended.some((peer) => peer.id === id)
  }

  isRemoved(id: string): boolean {
    return this.removed.some((peer) => peer.id === id)
  }

  byId(id: string): Member | undefined {
    return this.#byId.get(id)
  }
}

/**
 * The roster of these peers, ordered by the bytes of their ids, unsigned (§2). Whether it has enough of them is for the
 * thresholds (§3). Throws `SecureAggregationError` ('ROSTER_INVALID') where a peer comes twice or cannot be a member.
 */
export function createRoster(fields: RosterFields): Roster {
  const { epoch, members, previousHash, suspended = [], leastCorrupt = 0, removed = [] } = fields
  if (!Number.isSafeInteger(epoch) || epoch < 0) refuse(`an epoch is a whole number from 0, not ${epoch}`)
  if (previousHash !== undefined && previousHash.length !== 32) {
    refuse(`the hash of the previous roster has 32 bytes, not ${previousHash.length}`)
  }
  if (members.length === 0) refuse('the roster names nobody: list the peer id of every member')
  if (!Number.isSafeInteger(leastCorrupt) || leastCorrupt < 0 || (suspended.length === 0 && leastCorrupt > 0))
    refuse(`the least f of a roster of which ${suspended.length} are suspended cannot be ${leastCorrupt}`)
  const listed = { in: members, resting: suspended, out: removed }
  const everyone = (['in', 'resting', 'out'] as const)
    .flatMap((place) => listed[place].map((id) => ({ peer: parsePeer(id), place })))
    .sort((a, b) => compareBytes(a.peer.bytes, b.peer.bytes))
  for (let place = 1; place < everyone.length; place++) {
    const { id } = everyone[place].peer
    if (everyone[place - 1].peer.id === id) refuse(`the roster names ${id} twice: list every member once`, id)
  }
  const those = (at: keyof typeof listed) => everyone.filter(({ place }) => place === at).map(({ peer }) => peer)
  const ordered = those('in').map((peer, index) => Object.freeze({ index, ...peer }))
  const outside = { suspended: Object.freeze(those('resting')), leastCorrupt, removed: Object.freeze(those('out')) }
  return new Roster(epoch, Object.freeze(ordered), previousHash?.slice(), outside)
}
