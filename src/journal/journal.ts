import { SecureAggregationError } from '../errors.ts'

/** One step of a batch. */
export type JournalOperation = { type: 'put'; key: string; value: Uint8Array } | { type: 'del'; key: string }

/**
 * What must survive a crash: marks, votes, locks (§6). Every write is on disk (fsync) before its promise resolves. Keys are
 * printable ASCII, so that every implementation sorts them alike.
 */
export interface Journal {
  /** A copy of the value; undefined where there is none. */
  get(key: string): Promise<Uint8Array | undefined>
  /** Takes the place of an earlier value. */
  put(key: string, value: Uint8Array): Promise<void>
  /** All of the operations, in order, or after a crash none of them. */
  batch(operations: JournalOperation[]): Promise<void>
  /** A key that is not there is no error. */
  delete(key: string): Promise<void>
  /** Every key that begins with `prefix` and its value, in key order, as they were when the iteration began. */
  entries(prefix: string): AsyncIterable<[string, Uint8Array]>
  /** Every later use throws 'JOURNAL_CLOSED', but for another `close`. */
  close(): Promise<void>
}

/** Refuses what could sort differently in UTF-16 and UTF-8, the empty key included. */
export function checkKey(key: string): void {
  if (!/^[\x20-\x7e]+$/.test(key)) {
    throw new RangeError(`a journal key is printable ASCII and not empty, unlike ${JSON.stringify(key)}`)
  }
}

/** An empty prefix stands for all keys. */
export function checkPrefix(prefix: string): void {
  if (prefix !== '') checkKey(prefix)
}

/** What every use of a closed journal throws. */
export function closedJournal(cause?: unknown): SecureAggregationError {
  return new SecureAggregationError('JOURNAL_CLOSED', 'the journal is closed: open it again to use it', { cause })
}

/** A journal that lives as long as the process: for simulations, and for members that never restart. */
export class MemoryJournal implements Journal {
  #values = new Map<string, Uint8Array>()
  #closed = false

  async get(key: string): Promise<Uint8Array | undefined> {
    this.#checkOpen()
    checkKey(key)
    return this.#values.get(key)?.slice()
  }

  async put(key: string, value: Uint8Array): Promise<void> {
    await this.batch([{ type: 'put', key, value }])
  }

  async batch(operations: JournalOperation[]): Promise<void> {
    this.#checkOpen()
    for (const { key } of operations) checkKey(key)
    for (const operation of operations) {
      if (operation.type === 'put') this.#values.set(operation.key, operation.value.slice())
      else this.#values.delete(operation.key)
    }
  }

  async delete(key: string): Promise<void> {
    await this.batch([{ type: 'del', key }])
  }

  async *entries(prefix: string): AsyncIterable<[string, Uint8Array]> {
    this.#checkOpen()
    checkPrefix(prefix)
    const found = [...this.#values].filter(([key]) => key.startsWith(prefix))
    found.sort(([a], [b]) => (a < b ? -1 : 1))
    for (const [key, value] of found) yield [key, value.slice()]
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  /** What a process that starts after a crash at this moment would find; open, even where this one is closed. */
  clone(): MemoryJournal {
    const copy = new MemoryJournal()
    for (const [key, value] of this.#values) copy.#values.set(key, value.slice())
    return copy
  }

  #checkOpen(): void {
    if (this.#closed) throw closedJournal()
  }
}
