const hidden = '<redacted>'

/**
 * Bytes that must never be printed. Every way in which JavaScript turns a value into text gives `<redacted>`.
 * `wipe` overwrites this copy; copies that a runtime made while computing (garbage collector, native calls) cannot be reached.
 */
export class Secret {
  #bytes: Uint8Array

  /** Takes over `bytes`: the caller must not keep or change them. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  /** The bytes themselves, not a copy. */
  expose(): Uint8Array {
    return this.#bytes
  }

  wipe(): void {
    this.#bytes.fill(0)
  }

  toString(): string {
    return hidden
  }

  toJSON(): string {
    return hidden
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return hidden
  }
}
