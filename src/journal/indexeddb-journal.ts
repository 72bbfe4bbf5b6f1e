import { SecureAggregationError } from '../errors.ts'
import { checkKey, checkPrefix, closedJournal, type Journal, type JournalOperation } from './journal.ts'

const store = 'entries'

/**
 * A journal in a page's IndexedDB. Written against IndexedDB itself, because `level` in browsers cannot ask for
 * `durability: 'strict'`, without which Chromium may forget a vote in a power cut (rule S3).
 *
 * A browser that runs out of room may throw away all that an origin stores: keep the identity key in the same origin, so
 * that no key outlives what it has signed.
 */
export class IndexedDbJournal implements Journal {
  readonly #database: IDBDatabase
  #release: () => void
  #closed = false

  private constructor(database: IDBDatabase, release: () => void) {
    this.#database = database
    this.#release = release
    // The browser closes a database whose storage the user clears.
    database.onclose = () => this.#end()
    database.onversionchange = () => this.#end()
  }

  /**
   * Opens the journal `name` of this origin, made where it is missing. One page at a time: throws
   * `SecureAggregationError` 'JOURNAL_IN_USE' where another tab or worker has it, 'JOURNAL_UNREADABLE' for anything else.
   */
  static async open(name: string): Promise<IndexedDbJournal> {
    const release = await lock(name)
    try {
      return new IndexedDbJournal(await openDatabase(`secagg/${name}`), release)
    } catch (cause) {
      release()
      throw unreadable(name, (cause as Error).message, cause)
    }
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    checkKey(key)
    const [value] = await this.#run('readonly', (entries) => [entries.get(key)])
    return value as Uint8Array | undefined
  }

  async put(key: string, value: Uint8Array): Promise<void> {
    await this.batch([{ type: 'put', key, value }])
  }

  async batch(operations: JournalOperation[]): Promise<void> {
    for (const { key } of operations) checkKey(key)
    // A copy of a view: a structured clone would take the whole buffer that it looks at.
    await this.#run('readwrite', (entries) =>
      operations.map((one) => (one.type === 'put' ? entries.put(one.value.slice(), one.key) : entries.delete(one.key)))
    )
  }

  async delete(key: string): Promise<void> {
    await this.batch([{ type: 'del', key }])
  }

  async *entries(prefix: string): AsyncIterable<[string, Uint8Array]> {
    checkPrefix(prefix)
    // DEL sorts behind every character of a key.
    const range = IDBKeyRange.bound(prefix, `${prefix}\x7f`, false, true)
    const found = await this.#run('readonly', (entries) => [entries.getAllKeys(range), entries.getAll(range)])
    const [keys, values] = found as [string[], Uint8Array[]]
    for (const [at, key] of keys.entries()) yield [key, values[at]]
  }

  async close(): Promise<void> {
    this.#end()
  }

  #end(): void {
    this.#closed = true
    this.#database.close()
    this.#release()
    this.#release = () => undefined
  }

  /** One transaction: the results of its requests once it is complete, which for writes is when they are on disk. */
  #run(mode: IDBTransactionMode, ask: (entries: IDBObjectStore) => IDBRequest[]): Promise<unknown[]> {
    if (this.#closed) return Promise.reject(closedJournal())
    const transaction = this.#database.transaction(store, mode, { durability: 'strict' })
    return new Promise((resolve, reject) => {
      const requests = ask(transaction.objectStore(store))
      transaction.oncomplete = () => resolve(requests.map(({ result }) => result as unknown))
      transaction.onabort = () => reject(this.#closed ? closedJournal(transaction.error) : transaction.error!)
    })
  }
}

function unreadable(name: string, why: string, cause?: unknown): SecureAggregationError {
  const message = `the journal ${name} cannot be opened (${why}): let this site store data, or choose another name`
  return new SecureAggregationError('JOURNAL_UNREADABLE', message, { cause })
}

/** How long a journal that is in use is waited for. */
const LOCK_PATIENCE_MS = 2000

/** Held until it is released or the page is gone. */
async function lock(name: string): Promise<() => void> {
  const { promise, resolve, reject } = Promise.withResolvers<() => void>()
  // Missing where the page came neither from localhost nor over https, and there WebCrypto is missing as well.
  const locks = navigator.locks as LockManager | undefined
  if (locks === undefined) throw unreadable(name, 'the page did not come over https')
  // A page that has just closed it, or was left, may hold it for a moment longer.
  const patience = AbortSignal.timeout(LOCK_PATIENCE_MS)
  locks
    .request(`secagg/${name}`, { signal: patience }, () => new Promise<void>((release) => resolve(release)))
    .catch((cause: Error) => {
      const message = `the journal ${name} is in use: close the other tab that uses it, or choose another name`
      reject(patience.aborted ? new SecureAggregationError('JOURNAL_IN_USE', message, { cause }) : cause)
    })
  return promise
}

function openDatabase(name: string): Promise<IDBDatabase> {
  const request = indexedDB.open(name, 1)
  return new Promise((resolve, reject) => {
    request.onupgradeneeded = () => void request.result.createObjectStore(store)
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error!)
  })
}
