import assert from 'node:assert/strict'
import { bytesToHex } from '@noble/hashes/utils.js'
import { carryOver, deal, deckHash, initialDeck, leaderOrder } from '../../src/membership/deck.ts'
import { genesisBeacon } from '../../src/membership/beacon.ts'
import type { Roster } from '../../src/membership/roster.ts'
import { valueHash } from '../../src/round/messages.ts'
import type { RoundOutcome } from '../../src/round/outcome.ts'
import { behaviours } from './adversaries/index.ts'
import type { Behaviour } from './adversaries/index.ts'
import { below, chance, pick, sample } from './chance.ts'
import type { Chance } from './chance.ts'
import { Simulation } from './network.ts'
import type { Peer, SimulationOptions } from './network.ts'
import { checkNobodyBlamed, closingOf, drawDisk } from './schedule.ts'

/** Rounds in which members come and go, while others crash and up to f are corrupt. */
export interface EpochSchedule extends SimulationOptions {
  rounds: number
  adversaries: Array<{ who: number; as: Behaviour }>
  comings: Coming[]
}

/** What befalls the network so many milliseconds into a round. */
type Coming = { round: number; ms: number } & (
  | { what: 'listed comes' | 'vouched comes' }
  | { what: 'leaves' | 'crashes' | 'is away'; who: number }
  // Until its suspension is in effect, or a later round begins.
  | { what: 'stays away'; who: number; until: number }
)

/** With so many that may leave: whoever is corrupt must stay one of at most f. */
const terms: Array<[members: number, corrupt: number, dropout: number, leaving: number]> = [
  [3, 0, 0.34, 0],
  [4, 0, 0.25, 1],
  [4, 0, 0.25, 1],
  [4, 0.25, 0, 0],
  [5, 0.2, 0, 0],
  [5, 0, 0.2, 1],
  [6, 0.2, 0.17, 1],
  [7, 0.2, 0.17, 2]
]
const names = Object.keys(behaviours) as Behaviour[]
const [listed, vouched] = [20, 21]
const needed = 2

/** With a member that may be suspended: one may be missing, and without it there are still enough. */
const longer: typeof terms = [
  [4, 0, 0.25, 0],
  [4, 0, 0.25, 0],
  [5, 0, 0.2, 0],
  [6, 0.17, 0.17, 0]
]

/** A fourth of the runs is so long that a member is suspended, and comes back. */
export function drawEpochs(seed: number): EpochSchedule {
  const draw = chance(seed * 2246822519 + 31)
  return seed % 4 === 0 ? drawAbsence(seed, draw) : drawComings(seed, draw)
}

/** One member is away for more than a whole cycle, and asks to return; now and then another one comes meanwhile. */
function drawAbsence(seed: number, draw: Chance): EpochSchedule {
  const [members, corrupt, dropout] = pick(longer, draw)
  const everyone = Array.from({ length: members }, (_, index) => index)
  const [who, ...others] = sample(everyone, members, draw)
  const until = members + 4 + below(3, draw)
  const rounds = until + 4
  const comes = { round: until, ms: draw() * 1500, what: 'listed comes' as const }
  return {
    ...drawNetwork(seed, everyone, draw),
    members,
    threat: { corrupt, dropout },
    rounds,
    adversaries: others.slice(0, Math.floor(corrupt * members)).map((who) => ({ who, as: pick(names, draw) })),
    comings: [
      // Soon: where nothing goes wrong, many rounds pass in a second.
      { round: 1 + below(2, draw), ms: draw() * 60, what: 'stays away', who, until },
      ...(draw() < 0.3 ? [comes] : [])
    ]
  }
}

function drawNetwork(seed: number, everyone: number[], draw: Chance) {
  return {
    seed,
    length: pick([1, 3], draw),
    admission: { allow: [listed, ...everyone], vouches: needed },
    delay: pick([1, 20, 60], draw),
    loss: pick([0, 0, 0.3], draw),
    direct: pick([1, 1, 0.5], draw),
    duplicates: pick([0, 0.3], draw),
    ...drawDisk(seed)
  }
}

