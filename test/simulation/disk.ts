import { MemoryVectorStore } from '../../src/journal/vector-store.ts'
import type { StagedVector } from '../../src/journal/vector-store.ts'

/** Vectors in memory, of which a simulation can say whether a real disk would hold them after a crash. */
export class Disk extends MemoryVectorStore {
  /** Names that were committed with `sync`. */
  readonly #synced = new Set<string>()

  isSynced(name: string): boolean {
    return this.#synced.has(name)
  }

  override async stage(name: string): Promise<StagedVector> {
    const staged = await super.stage(name)
    return {
      write: (bytes) => staged.write(bytes),
      sync: () => staged.sync(),
      abort: () => staged.abort(),
      commit: async (options = {}) => {
        await staged.commit(options)
        if (options.sync === true) this.#synced.add(name)
        else this.#synced.delete(name)
      },
      get written() {
        return staged.written
      }
    }
  }

  override async remove(prefix: string): Promise<void> {
    await super.remove(prefix)
    for (const name of this.#synced) if (name.startsWith(prefix)) this.#synced.delete(name)
  }
}
