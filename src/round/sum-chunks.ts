import { CHUNK_ELEMENTS, packedLength } from '../encoding/packing.ts'
import { MerkleTree } from '../crypto/merkle.ts'
import { chunkCount, chunkLength } from './chunks.ts'
import type { ProvenChunk } from './chunks.ts'
import type { Frame } from './ports.ts'
import type { Round } from './round.ts'
import { DATA_FRAME_BYTES } from './vectors.ts'
import type { VectorShape } from './vectors.ts'

/**
 * The chunks of one published sum that are here, each checked against its root: for this member, and for others (§10). In
 * memory, since they come in any order; that is less than the lanes that this member masked, which are gone by now.
 */
export class SumChunks {
  readonly #bytes: Uint8Array
  readonly #shape: VectorShape
  /** The path of each chunk that is here. */
  readonly #paths: Array<Uint8Array[] | undefined>

  constructor(shape: VectorShape) {
    this.#shape = shape
    this.#bytes = new Uint8Array(packedLength(shape.elements, shape.bits))
    this.#paths = Array.from({ length: chunkCount(shape) })
  }

  has(index: number): boolean {
    return this.#paths[index] !== undefined
  }

  get isWhole(): boolean {
    return this.#paths.every((path) => path !== undefined)
  }

  /** One that was checked. */
  put({ index, bytes, path }: ProvenChunk): void {
    this.#bytes.set(bytes, this.#offset(index))
    this.#paths[index] = path
  }

  /** All of it, as whoever made it knows it; `leaves` are the hashes of its chunks. */
  async putAll(pieces: AsyncIterable<Uint8Array>, leaves: Uint8Array[]): Promise<void> {
    let at = 0
    for await (const piece of pieces) {
      this.#bytes.set(piece, at)
      at += piece.length
    }
    const tree = MerkleTree.from(leaves)
    for (const index of leaves.keys()) this.#paths[index] = tree.path(index)
  }

  get(index: number): ProvenChunk | undefined {
    const path = this.#paths[index]
    if (path === undefined) return undefined
    const offset = this.#offset(index)
    const length = packedLength(chunkLength(index, this.#shape), this.#shape.bits)
    return { index, bytes: this.#bytes.subarray(offset, offset + length), path }
  }

  /** As a vector that comes in one piece. */
  async *frames(): AsyncGenerator<Frame> {
    for (let at = 0; at < this.#bytes.length; at += DATA_FRAME_BYTES)
      yield { kind: 'data', payload: this.#bytes.subarray(at, at + DATA_FRAME_BYTES) }
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
    const sum = this.#sums.get(key) ?? new SumChunks(this.#round.sumShape)
    this.#sums.set(key, sum)
    return sum
  }

  /** A chunk, which whoever asks for it may have heard of before this member: it is waited for. */
  async chunk(root: Uint8Array, index: number): Promise<ProvenChunk | undefined> {
    const { clock } = this.#round.ports
    const key = this.#round.hex(root)
    const enough = new AbortController()
    let isLate = index >= chunkCount(this.#round.sumShape)
    const find = () => this.#sums.get(key)?.get(index)
    if (find() !== undefined || isLate) return find()
    const late = clock.sleep(this.#round.views.patience.limit, enough.signal).then(
      () => void (isLate = true),
      () => {}
    )
    while (find() === undefined && !isLate && !this.#over)
      await Promise.race([new Promise<void>((resolve) => this.#wake.push(resolve)), late])
    enough.abort()
    return find()
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
