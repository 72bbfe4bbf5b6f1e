/** Who sums which slice, and who keeps what that member has of itself (§13). */
export interface Assignment {
  /** By slice. */
  owners: number[]
  keepers: number[]
  /** Ends what was begun with the owner of a slice. */
  ends: AbortController[]
  /** The order of the round (§7), and the place in it after the last that was named. */
  order: readonly number[]
  next: number
}

/**
 * The first S places of the order, each a slice. The smallest slices come first; where there are fewer slices than
 * places, the first places have none: so the first aggregator has the least to do. Undefined where fewer than two are able:
 * what an owner has of itself, another keeps.
 */
export function assign(
  order: readonly number[],
  slices: number,
  shards: number,
  isAble: (member: number) => boolean
): Assignment | undefined {
  const blank: Assignment = {
    owners: order.slice(shards - slices, shards),
    keepers: [],
    ends: Array.from({ length: slices }, () => new AbortController()),
    order,
    next: shards
  }
  const absent = new Set(blank.owners.filter((owner) => !isAble(owner)))
  return replace({ ...blank, keepers: keepersOf(blank.owners, order, isAble) }, absent, isAble)
}

/** The next in the order takes the place of each that is lost; undefined where nobody is left to. */
export function replace(
  before: Assignment,
  lost: ReadonlySet<number>,
  isAble: (member: number) => boolean
): Assignment | undefined {
  const { order } = before
  let { next } = before
  const able = order.filter((member) => isAble(member) && !lost.has(member))
  if (able.length < 2) return undefined
  const inTurn = (): number => {
    for (;;) {
      const member = order[next++ % order.length]
      if (able.includes(member)) return member
    }
  }
  const owners = before.owners.map((owner) => (able.includes(owner) ? owner : inTurn()))
  const ends = before.ends.map((end, slice) => (owners[slice] === before.owners[slice] ? end : new AbortController()))
  const keepers = keepersOf(owners, order, (member) => able.includes(member))
  return { owners, keepers, ends, order, next }
}

/** The owner of the next slice, or of the one after it, and so on; where all slices have one owner, the next in the order. */
function keepersOf(owners: number[], order: readonly number[], isAble: (member: number) => boolean): number[] {
  return owners.map((owner, slice) => {
    const after = order.indexOf(owner) + 1
    const inTurn = [
      ...owners.slice(slice + 1),
      ...owners.slice(0, slice),
      ...order.slice(after),
      ...order.slice(0, after)
    ]
    return inTurn.find((member) => member !== owner && isAble(member)) ?? owner
  })
}
