import assert from 'node:assert/strict'
import { bytesToHex } from '@noble/hashes/utils.js'
import { H } from '../../src/crypto/hash.ts'
import { valueHash } from '../../src/round/messages.ts'
import type { RoundOutcome } from '../../src/round/outcome.ts'
import type { Task } from '../../src/task/task.ts'
import { behaviours } from './adversaries/index.ts'
import type { Behaviour } from './adversaries/index.ts'
import { below, chance, pick, sample } from './chance.ts'
import type { Chance } from './chance.ts'
import { simulatedTask } from './identities.ts'
import { Simulation } from './network.ts'
import type { Peer, SimulationOptions } from './network.ts'
import {
  checkLeaders,
  checkNobodyBlamed,
  checkNobodyConvicted,
  closingOf,
  drawDisk,
  drawShards,
  firstOrder
} from './schedule.ts'

/** A run with up to f corrupt members and D that crash, on a network that delays, loses, repeats and falls apart. */
export interface HostileSchedule extends SimulationOptions {
  rounds: number
  adversaries: Array<{ who: number; as: Behaviour }>
  /** Signatures, journal writes and sends after which a member crashes. */
  crashes: Array<{ who: number; step: number }>
  /** Milliseconds after which one conversation breaks. */
  breaks: number[]
  /** Milliseconds after which all members lose power, to be started again. */
  outage?: number
}

/** Roster sizes with threats: small ones more often, since they cost less and go wrong in the same ways. */
const terms: Array<[members: number, corrupt: number, dropout: number]> = [
  ...Array<[number, number, number]>(14).fill([3, 0, 0.34]),
  ...Array<[number, number, number]>(20).fill([4, 0.25, 0]),
  ...Array<[number, number, number]>(4).fill([5, 0.2, 0]),
  // With a liar and one that may be missing there is something to leave out, and leaders lie about that.
  ...Array<[number, number, number]>(6).fill([6, 0.17, 0.17]),
  ...Array<[number, number, number]>(4).fill([7, 0.15, 0.15]),
  [7, 0.3, 0]
]
const large: typeof terms = [
  ...Array<[number, number, number]>(5).fill([8, 0.125, 0.25]),
  ...Array<[number, number, number]>(3).fill([10, 0.2, 0.1]),
  ...Array<[number, number, number]>(2).fill([13, 0.16, 0.23]),
  [16, 0.125, 0.25],
  [20, 0.125, 0.25]
]
const names = Object.keys(behaviours) as Behaviour[]

export async function drawHostile(seed: number): Promise<HostileSchedule> {
  const draw = chance(seed * 2246822519 + 777)
  const [members, corrupt, dropout] = pick(draw() < 0.006 ? large : terms, draw)
  const threat = { corrupt, dropout }
  const short = pick([1, 3, 7], draw)
  const { shards, length = short } = drawShards(seed, members)
  const { task } = await simulatedTask({ members, length, threat, shards })
  const { f, D } = task.thresholds
  const order = firstOrder(task)
  const everyone = order.slice().sort((a, b) => a - b)
  // Half of the time the first leader is one of them.
  const liars = [...new Set([...(draw() < 0.5 ? [order[0]] : []), ...sample(everyone, f, draw)])].slice(0, f)
  const crashing = sample(
    everyone.filter((member) => !liars.includes(member)),
    below(D + 1, draw),
    draw
  )
  return {
    members,
    seed,
    threat,
    length,
    shards,
    delay: pick([1, 20, 60], draw),
    loss: pick([0, 0, 0.3], draw),
    direct: pick([1, 1, 0.5, 0], draw),
    lostDirect: pick([0, 0, 0, 0.1], draw),
    duplicates: pick([0, 0.3], draw),
    ...drawDisk(seed),
    rounds: pick([1, 1, 1, 1, 1, 2], draw),
    adversaries: liars.map((who) => ({ who, as: pick(names, draw) })),
    crashes: crashing.map((who) => ({ who, step: below(150, draw) })),
    restart: draw() < 0.6 ? { afterMs: pick([1, 100, 1000, 8000], draw), vectors: draw() < 0.5 } : undefined,
    ...drawOutage(seed),
    breaks: Array.from({ length: pick([0, 0, 1, 3], draw) }, () => draw() * 400),
    partitions: draw() < 0.2 ? [drawPartition(everyone, draw)] : []
  }
}

function drawOutage(seed: number): Pick<HostileSchedule, 'outage' | 'restart'> {
  const draw = chance(seed * 69069 + 5)
  if (draw() >= 0.04) return {}
  return { outage: draw() * 600, restart: { afterMs: pick([1, 1000, 8000], draw), vectors: draw() < 0.7 } }
}

function drawPartition(members: number[], draw: Chance) {
  const from = draw() * 400
  const side = sample(members, 1 + below(members.length - 1, draw), draw)
  return { from, until: from + pick([50, 500, 5000, 20_000], draw), side }
}

/** Of virtual time, for each leader that has its turn before a round may be burned (§6): a long one takes 150 s. */
const LIMIT_OF_VIEW_MS = 200_000

/** What became of the rounds of a run, for a count of all. */
export type Ending = 'summed' | 'summed later' | 'retried' | 'burned'

export interface HostileRun {
  simulation: Simulation
  endings: Ending[]
  /** Two runs of a seed have the same. */
  digest: string
}

