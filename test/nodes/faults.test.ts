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
  this.timeout(300_000)

  it('is killed, at whatever phase, or is the second of one round, sums in a later view, all of it when they are back', async () => {
    const kills = mortalPhases.flatMap((phase, at) => ['--kill', `aggregator@${phase}:${at + 1}`])
    const twice = ['--kill', 'aggregator@shares:7', '--kill', 'aggregator@agree:7']
    const ended = await network(
      '--peers',
      '13',
      '--rounds',
      '8',
      '--length',
      '100',
      '--timeout',
      '2',
      ...kills,
      ...twice
    )
    assert.equal(ended.code, 0, ended.stderr)
    for (const [at, phase] of mortalPhases.entries()) {
      const report = ended.rounds[at]
      assert.equal(report.killed.length, 1, phase)
      assertCarriedOn(report, phase, report.killed[0])
    }
    const { killed, views, aggregatorIndex, exact } = ended.rounds[6]
    assert.deepEqual({ killed: killed.length, exact }, { killed: 2, exact: true })
    assert.ok(views >= 3 && !killed.includes(aggregatorIndex!), JSON.stringify(ended.rounds[6]))
    assert.deepEqual(ended.rounds[7].included, everyone(13), 'those that were killed are back')
  })

  for (const how of ['stopped', 'cut off'] as const) {
    const back = how === 'stopped' ? 'while the next one leads' : 'when the round is over'
    it(`is ${how}, at whatever phase, and comes back ${back}, harms nobody and takes part in the next round`, async () => {
      await suspendAtEachPhase(how)
    })
  }
})

async function suspendAtEachPhase(how: Suspension): Promise<void> {
  const kills = mortalPhases.map((phase, at) => ({ who: 'aggregator' as const, phase, round: at + 1, instead: how }))
  const outcomes = new Map<string, ReportedOutcome>()
  const gone = new Map<number, number>()
  const reports: RoundReport[] = []
  let members: LocalNetwork
  const comeBack = (): void => members.suspended.forEach((number) => members.resume(number))
  const watch = {
    phase(number: number, { round, leading, phase }: { round: number; leading: boolean; phase: string }) {
      const isNext = leading && gone.has(round) && gone.get(round) !== number
      if (leading && !gone.has(round) && phase === mortalPhases[round - 1]) gone.set(round, number)
      if (isNext && how === 'stopped') comeBack()
    },
    outcome: (number: number, outcome: ReportedOutcome) => void outcomes.set(`${number}/${outcome.round}`, outcome)
  }
  const run = { ...settings, rounds: mortalPhases.length + 1, kills, watch }
  await runNetwork(run, {
    started: (_task, started) => void (members = started),
    round(report) {
      reports.push(report)
      comeBack()
    },
    warn: (text) => assert.fail(text),
    progress: false
  })
  for (const [at, phase] of mortalPhases.entries()) {
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
