import assert from 'node:assert/strict'
import * as dagCbor from '@ipld/dag-cbor'
import { MessageError } from '../../src/errors.ts'
import { MemoryJournal } from '../../src/journal/journal.ts'
import { deal, encodeDeck, initialDeck } from '../../src/membership/deck.ts'
import { signRequest } from '../../src/membership/requests.ts'
import { decodeRoster, encodeRoster } from '../../src/membership/roster-bytes.ts'
import { applyChange, encodeChange } from '../../src/membership/roster-change.ts'
import type { RosterChange } from '../../src/membership/roster-change.ts'
import { createRoster, parsePeer } from '../../src/membership/roster.ts'
import type { Roster } from '../../src/membership/roster.ts'
import { Chronicle } from '../../src/round/chronicle.ts'
import { decodeMessage, encodeMessage, signedBytes } from '../../src/round/messages.ts'
import type { Body, Message } from '../../src/round/messages.ts'
import { NextRoster } from '../../src/round/next-roster.ts'
import type { RoundOutcome } from '../../src/round/outcome.ts'
import { Simulation } from './network.ts'
import type { Peer } from './network.ts'

const threat = { corrupt: 0, dropout: 0.25 }
const inside = ({ member }: Peer): boolean => member.me >= 0

/** One round, until all that are members when it ends have seen it closed; its outcome, with peer ids, checked to be exact. */
async function round(simulation: Simulation, number: number): Promise<RoundOutcome & { ids: string[] }> {
  const members = simulation.living.filter(inside)
  void members[number % members.length].member.want()
  // It may still be busy with the end of the last round.
  void simulation.clock
    .sleep(500)
    .then(() => (members[0].member.closedRound < number ? members[0].member.want() : undefined))
  const done = (): boolean => members.every(({ participant }) => participant.chronicle.closed.round >= number)
  await simulation.clock.run(done, simulation.clock.now() + 600_000)
  const told = (): boolean => members.some(({ outcomes }) => outcomes.some((one) => one.round === number))
  await simulation.clock.run(told, simulation.clock.now() + 60_000)
  const teller = members.find(({ outcomes }) => outcomes.some((one) => one.round === number))!
  const outcome = teller.outcomes.find((one) => one.round === number)!
  assert.equal(outcome.status, 'summed', outcome.reason)
  const ids = outcome.included.map((index) => simulation.terms(outcome.epoch).members[index])
  const { values } = await simulation.sum(simulation.peers.indexOf(teller), outcome)
  assert.deepEqual([...values].map(Number), simulation.expectedOf(ids), `the sum of round ${number} is exact`)
  return { ...outcome, ids }
}

/** Time that passes without a round: requests travel, whoever is outside follows. */
async function pass(simulation: Simulation, ms: number): Promise<void> {
  const until = simulation.clock.now() + ms
  let over = false
  void simulation.clock.sleep(ms).then(() => (over = true))
  await simulation.clock.run(() => over, until)
}

function agreeOnRoster({ living }: Simulation): void {
  const hashes = new Set(living.map(({ participant }) => Buffer.from(participant.roster.hash).toString('hex')))
  assert.equal(hashes.size, 1, 'all that live know the same roster')
}

