import type { Connection, ConnectionGater } from '@libp2p/interface'

/** A node cut off from all others, as by a cable that is pulled out: its connections break, and no new ones come about. */
export class Isolation {
  #isolated = false

  /** The gater of a node, which lets nobody in or out while the node is cut off. */
  gater(admission: ConnectionGater): ConnectionGater {
    return {
      ...admission,
      denyDialPeer: async (peer) => this.#isolated || ((await admission.denyDialPeer?.(peer)) ?? false),
      denyInboundConnection: () => this.#isolated,
      // What was under way when it was cut off.
      denyInboundUpgradedConnection: () => this.#isolated,
      denyOutboundUpgradedConnection: () => this.#isolated
    }
  }

  set(isolated: boolean, connections: Connection[]): void {
    this.#isolated = isolated
    if (isolated) for (const connection of connections) connection.abort(new Error('this node is cut off'))
  }
}
