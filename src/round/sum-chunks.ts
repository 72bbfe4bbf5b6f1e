import { CHUNK_ELEMENTS, packedLength } from '../encoding/packing.ts'
import { MerkleTree } from '../crypto/merkle.ts'
import { chunkCount, chunkLength, readChunk } from './chunks.ts'
import type { VectorStore } from '../journal/vector-store.ts'
import type { ProvenChunk } from './chunks.ts'
import type { Frame } from './ports.ts'
import type { Round } from './round.ts'
import { DATA_FRAME_BYTES, vectorFrames } from './vectors.ts'
import type { VectorShape } from './vectors.ts'

/**
 * The chunks of one published sum that are here, each checked against its root: for this member, and for others (§10). In
 * memory while they come, in any order, which is less than the lanes that this member masked and that are gone by now; then
 * on disk.
 */
export class SumChunks {
  readonly #store: VectorStore
  readonly #shape: VectorShape
  /** Until it is on disk. */
  #bytes?: Uint8Array
  #name?: string
  /** The path of each chunk that is here. */
  readonly #paths: Array<Uint8Array[] | undefined>

  constructor(store: VectorStore, shape: VectorShape) {
    this.#store = store
    this.#shape = shape
    this.#paths = Array.from({ length: chunkCount(shape) })
  }

  has(index: number): boolean {
    return this.#paths[index] !== undefined
  }

  get isWhole(): boolean {
    return this.#paths.every((path) => path !== undefined)
  }

  /** Where all of it lies on disk, if it does. */
  get name(): string | undefined {
    return this.#name
  }

  /** One that was checked. */
  put({ index, bytes, path }: ProvenChunk): void {
    this.#bytes ??= new Uint8Array(packedLength(this.#shape.elements, this.#shape.bits))
    this.#bytes.set(bytes, this.#offset(index))
    this.#paths[index] = path
  }

  /** All of it lies on disk under this name; whoever made it gives the hashes of its chunks. */
  putAway(name: string, leaves?: Uint8Array[]): void {
    this.#name = name
    this.#bytes = undefined
    if (leaves === undefined) return
    const tree = MerkleTree.from(leaves)
    for (const index of leaves.keys()) this.#paths[index] = tree.path(index)
  }

  async get(index: number): Promise<ProvenChunk | undefined> {
    const path = this.#paths[index]
    if (path === undefined) return undefined
    if (this.#name !== undefined)
      return { index, bytes: await readChunk(this.#store, this.#name, index, this.#shape), path }
    const offset = this.#offset(index)
    const length = packedLength(chunkLength(index, this.#shape), this.#shape.bits)
    return { index, bytes: this.#bytes!.subarray(offset, offset + length), path }
  }

  /** As a vector that comes in one piece. */
  async *frames(): AsyncGenerator<Frame> {
    if (this.#name !== undefined) {
      yield* vectorFrames(this.#store, this.#name)
      return
    }
    const bytes = this.#bytes!
    for (let at = 0; at < bytes.length; at += DATA_FRAME_BYTES)
      yield { kind: 'data', payload: bytes.subarray(at, at + DATA_FRAME_BYTES) }
  }

  #offset(index: number): number {
    return index * packedLength(CHUNK_ELEMENTS, this.#shape.bits)
  }
}

/** The published sums of a round, by root. */
export class PublishedSums {
  readonly #round: Round
  readonly #sums = new Map<string, SumChunks>()
  #wake: Array<() => void> = []
  #over = false

  constructor(round: Round) {
    this.#round = round
  }

  /** Whether sums go from member to member; a short one comes behind its header, and slices from their owners (§13). */
  get areSpread(): boolean {
    return this.#round.sharding === undefined && chunkCount(this.#round.sumShape) > 1
  }

  /** What is here of the sum with this root. Of no other that is not whole anything is kept: leaders may name many. */
  of(root: Uint8Array): SumChunks {
    const key = this.#round.hex(root)
    for (const [other, sum] of this.#sums) if (other !== key && !sum.isWhole) this.#sums.delete(other)
    const sum = this.#sums.get(key) ?? new SumChunks(this.#round.ports.vectors, this.#round.sumShape)
    this.#sums.set(key, sum)
    return sum
  }

  /** All of one is on disk, where no other sum is any more. */
  putAway(root: Uint8Array, name: string, leaves?: Uint8Array[]): void {
    const sum = this.of(root)
    for (const [key, other] of this.#sums) if (other !== sum && other.name === name) this.#sums.delete(key)
    sum.putAway(name, leaves)
  }

  /** A chunk, which whoever asks for it may have heard of before this member: it is waited for. */
  async chunk(root: Uint8Array, index: number): Promise<ProvenChunk | undefined> {
    const key = this.#round.hex(root)
    if (index >= chunkCount(this.#round.sumShape)) return undefined
    if (this.#sums.get(key)?.has(index) !== true) await this.#wait(key, index)
    const sum = this.#sums.get(key)
    const chunk = await sum?.get(index).catch((error: Error) => {
      if (!this.#over) throw error
      return undefined
    })
    // Another may have come to lie in its place meanwhile.
    return this.#sums.get(key) === sum ? chunk : undefined
  }

  async #wait(key: string, index: number): Promise<void> {
    const { ports, views } = this.#round
    const enough = new AbortController()
    let isLate = false
    const late = ports.clock.sleep(views.patience.limit, enough.signal).then(
      () => void (isLate = true),
      () => {}
    )
    while (this.#sums.get(key)?.has(index) !== true && !isLate && !this.#over)
      await Promise.race([new Promise<void>((resolve) => this.#wake.push(resolve)), late])
    enough.abort()
  }

  /** One that evidence refutes is not passed on. */
  forget(root: Uint8Array): void {
    this.#sums.delete(this.#round.hex(root))
  }

  /** A chunk is here that somebody may wait for. */
  touch(): void {
    for (const wake of this.#wake.splice(0)) wake()
  }

  /** The round is over here. */
  end(): void {
    this.#over = true
    this.#sums.clear()
    this.touch()
  }
}
