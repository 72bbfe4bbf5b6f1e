import assert from 'node:assert/strict'
import type { LearningReport } from '../../nodes/learner/learning-network.ts'
import { LiveView } from '../../nodes/learner/live/view.ts'
import { typePredictions } from '../../nodes/learner/predictions.ts'
import { whileWaiting } from '../../nodes/local-network/waiting.ts'
import { Terminal } from './terminal.ts'

const ROUNDS = 8

const report = (round: number, more: Partial<LearningReport> = {}): LearningReport => ({
  ...{ type: 'round', round, status: 'summed', aggregator: 'id', aggregatorIndex: 7, views: 1, attempts: 1 },
  ...{ members: 24, included: Array.from({ length: 22 }, (_, at) => at), dropped: [22], missing: [23], killed: [22] },
  ...{ length: 10, exact: true, maxError: 0, durationMs: 12_345, phaseMs: {}, bytesSent: [], bytesReceived: [] },
  ...{
    maxRssBytes: [],
    eventLoopMaxMs: [],
    eventLoopP99Ms: [],
    model: '0123456789abcdef',
    sameModel: true,
    together: 1,
    alone: 0.5
  },
  ...more
})

function viewOf(stream: NodeJS.WriteStream, isPrivate = false): LiveView {
  const first = { together: 0, alone: 0 }
  const view = new LiveView(stream, { rounds: ROUNDS, members: 24, alone: 10, isPrivate, first })
  view.begin()
  return view
}

/** A whole run, drawn again after each word of the members. */
function learn(stream: NodeJS.WriteStream): void {
  const view = viewOf(stream)
  const all = Array.from({ length: 24 }, (_, number) => number)
  for (let round = 1; round <= ROUNDS; round++) {
    view.opening(round)
    for (const phase of ['keys', 'shares', 'mask'] as const) {
      for (const number of all) view.phase(number, phase, number === 7)
      view.running(all.slice(0, -1))
    }
    view.running(all)
    view.round(report(round))
  }
  view.end()
}

const counted = (lines: string[], what: RegExp): number => lines.filter((line) => what.test(line)).length

describe('the live view of members that learn', () => {
  for (const [columns, rows] of [
    [80, 24],
    [130, 50],
    [60, 16],
    [80, 10],
    [80, 3]
  ])
    it(`leaves nothing behind on a terminal of ${columns}×${rows}`, () => {
      const terminal = new Terminal(columns, rows)
      learn(terminal.stream)
      const { lines } = terminal
      assert.equal(counted(lines, /right predictions over rounds/), 1, lines.join('\n'))
      assert.equal(counted(lines, /aggregates|members train/), 0)
      assert.equal(counted(lines, /^ +\d {2}peer-7 +22\/24/), ROUNDS, lines.join('\n'))
      if (columns < 80) return
      // The head with its rule, the rounds, a gap, the curve with its heading and its axis, and where the cursor stands.
      assert.equal(lines.length, 2 + ROUNDS + 1 + 11 + 1)
      assert.ok(lines.every((line) => line.length < 80))
    })

  it('shows the curve and the members where there is room, else the members alone', () => {
    for (const [rows, curves] of [
      [24, 1],
      [10, 0]
    ]) {
      const terminal = new Terminal(80, rows)
      const view = viewOf(terminal.stream)
      view.opening(1)
      assert.equal(counted(terminal.lines, /right predictions over rounds/), curves)
      assert.equal(counted(terminal.lines, /^ {2}members {2}0 {2}1/), 1)
      view.end()
    }
  })

  it('shows a member as killed at once, until it runs again, and no longer as the one that aggregates', () => {
    const terminal = new Terminal(80, 24)
    const view = viewOf(terminal.stream)
    const all = Array.from({ length: 24 }, (_, number) => number)
    const marked = (): string => terminal.lines.find((line) => line.startsWith('  members'))!
    view.phase(2, 'mask', true)
    view.running(all)
    assert.match(marked(), / ★2 {2}3 /)
    view.running(all.filter((number) => number !== 2))
    assert.match(marked(), / ✖2 {2}3 /)
    view.phase(2, 'mask', true)
    view.opening(2)
    assert.match(marked(), / ✖2 {2}3 /)
    view.running(all)
    assert.match(marked(), / 2 {2}3 /)
    view.end()
  })

  it('says that members train until one of them says more, then how many are in which phase', () => {
    const terminal = new Terminal(80, 24)
    const view = viewOf(terminal.stream)
    const said = (): string => terminal.lines.filter((line) => line !== '').at(-1)!
    view.opening(1)
    assert.equal(said(), '  round 1: members train on their own data')
    for (const number of [0, 1, 2]) view.phase(number, number < 2 ? 'mask' : 'agree', false)
    view.running([0, 1, 2])
    assert.equal(said(), '  round 1: 2 mask, 1 agree')
    view.opening(2)
    assert.equal(said(), '  round 2: members train on their own data')
    view.end()
  })

  it('has one scale from the first round to the last, up to all predictions', () => {
    const terminal = new Terminal(80, 24)
    const view = viewOf(terminal.stream)
    const scale = () => terminal.lines.flatMap((line) => / (\d+%) ┤/.exec(line)?.[1] ?? [])
    view.opening(1)
    assert.deepEqual(scale(), ['100%', '75%', '50%', '25%', '0%'])
    view.round(report(1, { together: 0.3 }))
    assert.deepEqual(scale(), ['100%', '75%', '50%', '25%', '0%'])
    view.end()
  })

  it('shows the ε reached, of burned rounds as well, where sums with noise cannot be exact', () => {
    const terminal = new Terminal(80, 24)
    const view = viewOf(terminal.stream, true)
    view.round(report(1, { epsilon: 12.345, exact: false }))
    view.round(report(2, { epsilon: 14_296, exact: false, status: 'burned' }))
    view.end()
    const [head, , first, second] = terminal.lines
    assert.match(head, / seconds {2}ε +together/)
    assert.match(first, / 12\.3 {2}12\.3 +100/)
    assert.match(second, / 12\.3 {2}1e\+4 +100/)
  })

  it('is lines and a curve alone where nobody sits at a terminal', () => {
    const terminal = new Terminal(80, 24)
    learn(Object.assign(terminal.stream, { isTTY: false }))
    assert.equal(counted(terminal.lines, /members train/), 0)
    assert.equal(terminal.lines.length, 2 + ROUNDS + 1 + 11 + 1)
  })
})

describe('what is being waited for', () => {
  it('is told in one line, however long', async () => {
    const terminal = new Terminal(80, 24)
    let shown: string[] = []
    const work = new Promise<void>((resolve) => setTimeout(resolve, 3_200))
    const look = setTimeout(() => (shown = terminal.lines), 2_800)
    await whileWaiting(() => `peer-0 is not connected to ${'peer-1, '.repeat(20)}`, work, terminal.stream)
    clearTimeout(look)
    assert.equal(shown.length, 1)
    assert.match(shown[0], /^peer-0 is not connected/)
    assert.deepEqual(terminal.lines, [''])
  })
})

describe('predictions that are typed', () => {
  it('stand in lines that fit the terminal, however much the models say', async () => {
    const terminal = new Terminal(80, 24)
    const rows = [{ typed: 'the wind', together: 'blew '.repeat(20), alone: 'itself '.repeat(20) }]
    await typePredictions(terminal.stream, rows, 10)
    const lines = terminal.lines.filter((line) => line !== '')
    assert.equal(lines.length, 3, lines.join('\n'))
    assert.ok(lines.every((line) => line.length < 80))
  })
})
