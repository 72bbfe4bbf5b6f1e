// A portable AES that needs no promise: WebCrypto's would make every graph one.
import { ctr } from '@noble/ciphers/aes.js'
import { H } from '../crypto/hash.ts'
import { LARGEST_COMPLETE_GRAPH, TEN_THOUSANDTHS, thresholds } from '../task/thresholds.ts'
import type { GraphDegrees } from './graph-parameters.ts'

/** Who holds whose shares, and who lays masks for whom, in one attempt (§3, §9). The same for every member. */
export interface Graph {
  readonly members: number
  /** Places in the tree of a dealer's shares; place p has share slot 1 + p (§8). */
  readonly places: number
  /** The members that hold shares of a dealer, rising. */
  holders(dealer: number): readonly number[]
  /** The Shamir x-coordinate of what a dealer shares with a holder (§8); undefined where it shares nothing with it. */
  slot(dealer: number, holder: number): number | undefined
  /** The members with whom a member lays masks, where both are in the masking set; rising, each once. */
  partners(index: number): readonly number[]
  /** Whether an included member has enough slots whose other end is included, too (§5, check 4). */
  isSafe(index: number, included: ReadonlySet<number>): boolean
}

/** Everybody with everybody (§3); x = 1 + the holder's index. For 128 members at most. */
export function completeGraph(members: number): Graph {
  if (members > LARGEST_COMPLETE_GRAPH)
    throw new RangeError(`the graph of ${members} members is sparse, beyond ${LARGEST_COMPLETE_GRAPH}`)
  const others = (index: number): number[] => {
    checkIndex(members, index)
    return Array.from({ length: members - 1 }, (_, place) => (place < index ? place : place + 1))
  }
  return {
    members,
    places: members,
    holders: others,
    partners: others,
    slot(dealer, holder) {
      checkIndex(members, dealer)
      checkIndex(members, holder)
      return dealer === holder ? undefined : 1 + holder
    },
    isSafe: () => true
  }
}

/** What a sparse graph is drawn from: fixed by the beacon after the roster, so that nobody chooses it. */
export interface GraphSeed {
  beacon: Uint8Array
  rosterHash: Uint8Array
  round: number
  attempt: number
}

/** `H("graph", B_r, rosterHash, round, attempt)`. 32 bytes. */
export function graphSeed({ beacon, rosterHash, round, attempt }: GraphSeed): Uint8Array {
  return H('graph', beacon, rosterHash, round, attempt)
}

/**
 * The sparse graph of an attempt (§9). Its permutations come one after the other from the PRG of the seed: first that of
 * the share graph, a ring in which a dealer's holders are the kS/2 next to it on either side; then kM/2 of the mask graph,
 * each a Hamiltonian cycle, in which a member has a slot with the one before it and one with the one after. A pair that is
 * next to each other more than once shares one mask, and counts as often for the live slots.
 */
export function sparseGraph(
  seed: Uint8Array,
  members: number,
  { maskDegree, minLiveSlots, shareDegree }: Pick<GraphDegrees, 'maskDegree' | 'minLiveSlots' | 'shareDegree'>
): Graph {
  const draw = permutations(seed, members)
  const ring = draw()
  const placeOf = inverse(ring)
  const ends = new Uint16Array(members * maskDegree)
  for (let slot = 0; slot < maskDegree; slot += 2) {
    const cycle = draw()
    cycle.forEach((member, place) => {
      ends[member * maskDegree + slot] = cycle[(place + members - 1) % members]
      ends[member * maskDegree + slot + 1] = cycle[(place + 1) % members]
    })
  }
  const slotsOf = (index: number): Uint16Array => {
    checkIndex(members, index)
    return ends.subarray(index * maskDegree, (index + 1) * maskDegree)
  }
  const holders = remembered((dealer): readonly number[] => {
    checkIndex(members, dealer)
    const half = shareDegree / 2
    const at = (offset: number) => ring[(placeOf[dealer] + offset + members) % members]
    return Array.from({ length: shareDegree }, (_, k) => at(k < half ? k - half : k - half + 1)).sort((a, b) => a - b)
  })
  return {
    members,
    places: shareDegree,
    holders,
    partners: (index) => [...new Set(slotsOf(index))].sort((a, b) => a - b),
    slot(dealer, holder) {
      const place = holders(dealer).indexOf(holder)
      return place < 0 ? undefined : 1 + place
    },
    isSafe: (index, included) =>
      slotsOf(index).reduce((live, end) => live + Number(included.has(end)), 0) >= minLiveSlots
  }
}