function drawComings(seed: number, draw: Chance): EpochSchedule {
  const [members, corrupt, dropout, leaving] = pick(terms, draw)
  const everyone = Array.from({ length: members }, (_, index) => index)
  const liars = sample(everyone, Math.floor(corrupt * members), draw)
  const honest = everyone.filter((member) => !liars.includes(member))
  const rounds = 3 + below(4, draw)
  const moment = () => ({ round: 1 + below(rounds - 1, draw), ms: draw() * 1500 })
  const [away, crashing, ...others] = sample(honest, honest.length, draw)
  const comings: Coming[] = [
    ...(draw() < 0.6 ? [{ ...moment(), what: 'listed comes' as const }] : []),
    ...(draw() < 0.4 ? [{ ...moment(), what: 'vouched comes' as const }] : []),
    ...others.slice(0, below(leaving + 1, draw)).map((who) => ({ ...moment(), what: 'leaves' as const, who })),
    ...(draw() < 0.5 ? [{ ...moment(), what: 'crashes' as const, who: crashing }] : []),
    ...(draw() < 0.3 ? [{ ...moment(), what: 'is away' as const, who: away }] : [])
  ]
  return {
    ...drawNetwork(seed, everyone, draw),
    members,
    threat: { corrupt, dropout },
    rounds,
    adversaries: liars.map((who) => ({ who, as: pick(names, draw) })),
    comings
  }
}

export interface EpochRun {
  simulation: Simulation
  /** What became of the rounds, and of the roster. */
  endings: string[]
}

export async function runEpochs(schedule: EpochSchedule): Promise<EpochRun> {
  const simulation = await Simulation.create(schedule)
  await simulation.start()
  for (let number = 1; number <= schedule.rounds; number++) {
    for (const coming of schedule.comings) {
      if (coming.round === number) befall(simulation, coming)
      if (coming.what === 'stays away') comesBack(simulation, coming, number)
    }
    await round(simulation, number)
  }
  await settled(simulation, schedule.rounds)
  const endings = await checkRounds(simulation, schedule.rounds)
  const rosters = checkRosters(simulation, schedule)
  checkOrders(simulation, schedule.rounds)
  checkEpochs(simulation, rosters)
  checkNobodyBlamed(simulation)
  checkConvictions(simulation)
  simulation.stop()
  return { simulation, endings: [...endings, ...changesOf(rosters)] }
}

/** How long a member is away: long enough to be suspended, mostly. */
const AWAY_MS = 120_000

function befall(simulation: Simulation, coming: Coming): void {
  const { clock, peers } = simulation
  const back = async (who: number, ms: number): Promise<void> => {
    await clock.sleep(ms)
    // Where it has not come to its last step yet, it dies now.
    simulation.kill(who)
    simulation.restart(who)
  }
  void clock.sleep(coming.ms).then(async () => {
    switch (coming.what) {
      case 'listed comes':
        return void (await simulation.add(listed))
      case 'vouched comes': {
        const { id } = peers[await simulation.add(vouched)]
        const vouchers = simulation.honest.filter(inside).slice(0, needed)
        return void (await Promise.all(vouchers.map(({ participant }) => participant.vouch(id))))
      }
      case 'leaves':
        return peers[coming.who].participant.leave()
      case 'stays away':
        return simulation.kill(coming.who)
      case 'is away':
        simulation.kill(coming.who)
        return back(coming.who, AWAY_MS)
      case 'crashes':
        // Between a write and what follows from it.
        simulation.killAtStep(coming.who, Math.floor(coming.ms / 20))
        return back(coming.who, 8000)
    }
  })
}

function comesBack(
  simulation: Simulation,
  { who, round, until }: Extract<Coming, { what: 'stays away' }>,
  number: number
): void {
  const { id, alive } = simulation.peers[who]
  const { roster } = simulation.honest[0].participant
  if (!alive && number > round && (number >= until || roster.isSuspended(id))) simulation.restart(who)
}

const inside = ({ member }: Peer): boolean => member.me >= 0
const closedRound = ({ participant }: Peer): number => participant.chronicle.closed.round
const limitMs = 3_600_000

/** One round, asked for until every honest member that lives has closed it. */
async function round(simulation: Simulation, number: number): Promise<void> {
  const { clock } = simulation
  const members = (): Peer[] => simulation.honest.filter(inside)
  const done = (): boolean => members().every((peer) => closedRound(peer) >= number)
  void (async () => {
    while (!done()) {
      const waiting = members().find(
        (peer) => closedRound(peer) === number - 1 && peer.member.runningRound === undefined
      )
      void waiting?.member.want()
      await clock.sleep(1000)
    }
  })()
  await clock.run(done, clock.now() + limitMs)
}

