import type { Lanes } from '../crypto/mask-stream.ts'
import type { Task } from '../task/task.ts'
import { createEncoder } from './encoder.ts'
import type { Decoded } from './encoder.ts'

/** The sum of one group of a round. */
export interface GroupSum extends Decoded {
  /** Roster indices of the members whose vectors are in it. */
  members: number[]
}

/** Reads the sums of a round with groups, which lie one behind the other. `groupOf` is by roster index. */
export async function decodeGroups(
  task: Task,
  round: number,
  sums: Lanes,
  included: number[],
  groupOf: readonly number[]
): Promise<GroupSum[]> {
  const { laneCount, groups } = task
  const encoder = createEncoder(task, round)
  const decoded: GroupSum[] = []
  for (let group = 0; group < groups!.count; group++) {
    const members = included.filter((member) => groupOf[member] === group)
    const lanes = sums.subarray(group * laneCount, (group + 1) * laneCount)
    decoded.push(Object.assign(await encoder.decode(lanes, members.length), { members }))
  }
  return decoded
}

/** What all groups together say, as one sum would. */
export function total(groups: GroupSum[]): Decoded {
  const first = groups[0]
  const values = first.values.slice() as typeof first.values
  for (const { values: others } of groups.slice(1))
    for (let i = 0; i < values.length; i++) (values[i] as number) += others[i] as number
  const weight = groups.reduce((sum, { totalWeight }) => sum + totalWeight, 0)
  const clipped = groups.reduce((sum, { clippedFraction = 0, members }) => sum + clippedFraction * members.length, 0)
  const count = groups.reduce((sum, { members }) => sum + members.length, 0)
  let mean: Float64Array | undefined
  return {
    values,
    totalWeight: weight,
    ...(first.clippedFraction === undefined ? {} : { clippedFraction: clipped / count }),
    get mean() {
      return (mean ??= Float64Array.from(values as ArrayLike<number | bigint>, (value) => Number(value) / weight))
    }
  }
}

/**
 * The mean of the groups' means without the `trim` largest and smallest, element by element (Yin et al., "Byzantine-Robust
 * Distributed Learning", ICML 2018): up to `trim` groups that hold bad updates cannot move it beyond what honest ones say.
 */
export function trimmedMean(means: ArrayLike<number>[], trim: number): Float64Array {
  const kept = means.length - 2 * trim
  if (kept < 1) throw new RangeError(`of ${means.length} groups ${trim} cannot be left out at both ends`)
  const result = new Float64Array(means[0].length)
  const column = new Float64Array(means.length)
  for (let i = 0; i < result.length; i++) {
    for (let group = 0; group < means.length; group++) column[group] = means[group][i]
    column.sort()
    let sum = 0
    for (let place = trim; place < means.length - trim; place++) sum += column[place]
    result[i] = sum / kept
  }
  return result
}
