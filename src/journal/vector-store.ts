import { SecureAggregationError } from '../errors.ts'

/** Chunks of `read` where nothing else is asked for, in bytes. */
export const defaultChunkBytes = 65_536

/** How a vector is read. */
export interface ReadOptions {
  /** Bytes of each chunk but the last (64 KiB). */
  chunkBytes?: number
  /** Each chunk may be gone when the next is asked for: one memory for all of them (false). */
  reuse?: boolean
}

/**
 * Large packed vectors (masked uploads, sums), kept outside the journal. Names are like `round-3/attempt-0/member-5`: parts
 * of a-z, 0-9 and -, with slashes between.
 */
export interface VectorStore {
  /** Begins a vector. Whatever has this name stays until `commit`, and the last commit stands. */
  stage(name: string): Promise<StagedVector>
  /** The vector in chunks of exactly `chunkBytes` but the last; an empty one has none. Throws 'VECTOR_MISSING'. */
  read(name: string, options?: ReadOptions): AsyncIterable<Uint8Array>
  /** Exactly `length` bytes from `offset`. Throws 'VECTOR_MISSING', and 'VECTOR_RANGE' beyond the end. */
  readRange(name: string, offset: number, length: number): Promise<Uint8Array>
  /** In bytes; undefined where there is no such vector. */
  size(name: string): Promise<number | undefined>
  /** Removes every vector whose name begins so (`round-3` takes `round-30` with it, `round-3/` does not), none staged. */
  remove(prefix: string): Promise<void>
}

/** A vector that nobody can read yet. One write at a time; it ends with `commit` or `abort`. */
export interface StagedVector {
  /** The bytes may be changed again when the promise resolves. After a failed write the vector is gone. */
  write(bytes: Uint8Array): Promise<void>
  /** What was written so far is on disk when the promise resolves: then a commit with `sync` has less to wait for. */
  sync(): Promise<void>
  /** Puts the vector in its place at once. With `sync` it is on disk (fsync) when the promise resolves. */
  commit(options?: { sync?: boolean }): Promise<void>
  /** Forgets the vector. After `commit` or another `abort` it does nothing. */
  abort(): Promise<void>
  /** Bytes handed to `write` so far. */
  readonly written: number
}

export function checkName(name: string): void {
  if (name.length > 200 || !/^[a-z0-9-]+(\/[a-z0-9-]+)*$/.test(name)) {
    throw new RangeError(
      `a vector's name is like round-3/member-5, at most 200 characters, unlike ${JSON.stringify(name)}`
    )
  }
}

/** A prefix is the beginning of a name, or empty for all. */
export function checkNamePrefix(prefix: string): void {
  if (prefix !== '') checkName(prefix.endsWith('/') ? prefix.slice(0, -1) : prefix)
}

export function checkChunkBytes(chunkBytes: number): void {
  if (!Number.isSafeInteger(chunkBytes) || chunkBytes < 1) {
    throw new RangeError(`a chunk has at least one byte, not ${chunkBytes}`)
  }
}

export function checkRange(name: string, offset: number, length: number, size: number): void {
  const whole = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0
  if (!whole || offset + length > size) {
    const message = `vector ${name} has ${size} bytes, and ${length} from ${offset} were asked for`
    throw new SecureAggregationError('VECTOR_RANGE', message)
  }
}

export function missingVector(name: string, cause?: unknown): SecureAggregationError {
  return new SecureAggregationError('VECTOR_MISSING', `there is no vector ${name}: it was removed or never committed`, {
    cause
  })
}

/** What a use of a staged vector throws that is out of turn. */
export function notStaged(name: string, why: 'ended' | 'busy'): SecureAggregationError {
  const reason = why === 'ended' ? 'was committed or aborted before' : 'is still being written: wait for each write'
  return new SecureAggregationError('VECTOR_NOT_STAGED', `vector ${name} ${reason}`)
}

/** A vector store in memory, for simulations and for small vectors. */
export class MemoryVectorStore implements VectorStore {
  readonly #vectors = new Map<string, Uint8Array>()

  async stage(name: string): Promise<StagedVector> {
    checkName(name)
    return new MemoryStagedVector(name, (vector) => void this.#vectors.set(name, vector))
  }

  async *read(name: string, { chunkBytes = defaultChunkBytes }: ReadOptions = {}): AsyncIterable<Uint8Array> {
    checkChunkBytes(chunkBytes)
    const vector = this.#find(name)
    for (let offset = 0; offset < vector.length; offset += chunkBytes) yield vector.slice(offset, offset + chunkBytes)
  }

  async readRange(name: string, offset: number, length: number): Promise<Uint8Array> {
    const vector = this.#find(name)
    checkRange(name, offset, length, vector.length)
    return vector.slice(offset, offset + length)
  }

  async size(name: string): Promise<number | undefined> {
    checkName(name)
    return this.#vectors.get(name)?.length
  }

  async remove(prefix: string): Promise<void> {
    checkNamePrefix(prefix)
    for (const name of [...this.#vectors.keys()]) if (name.startsWith(prefix)) this.#vectors.delete(name)
  }

  #find(name: string): Uint8Array {
    checkName(name)
    const vector = this.#vectors.get(name)
    if (vector === undefined) throw missingVector(name)
    return vector
  }
}

class MemoryStagedVector implements StagedVector {
  readonly #name: string
  readonly #keep: (vector: Uint8Array) => void
  #parts: Uint8Array[] | undefined = []
  #written = 0

  constructor(name: string, keep: (vector: Uint8Array) => void) {
    this.#name = name
    this.#keep = keep
  }

  get written(): number {
    return this.#written
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.#parts === undefined) throw notStaged(this.#name, 'ended')
    this.#parts.push(bytes.slice())
    this.#written += bytes.length
  }

  async sync(): Promise<void> {
    if (this.#parts === undefined) throw notStaged(this.#name, 'ended')
  }

  async commit(_options?: { sync?: boolean }): Promise<void> {
    if (this.#parts === undefined) throw notStaged(this.#name, 'ended')
    const vector = new Uint8Array(this.#written)
    let at = 0
    for (const part of this.#parts) {
      vector.set(part, at)
      at += part.length
    }
    this.#parts = undefined
    this.#keep(vector)
  }

  async abort(): Promise<void> {
    this.#parts = undefined
  }
}
