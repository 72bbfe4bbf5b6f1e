import { chunkCount } from './chunks.ts'
import type { ProvenChunk } from './chunks.ts'
import { sameBytes } from './dealing.ts'
import type { Body } from './messages.ts'
import type { Round } from './round.ts'
import { SumChunks, SumSlice } from './sum-chunks.ts'
import type { SliceName } from './sum-chunks.ts'
import { slicesOf } from './slices.ts'
import type { Slice } from './slices.ts'

/** The published sums of a round, their slices by name: what this member has of them, and gives to others (§10). */
export class PublishedSums {
  readonly #round: Round
  readonly #slices = new Map<string, SumSlice>()
  /** The last that a leader has named. */
  #last?: SumChunks
  #wake: Array<() => void> = []
  #over = false

  constructor(round: Round) {
    this.#round = round
  }

  /** Whether sums go from member to member; a short one comes behind its header. */
  get areSpread(): boolean {
    return this.#round.sharding !== undefined || chunkCount(this.#round.sumShape) > 1
  }

  /** What is here of the sum that a header names. */
  of({ root, slices }: Pick<Body<'SumHeader'>, 'root' | 'slices'>): SumChunks {
    const all = slicesOf(this.#round.sumShape)
    const names: SliceName[] = slices ?? [{ root }]
    const here = names.map((name, number) => this.slice(all[number], name))
    this.#last = new SumChunks(root, here)
    return this.#last
  }

  /** What is here of a sum, where a leader has named it. */
  find(root: Uint8Array): SumChunks | undefined {
    return this.#last !== undefined && sameBytes(this.#last.root, root) ? this.#last : undefined
  }

  /** What is here of a slice. Of no other in its place that is not whole anything is kept: leaders may name many. */
  slice(slice: Slice, name: SliceName): SumSlice {
    const key = this.#key(name)
    for (const [other, { slice: there, isWhole }] of this.#slices)
      if (other !== key && there.number === slice.number && !isWhole) this.#slices.delete(other)
    const { ports, sumShape } = this.#round
    const here = this.#slices.get(key) ?? new SumSlice(ports.vectors, slice, name, sumShape.bits)
    this.#slices.set(key, here)
    return here
  }

  /** The SliceHeader that proves a slice which is here. */
  headerOf(name: SliceName): Uint8Array | undefined {
    return this.#slices.get(this.#key(name))?.header
  }

  /** All of one is on disk, where no other sum is any more. */
  putAway(header: Pick<Body<'SumHeader'>, 'root' | 'slices'>, name: string): void {
    const sum = this.of(header)
    for (const [key, slice] of this.#slices)
      if (!sum.slices.includes(slice) && slice.name === name) this.#slices.delete(key)
    sum.putAway(name)
  }

  /** A chunk, which whoever asks for it may have heard of before this member: it is waited for. */
  async chunk(name: SliceName, index: number): Promise<ProvenChunk | undefined> {
    const key = this.#key(name)
    if (index >= chunkCount(this.#round.sumShape)) return undefined
    if (this.#slices.get(key)?.has(index) !== true) await this.#wait(key, index)
    const slice = this.#slices.get(key)
    const chunk = await slice?.get(index).catch((error: Error) => {
      if (!this.#over) throw error
      return undefined
    })
    // Another may have come to lie in its place meanwhile.
    return this.#slices.get(key) === slice ? chunk : undefined
  }

  async #wait(key: string, index: number): Promise<void> {
    const { ports, views } = this.#round
    const enough = new AbortController()
    let isLate = false
    const late = ports.clock.sleep(views.patience.limit, enough.signal).then(
      () => void (isLate = true),
      () => {}
    )
    while (this.#slices.get(key)?.has(index) !== true && !isLate && !this.#over) await Promise.race([this.news(), late])
    enough.abort(noLonger)
  }

  /** One that evidence refutes is not passed on. */
  forget(name: SliceName): void {
    this.#slices.delete(this.#key(name))
  }

  /** Resolves when something has come. */
  news(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve))
  }

  /** A chunk is here that somebody may wait for. */
  touch(): void {
    for (const wake of this.#wake.splice(0)) wake()
  }

  /** The round is over here. */
  end(): void {
    this.#over = true
    this.#slices.clear()
    this.#last = undefined
    this.touch()
  }

  #key({ root, owner }: SliceName): string {
    return `${this.#round.hex(root)}/${owner}`
  }
}

/** One for all: to make an error costs more than a chunk. */
const noLonger = new Error('it is not waited for any more')
