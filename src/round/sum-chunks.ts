import { CHUNK_ELEMENTS, packedLength } from '../encoding/packing.ts'
import { MerkleTree } from '../crypto/merkle.ts'
import { chunkCount, chunksTogether } from './chunks.ts'
import type { VectorStore } from '../journal/vector-store.ts'
import type { ProvenChunk } from './chunks.ts'
import type { Frame } from './ports.ts'
import type { Slice } from './slices.ts'
import { dataFrames, partFrames } from './vectors.ts'
import type { VectorShape } from './vectors.ts'

/** Which sum of a slice: its root and, where the members share the adding up (§13), who has signed that. */
export interface SliceName {
  root: Uint8Array
  owner?: number
}

/** Of a packed vector, in bytes. */
export interface Part {
  offset: number
  length: number
}

/** Where the bytes of a slice begin on disk. */
interface Place {
  name: string
  offset: number
}

/**
 * The chunks of one slice of a published sum that are here, each checked against the slice's root: for this member, and for
 * others (§10). A sum that one member makes alone is one slice. Of a long one several chunks travel together, and are
 * counted as one here, by the number of the first. In memory while they come, in any order, which is less than
 * the lanes that this member masked and that are gone by now; then on disk.
 */
export class SumSlice {
  readonly slice: Slice
  readonly root: Uint8Array
  readonly owner?: number
  /** The SliceHeader of its owner. */
  header?: Uint8Array
  readonly together: number
  readonly #store: VectorStore
  readonly #shape: VectorShape
  /** Until it is on disk. */
  #bytes?: Uint8Array
  #place?: Place
  /** The path of each chunk that is here. */
  readonly #paths: Array<Uint8Array[] | undefined>

  constructor(store: VectorStore, slice: Slice, { root, owner }: SliceName, bits: number) {
    this.slice = slice
    this.root = root
    this.owner = owner
    this.#store = store
    this.#shape = { elements: slice.elements, bits }
    this.together = chunksTogether(this.#shape)
    this.#paths = Array.from({ length: Math.ceil(chunkCount(this.#shape) / this.together) })
  }

  get shape(): VectorShape {
    return this.#shape
  }

  /** By their numbers in the whole sum, as everywhere here. */
  get chunks(): number[] {
    return Array.from(this.#paths, (_, at) => this.slice.firstChunk + at * this.together)
  }

  has(index: number): boolean {
    return this.#paths[this.#at(index)] !== undefined
  }

  get isWhole(): boolean {
    return this.#paths.every((path) => path !== undefined)
  }

  /** Where all of it lies on disk, if it does. */
  get name(): string | undefined {
    return this.#place?.name
  }

  /** One that was checked. */
  put({ index, bytes, path }: ProvenChunk): void {
    this.#bytes ??= new Uint8Array(this.slice.bytes)
    this.#bytes.set(bytes, this.#range(index).offset)
    this.#paths[this.#at(index)] = path
  }

  /** All of it lies there on disk; whoever made it gives the hashes of its chunks. */
  putAway(place: Place, leaves?: Uint8Array[]): void {
    this.#place = place
    this.#bytes = undefined
    if (leaves === undefined) return
    const { together } = this
    const parts = Array.from(this.#paths, (_, at) => leaves.slice(at * together, (at + 1) * together))
    const tree = MerkleTree.from(parts.map((part) => MerkleTree.from(part).root))
    for (const at of parts.keys()) this.#paths[at] = tree.path(at)
  }

  async get(index: number): Promise<ProvenChunk | undefined> {
    const path = this.#paths[this.#at(index)]
    if (path === undefined) return undefined
    const { offset, length } = this.#range(index)
    const bytes =
      this.#place === undefined
        ? this.#bytes!.subarray(offset, offset + length)
        : await this.#store.readRange(this.#place.name, this.#place.offset + offset, length)
    return { index, bytes, path }
  }

  /** In one piece; all of it must be here. */
  async *frames(): AsyncGenerator<Frame> {
    const { bytes } = this.slice
    if (this.#place !== undefined) {
      const { name, offset } = this.#place
      yield* partFrames(this.#store, name, { offset, bytes })
      return
    }
    yield* dataFrames(this.#bytes!)
  }

  /** Where a chunk lies in the packed vector. */
  placeOf(index: number): Part {
    const { offset, length } = this.#range(index)
    return { offset: this.slice.offset + offset, length }
  }

  /** Where a chunk lies in the slice. */
  #range(index: number): Part {
    const most = packedLength(this.together * CHUNK_ELEMENTS, this.#shape.bits)
    const offset = this.#at(index) * most
    return { offset, length: Math.min(most, this.slice.bytes - offset) }
  }

  #at(index: number): number {
    return (index - this.slice.firstChunk) / this.together
  }
}

/** What is here of a published sum, slice by slice. */
export class SumChunks {
  readonly root: Uint8Array
  readonly slices: SumSlice[]

  constructor(root: Uint8Array, slices: SumSlice[]) {
    this.root = root
    this.slices = slices
  }

  /** As a vector that comes in one piece; all of it must be here. */
  async *frames(): AsyncGenerator<Frame> {
    for (const slice of this.slices) yield* slice.frames()
  }

  /** All of it is on disk under this name. */
  putAway(name: string): void {
    for (const slice of this.slices) slice.putAway({ name, offset: slice.slice.offset })
  }

  /**
   * What is missing here, one part behind the other, and the whole vector once those parts come from elsewhere. What comes
   * here meanwhile makes no difference.
   */
  completion(): { parts: Part[]; complete: (frames: AsyncIterator<Frame>) => AsyncGenerator<Frame> } {
    const parts: Part[] = []
    const all: Array<Part | { slice: SumSlice; index: number }> = []
    for (const slice of this.slices)
      for (const index of slice.chunks) {
        const { offset, length } = slice.placeOf(index)
        const last = parts.at(-1)
        if (slice.has(index)) all.push({ slice, index })
        else if (last !== undefined && last.offset + last.length === offset) last.length += length
        else all.push(parts[parts.push({ offset, length }) - 1])
      }
    const complete = async function* (frames: AsyncIterator<Frame>): AsyncGenerator<Frame> {
      for (const one of all)
        if ('slice' in one) yield* dataFrames((await one.slice.get(one.index))!.bytes)
        else yield* taken(frames, one.length)
    }
    return { parts, complete }
  }
}

/** So many bytes of what comes, or fewer where it ends before. */
async function* taken(frames: AsyncIterator<Frame>, bytes: number): AsyncGenerator<Frame> {
  for (let left = bytes; left > 0;) {
    const next = await frames.next()
    if (next.done === true) return
    left -= next.value.payload.length
    yield next.value
  }
}