/** All that live know how far the rounds have come, those that were away too. */
async function settled(simulation: Simulation, rounds: number): Promise<void> {
  const { clock } = simulation
  const until = clock.now() + AWAY_MS + 60_000
  let over = false
  void clock.sleep(AWAY_MS + 30_000).then(() => (over = true))
  await clock.run(() => over, until)
  const behind = simulation.honest.filter((peer) => inside(peer) && closedRound(peer) < rounds)
  assert.deepEqual(
    behind.map((peer) => simulation.peers.indexOf(peer)),
    [],
    'members never heard how the last round ended'
  )
}

const away = 'this member was away when the round was closed'

/** All honest members close each round alike, have the true sum, and are told the truth of their inputs. */
async function checkRounds(simulation: Simulation, rounds: number): Promise<string[]> {
  const endings: string[] = []
  for (let number = 1; number <= rounds; number++) {
    const seen = simulation.honest.flatMap((peer) =>
      peer.outcomes
        .filter(({ round, reason }) => round === number && reason !== away)
        .map((outcome) => ({ peer, outcome }))
    )
    if (seen.length === 0) continue
    const first = (seen.find(({ outcome }) => outcome.sum !== undefined) ?? seen[0]).outcome
    const { members, thresholds } = simulation.terms(first.epoch)
    const ids = first.included.map((index) => members[index])
    if (first.status === 'summed') assert.ok(ids.length >= thresholds.nMin, `a sum over ${ids.length}`)
    for (const { peer, outcome } of seen) {
      assert.deepEqual(closingOf(outcome), closingOf(first), `members closed round ${number} differently`)
      assert.equal(outcome.epoch, first.epoch)
      const isIn = first.status === 'summed' && ids.includes(peer.id)
      if (peer.restarts === 0 && outcome.input === 'summed')
        assert.ok(isIn, `a member is told that it is in round ${number}`)
      if (peer.restarts === 0 && outcome.input === 'not included')
        assert.ok(!isIn, `a member is told that it is not in round ${number}`)
      await checkSum(simulation, peer, outcome, ids)
    }
    endings.push(first.status)
  }
  return endings
}

async function checkSum(simulation: Simulation, peer: Peer, outcome: RoundOutcome, ids: string[]): Promise<void> {
  if (outcome.status === 'burned' || outcome.sum === undefined) return
  const { values } = await simulation.sum(simulation.peers.indexOf(peer), outcome)
  assert.deepEqual(
    [...values].map(Number),
    simulation.expectedOf(ids),
    `the sum of round ${outcome.round} is not exact`
  )
}

/** Every honest peer that follows has the same rosters, and each is one that may follow the one before. */
function checkRosters(simulation: Simulation, { comings }: EpochSchedule): Roster[] {
  const corrupt = new Set([...simulation.adversaries.keys()].map((who) => simulation.peers[who].id))
  const mayLeave = new Set(
    comings.flatMap((coming) => (coming.what === 'leaves' ? [simulation.peers[coming.who].id] : []))
  )
  const genesis = new Set(simulation.task.members)
  const rosters: Roster[] = []
  for (const { participant } of simulation.honest)
    for (let epoch = 0; epoch <= participant.roster.epoch; epoch++) {
      const roster = participant.chronicle.rosterOf(epoch)!
      rosters[epoch] ??= roster
      assert.equal(
        bytesToHex(roster.hash),
        bytesToHex(rosters[epoch].hash),
        `members know two rosters of epoch ${epoch}`
      )
    }
  for (const [epoch, roster] of rosters.entries()) {
    const { thresholds } = simulation.terms(epoch)
    const liars = roster.members.filter(({ id }) => corrupt.has(id)).length
    assert.ok(liars <= thresholds.f, `${liars} corrupt members in a roster that bears ${thresholds.f}`)
    for (const { id } of roster.removed) assert.ok(corrupt.has(id), 'an honest member was removed')
    if (epoch === 0) continue
    const before = rosters[epoch - 1]
    for (const { id } of before.removed) assert.ok(roster.isRemoved(id), 'who was removed is forgotten')
    for (const { id } of before.members)
      assert.ok(
        roster.indexOf(id) >= 0 || roster.isSuspended(id) || roster.isRemoved(id) || mayLeave.has(id),
        'a member is gone that never asked to leave'
      )
    for (const { id } of roster.members)
      if (before.indexOf(id) < 0 && !before.isSuspended(id))
        assert.ok(!genesis.has(id) || mayLeave.has(id), 'a member came that was never out')
  }
  return rosters
}

