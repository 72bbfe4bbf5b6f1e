import { sha256Hex } from '../crypto/primitives.ts'

/** A few key books of the largest roster, and all that a small one says in many rounds. */
const REMEMBERED_BYTES = 4 * 1024 * 1024

const LEAST_COUNTED = 1024

/** What was parsed lately, by the hash of its bytes; the oldest is forgotten first. */
export class Documents<T extends { encoded: Uint8Array }> {
  readonly #byHash = new Map<string, T>()
  readonly #hashes = new WeakMap<T, string>()
  #bytes = 0

  /** @param hash hex of the hash of these bytes */
  find(encoded: Uint8Array, hash = sha256Hex(encoded)): T | undefined {
    return this.#byHash.get(hash)
  }

  /** Hex of the hash of its bytes, computed once. */
  hashOf(document: T): string {
    const hash = this.#hashes.get(document) ?? sha256Hex(document.encoded)
    this.#hashes.set(document, hash)
    return hash
  }

  /** @param hash hex of the hash of its bytes */
  keep(document: T, hash = this.hashOf(document)): void {
    this.#hashes.set(document, hash)
    this.#byHash.set(hash, document)
    this.#bytes += costOf(document)
    for (const [hash, oldest] of this.#byHash) {
      if (this.#bytes <= REMEMBERED_BYTES) return
      this.#byHash.delete(hash)
      this.#bytes -= costOf(oldest)
    }
  }
}

/** All the memory that its bytes keep, and something for what was parsed. */
const costOf = ({ encoded }: { encoded: Uint8Array }): number => LEAST_COUNTED + encoded.buffer.byteLength
