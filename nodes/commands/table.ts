import { summaryLine, tableHeader, tableRow } from '../local-network/report.ts'
import type { RoundReport, Summary } from '../local-network/report.ts'

/** The rounds for people, line by line as they come. */
export class Table {
  readonly #stream: NodeJS.WriteStream
  #begun = false

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream
  }

  row(report: RoundReport): void {
    if (!this.#begun) this.#stream.write(`\n${tableHeader()}\n`)
    this.#begun = true
    this.#stream.write(`${tableRow(report)}\n`)
  }

  end(summary: Summary): void {
    this.#stream.write(`\n  ${summaryLine(summary)}\n`)
  }
}
