import type { ConnectionGater, PeerId } from '@libp2p/interface'

export interface AdmissionOptions {
  /** Peer ids of bootstrap peers, which are let in although they are no members. */
  bootstrap?: Iterable<string>
  /** Told of every peer that was refused. */
  onRefused?: (peerId: string, direction: 'inbound' | 'outbound') => void
}

/** Peers without any standing that may be connected, where members can vouch. */
export const MOST_STRANGERS = 32

/** Who has a standing with a task, as `Participant` tells. */
export interface Standing {
  expects(peer: string): boolean
  isBarred(peer: string): boolean
  readonly isOpen: boolean
}

/**
 * Whether a peer has a reason to be connected: it is a member, now or soon, or on the task's list; or anybody, where
 * members can vouch, a few at a time. Whoever was removed has none.
 */
export function mayConnect(peer: string, standing: Standing, connected: Iterable<string>): boolean {
  if (standing.expects(peer)) return true
  if (!standing.isOpen || standing.isBarred(peer)) return false
  const strangers = [...new Set(connected)].filter((id) => id !== peer && !standing.expects(id))
  return strangers.length < MOST_STRANGERS
}

/**
 * A connection gater that lets in roster members and bootstrap peers only. Who the other side is, is known once the
 * connection is encrypted, so that is where it is asked; a peer that was refused sees its dial succeed and then break.
 * `isMember` is asked anew for each connection, so that it follows the roster; open connections stay.
 */
export function rosterGater(isMember: (peerId: string) => boolean, options: AdmissionOptions = {}): ConnectionGater {
  const bootstrap = new Set(options.bootstrap)
  const refuse = (peer: PeerId, direction: 'inbound' | 'outbound'): boolean => {
    const peerId = peer.toString()
    if (bootstrap.has(peerId) || isMember(peerId)) return false
    options.onRefused?.(peerId, direction)
    return true
  }
  return {
    denyDialPeer: (peer) => refuse(peer, 'outbound'),
    denyInboundEncryptedConnection: (peer) => refuse(peer, 'inbound'),
    denyOutboundEncryptedConnection: (peer) => refuse(peer, 'outbound'),
    // A member that relays does so between members, and is asked before it spends anything on anybody else.
    denyInboundRelayReservation: (peer) => refuse(peer, 'inbound'),
    denyOutboundRelayedConnection: (from, to) => refuse(from, 'inbound') || refuse(to, 'outbound'),
    denyInboundRelayedConnection: (_relay, peer) => refuse(peer, 'inbound')
  }
}
