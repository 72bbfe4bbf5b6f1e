/** A reproducible source of chance (mulberry32): numbers from 0 to 1. Never used for secrets outside tests. */
export type Chance = () => number

export function chance(seed: number): Chance {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

export function below(limit: number, chance: Chance): number {
  return Math.floor(chance() * limit)
}

export function pick<T>(from: readonly T[], chance: Chance): T {
  return from[below(from.length, chance)]
}

/** `count` different ones, in random order. */
export function sample<T>(from: readonly T[], count: number, chance: Chance): T[] {
  const left = [...from]
  return Array.from({ length: count }, () => left.splice(below(left.length, chance), 1)[0])
}