/** Beacon, deck and order follow from the closed rounds alone (§7): computed anew from the task. */
function checkOrders(simulation: Simulation, rounds: number): void {
  const told = new Map<number, RoundOutcome>()
  for (const { outcomes } of simulation.honest)
    for (const outcome of outcomes) if (outcome.reason !== away) told.set(outcome.round, outcome)
  const { chronicle } = simulation.honest[0].participant
  let roster = chronicle.rosterOf(0)!
  let [deck, beacon] = [initialDeck(), genesisBeacon(simulation.task.idBytes, roster.hash)]
  let last: string | undefined
  const cycle = new Set<string>()
  for (let number = 1; number <= rounds; number++) {
    const outcome = told.get(number)
    if (outcome === undefined) return
    if (outcome.epoch !== roster.epoch) {
      const next = chronicle.rosterOf(outcome.epoch)!
      deck = carryOver(deck, roster, next)
      roster = next
      if (deck.dealt.length === 0) cycle.clear()
    }
    const order = leaderOrder(deck, roster, beacon, number)
    const { id } = roster.members[order[0]]
    assert.notEqual(id, last, 'a member is first in line twice running')
    assert.ok(!cycle.has(id), 'a member is first in line twice in a cycle')
    cycle.add(id)
    last = id
    for (const { outcomes } of simulation.honest)
      for (const { round, views, aggregator, phaseMs } of outcomes)
        if (round === number && views === 1 && Object.keys(phaseMs).length > 0) assert.equal(aggregator, order[0])
    deck = deal(deck, order, roster.members.length)
    if (deck.dealt.length === 0) cycle.clear()
    const value = closingOf(outcome)
    assert.ok(value.kind === 'summed' || value.kind === 'burned')
    const next = told.get(number + 1)
    if (next?.epoch === roster.epoch) assert.equal(bytesToHex(value.deckHash), bytesToHex(deckHash(deck)))
    beacon = value.beacon
  }
  const ends = simulation.honest.filter((peer) => inside(peer) && closedRound(peer) === rounds)
  const values = ends.map(({ participant }) => bytesToHex(valueHash(participant.chronicle.closed.decision!.body.value)))
  assert.ok(new Set(values).size <= 1, 'members ended differently')
}

/** §14, epoch by epoch, over everything that honest members signed. */
function checkEpochs(simulation: Simulation, rosters: Roster[]): void {
  for (const [epoch, roster] of rosters.entries()) {
    const ledger = simulation.ledger.ofEpoch(epoch)
    const indices = [...simulation.adversaries.keys()].map((who) => roster.indexOf(simulation.peers[who].id))
    const adversaries = new Set(indices.filter((index) => index >= 0))
    const { thresholds } = simulation.terms(epoch)
    ledger.check(thresholds.quorum, adversaries)
    simulation.shown.check({ ledger, roster, thresholds, adversaries })
  }
}

function checkConvictions(simulation: Simulation): void {
  const corrupt = new Set([...simulation.adversaries.keys()].map((who) => simulation.peers[who].id))
  for (const { member, participant } of simulation.honest)
    for (const { epoch, culprit, kind } of member.evidence) {
      const { id } = participant.chronicle.rosterOf(epoch)!.members[culprit]
      assert.ok(corrupt.has(id), `an honest member is convicted of ${kind} in epoch ${epoch}`)
    }
}

/** What became of the roster, for a count of all. */
function changesOf(rosters: Roster[]): string[] {
  return rosters.slice(1).flatMap((roster, at) => {
    const before = rosters[at]
    const came = roster.members.some(({ id }) => before.indexOf(id) < 0 && !before.isSuspended(id))
    const back = roster.members.some(({ id }) => before.isSuspended(id))
    const out = before.members.filter(({ id }) => roster.indexOf(id) < 0)
    return [
      ...(came ? ['joined'] : []),
      ...(back ? ['returned'] : []),
      ...(roster.removed.length > before.removed.length ? ['removed'] : []),
      ...(out.some(({ id }) => roster.isSuspended(id)) ? ['suspended'] : []),
      ...(out.some(({ id }) => !roster.isSuspended(id) && !roster.isRemoved(id)) ? ['left'] : [])
    ]
  })
}
