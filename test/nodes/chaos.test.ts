import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { reproducible } from '../../nodes/local-network/generated-inputs.ts'
import type { LocalNetwork } from '../../nodes/local-network/network.ts'
import { runNetwork } from '../../nodes/local-network/run.ts'
import type { NetworkRun } from '../../nodes/local-network/run.ts'
import type { ReportedOutcome } from '../../nodes/daemon/launcher-messages.ts'
import type { RoundReport } from '../../nodes/local-network/report.ts'
import { processesOf, temporaryFolder } from './secagg.ts'

/** `TEST_CHAOS_ROUNDS=200` runs more than a test run has time for, `TEST_CHAOS_SEED=word` others. */
const rounds = Number(process.env.TEST_CHAOS_ROUNDS ?? 4)
/** `TEST_SOAK_ROUNDS=500`: so many rounds with a kill now and then, for what grows slowly. */
const soakRounds = Number(process.env.TEST_SOAK_ROUNDS ?? 0)
const seed = process.env.TEST_CHAOS_SEED ?? 'chaos'
const peers = 8
const deadlineMs = 2_000

/** Nobody kills it: what the others' deaths leave behind in a process shows in this one. */
const survivor = 0

/** Where processes say that they have collected what is dead on their heap; without one they are not asked. */
let collectedFolder: string | undefined

/** Phases that all members of an undisturbed round report together. */
const reportsOfARound = 7 * peers

interface Fault {
  /** Strikes when so many phases of the round have been reported; after the round, if there are fewer. */
  after: number
  aggregator: boolean
  victim: number
  how: 'killed' | 'stopped' | 'cut off'
  backAfterMs: number
}

function draw(uniform: () => number): Fault[] {
  const below = (limit: number): number => Math.floor(uniform() * limit)
  return Array.from({ length: [0, 1, 1, 1, 2, 2, 3][below(7)] }, () => ({
    after: below(reportsOfARound),
    aggregator: uniform() < 0.5,
    victim: survivor + 1 + below(peers - 1),
    how: (['killed', 'killed', 'killed', 'stopped', 'cut off'] as const)[below(5)],
    backAfterMs: below(3 * deadlineMs)
  })).sort((a, b) => a.after - b.after)
}

/** A kill in every fourth round. */
function drawKill(uniform: () => number): Fault[] {
  return draw(uniform)
    .slice(0, uniform() < 0.25 ? 1 : 0)
    .map((fault) => ({ ...fault, how: 'killed' }))
}

/** Strikes members of a running network, as drawn, and keeps what all of them report. */
class Chaos {
  members!: LocalNetwork
  /** By round, then member. */
  readonly outcomes = new Map<number, Map<number, ReportedOutcome>>()
  /** Whose process died before it could tell how the round ended. */
  readonly died = new Set<string>()
  readonly struck: Record<string, number> = {}
  readonly #uniform = reproducible('chaos', seed)
  readonly #working: Promise<void>[] = []
  readonly #rounds: number
  readonly #draw: typeof draw
  #round = 1
  #pending: Fault[]
  #strikes = 0
  #reports = 0
  #leader = 1

  constructor(rounds: number, how: typeof draw) {
    this.#rounds = rounds
    this.#draw = how
    this.#pending = how(this.#uniform)
  }