/** The largest part of these members in which everyone is safe (§5, check 4): whoever is not, goes, until all are. */
export function safeAmong(graph: Graph, members: Iterable<number>): Set<number> {
  const safe = new Set(members)
  for (;;) {
    const exposed = [...safe].filter((index) => !graph.isSafe(index, safe))
    if (exposed.length === 0) return safe
    for (const index of exposed) safe.delete(index)
  }
}

/** A few attempts run at a time, in one process some for many members: each graph is drawn once. */
const MOST_DRAWN = 4
const drawn = new Map<string, Graph>()

/** The graph of an attempt: complete where the thresholds of the roster name no degrees. */
export function graphOf(members: number, degrees: GraphDegrees | undefined, from: GraphSeed): Graph {
  if (degrees === undefined) return completeGraph(members)
  const seed = graphSeed(from)
  const key = [members, degrees.shareDegree, degrees.maskDegree, degrees.minLiveSlots, ...seed].join()
  const graph = drawn.get(key) ?? sparseGraph(seed, members, degrees)
  drawn.delete(key)
  drawn.set(key, graph)
  if (drawn.size > MOST_DRAWN) drawn.delete(drawn.keys().next().value!)
  return graph
}

export interface GraphParameters {
  f: number
  D: number
  quorum: number
  nMin: number
  maskDegree: number
  minLiveSlots: number
  shareDegree: number
  threshold: number
}

/**
 * The thresholds and degrees of more than 128 members (§3, §9); `corrupt` and `dropout` are fractions of the roster, with
 * four decimals at most. Fast, and cached.
 *
 * @throws TaskError THREAT_INFEASIBLE, TASK_INVALID; RangeError for 128 members and fewer, whose graph is complete
 */
export function graphParameters(threat: { members: number; corrupt: number; dropout: number }): GraphParameters {
  const { members } = threat
  const parts = (fraction: number): number => {
    const whole = Math.round(fraction * TEN_THOUSANDTHS)
    return whole / TEN_THOUSANDTHS === fraction ? whole : fraction * TEN_THOUSANDTHS
  }
  const bounds = thresholds({ members, corrupt: parts(threat.corrupt), dropout: parts(threat.dropout) })
  if (bounds.graph === undefined)
    throw new RangeError(`the graph of ${members} members is complete, and has no degrees`)
  const { f, D, quorum, nMin, threshold } = bounds
  const { maskDegree, minLiveSlots, shareDegree } = bounds.graph
  return { f, D, quorum, nMin, maskDegree, minLiveSlots, shareDegree, threshold }
}

function checkIndex(members: number, index: number): void {
  if (!Number.isInteger(index) || index < 0 || index >= members)
    throw new RangeError(`a roster of ${members} has no member ${index}`)
}

/** Fisher–Yates, from the last place down; each gives the next permutation of the same stream. */
function permutations(seed: Uint8Array, members: number): () => Uint16Array {
  const word = words(seed)
  /** Uniform below `bound`: words past its last whole multiple are thrown away. */
  const below = (bound: number): number => {
    const end = 2 ** 32 - (2 ** 32 % bound)
    for (;;) {
      const drawn = word()
      if (drawn < end) return drawn % bound
    }
  }
  return () => {
    const order = Uint16Array.from({ length: members }, (_, index) => index)
    for (let last = members - 1; last > 0; last--) {
      const other = below(last + 1)
      const kept = order[last]
      order[last] = order[other]
      order[other] = kept
    }
    return order
  }
}

const BLOCK_BYTES = 16_384

/** The mask PRG as 32-bit words, little-endian (§11). */
function words(seed: Uint8Array): () => number {
  let block = new DataView(new ArrayBuffer(0))
  let blocks = 0
  let at = 0
  return () => {
    if (at === block.byteLength) {
      const counter = new Uint8Array(16)
      new DataView(counter.buffer).setUint32(12, (blocks++ * BLOCK_BYTES) / 16)
      const { buffer, byteOffset, byteLength } = ctr(seed, counter).encrypt(new Uint8Array(BLOCK_BYTES))
      block = new DataView(buffer, byteOffset, byteLength)
      at = 0
    }
    at += 4
    return block.getUint32(at - 4, true)
  }
}

function inverse(order: Uint16Array): Uint16Array {
  const places = new Uint16Array(order.length)
  order.forEach((member, place) => (places[member] = place))
  return places
}

function remembered<T>(make: (index: number) => T): (index: number) => T {
  const made = new Map<number, T>()
  return (index) => {
    const before = made.get(index)
    if (before !== undefined) return before
    const value = make(index)
    made.set(index, value)
    return value
  }
}
