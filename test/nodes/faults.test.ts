import assert from 'node:assert/strict'
import { mortalPhases } from '../../nodes/local-network/kills.ts'
import type { Suspension } from '../../nodes/local-network/kills.ts'
import type { LocalNetwork } from '../../nodes/local-network/network.ts'
import { runNetwork } from '../../nodes/local-network/run.ts'
import type { NetworkRun } from '../../nodes/local-network/run.ts'
import type { ReportedOutcome } from '../../nodes/daemon/launcher-messages.ts'
import type { RoundReport } from '../../nodes/local-network/report.ts'
import { network } from './secagg.ts'

const everyone = (members: number): number[] => Array.from({ length: members }, (_, member) => member)

/** Before the masks are laid nobody else has the aggregator's vector; afterwards another member keeps it. */
const inCustody = (phase: string): boolean => ['agree', 'unmask', 'sum'].includes(phase)

/** A developer's run takes every other phase, continuous integration (`TEST_RUNS=all`) each. */
const some = <T>(all: readonly T[]): T[] =>
  process.env.TEST_RUNS === 'all' ? [...all] : all.filter((_, at) => at % 2 === 1)
const phases = some(mortalPhases)

const settings: NetworkRun = {
  peers: 5,
  rounds: 1,
  encoding: { type: 'integer', min: 0, max: 65_535 },
  threat: { corrupt: 0.125, dropout: 0.25 },
  deadline: 2,
  inputs: { length: 100 },
  kills: [],
  restart: true,
  inProcess: false
}

/** A later leader summed the round, exactly, and without the input of the one that was left only where nobody else had it. */
function assertCarriedOn(report: RoundReport, phase: string, gone: number, isBack = false): void {
  const { round, status, exact, views, attempts, aggregatorIndex, included } = report
  const where = `round ${round}, at ${phase}: ${JSON.stringify(report)}`
  assert.deepEqual({ status, exact, attempts }, { status: 'summed', exact: true, attempts: 1 }, where)
  assert.ok(views >= 2, where)
  assert.notEqual(aggregatorIndex, gone, where)
  if (!isBack || inCustody(phase)) assert.equal(included.includes(gone), inCustody(phase), where)
}

describe('a network of processes whose aggregator', function () {
  // Three minutes on one core of a busy machine.
  this.timeout(600_000)

  it('is killed, at whatever phase, and the next one too, sums in a later view, and all of it when they are back', async () => {
    // Where the first dies nobody else has its vector yet; the second dies when another member does.
    const pairs = some([
      ['keys', 'agree'],
      ['shares', 'unmask'],
      ['mask', 'sum']
    ])
    const rounds = pairs.length + 1
    const kills = pairs.flatMap((pair, at) => pair.flatMap((phase) => ['--kill', `aggregator@${phase}:${at + 1}`]))
    const ended = await network(
      '--peers',
      '8',
      '--rounds',
      String(rounds),
      '--length',
      '100',
      '--timeout',
      '2',
      ...kills
    )
    assert.equal(ended.code, 0, ended.stderr)
    for (const { status, exact, attempts, views, killed, included, aggregatorIndex, round } of ended.rounds.slice(
      0,
      pairs.length
    )) {
      const where = `round ${round}, at ${pairs[round - 1].join(' and ')}`
      assert.deepEqual({ status, exact, attempts }, { status: 'summed', exact: true, attempts: 1 }, where)
      assert.equal(killed.length, 2, where)
      assert.ok(views >= 3, where)
      assert.ok(!killed.includes(aggregatorIndex!), where)
      assert.equal(killed.filter((number) => included.includes(number)).length, 1, where)
    }
    assert.deepEqual(ended.rounds[pairs.length].included, everyone(8), 'those that were killed are back')
  })

  // Both at once: most of the time they wait for deadlines.
  it('is stopped or cut off, at whatever phase, sums in a later view; it comes back, harms nobody and is in the next sum', async () => {
    await Promise.all([suspendAtEachPhase('stopped'), suspendAtEachPhase('cut off')])
  })
})

/** One that was stopped comes back while the next one leads, one that was cut off when the round is over. */
async function suspendAtEachPhase(how: Suspension): Promise<void> {
  const kills = phases.map((phase, at) => ({ who: 'aggregator' as const, phase, round: at + 1, instead: how }))
  const outcomes = new Map<string, ReportedOutcome>()
  const gone = new Map<number, number>()
  const reports: RoundReport[] = []
  let members: LocalNetwork
  const comeBack = (): void => members.suspended.forEach((number) => members.resume(number))
  const watch = {
    phase(number: number, { round, leading, phase }: { round: number; leading: boolean; phase: string }) {
      const isNext = leading && gone.has(round) && gone.get(round) !== number
      if (leading && !gone.has(round) && phase === phases[round - 1]) gone.set(round, number)
      if (isNext && how === 'stopped') comeBack()
    },
    outcome: (number: number, outcome: ReportedOutcome) => void outcomes.set(`${number}/${outcome.round}`, outcome)
  }
  const run = { ...settings, rounds: phases.length + 1, kills, watch }
  await runNetwork(run, {
    started: (_task, started) => void (members = started),
    round(report) {
      reports.push(report)
      comeBack()
    },
    warn: (text) => assert.fail(text),
    progress: false
  })
  for (const [at, phase] of phases.entries()) {
    const { round, included } = reports[at]
    assertCarriedOn(reports[at], phase, gone.get(round)!, how === 'stopped')
    const told = everyone(run.peers).map((number) => outcomes.get(`${number}/${round}`))
    assert.ok(
      told.every((outcome) => outcome?.decided === told[0]?.decided),
      `all of them, the one that came back too, agree on round ${round}: ${JSON.stringify(told)}`
    )
    assert.ok(told.every((outcome, number) => (outcome?.input === 'summed') === included.includes(number)))
    if (at > 0) assert.ok(included.includes(gone.get(round - 1)!), `who was ${how} is in round ${round}`)
  }
  assert.deepEqual(reports.at(-1)!.included, everyone(run.peers))
}
