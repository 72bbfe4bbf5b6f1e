import assert from 'node:assert/strict'
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { H } from '../../src/crypto/hash.ts'
import { MessageError, TaskError } from '../../src/errors.ts'
import { carryOver, deal, initialDeck, leaderOrder } from '../../src/membership/deck.ts'
import { burnedBeacon, genesisBeacon } from '../../src/membership/beacon.ts'
import { decodeMessage, valueHash } from '../../src/round/messages.ts'
import type { Message } from '../../src/round/messages.ts'
import type { RoundOutcome } from '../../src/round/outcome.ts'
import type { Phase } from '../../src/round/ports.ts'
import { createRoster } from '../../src/membership/roster.ts'
import type { Task } from '../../src/task/task.ts'
import { below, chance, pick, sample } from './chance.ts'
import { simulatedTask } from './identities.ts'
import { Simulation } from './network.ts'
import type { SimulationOptions } from './network.ts'

/** Everything about a run that its seed decides, so that a failing seed is the whole report. */
export interface Schedule extends SimulationOptions {
  rounds: number
  /** Members that are killed in the first round, and how; the leader is among them where `leaderDies`. */
  deaths: Array<{ who: number; at: { phase: Phase } | { ms: number } | { step: number } }>
  leaderDies: boolean
  /** Milliseconds after which one conversation breaks. */
  breaks: number[]
}

export type Deadly = 'nobody' | 'members' | 'leaders'

const phases: Phase[] = ['keys', 'shares', 'mask', 'agree', 'unmask', 'sum', 'close']
const sizes = [3, 3, 3, 4, 4, 4, 4, 5, 5, 6, 7, 9]
const threats = [{}, { corrupt: 0, dropout: 0.34 }, { corrupt: 0.2, dropout: 0.2 }, { corrupt: 0, dropout: 0.45 }]

/** The order of the first round, which all know before it begins. */
export function firstOrder(task: Task): number[] {
  const roster = createRoster({ epoch: 0, members: [...task.members] })
  const randomness = task.randomness === undefined ? undefined : hexToBytes(task.randomness)
  return leaderOrder(initialDeck(), roster, genesisBeacon(task.idBytes, roster.hash, randomness), 1)
}

const tasks = new Map<string, { task: Task; leader: number }>()

/** The threat where it is feasible, else the default one; what follows from it is computed once. */
async function termsOf(members: number, length: number, threat: SimulationOptions['threat'], shards?: number) {
  const key = JSON.stringify([members, length, threat, shards])
  const before = tasks.get(key)
  if (before !== undefined) return { ...before, threat }
  try {
    const { task } = await simulatedTask({ members, length, threat: threat ?? {}, shards })
    const made = { task, leader: firstOrder(task)[0] }
    tasks.set(key, made)
    return { ...made, threat }
  } catch (error) {
    if (!(error instanceof TaskError)) throw error
    return termsOf(members, length, {}, shards)
  }
}

/** Three chunks: as many slices. */
const longEnough = 2 * 2 ** 14 + 5

/**
 * Now and then the sum is shared (§13): mostly of one slice, which costs no more than a round does otherwise; or it has
 * several chunks, so that members pass it on.
 */
export function drawShards(seed: number, members: number): { shards?: number; length?: number } {
  const draw = chance(seed * 40503 + 99)
  if (draw() >= 0.12) return draw() < 0.03 ? { length: longEnough } : {}
  return { shards: 2 + below(members - 1, draw), ...(draw() < 0.25 && { length: longEnough }) }
}

/** Mostly a journal answers at once; else other things happen between a read and what follows from it. */
export function drawDisk(seed: number): { disk?: number } {
  const draw = chance(seed * 97531 + 55)
  return draw() < 0.2 ? { disk: pick([2, 50], draw) } : {}
}

export async function drawSchedule(seed: number, deadly: Deadly): Promise<Schedule> {
  const draw = chance(seed * 2654435761 + 12345)
  const members = pick(sizes, draw)
  const short = pick([1, 7, 40], draw)
  const { shards, length = short } = drawShards(seed, members)
  const { task, leader, threat } = await termsOf(members, length, pick(threats, draw), shards)
  const { D, nMin } = task.thresholds
  const mayMiss = Math.min(D, members - nMin)
  const leaderDies = deadly === 'leaders' && D > 0
  const victims = deadly === 'nobody' ? 0 : leaderDies ? below(D, draw) : below(mayMiss + 1, draw)
  const others = Array.from({ length: members }, (_, index) => index).filter((index) => index !== leader)
  const who = [...sample(others, victims, draw), ...(leaderDies ? [leader] : [])]
  return {
    members,
    seed,
    threat,
    length,
    shards,
    delay: pick([1, 20, 60], draw),
    loss: pick([0, 0, 0.3], draw),
    direct: pick([1, 1, 0.5, 0], draw),
    ...drawDisk(seed),
    rounds: leaderDies ? 2 : pick([1, 1, 1, 2], draw),
    deaths: who.map((who) => ({ who, at: momentOfDeath(draw) })),
    leaderDies,
    breaks: Array.from({ length: pick([0, 0, 1, 3], draw) }, () => draw() * 400)
  }
}

function momentOfDeath(draw: () => number): Schedule['deaths'][number]['at'] {
  const kind = below(3, draw)
  if (kind === 0) return { phase: pick(phases, draw) }
  return kind === 1 ? { ms: draw() * 800 } : { step: below(40, draw) }
}

