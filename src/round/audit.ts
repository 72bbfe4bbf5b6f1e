import { createLanes } from '../crypto/mask-stream.ts'
import type { Mask } from '../crypto/mask-stream.ts'
import { CHUNK_ELEMENTS, pack, unpack, unpackAdd } from '../encoding/packing.ts'
import { chunkCount, chunkLength } from './chunks.ts'
import { onThisThread } from './ports.ts'
import type { Clock, Compute, Random } from './ports.ts'
import type { CheckedCut, KeyBook, MaskingSet, RoundRules } from './transcript.ts'
import { masksToRemove } from './unmasking.ts'
import type { Opened } from './unmasking.ts'
import type { VectorShape } from './vectors.ts'

/** Recomputes any chunk of a sum from what is public of its round (§10): Σ masked chunks − the masks that were opened. */

/** What a sum rests on: who may be in it, under which keys and masks, and whose vectors they are. */
export interface SumBasis {
  book: KeyBook
  set: MaskingSet
  cut: CheckedCut
}

/** A chunk of some member's masked vector that a chunk of the sum is made of. */
export interface NeededChunk {
  member: number
  index: number
}

/** Elements `from` to `to` of the vectors of one group, as they lie in a chunk of the sum from element `at` on. */
interface Part {
  group: number
  from: number
  to: number
  at: number
}

export interface SumAuditOptions {
  rules: RoundRules
  basis: SumBasis
  /** Checked against what was committed to. */
  opened: Opened
  clock: Clock
  compute?: Compute
}

/** The audit of one sum. What it is told is checked by whoever tells it: opened secrets and chunks. */
export class SumAudit {
  /** Of a member's vector, and of the sum: where sums are per group, they lie one behind the other. */
  readonly shape: VectorShape
  readonly sumShape: VectorShape
  readonly #options: SumAuditOptions
  /** By group: the same for every chunk. */
  readonly #masks = new Map<number, Promise<Mask[]>>()

  constructor(options: SumAuditOptions) {
    const { shape, groups } = options.rules
    if (shape === undefined) throw new RangeError('a sum is audited under rules that say all that it is made with')
    this.#options = options
    this.shape = shape
    this.sumShape = { ...shape, elements: shape.elements * (groups?.count ?? 1) }
  }

  /** Chunks of the sum. */
  get chunks(): number {
    return chunkCount(this.sumShape)
  }

  /** What must be had to recompute a chunk of the sum. */
  needs(chunk: number): NeededChunk[] {
    return this.#parts(chunk).flatMap((part) =>
      this.members(part.group).flatMap((member) => indicesOf(part).map((index) => ({ member, index })))
    )
  }

  /**
   * A chunk of the sum as it should be, packed.
   *
   * @param read what {@link needs} names, packed and checked against its header
   * @throws MessageError INVALID where a padding bit is set
   */
  async recompute(chunk: number, read: (needed: NeededChunk) => Uint8Array): Promise<Uint8Array> {
    const { bits, elements } = this.shape
    const { clock, compute = onThisThread } = this.#options
    const lanes = createLanes(bits, chunkLength(chunk, this.sumShape))
    for (const part of this.#parts(chunk)) {
      const indices = indicesOf(part)
      const start = indices[0] * CHUNK_ELEMENTS
      const end = Math.min((indices.at(-1)! + 1) * CHUNK_ELEMENTS, elements)
      const whole = createLanes(bits, end - start)
      for (const member of this.members(part.group))
        for (const index of indices) unpackAdd(read({ member, index }), bits, whole, index * CHUNK_ELEMENTS - start)
      await compute.addMasks(whole, await this.#masksOf(part.group), { offset: start, pause: () => clock.pause() })
      lanes.set(whole.subarray(part.from - start, part.to - start), part.at)
    }
    return pack(lanes, bits)
  }

  /** Where an element of the sum lies in the vectors of which group. */
  source(element: number): { group: number; element: number } {
    const group = Math.floor(element / this.shape.elements)
    return { group, element: element - group * this.shape.elements }
  }

  /** Whose vectors are in the sum of a group. */
  members(group: number): number[] {
    const { rules, basis } = this.#options
    return [...basis.cut.included].filter((member) => (rules.groups?.of[member] ?? 0) === group)
  }

  /** What is to be taken off the sum of a group. */
  #masksOf(group: number): Promise<Mask[]> {
    const { rules, basis, opened } = this.#options
    const known = this.#masks.get(group)
    const masks = known ?? masksToRemove(rules, basis.book, basis.set, basis.cut, opened, this.#options, group)
    this.#masks.set(group, masks)
    return masks
  }

  #parts(chunk: number): Part[] {
    const { elements } = this.shape
    const start = chunk * CHUNK_ELEMENTS
    const end = start + chunkLength(chunk, this.sumShape)
    const parts: Part[] = []
    for (let next = start; next < end;) {
      const { group, element: from } = this.source(next)
      const to = Math.min(elements, from + end - next)
      parts.push({ group, from, to, at: next - start })
      next += to - from
    }
    return parts
  }
}

function indicesOf({ from, to }: Part): number[] {
  const first = Math.floor(from / CHUNK_ELEMENTS)
  return Array.from({ length: Math.ceil(to / CHUNK_ELEMENTS) - first }, (_, place) => first + place)
}

/** The first element in which two packed chunks of so many elements differ; undefined where they are the same. */
export function firstDifference(one: Uint8Array, other: Uint8Array, count: number, bits: number): number | undefined {
  const lanes = unpack(one, count, bits)
  const others = unpack(other, count, bits)
  const at = lanes.findIndex((lane, index) => lane !== others[index])
  return at < 0 ? undefined : at
}

/**
 * How many of the chunks of a sum one of n members checks, so that each is checked `audit` times on average (§10); all
 * where that is `full`. A part of a chunk is drawn for: were it rounded up, a thousand members with vectors of one chunk
 * would ask each other for a million of them.
 */
export function chunksToAudit(audit: number | 'full', chunks: number, n: number, random: Random): number {
  if (audit === 'full') return chunks
  const wanted = audit * chunks
  return Math.min(chunks, Math.floor(wanted / n) + (below(n, random) < wanted % n ? 1 : 0))
}

/** So many different chunk numbers out of all, each set of them as likely as any other; in their order. */
export function drawChunks(count: number, chunks: number, random: Random): number[] {
  if (count >= chunks) return Array.from({ length: chunks }, (_, index) => index)
  const drawn = new Set<number>()
  // Floyd's: each new number is drawn once, from one more than the last.
  for (let last = chunks - count; last < chunks; last++) {
    const one = below(last + 1, random)
    drawn.add(drawn.has(one) ? last : one)
  }
  return [...drawn].sort((a, b) => a - b)
}

/** Uniform below a limit, by rejection of the words beyond its last whole multiple. */
function below(limit: number, random: Random): number {
  const usable = 2 ** 32 - (2 ** 32 % limit)
  for (;;) {
    const word = new DataView(random(4).slice().buffer).getUint32(0)
    if (word < usable) return word % limit
  }
}
