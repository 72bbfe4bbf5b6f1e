import { availableParallelism } from 'node:os'
import { medianOf } from '../../nodes/bench/measure.ts'
import type { RoundReport } from '../../nodes/local-network/report.ts'
import type { NetworkRun } from '../../nodes/local-network/run.ts'
import { roundBytes } from '../../nodes/doctor/round-bytes.ts'
import { roundSeconds } from '../../nodes/doctor/round-time.ts'
import { workOf } from '../../nodes/doctor/task-report.ts'
import type { Task } from '../../src/task/task.ts'
import type { LinkShape } from './namespaces.ts'

/** One measured round. Seconds, bytes. */
interface Measured {
  seconds: number
  /** The most that any member sent, or received. */
  mostSent: number
  mostReceived: number
  /** What the links allow: the most that one member has to send or to receive, at the rate of its link. */
  bound: number
  /** The same where what it sends follows from what it receives: a sum can be sent when the last vector is in. */
  inTurn: number
}

const MB = 1e6
const columns: [title: string, width: number][] = [
  ['round', 5],
  ['leader', 7],
  ['seconds', 7],
  ['most sent', 9],
  ['received', 9],
  ['link allows', 11],
  ['ratio', 5],
  ['in turn', 7],
  ['ratio', 5]
]

const line = (cells: string[]): string => `  ${cells.map((cell, at) => cell.padStart(columns[at][1])).join('  ')}\n`

/** What the rounds of a laboratory took, beside what its links allow and what doctor foretells. */
export class Measurements {
  readonly #shape: LinkShape
  readonly #run: NetworkRun
  readonly #json: boolean
  readonly #rounds: Measured[] = []
  #predicted = { seconds: 0, sent: 0, received: 0 }

  constructor(shape: LinkShape, run: NetworkRun, json: boolean) {
    this.#shape = shape
    this.#run = run
    this.#json = json
  }

  async begin(task: Task): Promise<void> {
    const bytes = roundBytes(task)
    // Two links and their delays lie between two members, and all members share this machine's processors.
    const sharing = Math.max(1, this.#run.peers / availableParallelism())
    const link = { mbit: this.#shape.rate, delayMs: 2 * this.#shape.delay }
    const seconds = roundSeconds(bytes, link, { ...(await workOf(task)), sharing })
    const most = (of: 'sent' | 'received'): number =>
      Math.max(bytes.leader[of], bytes.member[of], bytes.owner?.[of] ?? 0)
    this.#predicted = { seconds, sent: most('sent'), received: most('received') }
    if (this.#json) return
    const { rate, delay, loss } = this.#shape
    const links = [
      `${rate} Mbit/s`,
      ...(delay > 0 ? [`${delay} ms`] : []),
      ...(loss > 0 ? [`${100 * loss} % lost`] : [])
    ]
    process.stdout.write(
      `\n  ${this.#run.peers} members, ${task.length} elements of ${task.bits} bits, ${links.join(', ')}; bytes in MB\n\n` +
        line(columns.map(([title]) => title))
    )
  }

  add(report: RoundReport): void {
    const { round, durationMs, bytesSent, bytesReceived } = report
    const ofLink = (bytes: number): number => (8 * bytes) / (this.#shape.rate * 1e6)
    const both = bytesSent.map((sent, member) => sent + bytesReceived[member])
    const [mostSent, mostReceived] = [Math.max(...bytesSent), Math.max(...bytesReceived)]
    const measured = {
      seconds: durationMs / 1000,
      mostSent,
      mostReceived,
      bound: ofLink(Math.max(mostSent, mostReceived)),
      inTurn: ofLink(Math.max(...both))
    }
    // The first one warms up.
    const counts = round > 1
    if (counts && report.status === 'summed') this.#rounds.push(measured)
    if (this.#json) return console.log(JSON.stringify({ ...report, ...measured, warmUp: !counts }))
    process.stdout.write(this.#line(counts ? String(round - 1) : 'warm', report, measured))
  }

  end(): void {
    if (this.#rounds.length === 0) return
    const middle = (of: keyof Measured): number => medianOf(this.#rounds.map((round) => round[of]))
    const median = {
      seconds: middle('seconds'),
      mostSent: middle('mostSent'),
      mostReceived: middle('mostReceived'),
      bound: middle('bound'),
      inTurn: middle('inTurn')
    }
    const { seconds, sent, received } = this.#predicted
    if (this.#json)
      return console.log(JSON.stringify({ type: 'laboratory', ...this.#shape, median, predicted: this.#predicted }))
    process.stdout.write(
      `\n  median ${median.seconds.toFixed(2)} s; doctor foretells ${seconds.toFixed(2)} s ` +
        `(measured / foretold ${(median.seconds / seconds).toFixed(2)}), ${(sent / MB).toFixed(2)} MB sent ` +
        `(${(median.mostSent / sent).toFixed(3)}) and ${(received / MB).toFixed(2)} MB received (${(median.mostReceived / received).toFixed(3)})\n\n`
    )
  }

  #line(title: string, { aggregatorIndex, status, exact }: RoundReport, measured: Measured): string {
    const { seconds, mostSent, mostReceived, bound, inTurn } = measured
    const cells = [
      title,
      aggregatorIndex === null ? '-' : `peer-${aggregatorIndex}`,
      seconds.toFixed(2),
      (mostSent / MB).toFixed(2),
      (mostReceived / MB).toFixed(2),
      `${bound.toFixed(2)} s`,
      (seconds / bound).toFixed(2),
      `${inTurn.toFixed(2)} s`,
      (seconds / inTurn).toFixed(2)
    ]
    const word = status === 'burned' ? '  burned' : exact ? '' : '  NOT EXACT'
    return line(cells).trimEnd() + `${word}\n`
  }
}
