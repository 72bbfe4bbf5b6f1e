import type { RoundBytes } from './round-bytes.ts'

/** How long an undisturbed round takes over links of some rate: what the bytes of `round-bytes.ts` come to. */

export interface Link {
  /** Mbit/s, either way. */
  mbit: number
  /** Milliseconds from one member to another. */
  delayMs: number
}

/** Seconds. */
export function roundSeconds(bytes: RoundBytes, { mbit, delayMs }: Link): number {
  void delayMs
  return (8 * (bytes.leader.sent + bytes.leader.received)) / (mbit * 1e6)
}
