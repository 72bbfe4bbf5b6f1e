import { bytesToHex } from '@noble/hashes/utils.js'
import { sha256 } from '../crypto/primitives.ts'

/** A few key books of the largest roster, and all that a small one says in many rounds. */
const REMEMBERED_BYTES = 4 * 1024 * 1024

const LEAST_COUNTED = 1024

/** What was parsed lately, by the hash of its bytes; the oldest is forgotten first. */
export class Documents<T extends { encoded: Uint8Array }> {
  readonly #byHash = new Map<string, T>()
  readonly #hashes = new WeakMap<T, string>()
  #bytes = 0

  find(encoded: Uint8Array): T | undefined {
    return this.#byHash.get(hashOf(encoded))
  }

  /** Hex of the hash of its bytes, computed once. */
  hashOf(document: T): string {
    const hash = this.#hashes.get(document) ?? hashOf(document.encoded)
    this.#hashes.set(document, hash)
    return hash
  }

  keep(document: T): void {
    this.#byHash.set(this.hashOf(document), document)
    this.#bytes += costOf(document)
    for (const [hash, oldest] of this.#byHash) {
      if (this.#bytes <= REMEMBERED_BYTES) return
      this.#byHash.delete(hash)
      this.#bytes -= costOf(oldest)
    }
  }
}

const hashOf = (encoded: Uint8Array): string => bytesToHex(sha256(encoded))

/** All the memory that its bytes keep, and something for what was parsed. */
const costOf = ({ encoded }: { encoded: Uint8Array }): number => LEAST_COUNTED + encoded.buffer.byteLength
