import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join, resolve, sep } from 'node:path'
import { SecureAggregationError } from '../errors.ts'
import { makeDirectory, syncDirectory } from './durable-directory.ts'
import {
  checkChunkBytes,
  checkName,
  checkNamePrefix,
  checkRange,
  defaultChunkBytes,
  missingVector,
  notStaged,
  type ReadOptions,
  type StagedVector,
  type VectorStore
} from './vector-store.ts'

// No name has a dot in it: neither is ever taken for a vector's own directory.
const staging = '.staging'
const suffix = '.vector'

function isMissing(error: unknown): boolean {
  return (error as { code?: unknown }).code === 'ENOENT'
}

/** Not zeroed: filled to its end, or thrown away. */
const unfilled = (length: number): Uint8Array => new Uint8Array(Buffer.allocUnsafeSlow(length).buffer)

/** All of `bytes`: one read may give fewer than it was asked for. */
async function fill(handle: FileHandle, name: string, offset: number, bytes: Uint8Array): Promise<Uint8Array> {
  for (let done = 0; done < bytes.length;) {
    const { bytesRead } = await handle.read(bytes, done, bytes.length - done, offset + done)
    if (bytesRead === 0) {
      throw new SecureAggregationError('VECTOR_RANGE', `vector ${name} ends at ${offset + done}, before it should`)
    }
    done += bytesRead
  }
  return bytes
}

/** Vectors as files of one directory. One process uses it at a time, which the journal's lock sees to. */
export class FileVectorStore implements VectorStore {
  readonly #directory: string
  /** Directories whose names are on disk. */
  readonly #named = new Set<string>()
  #staged = 0
  #turn: Promise<unknown> = Promise.resolve()

  private constructor(directory: string) {
    this.#directory = directory
  }

  /** Makes `directory` (0700) where it is missing, and removes what a crash left half written. */
  static async open(directory: string): Promise<FileVectorStore> {
    const root = resolve(directory)
    await makeDirectory(root)
    await rm(join(root, staging), { recursive: true, force: true })
    await mkdir(join(root, staging), { mode: 0o700 })
    return new FileVectorStore(root)
  }

  async stage(name: string): Promise<StagedVector> {
    checkName(name)
    const temporary = join(this.#directory, staging, String(this.#staged++))
    const handle = await open(temporary, 'wx', 0o600)
    return new FileStagedVector(name, handle, temporary, (sync) => this.#place(temporary, name, sync))
  }

  async *read(
    name: string,
    { chunkBytes = defaultChunkBytes, reuse = false }: ReadOptions = {}
  ): AsyncIterable<Uint8Array> {
    checkChunkBytes(chunkBytes)
    const handle = await this.#open(name)
    try {
      const { size } = await handle.stat()
      const shared = reuse ? unfilled(Math.min(chunkBytes, size)) : undefined
      for (let offset = 0; offset < size; offset += chunkBytes) {
        const length = Math.min(chunkBytes, size - offset)
        yield await fill(handle, name, offset, shared?.subarray(0, length) ?? unfilled(length))
      }
    } finally {
      await handle.close()
    }
  }

  async readRange(name: string, offset: number, length: number): Promise<Uint8Array> {
    const handle = await this.#open(name)
    try {
      checkRange(name, offset, length, (await handle.stat()).size)
      return await fill(handle, name, offset, unfilled(length))
    } finally {
      await handle.close()
    }
  }

  async size(name: string): Promise<number | undefined> {
    try {
      return (await stat(this.#path(name))).size
    } catch (error) {
      if (isMissing(error)) return undefined
      throw error
    }
  }

  async remove(prefix: string): Promise<void> {
    checkNamePrefix(prefix)
    await this.#inTurn(async () => {
      for (const path of await this.#beginning(prefix)) {
        for (const named of this.#named) if (join(named, sep).startsWith(join(path, sep))) this.#named.delete(named)
        await rm(path, { recursive: true, force: true })
      }
    })
  }

  /** The files and directories that hold exactly the vectors whose names begin with `prefix`. */
  async #beginning(prefix: string): Promise<string[]> {
    const slash = prefix.lastIndexOf('/') + 1
    const directory = join(this.#directory, prefix.slice(0, slash))
    if (slash > 0 && slash === prefix.length) return [directory]
    try {
      const entries = await readdir(directory)
      const found = entries.filter((entry) => entry !== staging && entry.startsWith(prefix.slice(slash)))
      return found.map((entry) => join(directory, entry))
    } catch (error) {
      if (isMissing(error)) return []
      throw error
    }
  }

  #path(name: string): string {
    checkName(name)
    return join(this.#directory, name + suffix)
  }

  async #open(name: string): Promise<FileHandle> {
    try {
      return await open(this.#path(name), 'r')
    } catch (error) {
      if (isMissing(error)) throw missingVector(name, error)
      throw error
    }
  }

  async #place(temporary: string, name: string, sync: boolean): Promise<void> {
    const path = this.#path(name)
    await this.#inTurn(async () => {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 })
      await rename(temporary, path)
      if (sync) await this.#syncNames(dirname(path))
    })
  }

  /** The names in a directory, and its own and those above it where they may be new as well. */
  async #syncNames(directory: string): Promise<void> {
    await syncDirectory(directory)
    for (let above = directory; above !== this.#directory && !this.#named.has(above); above = dirname(above)) {
      await syncDirectory(dirname(above))
      this.#named.add(above)
    }
  }

  /** Placing and removing wait for each other: a directory must not vanish between its making and the rename into it. */
  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(work)
    this.#turn = turn.catch(() => undefined)
    return turn
  }
}

class FileStagedVector implements StagedVector {
  readonly #name: string
  readonly #handle: FileHandle
  readonly #temporary: string
  readonly #place: (sync: boolean) => Promise<void>
  #state: 'open' | 'busy' | 'ended' = 'open'
  #written = 0

  constructor(name: string, handle: FileHandle, temporary: string, place: (sync: boolean) => Promise<void>) {
    this.#name = name
    this.#handle = handle
    this.#temporary = temporary
    this.#place = place
  }

  get written(): number {
    return this.#written
  }

  async write(bytes: Uint8Array): Promise<void> {
    await this.#step(async () => {
      const from = this.#written
      this.#written += bytes.length
      for (let done = 0; done < bytes.length;) {
        done += (await this.#handle.write(bytes, done, bytes.length - done, from + done)).bytesWritten
      }
    })
  }

  async sync(): Promise<void> {
    await this.#step(() => this.#handle.datasync())
  }

  async commit({ sync = false }: { sync?: boolean } = {}): Promise<void> {
    await this.#step(async () => {
      if (sync) await this.#handle.sync()
      await this.#handle.close()
      await this.#place(sync)
    })
    this.#state = 'ended'
  }

  async abort(): Promise<void> {
    if (this.#state === 'ended') return
    this.#state = 'ended'
    try {
      // Waits for a write that is under way; closing twice does nothing.
      await this.#handle.close()
    } finally {
      await rm(this.#temporary, { force: true })
    }
  }

  /** One step at a time; a step that fails leaves neither handle nor file behind. */
  async #step(work: () => Promise<void>): Promise<void> {
    if (this.#state !== 'open') throw notStaged(this.#name, this.#state)
    this.#state = 'busy'
    try {
      await work()
    } catch (error) {
      await this.abort()
      throw error
    }
    // Unless it was aborted meanwhile.
    if (this.#state === 'busy') this.#state = 'open'
  }
}