describe('a network whose members come and go', function () {
  this.timeout(0)

  it('lets a peer on the list join: it is in the sums after a summed round that opened after that was decided', async () => {
    const simulation = await Simulation.create({ members: 4, seed: 1, threat, admission: { allow: [20] } })
    const newcomer = await simulation.add(20)
    const { id } = simulation.peers[newcomer]
    await pass(simulation, 1000)
    assert.equal((await round(simulation, 1)).ids.includes(id), false)
    assert.ok(simulation.peers[0].participant.chronicle.succession.pending, 'it is decided, and waits')
    assert.equal((await round(simulation, 2)).epoch, 0)
    await pass(simulation, 30_000)
    agreeOnRoster(simulation)
    for (let number = 3; number <= 10; number++) {
      const { epoch, ids } = await round(simulation, number)
      assert.deepEqual([epoch, ids.length], [1, 5])
      assert.ok(ids.includes(id))
    }
    // It counts as dealt in the cycle in which it came, and leads once in the next.
    const aggregators = simulation.peers[newcomer].outcomes.map(({ aggregator }) => aggregator)
    assert.ok(aggregators.includes(simulation.peers[newcomer].member.me))
  })

  it('lets a peer join that enough members vouch for, and no other', async () => {
    const simulation = await Simulation.create({ members: 4, seed: 2, threat, admission: { vouches: 2 } })
    const [known, stranger] = [await simulation.add(21), await simulation.add(22)]
    await simulation.peers[0].participant.vouch(simulation.peers[known].id)
    await simulation.peers[2].participant.vouch(simulation.peers[known].id)
    await simulation.peers[1].participant.vouch(simulation.peers[stranger].id)
    await pass(simulation, 1000)
    for (let number = 1; number <= 4; number++) await round(simulation, number)
    await pass(simulation, 30_000)
    agreeOnRoster(simulation)
    assert.equal(inside(simulation.peers[known]), true)
    assert.equal(inside(simulation.peers[stranger]), false)
    assert.ok((await round(simulation, 5)).ids.includes(simulation.peers[known].id))
  })

  it('counts a vouch after the process that gave it was started again, though nobody else had heard of it', async () => {
    const simulation = await Simulation.create({ members: 4, seed: 9, threat, admission: { vouches: 1 } })
    const { id } = simulation.peers[await simulation.add(21)]
    simulation.killAtStep(2, 1)
    void simulation.peers[2].participant.vouch(id)
    await pass(simulation, 1000)
    assert.equal(simulation.peers[2].alive, false, 'it died when the vouch was on its disk, and before it was said')
    simulation.restart(2)
    await pass(simulation, 1000)
    for (let number = 1; number <= 3; number++) await round(simulation, number)
    await pass(simulation, 30_000)
    assert.ok(simulation.peers[0].participant.roster.indexOf(id) >= 0)
  })

  it('goes on without a member that leaves, which takes no more part and follows no more', async () => {
    const simulation = await Simulation.create({ members: 5, seed: 3, threat })
    await simulation.peers[3].participant.leave()
    await pass(simulation, 1000)
    for (let number = 1; number <= 2; number++) assert.equal((await round(simulation, number)).ids.length, 5)
    await pass(simulation, 30_000)
    for (let number = 3; number <= 5; number++) {
      const { ids, epoch } = await round(simulation, number)
      assert.deepEqual([epoch, ids.length], [1, 4])
      assert.ok(!ids.includes(simulation.peers[3].id))
    }
    assert.equal(inside(simulation.peers[3]), false)
  })

  it('suspends a member that was away for a whole cycle, and lets it return when it asks', async () => {
    const simulation = await Simulation.create({ members: 5, seed: 4, threat })
    await round(simulation, 1)
    simulation.kill(2)
    let number = 2
    for (; simulation.peers[0].participant.roster.epoch === 0; number++) {
      assert.ok(number < 15, 'it is suspended within two cycles')
      assert.equal((await round(simulation, number)).ids.length, 4)
    }
    assert.ok(number > 6, 'not before it was away for a cycle')
    assert.ok(simulation.peers[0].participant.roster.isSuspended(simulation.peers[2].id))
    assert.equal(simulation.peers[0].participant.roster.leastCorrupt, 0)
    const { views, ids } = await round(simulation, number++)
    assert.deepEqual([views, ids.length], [1, 4])

    simulation.restart(2)
    await pass(simulation, 30_000)
    assert.equal(inside(simulation.peers[2]), false)
    for (const end = number + 2; number < end; number++) await round(simulation, number)
    await pass(simulation, 30_000)
    agreeOnRoster(simulation)
    assert.ok((await round(simulation, number)).ids.includes(simulation.peers[2].id))
  })

  it('takes a member out that broke the protocol, and lets it in never again, though it is on the list', async () => {
    const adversaries = [{ who: 1, as: 'DoubleVotes' as const }]
    const terms = { threat: { corrupt: 0.2, dropout: 0.2 }, admission: { allow: [0, 1, 2, 3, 4, 5, 6] } }
    const simulation = await Simulation.create({ members: 7, seed: 8, adversaries, ...terms })
    const { id } = simulation.peers[1]
    let number = 1
    for (; simulation.peers[0].participant.roster.epoch === 0; number++) {
      assert.ok(number < 4, 'it is decided with the first round and takes effect with the second')
      await round(simulation, number)
    }
    await pass(simulation, 30_000)
    assert.ok(simulation.peers[0].participant.roster.isRemoved(id))
    await simulation.peers[1].participant.join()
    for (const end = number + 3; number < end; number++) {
      const { ids, epoch } = await round(simulation, number)
      assert.deepEqual([epoch, ids.length, ids.includes(id)], [1, 6, false])
    }
  })

  it('leaves a member in its place that broke the protocol where too few would be left without it', async () => {
    const adversaries = [{ who: 1, as: 'DoubleVotes' as const }]
    const terms = { corrupt: 0.2, dropout: 0.2 }
    const simulation = await Simulation.create({ members: 6, seed: 8, adversaries, threat: terms })
    for (let number = 1; number <= 3; number++) assert.equal((await round(simulation, number)).epoch, 0)
    const { evidence, roster } = simulation.peers[0].member
    assert.deepEqual([evidence.map(({ culprit }) => culprit), roster.members.length], [[1], 6])
    // In a cycle each of the six is first in line once, and whoever is convicted leads no round for that.
    const cycle: RoundOutcome[] = []
    for (let number = 4; number <= 12; number++) cycle.push(await round(simulation, number))
    assert.ok(cycle.every(({ aggregator, status }) => aggregator !== 1 && status === 'summed'))
    const views = cycle.slice(-6).map((outcome) => outcome.views)
    assert.deepEqual(views.sort(), [1, 1, 1, 1, 1, 2])
  })

  it('takes a member back that slept through many epochs: it verifies the chain from the one that it knew', async () => {
    const allow = [20, 21, 22]
    const simulation = await Simulation.create({ members: 5, seed: 5, threat, admission: { allow } })
    await round(simulation, 1)
    simulation.kill(4)
    for (const one of allow) await simulation.add(one)
    const { chronicle } = simulation.peers[0].participant
    let number = 2
    for (; chronicle.roster.epoch < 3; number++) {
      assert.ok(number < 25)
      await pass(simulation, 15_000)
      await round(simulation, number)
      if (number === 8) await simulation.peers[1].participant.leave()
    }
    const { epoch } = chronicle.roster
    await pass(simulation, 30_000)
    simulation.restart(4)
    await pass(simulation, 60_000)
    agreeOnRoster(simulation)
    assert.equal(simulation.peers[4].participant.chronicle.closed.round, number - 1)
    for (let known = 0; known <= epoch; known++)
      assert.ok(simulation.peers[4].participant.chronicle.rosterOf(known), `it keeps the roster of epoch ${known}`)
    await round(simulation, number)
    agreeOnRoster(simulation)
  })

  it('shows a chain that is longer than one message in parts, also where it has itself come by parts', async () => {
    const allow = [20, 21, 22]
    const simulation = await Simulation.create({ members: 4, seed: 5, threat, admission: { allow } })
    const { chronicle } = simulation.peers[0].participant
    await round(simulation, 1)
    const told: Array<Awaited<ReturnType<typeof chronicle.since>>> = []
    let number = 2
    for (const [place, one] of allow.entries()) {
      await simulation.add(one)
      await pass(simulation, 15_000)
      for (; chronicle.roster.epoch <= place; number++) await round(simulation, number)
      await round(simulation, number++)
      told.push(await chronicle.since(place))
    }
    const followed = async (teacher: Chronicle, most: number) => {
      const learner = new Chronicle(simulation.task, new MemoryJournal())
      let parts = 0
      for (let before = -1; before !== learner.roster.epoch;) {
        before = learner.roster.epoch
        const answer = await teacher.since(before, most)
        const links = answer.chain.map(({ roster, made, effective }) => roster.length + made.length + effective.length)
        assert.ok(links.slice(0, -1).reduce((sum, length) => sum + length, 0) <= most)
        parts += Number(await learner.follow({ ...answer, announcements: [] }))
      }
      assert.deepEqual(learner.closed, teacher.closed)
      assert.deepEqual(learner.roster.hash, teacher.roster.hash)
      return { learner, parts }
    }
    assert.equal((await followed(chronicle, 1_000_000)).parts, 1)
    const { learner, parts } = await followed(chronicle, 1)
    assert.equal(parts, 3)
    assert.equal((await followed(learner, 1)).parts, 3)

    // One that asked now and then, each time in the middle of an epoch, knows no epoch's first deck.
    const often = new Chronicle(simulation.task, new MemoryJournal())
    for (const answer of told) await often.follow({ ...answer, announcements: [] })
    assert.equal((await followed(often, 1)).parts, 3)
  })

  it('believes no chain that a quorum did not decide step by step, and names whoever shows one', async () => {
    const simulation = await Simulation.create({ members: 4, seed: 6, threat, admission: { allow: [20] } })
    await simulation.add(20)
    await pass(simulation, 1000)
    for (let number = 1; number <= 3; number++) await round(simulation, number)
    const { task, peers } = simulation
    const honest = await peers[0].participant.chronicle.since(0)
    const answer = { ...honest, announcements: [] }
    const [link] = answer.chain
    const made = decodeMessage(link.made) as Message<'Decision'>
    const { signers, signatures, ...vote } = made.body.commits
    const few = { ...made.body, commits: { ...vote, signers: Uint8Array.of(1), signatures: signatures.slice(0, 64) } }
    const own = encodeMessage(
      'Decision',
      made,
      made.from,
      few,
      simulation.signAs(made.from, signedBytes('Decision', made, few))
    )
    const { epoch, previousHash } = peers[0].participant.roster
    const others = createRoster({ epoch, previousHash, members: peers.slice(1).map(({ id }) => id) })
    assert.ok(signers.length > 0)
    const forged: Array<Partial<Body<'Closed'>>> = [
      { chain: [] },
      { chain: [{ ...link, roster: encodeRoster(others) }] },
      { chain: [{ ...link, effective: link.made }] },
      { chain: [{ ...link, made: link.effective, effective: link.made }] },
      { chain: [{ ...link, made: own.encoded }] },
      { chain: [{ ...link, made: honest.decision! }] },
      { decision: link.made },
      { deck: encodeDeck(initialDeck()) }
    ]
    for (const [place, lie] of forged.entries()) {
      const chronicle = new Chronicle(task, new MemoryJournal())
      await assert.rejects(chronicle.follow({ ...answer, ...lie }), MessageError, `forgery ${place}`)
      assert.deepEqual([chronicle.closed.round, chronicle.roster.epoch], [0, 0])
    }
    // Of a roster that no decision names nothing is read but its hash: each key in it takes a millisecond to check.
    const { previousHash: before = null } = others
    const unread = { epoch: 1, previousHash: before, suspended: [], leastCorrupt: 0, removed: [] }
    const roster = dagCbor.encode({ ...unread, members: Array<Uint8Array>(4096).fill(new Uint8Array(38)) })
    assert.throws(() => decodeRoster(roster), { code: 'MALFORMED' })
    const outsider = new Chronicle(task, new MemoryJournal())
    await assert.rejects(outsider.follow({ ...answer, chain: [{ ...link, roster }] }), /its decision does not name/)
    outsider.offer({ ...answer, chain: [{ ...link, roster }] })

    // What is voted for is on disk, also where another member had shown it before.
    const journal = new MemoryJournal()
    const voter = new Chronicle(task, journal)
    voter.offer(answer)
    await voter.keep(decodeRoster(link.roster))
    const again = new Chronicle(task, journal)
    await again.load()
    assert.deepEqual((await again.named(decodeRoster(link.roster).hash))?.hash, decodeRoster(link.roster).hash)

    const chronicle = new Chronicle(task, new MemoryJournal())
    assert.equal(await chronicle.follow(answer), true)
    assert.deepEqual(chronicle.roster.hash, peers[0].participant.roster.hash)

    const context = { task: task.idBytes, epoch: 1, round: 3 }
    const lie = { ...answer, ...forged[1] }
    const reply = encodeMessage('Closed', context, 2, lie, simulation.signAs(2, signedBytes('Closed', context, lie)))
    const asker = await simulation.lonely(4, async function* () {
      yield { kind: 'control', payload: reply.encoded }
    })
    await assert.rejects(asker.catchUp(peers[2].id), { culprit: peers[2].id })
    assert.equal(asker.roster.epoch, 0)
  })

  it('takes a request in one form only: what is not signed of it cannot be changed', async () => {
    const simulation = await Simulation.create({ members: 4, seed: 7, threat, admission: { allow: [20] } })
    const { peers, task } = simulation
    const { id } = peers[await simulation.add(20)]
    const to = { taskId: task.idBytes, rosterHash: peers[0].participant.roster.hash }
    const body = await signRequest('join', parsePeer(id).bytes, to, (bytes) => simulation.signAs(4, bytes))
    const said = (round: number, from: number) =>
      encodeMessage('RosterRequest', { task: task.idBytes, epoch: 0, round }, from, body).encoded
    for (const [round, from] of [
      [1, 0],
      [0, 1]
    ])
      assert.throws(() => peers[0].participant.check(id, said(round, from)), MessageError)
    assert.equal(peers[0].participant.check(id, said(0, 0)), true)
  })

  it('takes a changed roster only with the change that makes it', async () => {
    const simulation = await Simulation.create({ members: 4, seed: 7, threat, admission: { allow: [20] } })
    const { task, peers } = simulation
    const { chronicle } = peers[0].participant
    const newcomer = simulation.peers[await simulation.add(20)]
    const dealt = deal(initialDeck(), [0, 1, 2, 3], 4)
    const kept: Roster[] = []
    const none = (): never => assert.fail('there are no absences and no evidence')
    const rules = { task, readAbsence: none, readRemoval: none }
    const next = new NextRoster({
      round: 1,
      succession: chronicle.succession,
      dealt,
      rules,
      keep: async (roster) => void kept.push(roster),
      wanted: async () => undefined
    })
    const to = { taskId: task.idBytes, rosterHash: chronicle.roster.hash }
    const { bytes } = parsePeer(newcomer.id)
    const request = await signRequest('join', bytes, to, (envelope) => simulation.signAs(4, envelope))
    const nothing = { leaves: [], returns: [], suspensions: [], absences: [], removals: [] }
    const change: RosterChange = { joins: [{ request, vouches: [] }], ...nothing }
    const roster = applyChange(chronicle.roster, change, rules)
    const proposal = (rosterHash: Uint8Array, shown: RosterChange | null): Body<'Proposal'> => ({
      agreement: 'closing',
      view: 0,
      value: { kind: 'burned', beacon: rosterHash, rosterHash, deckHash: rosterHash },
      lock: null,
      cut: null,
      headers: [],
      change: shown && encodeChange(shown),
      reason: ''
    })
    await assert.rejects(next.read(proposal(roster.hash, null)), /shows no reason/)
    const forged = { ...change, joins: [{ request: { ...request, signature: new Uint8Array(64) }, vouches: [] }] }
    await assert.rejects(next.read(proposal(roster.hash, forged)), { name: 'RosterChangeError' })
    await assert.rejects(next.read(proposal(new Uint8Array(32), change)), /another roster than its change makes/)
    assert.equal(kept.length, 0)
    assert.deepEqual((await next.read(proposal(roster.hash, change))).hash, roster.hash)
    assert.deepEqual(kept, [roster], 'it is on disk before a vote for it leaves')
    assert.equal(await next.read(proposal(chronicle.roster.hash, null)), chronicle.roster)
  })
})
