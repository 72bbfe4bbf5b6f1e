import { readFile } from 'node:fs/promises'
// Keeps where in the text each field stands, so that a fault can be named with its line.
import { LineCounter, isMap, isNode, isScalar, parseDocument } from 'yaml'
import type { Document } from 'yaml'
import { SecureAggregationError } from '../../src/errors.ts'

/** A YAML (or JSON) file and where its fields stand. */
export class YamlFile {
  readonly file: string
  readonly value: unknown
  readonly #document: Document
  readonly #lines: LineCounter

  private constructor(file: string, document: Document, lines: LineCounter) {
    this.file = file
    this.#document = document
    this.#lines = lines
    this.value = document.toJS()
  }

  /** @throws SecureAggregationError CONFIG_INVALID */
  static async read(file: string): Promise<YamlFile> {
    const text = await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
      const why = cause.code === 'ENOENT' ? 'no such file' : cause.message
      throw new SecureAggregationError('CONFIG_INVALID', `${file} cannot be read (${why})`, { cause })
    })
    const lines = new LineCounter()
    const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
    const [fault] = document.errors
    try {
      if (fault !== undefined) throw fault
      return new YamlFile(file, document, lines)
    } catch (cause) {
      const where = fault === undefined ? '' : ` in line ${lines.linePos(fault.pos[0]).line}`
      const [sentence] = (cause as Error).message.split('\n')
      throw new SecureAggregationError('CONFIG_INVALID', `${file} is no YAML${where}: ${sentence}`, { cause })
    }
  }

  /** The line of a field, or of what holds it where it is missing; undefined for the file as a whole. */
  line(path: readonly PropertyKey[]): number | undefined {
    for (let length = path.length; length > 0; length--) {
      const at = this.#position(path.slice(0, length))
      if (at !== undefined) return this.#lines.linePos(at).line
    }
    return undefined
  }

  /** Where the name of a field begins, or an item of a list. */
  #position(path: readonly PropertyKey[]): number | undefined {
    const key = path.at(-1)
    const above = path.length === 1 ? this.#document.contents : this.#document.getIn(path.slice(0, -1), true)
    if (isMap(above)) {
      const name = above.items.find((item) => (isScalar(item.key) ? item.key.value === key : false))?.key
      return isNode(name) ? name.range?.[0] : undefined
    }
    const item = this.#document.getIn(path, true)
    return isNode(item) ? item.range?.[0] : undefined
  }
}
