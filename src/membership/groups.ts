import { H } from '../crypto/hash.ts'
import { compareBytes } from '../crypto/key-agreement.ts'
import type { Roster } from './roster.ts'

/**
 * Groups for robust aggregation: masks and sums are per group, so that a mean over groups can leave the odd ones out, while
 * shares, the cut and the closing are everybody's. The beacon draws them anew each round: nobody chooses whose values it
 * is summed with.
 */
export interface Groups {
  readonly count: number
  /** The group of each member, by roster index. */
  readonly of: readonly number[]
}

/** Members ranked by `H("group", B_r, rosterHash, round, peerId)` and dealt around: sizes differ by one at most. */
export function drawGroups(
  { hash, members }: Roster,
  { beacon, round, count }: { beacon: Uint8Array; round: number; count: number }
): Groups {
  const ranked = members
    .map(({ index, bytes }) => ({ index, rank: H('group', beacon, hash, round, bytes) }))
    .sort((a, b) => compareBytes(a.rank, b.rank))
  const of = new Array<number>(members.length)
  ranked.forEach(({ index }, place) => (of[index] = place % count))
  return { count, of }
}

/** Whether two members lay pairwise masks for each other, if both are in the masking set. */
export function sharesMasks(groups: Groups | undefined, one: number, other: number): boolean {
  return groups === undefined || groups.of[one] === groups.of[other]
}
