import { unpack } from '../../src/encoding/packing.ts'
import type { VectorStore } from '../../src/journal/vector-store.ts'
import type { Task } from '../../src/task/task.ts'

interface Asked {
  member: number
  indices: number[]
  tell: (round: number, values: number[]) => void
}

/** Shows people what an aggregator holds of one member: noise. */
export class Glimpse {
  readonly #task: Task
  readonly #vectors: VectorStore
  #asked?: Asked

  constructor(task: Task, vectors: VectorStore) {
    this.#task = task
    this.#vectors = vectors
  }

  /** From now on, of this member by roster index, at these places of the vector. */
  of(member: Asked['member'], indices: Asked['indices'], tell: Asked['tell']): void {
    this.#asked = { member, indices, tell }
  }

  /** A masked vector has come, and lies in the store under this name. */
  async received(round: number, member: number, name: string): Promise<void> {
    const asked = this.#asked
    if (asked?.member !== member) return
    const { laneCount, bits } = this.#task
    const packed = await this.#vectors.readRange(name, 0, (await this.#vectors.size(name))!)
    const lanes = unpack(packed, laneCount, bits)
    asked.tell(
      round,
      asked.indices.map((index) => lanes[index])
    )
  }
}
