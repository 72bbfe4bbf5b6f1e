import { signEnvelope, verifyEnvelope } from '../crypto/envelope.ts'
import { lengthPrefixed } from '../crypto/hash.ts'
import { peerFromBytes } from './roster-bytes.ts'
import type { Peer } from './roster.ts'

/**
 * What peers sign about the roster (§7). All of it is addressed to one roster, by its hash, and expires with it: whoever
 * still wants the same signs anew, so that nobody is put in or out by words of long ago.
 */

/** Become a member, stop being one, or come back after having been suspended. */
export type Action = 'join' | 'leave' | 'return'

export interface Request {
  action: Action
  /** The peer id as a multihash, 38 bytes. */
  peer: Uint8Array
  /** Ed25519 by the peer's identity key, 64 bytes. */
  signature: Uint8Array
}

/** A member's word for a peer that is to become one. */
export interface Vouch {
  /** Multihashes, 38 bytes. */
  voucher: Uint8Array
  peer: Uint8Array
  /** Ed25519 by the voucher's identity key, 64 bytes. */
  signature: Uint8Array
}

/** Which roster of which task a request or vouch is addressed to. */
export interface Addressed {
  /** 32 bytes each. */
  taskId: Uint8Array
  rosterHash: Uint8Array
}

type Sign = (bytes: Uint8Array) => Uint8Array | Promise<Uint8Array>

const contextOf = ({ taskId, rosterHash }: Addressed): Uint8Array => lengthPrefixed([taskId, rosterHash])
const requestBytes = ({ action, peer }: Omit<Request, 'signature'>): Uint8Array => lengthPrefixed([action, peer])
const vouchBytes = ({ voucher, peer }: Omit<Vouch, 'signature'>): Uint8Array => lengthPrefixed([voucher, peer])

export async function signRequest(action: Action, peer: Uint8Array, to: Addressed, sign: Sign): Promise<Request> {
  const signature = await signEnvelope(sign, 'RosterRequest', contextOf(to), requestBytes({ action, peer }))
  return { action, peer, signature }
}

export async function signVouch(voucher: Uint8Array, peer: Uint8Array, to: Addressed, sign: Sign): Promise<Vouch> {
  const signature = await signEnvelope(sign, 'RosterVouch', contextOf(to), vouchBytes({ voucher, peer }))
  return { voucher, peer, signature }
}

/** The peer that signed this request to this roster; undefined where nobody did. Never throws. */
export function requesterOf(request: Request, to: Addressed): Peer | undefined {
  const peer = peerFromBytes(request.peer)
  const { publicKey } = peer ?? {}
  if (publicKey === undefined) return undefined
  const body = requestBytes(request)
  return verifyEnvelope(publicKey, 'RosterRequest', contextOf(to), body, request.signature) ? peer : undefined
}

/** The peer that signed this vouch to this roster; undefined where nobody did. Never throws. */
export function voucherOf(vouch: Vouch, to: Addressed): Peer | undefined {
  const peer = peerFromBytes(vouch.voucher)
  const { publicKey } = peer ?? {}
  if (publicKey === undefined) return undefined
  return verifyEnvelope(publicKey, 'RosterVouch', contextOf(to), vouchBytes(vouch), vouch.signature) ? peer : undefined
}
