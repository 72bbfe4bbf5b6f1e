import { counted } from '../plural.ts'
import type { Exactness } from './exactness.ts'
import type { ClosedRound } from './running-round.ts'

/** A round for scripts: the line of `--json`. Members are numbered as in peer-N, and lists of one entry a member go by it. */
export interface RoundReport {
  type: 'round'
  round: number
  status: 'summed' | 'burned'
  reason?: string
  /** Who published the accepted sum, or led view 0 of a burned round; null where no round could be opened. */
  aggregator: string | null
  aggregatorIndex: number | null
  views: number
  attempts: number
  members: number
  included: number[]
  dropped: number[]
  missing: number[]
  killed: number[]
  length: number
  exact: boolean
  maxError: number | null
  durationMs: number
  phaseMs: Record<string, number>
  /** 0 for a member that did not live through the round. */
  bytesSent: number[]
  bytesReceived: number[]
  maxRssBytes: number[]
  eventLoopMaxMs: number[]
  eventLoopP99Ms: number[]
}

export interface Summary {
  type: 'summary'
  rounds: number
  summed: number
  burned: number
  distinctAggregators: number
  /** Sums that equal the plain sum of the included inputs. */
  exact: number
}

export function reportRound(closed: ClosedRound, ids: string[], length: number, exactness?: Exactness): RoundReport {
  const { round, reason, aggregator, views, attempts, included, dropped, missing, killed, outcomes } = closed
  const each = (of: 'bytesSent' | 'bytesReceived' | 'maxRssBytes' | 'eventLoopMaxMs' | 'eventLoopP99Ms'): number[] =>
    ids.map((_, number) => Math.round(outcomes.get(number)?.[of] ?? 0))
  const phaseMs = Object.entries(closed.phaseMs).map(([phase, ms]) => [phase, Math.round(ms)] as const)
  return {
    type: 'round',
    round,
    status: closed.status === 'summed' ? 'summed' : 'burned',
    ...(closed.status === 'summed' ? {} : { reason: reason ?? 'no reason was given' }),
    aggregator: aggregator === undefined ? null : ids[aggregator],
    aggregatorIndex: aggregator ?? null,
    views,
    attempts,
    members: ids.length,
    included,
    dropped,
    length,
    exact: exactness?.exact ?? false,
    maxError: exactness?.maxError ?? null,
    durationMs: closed.durationMs,
    phaseMs: Object.fromEntries(phaseMs),
    missing,
    killed,
    bytesSent: each('bytesSent'),
    bytesReceived: each('bytesReceived'),
    maxRssBytes: each('maxRssBytes'),
    eventLoopMaxMs: each('eventLoopMaxMs'),
    eventLoopP99Ms: each('eventLoopP99Ms')
  }
}

export function summarise(reports: RoundReport[]): Summary {
  const summed = reports.filter(({ status }) => status === 'summed').length
  const aggregators = reports.map(({ aggregatorIndex }) => aggregatorIndex).filter((index) => index !== null)
  return {
    type: 'summary',
    rounds: reports.length,
    summed,
    burned: reports.length - summed,
    distinctAggregators: new Set(aggregators).size,
    exact: reports.filter(({ exact }) => exact).length
  }
}

const columns: [title: string, width: number][] = [
  ['round', 5],
  ['aggregator', -10],
  ['included', -9],
  ['dropped', -26],
  ['ms', 6],
  ['exact', -5]
]

const [, droppedWidth] = columns.find(([title]) => title === 'dropped')!
const MOST_NAMED = 4

/** One line of the table for people; numbers stand to the right. */
export function tableLine(cells: string[]): string {
  const padded = cells.map((cell, at) =>
    columns[at][1] > 0 ? cell.padStart(columns[at][1]) : cell.padEnd(-columns[at][1])
  )
  return `  ${padded.join('  ')}`.trimEnd()
}

export function tableHeader(): string {
  return `${tableLine(columns.map(([title]) => title))}\n${tableLine(columns.map(([, width]) => '─'.repeat(Math.abs(width))))}`
}

export function tableRow(report: RoundReport): string {
  const { round, aggregatorIndex, included, members, dropped, missing, durationMs, status, exact, reason } = report
  const sum = status === 'burned' ? 'burned' : `${included.length}/${members}`
  const line = tableLine([
    String(round),
    aggregatorIndex === null ? '-' : `peer-${aggregatorIndex}`,
    sum,
    absentees(dropped, missing),
    String(durationMs),
    status === 'burned' ? '-' : exact ? 'yes' : 'NO'
  ])
  return status === 'burned' ? `${line}\n         ${reason}` : line
}

/** Who is not in the sum: as many names as the column has room for. */
function absentees(dropped: number[], missing: number[]): string {
  for (let most = MOST_NAMED; ; most--) {
    const out = dropped.length === 0 ? [] : [named(dropped, most)]
    if (missing.length > 0) out.push(`${named(missing, most)} missing`)
    const text = out.join('; ') || '-'
    if (text.length <= -droppedWidth || most === 0) return text
  }
}

function named(members: number[], most: number): string {
  const names = members.slice(0, most).join(', ')
  return members.length <= most ? names : `${names} +${members.length - most}`.trim()
}

export function summaryLine({ rounds, summed, burned, exact, distinctAggregators }: Summary): string {
  const sums = `${summed} of ${counted(rounds, 'round')} summed, ${exact} exact, ${burned} burned`
  return `${sums}; led by ${distinctAggregators === 1 ? '1 member' : `${distinctAggregators} different members`}`
}
