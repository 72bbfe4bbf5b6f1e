import { HEADER_LENGTH, MAX_DATA } from '../../src/network/frames.ts'
import type { RoundBytes } from './round-bytes.ts'

/** How long an undisturbed round takes over links of some rate: what the bytes of `round-bytes.ts` come to. */

export interface Link {
  /** Mbit/s of each member's link, either way. */
  mbit: number
  /** Milliseconds from one member to another. */
  delayMs: number
}

export interface Work {
  /** Milliseconds that a member takes to lay its masks, and a leader to take those off that nobody's absence left. */
  maskMs: number
  unmaskMs: number
  /** How many members share a processor: 1 in a network, more where they are processes of one machine. */
  sharing?: number
}

/** Of Ethernet, IP and TCP in a packet of 1,448 bytes, and of Noise and Yamux. */
const HEADERS = 1 + 66 / 1448 + (18 + 12) / MAX_DATA

/**
 * Messages that wait for one another from the first word to the last: Want, Join; plan, advert; book, share, Ready; set,
 * header; request, vector; custody, receipt; four of the cut and its decision, reveal; sum; four of the closing, decision.
 */
const IN_TURN = 24

/** Votes and vectors on disk, and the waits of a round however short. Seen on an idle machine. */
const FIXED_SECONDS = 0.4

/** Seconds from the first word of a round to its end. */
export function roundSeconds(bytes: RoundBytes, { mbit, delayMs }: Link, work: Work): number {
  const stream = bytes.vector + HEADER_LENGTH * Math.ceil(bytes.vector / MAX_DATA)
  // A link carries both ways at once, but no sum leaves before the last vector is in, and none is audited before it is.
  const { uploads, sums, audits } = bytes.busiest
  const busiest = [uploads, sums, audits].map(({ sent, received }) => Math.max(sent, received))
  const vectors = stream * busiest.reduce((all, most) => all + most)
  const seconds = (8 * HEADERS * (vectors + bytes.control)) / (mbit * 1e6)
  const processing = (work.maskMs * (work.sharing ?? 1) + work.unmaskMs) / 1000
  return seconds + (IN_TURN * delayMs) / 1000 + processing + FIXED_SECONDS
}
