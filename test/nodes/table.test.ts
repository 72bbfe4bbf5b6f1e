import assert from 'node:assert/strict'
import { summaryLine, tableHeader, tableRow } from '../../nodes/local-network/report.ts'
import type { RoundReport } from '../../nodes/local-network/report.ts'

const from = (first: number, count: number): number[] => Array.from({ length: count }, (_, at) => first + at)

function row(dropped: number[], missing: number[], members = 16): string {
  const included = from(0, members - dropped.length - missing.length)
  const report = { round: 3, status: 'summed', aggregatorIndex: members - 1, durationMs: 123_456, exact: true }
  return tableRow({ ...report, members, included, dropped, missing } as unknown as RoundReport)
}

describe('the table of rounds', () => {
  it('keeps its columns, within 80, whoever drops out and however many', () => {
    const header = tableHeader().split('\n')[0]
    for (const line of tableHeader().split('\n')) assert.ok(line.length <= 80)
    for (const first of [0, 10, 100, 1000])
      for (const dropped of from(0, 7).concat(99))
        for (const missing of from(0, 7).concat(99)) {
          const line = row(from(first, dropped), from(first, missing), first + 200)
          assert.ok(line.length <= 80, line)
          assert.equal(line.indexOf('yes'), header.indexOf('exact'), line)
        }
  })

  it('names up to four that dropped out, and how many more there are', () => {
    assert.match(row([], []), / 16\/16 {2,}- {2,}123456 {2}yes$/)
    assert.match(row([2], []), / 15\/16 {2,}2 {2,}123456/)
    assert.match(row([], [0, 5]), / 14\/16 {2,}0, 5 missing {2,}123456/)
    assert.match(row([3], [0, 5]), / 3; 0, 5 missing {2,}123456/)
    assert.match(row([], [10, 11, 12, 13]), / 10, 11, 12, 13 missing {2,}123456/)
    assert.match(row([], [10, 11, 12, 13, 14]), / 10, 11, 12, 13 \+1 missing {2,}123456/)
    assert.match(row([1, 2, 3], [10, 11, 12, 13]), / 1, 2 \+1; 10, 11 \+2 missing {2,}123456/)
  })

  it('counts one as one', () => {
    const summary = { type: 'summary', rounds: 2, summed: 2, burned: 0, exact: 2 } as const
    assert.match(summaryLine({ ...summary, distinctAggregators: 1 }), /; led by 1 member$/)
    assert.match(summaryLine({ ...summary, distinctAggregators: 2 }), /; led by 2 different members$/)
    assert.match(summaryLine({ ...summary, rounds: 1, summed: 1, distinctAggregators: 1 }), /^1 of 1 round summed/)
  })
})
