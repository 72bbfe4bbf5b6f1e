import { release } from '../../src/crypto/mask-stream.ts'
import { createEncoder } from '../../src/encoding/encoder.ts'
import { InputError } from '../../src/errors.ts'
import type { LazyInput } from '../../src/network/contributions.ts'
import type { Task } from '../../src/task/task.ts'
import { readNpy } from '../npy.ts'

/** The .npy files that a launcher names as this member's inputs of rounds to come. */
export class StagedInputs {
  readonly #task: Task
  readonly #inputs = new Map<number, LazyInput>()

  constructor(task: Task) {
    this.#task = task
  }

  /** Throws InputError, naming the file. */
  async add(round: number, file: string, weight?: number): Promise<void> {
    const { values } = await readNpy(file)
    try {
      await createEncoder(this.#task, round).check(values, { weight })
    } catch (error) {
      if (error instanceof InputError) throw new InputError(error.code, `${file}: ${error.message}`, { cause: error })
      throw error
    } finally {
      release(values)
    }
    // Read again when the round needs it: a long vector is not kept in memory until then.
    this.#inputs.set(round, { vector: async () => (await readNpy(file)).values, weight })
  }

  of(round: number): LazyInput | undefined {
    return this.#inputs.get(round)
  }

  closed(round: number): void {
    this.#inputs.delete(round)
  }
}
