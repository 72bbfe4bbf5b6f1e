import { gossipsub } from '@chainsafe/libp2p-gossipsub'
import { identify, identifyPush } from '@libp2p/identify'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { ping } from '@libp2p/ping'
import { bytesToHex } from '@noble/hashes/utils.js'
import { MAX_ANNOUNCEMENT } from '../src/network/gossip.ts'
import { multiplexing } from './packets.ts'

/** What daemons and pages set alike, or they would not understand each other. */

const KIB = 1 << 10
const MIB = 1 << 20

const none = new Uint8Array(0)

/**
 * A paused stream may still be sent a whole window, and one that is just being resumed a second one: the read buffer
 * must hold both, or the stream is reset. 1 MiB a round trip is 10 MiB/s at 100 ms.
 */
export function multiplexer(): ReturnType<typeof multiplexing> {
  return multiplexing({
    maxInboundStreams: 1_024,
    maxOutboundStreams: 1_024,
    streamOptions: { maxStreamWindowSize: MIB, maxReadBufferLength: 8 * MIB }
  })
}

/** Pings on their way in a connection: the monitor's of a minute, and those of peer routing. */
const PINGS = 16

/** How peers get to know each other's addresses, and whether the other is still there. */
export function acquaintance() {
  return {
    // Five seconds, the default, are not enough where sixteen processes start on one core.
    identify: identify({ timeout: 30_000 }),
    // Addresses change: a relay offers a place when it is already connected.
    identifyPush: identifyPush({ timeout: 30_000 }),
    // libp2p's connection monitor asks every ten seconds, whether or not the last answer has come, and by default breaks the
    // connection where two wait: at a peer whose event loop stood still for as long.
    ping: ping({ maxInboundStreams: PINGS, maxOutboundStreams: PINGS })
  }
}

/** Sender and number of an announcement, which gossip has several times from its neighbours: later copies are not verified. */
function announcementName({ from, seqno }: { from?: Uint8Array; seqno?: Uint8Array }): string {
  return bytesToHex(from ?? none) + bytesToHex(seqno ?? none)
}

/**
 * Announcements only: what is larger than one, with its envelope, is refused on receipt. Peers of one address lose
 * score from the eleventh on, which empties the mesh of such a network without a word.
 */
export function gossip(oneAddress: boolean): ReturnType<typeof gossipsub> {
  return gossipsub({
    globalSignaturePolicy: 'StrictSign',
    allowPublishToZeroTopicPeers: true,
    fastMsgIdFn: announcementName,
    // Most announcements have less than a kilobyte, and asking all neighbours not to send one again costs more than its copies.
    idontwantMinDataSize: 8 * KIB,
    maxInboundDataLength: MAX_ANNOUNCEMENT + 16 * KIB,
    scoreParams: oneAddress ? { IPColocationFactorWeight: 0 } : {}
  })
}

/**
 * Kademlia under a protocol name of our own, so that it never meets the public network, and with private addresses,
 * which the default mapper would leave out. By default a search waits for the first self-query, which may itself wait
 * for a dial that waits for that search: until a timeout frees them, nobody is found. So searches do not wait here;
 * while no peer is known they fail at once, and `Links` repeats them. Three paths, not ten: in a small network ten ask
 * everybody for everybody. A client asks and is not asked: nobody can dial a page.
 */
export function peerRouting(settings: { clientMode: boolean }): ReturnType<typeof kadDHT> {
  return kadDHT({
    protocol: '/secagg/kad/1.0.0',
    peerInfoMapper: passthroughMapper,
    clientMode: settings.clientMode,
    allowQueryWithZeroPeers: true,
    alpha: 3,
    disjointPaths: 3,
    querySelfInterval: 60_000
  })
}