export async function runHostile(schedule: HostileSchedule): Promise<HostileRun> {
  const simulation = await Simulation.create(schedule)
  for (const { who, step } of schedule.crashes) simulation.killAtStep(who, step)
  for (const ms of schedule.breaks) void simulation.clock.sleep(ms).then(() => simulation.breakConversation())
  void losePower(simulation, schedule)
  const { f, D } = simulation.task.thresholds
  const limitMs = LIMIT_OF_VIEW_MS * (f + D + 1)
  const endings: Ending[] = []
  const digests: string[] = []
  for (let round = 1; round <= schedule.rounds; round++) {
    await simulation.round(round, limitMs)
    const outcome = await checkOutcomes(simulation, round)
    if (outcome === undefined) continue
    endings.push(endingOf(outcome, simulation))
    digests.push(JSON.stringify([outcome.included, outcome.views, bytesToHex(valueHash(closingOf(outcome)))]))
  }
  checkInvariants(simulation, schedule)
  digests.push(String(simulation.clock.now()))
  simulation.stop()
  return { simulation, endings, digest: bytesToHex(H('digest', ...digests)) }
}

async function losePower(simulation: Simulation, { outage }: HostileSchedule): Promise<void> {
  if (outage === undefined) return
  await simulation.clock.sleep(outage)
  for (const member of simulation.peers.keys()) simulation.kill(member)
}

function endingOf({ status, views, round }: RoundOutcome, { ledger }: Simulation): Ending {
  if (status === 'burned') return 'burned'
  if (ledger.attempts(round) > 1) return 'retried'
  return views > 1 ? 'summed later' : 'summed'
}

/** §14, over everything that honest members signed, whatever crashed. */
function checkInvariants(simulation: Simulation, { rounds }: HostileSchedule): void {
  const { ledger, shown, task } = simulation
  const { thresholds } = task
  const adversaries = new Set(simulation.adversaries.keys())
  ledger.check(thresholds.quorum, adversaries)
  shown.check({ ledger, thresholds, adversaries, roster: simulation.honest[0].participant.chronicle.rosterOf(0)! })
  checkNobodyBlamed(simulation)
  checkNobodyConvicted(simulation)
  checkLeaders(simulation, rounds)
}

const away = 'this member was away when the round was closed'

/** All honest members close the round alike, those that have the sum have the true one, and each is told the truth of its input. */
async function checkOutcomes(simulation: Simulation, round: number): Promise<RoundOutcome | undefined> {
  const { task, adversaries } = simulation
  const seen = simulation.honest.flatMap((peer) =>
    peer.outcomes
      .filter((outcome) => outcome.round === round && outcome.reason !== away)
      .map((outcome) => ({ peer, index: simulation.peers.indexOf(peer), outcome }))
  )
  if (seen.length === 0) return undefined
  const first = (seen.find(({ outcome }) => outcome.sum !== undefined) ?? seen[0]).outcome
  for (const { outcome } of seen)
    assert.deepEqual(closingOf(outcome), closingOf(first), `members closed round ${round} differently`)
  const { nMin, f, D } = task.thresholds
  // While honest leaders may be among those still to come, nobody may propose to burn it (§6).
  if (first.status === 'burned') assert.ok(first.views - 1 > f + D, `round ${round} was burned in view ${first.views}`)
  // Where all have lost their disks, nobody knows any more whose sum it was.
  else if (first.sum !== undefined) {
    assert.ok(first.included.length >= nMin, `a sum over ${first.included.length}`)
    assert.ok(first.included.filter((member) => !adversaries.has(member)).length >= nMin - f)
  }
  for (const { peer, index, outcome } of seen) {
    await checkSum(simulation, peer, index, outcome, first)
    if (first.status === 'burned' || first.sum !== undefined) checkTold(index, outcome, first)
  }
  return first
}

async function checkSum(
  simulation: Simulation,
  { restarts, vectors }: Peer,
  index: number,
  outcome: RoundOutcome,
  { included }: RoundOutcome
): Promise<void> {
  if (outcome.status === 'burned') return
  if (outcome.sum === undefined) {
    const { included, dropped, missing } = outcome
    return assert.deepEqual([included, dropped, missing], [[], [], []], 'told of members without the sum')
  }
  // The disk that a restarted process lost.
  if (restarts > 0 && (await vectors.size(outcome.sum)) === undefined) return
  assert.deepEqual(outcome.included, included, `members disagree on who is in the sum of round ${outcome.round}`)
  const { values } = await simulation.sum(index, outcome)
  assert.deepEqual(
    Array.from(values, Number),
    simulation.expected(included),
    `the sum of round ${outcome.round} is not exact`
  )
}

/** `not included` says that the input may be contributed again: never of one that is in a sum, or may be in one. */
function checkTold(index: number, { input, round }: RoundOutcome, first: RoundOutcome): void {
  const isIn = first.status === 'summed' && first.included.includes(index)
  if (input === 'summed') assert.ok(isIn, `member ${index} was told that its input is in the sum of round ${round}`)
  if (input === 'not included')
    assert.ok(!isIn, `member ${index} was told that its input is in no sum, and it is in that of round ${round}`)
}

/** §1: all but these reach honest leaders in time, no more are missing or refuse than may, and nobody deals badly. */
export function mustBeSummed(schedule: HostileSchedule, task: Task): boolean {
  const { adversaries, crashes, partitions, lostDirect, outage } = schedule
  const { D, nMin } = task.thresholds
  const first = firstOrder(task)[0]
  const amiss = [...adversaries, ...crashes].map(({ who }) => who)
  return (
    amiss.length <= Math.min(D, task.members.length - nMin) &&
    !amiss.includes(first) &&
    adversaries.every(({ as }) => as !== 'BadShares') &&
    partitions?.length === 0 &&
    outage === undefined &&
    lostDirect === 0
  )
}
