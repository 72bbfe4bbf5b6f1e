import { realpath } from 'node:fs/promises'
import { Level } from 'level'
import { SecureAggregationError } from '../errors.ts'
import { makeDirectory } from './durable-directory.ts'
import { checkKey, checkPrefix, closedJournal, type Journal, type JournalOperation } from './journal.ts'

// Without it LevelDB leaves writes to the operating system, and a vote could be forgotten in a power cut (rule S3).
const durable = { sync: true }

// LevelDB locks by fcntl, and a second open of this process, though it is refused, closes a descriptor of the lock file, which
// frees the lock for every other process. So the second one must never reach LevelDB.
const openHere = new Set<string>()

function inUse(directory: string, cause?: unknown): SecureAggregationError {
  const message = `the journal in ${directory} is in use: end the process that uses it, or choose another directory`
  return new SecureAggregationError('JOURNAL_IN_USE', message, { cause })
}

function refusal(directory: string, error: unknown): SecureAggregationError {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  if ((cause as { code?: unknown }).code === 'LEVEL_LOCKED') return inUse(directory, cause)
  const why = cause instanceof Error ? cause.message : String(cause)
  const message = `the journal in ${directory} cannot be opened (${why}): check that the directory is whole and writable`
  return new SecureAggregationError('JOURNAL_UNREADABLE', message, { cause })
}

/**
 * Bytes of its log at which LevelDB compacts; 4 MiB if left to it, two hundred rounds, for which what was deleted stays on disk.
 */
const WRITE_BUFFER = 256 << 10

/** A journal on disk, in LevelDB. LevelDB drops deleted values when it compacts, not at once. */
export class LevelJournal implements Journal {
  readonly #level: Level<string, Uint8Array>
  #release: () => void

  private constructor(level: Level<string, Uint8Array>, release: () => void) {
    this.#level = level
    this.#release = release
  }

  /**
   * Opens the journal in `directory`, which is made (0700) where it is missing. Throws `SecureAggregationError`:
   * 'JOURNAL_IN_USE' where it is open already, here or in another process, 'JOURNAL_UNREADABLE' for anything else.
   */
  static async open(directory: string): Promise<LevelJournal> {
    let path: string
    try {
      await makeDirectory(directory)
      path = await realpath(directory)
    } catch (error) {
      throw refusal(directory, error)
    }
    if (openHere.has(path)) throw inUse(directory)
    openHere.add(path)
    try {
      const level = new Level<string, Uint8Array>(path, {
        keyEncoding: 'utf8',
        valueEncoding: 'view',
        writeBufferSize: WRITE_BUFFER
      })
      await level.open()
      return new LevelJournal(level, () => openHere.delete(path))
    } catch (error) {
      openHere.delete(path)
      throw refusal(directory, error)
    }
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    this.#checkOpen()
    checkKey(key)
    // `level` declares that there always is a value.
    const value = (await this.#level.get(key)) as Uint8Array | undefined
    return value && plain(value)
  }

  async put(key: string, value: Uint8Array): Promise<void> {
    this.#checkOpen()
    checkKey(key)
    await this.#level.put(key, value, durable)
  }

  async batch(operations: JournalOperation[]): Promise<void> {
    this.#checkOpen()
    for (const { key } of operations) checkKey(key)
    await this.#level.batch(operations, durable)
  }

  async delete(key: string): Promise<void> {
    this.#checkOpen()
    checkKey(key)
    await this.#level.del(key, durable)
  }

  async *entries(prefix: string): AsyncIterable<[string, Uint8Array]> {
    this.#checkOpen()
    checkPrefix(prefix)
    // DEL sorts behind every character of a key.
    for await (const [key, value] of this.#level.iterator({ gte: prefix, lt: `${prefix}\x7f` }))
      yield [key, plain(value)]
  }

  async close(): Promise<void> {
    await this.#level.close()
    this.#release()
    // A second close must not free what was opened again meanwhile.
    this.#release = () => undefined
  }

  #checkOpen(): void {
    if (this.#level.status !== 'open') throw closedJournal()
  }
}

/** LevelDB hands out Buffers, whose `slice` does not copy; what leaves here behaves as a Uint8Array. */
function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
}
