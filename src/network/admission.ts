import type { ConnectionGater, PeerId } from '@libp2p/interface'

export interface AdmissionOptions {
  /** Peer ids of bootstrap peers, which are let in although they are no members. */
  bootstrap?: Iterable<string>
  /** Told of every peer that was refused. */
  onRefused?: (peerId: string, direction: 'inbound' | 'outbound') => void
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