/** Runs the schedule and checks all that must hold of any; returns the digest of what came of it. */
export async function runSchedule(schedule: Schedule): Promise<{ simulation: Simulation; digest: string }> {
  const { deaths, rounds, breaks } = schedule
  const kills = deaths.flatMap(({ who, at }) => ('phase' in at ? [{ who, phase: at.phase, round: 1 }] : []))
  const simulation = await Simulation.create({ ...schedule, kills })
  for (const { who, at } of deaths) {
    if ('ms' in at) simulation.killAfter(who, at.ms)
    if ('step' in at) simulation.killAtStep(who, at.step)
  }
  for (const ms of breaks) void simulation.clock.sleep(ms).then(() => simulation.breakConversation())
  const digests: string[] = []
  for (let round = 1; round <= rounds; round++) {
    await simulation.round(round, 600_000)
    digests.push(await checkRound(simulation, round))
  }
  simulation.ledger.check(simulation.task.thresholds.quorum)
  checkNobodyBlamed(simulation)
  checkNobodyConvicted(simulation)
  checkLeaders(simulation, rounds)
  simulation.stop()
  return { simulation, digest: bytesToHex(H('digest', ...digests)) }
}

export const closingOf = ({ decision }: RoundOutcome) => (decodeMessage(decision) as Message<'Decision'>).body.value

/** Every living member was told the same, and where there is a sum, it is exact over the included. */
export async function checkRound(simulation: Simulation, round: number): Promise<string> {
  const honest = new Set(simulation.honest)
  const seen = simulation.peers.flatMap((peer, index) =>
    honest.has(peer)
      ? peer.outcomes.filter((outcome) => outcome.round === round).map((outcome) => ({ index, outcome }))
      : []
  )
  const [{ outcome: first }] = seen
  for (const { index, outcome } of seen) {
    const { status, included, aggregator } = outcome
    assert.deepEqual(
      { status, included, aggregator },
      { status: first.status, included: first.included, aggregator: first.aggregator }
    )
    assert.deepEqual(
      valueHash(closingOf(outcome)),
      valueHash(closingOf(first)),
      `members closed round ${round} differently`
    )
    if (status === 'burned') continue
    const { restarts, vectors } = simulation.peers[index]
    if (restarts > 0 && (await vectors.size(outcome.sum!)) === undefined) continue
    assert.ok(included.length >= simulation.task.thresholds.nMin)
    const { values } = await simulation.sum(index, outcome)
    const ids = included.map((member) => simulation.terms(outcome.epoch).members[member])
    assert.deepEqual([...values].map(Number), simulation.expectedOf(ids), `the sum of round ${round} is not exact`)
  }
  const { status, included, dropped, views, aggregator } = first
  return JSON.stringify([
    round,
    status,
    included,
    dropped,
    views,
    aggregator,
    simulation.clock.now(),
    bytesToHex(valueHash(closingOf(first)))
  ])
}

/** An honest member is never named as one at fault by another, whatever is done to it; slow it may be called. Nor does its code fail. */
export function checkNobodyBlamed({ peers, task, adversaries }: Simulation): void {
  const corrupt = new Set<string | undefined>([...adversaries.keys()].map((who) => task.members[who]))
  for (const [index, { refusals }] of peers.entries())
    for (const error of adversaries.has(index) ? [] : refusals) {
      const isDefect = error instanceof TypeError || error instanceof RangeError
      assert.ok(!isDefect, `member ${index} failed: ${error.stack}`)
      if (error instanceof MessageError && error.code !== 'OUT_OF_PHASE' && !corrupt.has(error.culprit))
        assert.equal(error.culprit, undefined, `member ${index} blames an honest one: ${error.message}`)
    }
}

/** Whatever crashes and is lost, no two words of an honest member are evidence against it. */
export function checkNobodyConvicted({ peers, adversaries }: Simulation): void {
  for (const [index, { member }] of peers.entries())
    for (const { kind, culprit } of adversaries.has(index) ? [] : member.evidence)
      if (!adversaries.has(culprit))
        assert.fail(`member ${index} holds evidence of ${kind} against member ${culprit}, which is honest`)
}

/** Order and deck follow from the closed rounds alone (§7), and so does who led the first view. */
export function checkLeaders({ task, honest }: Simulation, rounds: number): void {
  const witness = honest.find(({ outcomes }) => outcomes.length === rounds)
  if (witness === undefined) return
  const { chronicle } = witness.participant
  let roster = chronicle.rosterOf(0)!
  const firsts: number[] = []
  let deck = initialDeck()
  let beacon = genesisBeacon(task.idBytes, roster.hash)
  for (let round = 1; round <= rounds; round++) {
    const outcome: RoundOutcome = witness.outcomes.find((outcome) => outcome.round === round)!
    const value = closingOf(outcome)
    assert.ok(value.kind === 'summed' || value.kind === 'burned')
    const inEffect = chronicle.rosterOf(outcome.epoch)!
    if (inEffect !== roster) {
      deck = carryOver(deck, roster, inEffect)
      firsts.length = 0
    }
    roster = inEffect
    const order = leaderOrder(deck, roster, beacon, round)
    if (value.kind === 'burned') assert.deepEqual(value.beacon, burnedBeacon(beacon, round))
    if (outcome.status === 'burned' || outcome.views === 1) assert.equal(outcome.aggregator, order[0])
    const cycle = firsts.slice(firsts.length - (firsts.length % roster.members.length))
    assert.ok(!cycle.includes(order[0]) && firsts.at(-1) !== order[0], `member ${order[0]} is first in line too often`)
    firsts.push(order[0])
    deck = deal(deck, order, roster.members.length)
    beacon = value.beacon
  }
}
