import { runNetwork } from '../../local-network/run.ts'
import type { RoundReport } from '../../local-network/report.ts'
import { problemNamed } from '../problems.ts'
import { taskTerms } from '../recipe.ts'

export interface SpeedRow {
  members: number
  /** Median of the rounds, without training. */
  seconds: number
  /** Medians in a round: what a member that does not lead sends and receives, and what the aggregator does. */
  memberSent: number
  memberReceived: number
  aggregatorSent: number
  aggregatorReceived: number
}

/** Seconds and bytes of a round with vectors as long as the words problem's, each member a process of its own. */
export async function speedTable(sizes: number[], rounds: number, tell: (text: string) => void): Promise<SpeedRow[]> {
  const { length, encoding } = taskTerms(problemNamed('words'))
  const rows: SpeedRow[] = []
  for (const members of sizes) {
    tell(`${members} processes`)
    const reports: RoundReport[] = []
    await runNetwork(
      {
        peers: members,
        rounds,
        encoding,
        weights: Array<number>(members).fill(1000),
        threat: { corrupt: 0.125, dropout: 0.25 },
        deadline: 30,
        inputs: { length },
        kills: [],
        restart: false,
        inProcess: false
      },
      { round: (report) => void reports.push(report), warn: tell, progress: false }
    )
    rows.push(rowOf(members, reports))
  }
  return rows
}

function rowOf(members: number, reports: RoundReport[]): SpeedRow {
  const leading = (of: 'bytesSent' | 'bytesReceived') =>
    median(reports.map((report) => report[of][report.aggregatorIndex!]))
  const following = (of: 'bytesSent' | 'bytesReceived') =>
    median(reports.map((report) => median(report[of].filter((_, number) => number !== report.aggregatorIndex))))
  return {
    members,
    seconds: median(reports.map(({ durationMs }) => durationMs)) / 1000,
    memberSent: following('bytesSent'),
    memberReceived: following('bytesReceived'),
    aggregatorSent: leading('bytesSent'),
    aggregatorReceived: leading('bytesReceived')
  }
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]
}
