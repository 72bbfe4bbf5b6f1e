import { Writable } from 'node:stream'

/** A terminal as far as the live views use one: what scrolls out at its top can no longer be erased. */
export class Terminal {
  readonly rows: number
  readonly columns: number
  /** All lines ever shown, the last ones on the screen. */
  #lines: string[] = ['']
  /** Where the screen begins. */
  #top = 0
  #row = 0
  #column = 0
  #wraps = true

  constructor(columns: number, rows: number) {
    this.columns = columns
    this.rows = rows
  }

  get stream(): NodeJS.WriteStream {
    const stream = new Writable({
      write: (chunk: Buffer, _, done) => {
        this.#take(chunk.toString())
        done()
      }
    })
    return Object.assign(stream, {
      isTTY: true,
      rows: this.rows,
      columns: this.columns
    }) as unknown as NodeJS.WriteStream
  }

  get lines(): string[] {
    return this.#lines.map((line) => line.trimEnd())
  }

  #take(text: string): void {
    // eslint-disable-next-line no-control-regex
    for (const [part, , number, letter] of text.matchAll(/\x1b\[(\??(\d*))([A-Za-z])|[^]/gu)) {
      if (letter === 'A') this.#row = Math.max(this.#row - Number(number), this.#top)
      else if (letter === 'J') this.#lines = [...this.#lines.slice(0, this.#row), '']
      else if (letter === 'K') this.#lines[this.#row] = this.#lines[this.#row].slice(0, this.#column)
      else if (letter === 'h' || letter === 'l') this.#wraps = letter === 'h'
      else if (part === '\n') this.#lineFeed()
      else if (part === '\r') this.#column = 0
      else if (letter === undefined) this.#put(part)
    }
  }

  #lineFeed(): void {
    this.#column = 0
    if (++this.#row === this.#lines.length) this.#lines.push('')
    this.#top = Math.max(this.#top, this.#row + 1 - this.rows)
  }

  #put(character: string): void {
    if (this.#column === this.columns) {
      if (this.#wraps) this.#lineFeed()
      else this.#column--
    }
    const line = this.#lines[this.#row].padEnd(this.#column)
    this.#lines[this.#row] = line.slice(0, this.#column) + character + line.slice(++this.#column)
  }
}
