import * as dagCbor from '@ipld/dag-cbor'
import { publicKeyFromRaw } from '@libp2p/crypto/keys'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import * as z from 'zod'
import { compareBytes } from '../crypto/key-agreement.ts'
import { MessageError } from '../errors.ts'
import { createRoster, parsePeer, rosterHash } from './roster.ts'
import type { Peer, Roster } from './roster.ts'

/** A roster as it is kept and travels: canonical DAG-CBOR of what its hash is over. */

/** Members and suspended together: far more than any roster has, and still small. */
const MOST_PEERS = 4096
const PEER_BYTES = 38
const KEY_BYTES = 32

const peers = z.array(z.instanceof(Uint8Array)).max(MOST_PEERS)
const shape = z.strictObject({
  epoch: z.int().min(0),
  previousHash: z.instanceof(Uint8Array).nullable(),
  members: peers,
  suspended: peers,
  leastCorrupt: z.int().min(0).max(MOST_PEERS),
  removed: peers
})

/** The peer that these 38 bytes name, or undefined where they name none that can be a member. Never throws. */
export function peerFromBytes(bytes: Uint8Array): Peer | undefined {
  if (bytes.length !== PEER_BYTES) return undefined
  try {
    const peer = parsePeer(peerIdFromPublicKey(publicKeyFromRaw(bytes.slice(-KEY_BYTES))).toString())
    return compareBytes(peer.bytes, bytes) === 0 ? peer : undefined
  } catch {
    return undefined
  }
}

export function encodeRoster({ epoch, previousHash, members, suspended, leastCorrupt, removed }: Roster): Uint8Array {
  return dagCbor.encode({
    epoch,
    previousHash: previousHash ?? null,
    members: members.map(({ bytes }) => bytes),
    suspended: suspended.map(({ bytes }) => bytes),
    leastCorrupt,
    removed: removed.map(({ bytes }) => bytes)
  })
}

/**
 * Epoch and hash of what may be a roster, without a look at the keys of those that it names: that takes a millisecond each, and
 * nobody is to spend it on a roster that no decision names. Throws MessageError ('MALFORMED').
 */
export function rosterHeadOf(encoded: Uint8Array): Pick<Roster, 'epoch' | 'hash'> {
  return reading(() => {
    const { previousHash, ...rest } = shape.parse(dagCbor.decode(encoded))
    return { epoch: rest.epoch, hash: rosterHash({ ...rest, previousHash: previousHash ?? undefined }) }
  })
}

/** Throws MessageError ('MALFORMED') unless the bytes are what `encodeRoster` gives; who decided it is checked elsewhere. */
export function decodeRoster(encoded: Uint8Array): Roster {
  return reading(() => {
    const { previousHash, members, suspended, removed, ...rest } = shape.parse(dagCbor.decode(encoded))
    const roster = createRoster({
      ...rest,
      members: members.map(idOf),
      suspended: suspended.map(idOf),
      removed: removed.map(idOf),
      previousHash: previousHash ?? undefined
    })
    // The order of members and keys is part of the form.
    if (compareBytes(encodeRoster(roster), encoded) !== 0) throw new Error('it is not in its canonical form')
    return roster
  })
}

function reading<T>(read: () => T): T {
  try {
    return read()
  } catch (cause) {
    throw new MessageError('MALFORMED', `a roster cannot be read: ${(cause as Error).message.split('\n')[0]}`, {
      cause
    })
  }
}

function idOf(bytes: Uint8Array): string {
  const peer = peerFromBytes(bytes)
  if (peer === undefined) throw new Error('it names bytes that are no peer id')
  return peer.id
}