  readonly watch = {
    phase: (number: number, { round, leading }: { round: number; leading: boolean }): void => {
      if (round !== this.#round) return
      this.#reports++
      if (leading) this.#leader = number
      // Not within the report: a process that is killed for it would be told to go on.
      setImmediate(() => this.#strike())
    },
    outcome: (number: number, outcome: ReportedOutcome): void => {
      const ofRound = this.outcomes.get(outcome.round) ?? new Map<number, ReportedOutcome>()
      this.outcomes.set(outcome.round, ofRound.set(number, outcome))
    }
  }

  /** How many faults the round saw; those still to come strike now, while the members get ready for the next. */
  closed(): number {
    for (const number of this.members.suspended) this.members.resume(number)
    this.#reports = Infinity
    this.#pending = this.#pending.filter(({ how }) => how === 'killed')
    this.#strike()
    const strikes = this.#strikes
    this.#round++
    // The last round is left in peace, so that all are back and tell how the others ended.
    this.#pending = this.#round > this.#rounds ? [] : this.#draw(this.#uniform)
    this.#reports = 0
    this.#strikes = 0
    return strikes
  }

  async over(): Promise<void> {
    await Promise.all(this.#working)
  }

  #strike(): void {
    while (this.#pending.length > 0 && this.#pending[0].after <= this.#reports) {
      const { aggregator, victim, how, backAfterMs } = this.#pending.shift()!
      const number = aggregator && this.#leader !== survivor ? this.#leader : victim
      const what = `${aggregator ? 'aggregators' : 'members'} ${how}`
      this.struck[what] = (this.struck[what] ?? 0) + 1
      this.#strikes++
      if (how === 'killed') {
        if (!this.outcomes.get(this.#round)?.has(number)) this.died.add(`${number}/${this.#round}`)
        this.#working.push(this.members.kill(number))
      } else {
        this.members.suspend(number, how)
        setTimeout(() => this.members.resume(number), backAfterMs).unref()
      }
    }
  }
}

interface Footprint {
  handles: number
  mebibytes: number
  diskKibibytes: number
}

/** Open files and sockets, resident memory, and the folder of a process. */
async function footprint(id: string, folder: string): Promise<Footprint> {
  if (collectedFolder !== undefined) await collected(Number(id), join(collectedFolder, id))
  const resident = /^VmRSS:\s+(\d+) kB$/m.exec(await readFile(`/proc/${id}/status`, 'utf8'))
  // Logs are the launcher's to keep, as elsewhere the system's. What the round left behind may be erased while it is counted,
  // which `du` then says by its exit code alone.
  const command = ['-sk', '--exclude', 'log.jsonl', folder]
  const { stdout } = await promisify(execFile)('du', command).catch((error: { stdout: string }) => error)
  return {
    handles: (await readdir(`/proc/${id}/fd`)).length,
    mebibytes: Math.round(Number(resident![1]) / 1024),
    diskKibibytes: parseInt(/^\d+/.exec(stdout)![0], 10)
  }
}

/** Has the process collect what is dead on its heap (collecting.ts). */
async function collected(id: number, sign: string): Promise<void> {
  process.kill(id, 'SIGUSR2')
  while (!existsSync(sign)) await delay(10)
  await rm(sign)
}

/** Runs the network under faults, and checks of every round that it ended as it must. */
async function runUnder(chaos: Chaos, rounds: number, data: string): Promise<Footprint[]> {
  const reports: RoundReport[] = []
  const strikes: number[] = []
  const footprints: Footprint[] = []
  const run: NetworkRun = {
    peers,
    rounds: rounds + 1,
    encoding: { type: 'integer', min: 0, max: 65_535 },
    threat: { corrupt: 0.125, dropout: 0.25 },
    deadline: deadlineMs / 1000,
    inputs: { length: 100 },
    kills: [],
    restart: true,
    inProcess: false,
    data,
    watch: chaos.watch
  }
  await runNetwork(run, {
    started: (_task, network) => void (chaos.members = network),
    async round(report) {
      reports.push(report)
      const folder = join(data, `peer-${survivor}`)
      const [id] = await processesOf(folder)
      footprints.push(await footprint(id, folder))
      strikes.push(chaos.closed())
      if (report.round % 25 === 0) console.log(`      ${report.round} of ${rounds} rounds`)
    },
    warn: (text) => assert.fail(text),
    progress: false
  })
  await chaos.over()
  tell(chaos, reports, footprints)
  for (const [at, report] of reports.entries()) {
    const told = chaos.outcomes.get(report.round)!
    assertEnded(report, strikes[at])
    assertTold(report, told, (number) => chaos.died.has(`${number}/${report.round}`))
  }
  assert.deepEqual(await processesOf(data), [], 'no process is left')
  return footprints
}

describe('a network of processes of which any may be killed, stopped or cut off at any moment', function () {
  this.timeout(120_000 + Math.max(rounds, soakRounds) * 30_000)
  // What a second try would pass is what this looks for.
  this.retries(0)
  const folder = temporaryFolder()

  it(`in ${rounds} rounds sums exactly, ends every round in time, and tells every application what became of its input`, async () => {
    assertNoGrowth(await runUnder(new Chaos(rounds, draw), rounds, join(folder(), 'chaos')))
  })

  it('after 500 rounds with random kills takes as much memory, as many handles and as much disk as after warming up', async function () {
    // Half an hour: TEST_SOAK_ROUNDS=500.
    if (soakRounds === 0) this.skip()
    // By itself a node keeps records of the last thousand rounds, and would still be filling its disk.
    process.env.SECAGG_KEEP_ROUNDS = '100'
    process.env.NODE_OPTIONS = `--import=${new URL('collecting.ts', import.meta.url).href}`
    process.env.COLLECTED_FOLDER = collectedFolder = folder()
    after(() => {
      for (const name of ['SECAGG_KEEP_ROUNDS', 'NODE_OPTIONS', 'COLLECTED_FOLDER']) delete process.env[name]
    })
    const footprints = await runUnder(new Chaos(soakRounds, drawKill), soakRounds, join(folder(), 'soak'))
    for (const { figure, warm, end } of growth(footprints))
      assert.ok(end <= 1.1 * warm, `${figure} grew from ${warm} to ${end}`)
  })
})

/** The second fifth of the rounds beside the last; of the disk the fifth after it is full: closings of 256 rounds are kept. */
function growth(footprints: Footprint[]) {
  const part = Math.floor(footprints.length / 5)
  const full = Math.min(256, footprints.length - 2 * part)
  return (['mebibytes', 'handles', 'diskKibibytes'] as const).map((figure) => {
    const from = figure === 'diskKibibytes' ? full : part
    return {
      figure,
      warm: median(footprints.slice(from, from + part).map((each) => each[figure])),
      end: median(footprints.slice(-part).map((each) => each[figure]))
    }
  })
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]
}

/** Exact, or burned with a reason where more than one member was struck; and not later than its views allow. */
function assertEnded(report: RoundReport, strikes: number): void {
  const { status, exact, durationMs, views } = report
  const where = JSON.stringify(report)
  assert.equal(exact, status === 'summed', where)
  if (status === 'burned') assert.ok(strikes > 1, `${strikes} faults burned a round: ${where}`)
  const stretches = Array.from({ length: views }, (_, view) => Math.min(1 + view, 4))
  const limit = stretches.reduce((sum, stretch) => sum + 7 * stretch * deadlineMs, 0)
  assert.ok(durationMs < limit, `took longer than ${limit} ms: ${where}`)
}

/** Every member that lived has said how the round ended, all of them the same, and what became of its input. */
function assertTold(report: RoundReport, told: Map<number, ReportedOutcome>, died: (number: number) => boolean): void {
  const { round, status, included } = report
  const [first] = told.values()
  for (let number = 0; number < peers; number++) {
    const outcome = told.get(number)
    const where = `peer-${number}, ${JSON.stringify({ outcome, report })}`
    if (outcome === undefined) {
      assert.ok(died(number), `nothing was heard of round ${round} from ${where}`)
      continue
    }
    assert.equal(outcome.decided, first.decided, where)
    assert.equal(outcome.input === 'summed', included.includes(number), where)
    assert.equal(outcome.input === 'burned' && status === 'summed', false, where)
  }
}

/** The first quarter is for warming up. */
function assertNoGrowth(footprints: Footprint[]): void {
  const from = footprints.slice(Math.ceil(footprints.length / 4))
  const half = Math.floor(from.length / 2)
  const most = (of: keyof Footprint, part: Footprint[]): number => Math.max(...part.map((each) => each[of]))
  const [before, after] = [from.slice(0, half), from.slice(half)]
  assert.ok(most('handles', after) <= most('handles', before) + 2 * peers, JSON.stringify(footprints))
  assert.ok(most('mebibytes', after) <= most('mebibytes', before) + 64, JSON.stringify(footprints))
}

function tell({ struck }: Chaos, reports: RoundReport[], footprints: Footprint[]): void {
  const burned = reports.filter(({ status }) => status === 'burned')
  const line = (text: string): void => console.log(`      ${text}`)
  line(
    Object.entries(struck)
      .map(([what, count]) => `${count} ${what}`)
      .join(', ')
  )
  line(
    `${reports.length - burned.length} summed, ${burned.length} burned; ` +
      `views ${Math.max(...reports.map(({ views }) => views))} at most, ` +
      `${Math.max(...reports.map(({ durationMs }) => durationMs))} ms the longest`
  )
  for (const { figure, warm, end } of growth(footprints))
    line(`${figure} of peer-${survivor}: ${warm} after warming up, ${end} at the end`)
  for (const { round, reason } of burned) line(`round ${round} was burned: ${reason}`)
}
