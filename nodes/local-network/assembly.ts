import type { Peer } from './peer.ts'

/**
 * What still keeps the next round from opening: it waits until every member is connected to all the others, caught up
 * with `closedRound`, and knows that all the others hear its announcements. Undefined where nothing does.
 */
export async function lackingForRound(
  peers: ReadonlyMap<number, Peer>,
  ids: readonly string[],
  closedRound: number
): Promise<string | undefined> {
  const members = [...peers]
  const states = await Promise.all(members.map(([, peer]) => peer.status()))
  for (const [at, [number]] of members.entries()) {
    const state = states[at]
    if (state.closedRound !== closedRound) {
      return `peer-${number} has closed round ${state.closedRound} and not ${closedRound}`
    }
    const [connected, subscribed] = [new Set(state.connected), new Set(state.subscribed)]
    for (const [other] of members) {
      if (other === number) continue
      if (!connected.has(ids[other])) return `peer-${number} is not connected to peer-${other}`
      if (!subscribed.has(ids[other])) return `peer-${number} does not know that peer-${other} subscribes`
    }
  }
  return undefined
}
