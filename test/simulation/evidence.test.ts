import assert from 'node:assert/strict'
import { MessageError } from '../../src/errors.ts'
import { decodeSet, encodeSet } from '../../src/membership/member-set.ts'
import { decodeEvidence, encodeEvidence, verifyEvidence } from '../../src/round/evidence.ts'
import type { Evidence, EvidenceKind } from '../../src/round/evidence.ts'
import { cutHash, decodeMessage, encodeMessage, signedBytes } from '../../src/round/messages.ts'
import type { AnyMessage, Body, Message, MessageType, Value } from '../../src/round/messages.ts'
import type { Frame, Phase } from '../../src/round/ports.ts'
import { headersRoot, readEmbedded } from '../../src/round/transcript.ts'
import { createRoster } from '../../src/membership/roster.ts'
import { simulatedTask } from './identities.ts'
import { Simulation } from './network.ts'
import type { SimulationOptions, Tamper } from './network.ts'
import { checkRound, firstOrder } from './schedule.ts'

/** Seven members, of which one may be corrupt and one missing: cuts of six, quorums of five. */
const members = 7
const threat = { corrupt: 0.15, dropout: 0.15 }
const { task, identities } = await simulatedTask({ members, length: 7, threat })
const roster = createRoster({ epoch: 0, members: [...task.members] })
const order = firstOrder(task)
const [leader] = order
/** Whoever misbehaves where it is not the leader: never the one that takes the leader's vector into custody. */
const culprit = order[3]
const bystander = order[2]
const other = new Uint8Array(32).fill(7)
const everyone = Array.from({ length: members }, (_, index) => index)
/** To these an equivocating leader says something else than to the others. */
const deceived = (member: number) => member !== leader && order.indexOf(member) % 2 === 0

function signedBy<T extends MessageType>(signer: number, original: Message<T>, change: Partial<Body<T>>): Frame {
  const body = { ...original.body, ...change } as Body<T>
  const signature = identities[signer].sign(signedBytes(original.type, original, body))
  return { kind: 'control', payload: encodeMessage(original.type, original, signer, body, signature).encoded }
}

/** Says all that an honest member would, but something else in the place of one message, to some or all. */
function insteadOf<T extends MessageType>(
  type: T,
  say: (message: Message<T>, frame: Frame) => Frame[],
  who: (to: number) => boolean = () => true
): Tamper {
  return async function* (frames, to) {
    for await (const frame of frames) {
      const message: AnyMessage | undefined = frame.kind === 'control' ? decodeMessage(frame.payload) : undefined
      if (message?.type === type && message.round === 1 && who(to)) yield* say(message as Message<T>, frame)
      else yield frame
    }
  }
}

async function run(options: Partial<SimulationOptions>, rounds = 1): Promise<Simulation> {
  const simulation = await Simulation.create({ members, threat, seed: 11, ...options })
  for (let round = 1; round <= rounds; round++) {
    await simulation.round(round)
    await checkRound(simulation, round)
  }
  // What was said last is still on its way when the round is closed.
  await simulation.clock.run(() => false, simulation.clock.now() + 2000).catch(() => {})
  simulation.ledger.check(task.thresholds.quorum)
  return simulation
}

/** A third party knows the task, and nothing else of the network. */
function verifiesElsewhere(evidence: Evidence): void {
  const read = decodeEvidence(encodeEvidence(evidence))
  const context = { task: task.idBytes, epoch: 0, round: read.round }
  verifyEvidence(read, { context, roster, thresholds: task.thresholds })
}

/** Every honest member ends up with evidence of this kind against this member, and with none against any other. */
function assertConvicted(simulation: Simulation, kind: EvidenceKind, who: number): void {
  for (const member of everyone.filter((index) => index !== who && simulation.peers[index].alive)) {
    const { evidence } = simulation.peers[member].member
    assert.ok(
      evidence.some((one) => one.kind === kind),
      `member ${member} holds no evidence of ${kind}: ${simulation.peers[member].refusals.join('; ')}`
    )
    for (const one of evidence) {
      assert.equal(one.culprit, who, `member ${member} holds evidence against member ${one.culprit}`)
      verifiesElsewhere(one)
    }
  }
}

const outcomeOf = (simulation: Simulation, round = 1) => simulation.peers[bystander].outcomes[round - 1]

const oneOnly = (member: number) => member === bystander

/** A cut without its last member, as the same leader would propose it. */
function smaller(proposal: Message<'Proposal'>): Partial<Body<'Proposal'>> {
  const { cut, headers } = proposal.body
  const rules = { context: { task: task.idBytes, epoch: 0, round: 1 }, roster, thresholds: task.thresholds }
  const fewer = headers.slice(0, -1)
  const included = decodeSet(cut!.included, members).slice(0, -1)
  const root = headersRoot(fewer.map((encoded) => readEmbedded('MaskedHeader', encoded, rules)))
  const other = { ...cut!, included: encodeSet(included, members), headersRoot: root }
  const value: Value = { kind: 'cut', cutHash: cutHash(other) }
  return { cut: other, headers: fewer, value }
}

describe('a leader that says different things to different members', function () {
  this.timeout(60_000)

  const lies: Array<[string, Tamper, { attempts: number }]> = [
    [
      'plans',
      insteadOf('RoundPlan', (plan) => [signedBy(leader, plan, { contextHash: other })], deceived),
      { attempts: 1 }
    ],
    [
      'key books',
      insteadOf('KeyBook', (book) => [signedBy(leader, book, { adverts: book.body.adverts.slice(1) })], deceived),
      { attempts: 1 }
    ],
    [
      'masking sets',
      insteadOf('MaskingSet', (set) => [signedBy(leader, set, { readyHash: other })], deceived),
      { attempts: 2 }
    ],
    [
      'cuts',
      insteadOf(
        'Proposal',
        (proposal, frame) => (proposal.body.cut === null ? [frame] : [signedBy(leader, proposal, smaller(proposal))]),
        deceived
      ),
      { attempts: 1 }
    ],
    ['sums', insteadOf('SumHeader', (sum) => [signedBy(leader, sum, { root: other })], deceived), { attempts: 1 }]
  ]
  for (const [what, tamper, { attempts }] of lies) {
    it(`two ${what}: every honest member holds evidence that anybody verifies, and the next leader sums the round`, async () => {
      const simulation = await run({ tamperAsLeader: new Map([[leader, tamper]]) })
      assertConvicted(simulation, 'equivocation', leader)
      const outcome = outcomeOf(simulation)
      assert.deepEqual(
        { status: outcome.status, views: outcome.views, attempts: outcome.attempts },
        { status: 'summed', views: 2, attempts },
        simulation.peers[bystander].viewsLeft.join('; ')
      )
      assert.ok(outcome.included.length >= task.thresholds.nMin)
    })
  }

  const toOne: Array<[string, Tamper]> = [
    [
      'key book',
      insteadOf('KeyBook', (book) => [signedBy(leader, book, { adverts: book.body.adverts.slice(1) })], oneOnly)
    ],
    ['masking set', insteadOf('MaskingSet', (set) => [signedBy(leader, set, { readyHash: other })], oneOnly)],
    [
      'cut',
      insteadOf(
        'Proposal',
        (proposal, frame) => (proposal.body.cut === null ? [frame] : [signedBy(leader, proposal, smaller(proposal))]),
        oneOnly
      )
    ],
    ['sum', insteadOf('SumHeader', (sum) => [signedBy(leader, sum, { root: other })], oneOnly)]
  ]
  for (const [what, tamper] of toOne) {
    it(`another ${what} to a single member: that one has evidence for everyone, and the round is summed`, async () => {
      const simulation = await run({ tamperAsLeader: new Map([[leader, tamper]]) })
      assertConvicted(simulation, 'equivocation', leader)
      assert.equal(outcomeOf(simulation).status, 'summed')
    })
  }

  it('two masking sets, whatever the delays: too many have masked to go on, and the round is summed with fresh keys', async () => {
    const tamper = insteadOf('MaskingSet', (set) => [signedBy(leader, set, { readyHash: other })], deceived)
    for (let seed = 1; seed <= 12; seed++) {
      const simulation = await run({ seed, delay: 60, loss: 0.3, tamperAsLeader: new Map([[leader, tamper]]) })
      assertConvicted(simulation, 'equivocation', leader)
      const { status, attempts, included, reason } = outcomeOf(simulation)
      assert.deepEqual({ status, attempts }, { status: 'summed', attempts: 2 }, `seed ${seed}: ${reason}`)
      assert.ok(included.length >= task.thresholds.nMin)
    }
  })

  it('never leads again: it is taken out of the roster, and each round is summed in its first view', async () => {
    const tamper = insteadOf(
      'KeyBook',
      (book) => [signedBy(leader, book, { adverts: book.body.adverts.slice(1) })],
      deceived
    )
    const simulation = await run({ tamperAsLeader: new Map([[leader, tamper]]) }, 2 * members)
    const { outcomes, participant } = simulation.peers[bystander]
    assert.equal(participant.roster.indexOf(task.members[leader]), -1)
    for (const { round, epoch, status, views, aggregator } of outcomes.slice(1)) {
      assert.deepEqual({ status, views }, { status: 'summed', views: 1 }, `round ${round}`)
      assert.notEqual(simulation.terms(epoch).members[aggregator], task.members[leader])
    }
  })
})

describe('a member that breaks the protocol', function () {
  this.timeout(60_000)

  const offences: Array<[string, EvidenceKind, Tamper]> = [
    [
      'votes for two values in one view',
      'double-vote',
      insteadOf('Prepare', (vote, frame) => [frame, signedBy(culprit, vote, { value: other })])
    ],
    [
      'commits to two values in one view',
      'double-vote',
      insteadOf('Commit', (vote, frame) => [frame, signedBy(culprit, vote, { value: other })])
    ],
    [
      'advertises two keys',
      'double-statement',
      insteadOf('KeyAdvert', (advert, frame) => [frame, signedBy(culprit, advert, { contributes: false })])
    ],
    ['signs two headers', 'double-statement', secondHeader()]
  ]
  for (const [what, kind, tamper] of offences) {
    it(`${what}: every honest member holds evidence against it, and the round is summed in its first view`, async () => {
      const simulation = await run({ tamper: new Map([[culprit, tamper]]) })
      assertConvicted(simulation, kind, culprit)
      const { status, views } = outcomeOf(simulation)
      assert.deepEqual({ status, views }, { status: 'summed', views: 1 })
    })
  }

  it('shows one header to one leader and another to the next: what the Joins show brings both together', async () => {
    const tamper = insteadOf('Join', (join, frame) => {
      if (join.body.masked === null) return [frame]
      const another = signedBy(culprit, decodeMessage(join.body.masked) as Message<'MaskedHeader'>, { root: other })
      return [signedBy(culprit, join, { masked: another.payload })]
    })
    const kills = [{ who: leader, phase: 'unmask' as Phase, round: 1 }]
    const simulation = await run({ tamper: new Map([[culprit, tamper]]), kills })
    assertConvicted(simulation, 'double-statement', culprit)
    assert.equal(outcomeOf(simulation).status, 'summed')
  })

  it('reveals a share that its dealer never signed: the holder is convicted, and the dealer is not', async () => {
    const lie = insteadOf('Reveal', (reveal) => [
      signedBy(culprit, reveal, {
        keyShares: reveal.body.keyShares.map((proof) => ({ ...proof, share: new Uint8Array(32) }))
      })
    ])
    const kills = [{ who: bystander, phase: 'mask' as Phase, round: 1 }]
    const simulation = await Simulation.create({ members, threat, seed: 5, kills, tamper: new Map([[culprit, lie]]) })
    await simulation.round(1)
    await simulation.clock.run(() => false, simulation.clock.now() + 2000).catch(() => {})
    assertConvicted(simulation, 'lying-holder', culprit)
    assert.equal(simulation.peers[leader].outcomes[0].status, 'summed')
  })

  it('deals shares of another seed than it committed to: t Reveals convict the dealer, and no holder', async () => {
    const lie: Tamper = async function* (frames, to) {
      const advertised = insteadOf('KeyAdvert', (advert) => [signedBy(culprit, advert, { seedCommitment: other })])
      const silent = insteadOf('Reveal', () => [])
      yield* silent(advertised(frames, to), to)
    }
    const simulation = await run({ tamper: new Map([[culprit, lie]]) })
    assertConvicted(simulation, 'lying-dealer', culprit)
    const { status, input, reason } = outcomeOf(simulation)
    assert.deepEqual({ status, input }, { status: 'burned', input: 'burned' })
    assert.match(reason!, /dealt seed shares that do not open what it committed to/)
  })

  it('keeps its conviction in every journal: whoever is started again still holds it, and leaves its view at once', async () => {
    const tamper = insteadOf('Prepare', (vote, frame) => [frame, signedBy(culprit, vote, { value: other })])
    const simulation = await run({ tamper: new Map([[culprit, tamper]]) })
    const before = simulation.peers[bystander].member.evidence
    assert.equal(before.length, 1)
    // All at once, so that nobody is left to tell them again.
    for (const member of everyone) simulation.kill(member)
    for (const member of everyone) simulation.restart(member)
    await simulation.clock.run(() => false, simulation.clock.now() + 2000).catch(() => {})
    assertConvicted(simulation, 'double-vote', culprit)
    assert.deepEqual(simulation.peers[bystander].member.evidence.map(encodeEvidence), before.map(encodeEvidence))
    for (let round = 2; round <= members; round++) await simulation.round(round)
    const { outcomes } = simulation.peers[bystander]
    const led = outcomes.map(({ epoch, aggregator }) => simulation.terms(epoch).members[aggregator])
    assert.ok(led.length >= members - 1 && !led.includes(task.members[culprit]))
  })

  it('is known to a member that was away when it was convicted, as soon as that one catches up', async () => {
    const tamper = insteadOf('Prepare', (vote, frame) => [frame, signedBy(culprit, vote, { value: other })])
    const simulation = await Simulation.create({ members, threat, seed: 11, tamper: new Map([[culprit, tamper]]) })
    simulation.kill(bystander)
    await simulation.round(1)
    await simulation.clock.run(() => false, simulation.clock.now() + 2000).catch(() => {})
    assert.deepEqual(simulation.peers[bystander].member.evidence, [])
    simulation.restart(bystander)
    await simulation.clock.run(() => false, simulation.clock.now() + 2000).catch(() => {})
    assertConvicted(simulation, 'double-vote', culprit)
  })
})

describe('a forged accusation', function () {
  this.timeout(60_000)

  const context = { task: task.idBytes, epoch: 0, round: 1 }
  const accusation = (by: number, evidence: Uint8Array) => {
    const body = { evidence }
    const signature = identities[by].sign(signedBytes('Evidence', context, body))
    return encodeMessage('Evidence', context, by, body, signature).encoded
  }
  const say = <T extends MessageType>(type: T, from: number, body: Body<T>, signer = from) =>
    encodeMessage(type, context, from, body, identities[signer].sign(signedBytes(type, context, body))).encoded
  const vote: Body<'Prepare'> = { agreement: 'closing', view: 0, value: other, root: null }
  const rival = { ...vote, value: new Uint8Array(32) }
  const accuse = (statements: Uint8Array[], who = leader): Evidence => ({
    kind: 'double-vote',
    culprit: who,
    ...context,
    statements
  })

  const forgeries: Array<[string, Uint8Array]> = [
    [
      'of votes that another signed in its name',
      encodeEvidence(accuse([say('Prepare', leader, vote), say('Prepare', leader, rival, culprit)]))
    ],
    ['of one vote twice', encodeEvidence(accuse([say('Prepare', leader, vote), say('Prepare', leader, vote)]))],
    [
      'of another member’s offence',
      encodeEvidence(accuse([say('Prepare', culprit, vote), say('Prepare', culprit, rival)]))
    ],
    ['of nothing', new Uint8Array(9)]
  ]
  for (const [what, evidence] of forgeries) {
    it(`${what} is refused, costs whoever brought it, and harms nobody`, async () => {
      const simulation = await Simulation.create({ members, threat, seed: 3 })
      const { member } = simulation.peers[bystander]
      const blamesTheBringer = (error: Error) => {
        assert.ok(error instanceof MessageError)
        assert.equal(error.culprit, task.members[culprit])
        assert.match(error.message, /false accusation/)
        return true
      }
      assert.throws(() => member.check(accusation(culprit, evidence)), blamesTheBringer)
      await assert.rejects(member.hear(culprit, accusation(culprit, evidence)), blamesTheBringer)
      assert.deepEqual(member.evidence, [])
      await simulation.round(1)
      await checkRound(simulation, 1)
      assert.equal(outcomeOf(simulation).aggregator, leader)
    })
  }

  it('does not keep the true one out that comes after it', async () => {
    const simulation = await Simulation.create({ members, threat, seed: 3 })
    const { member } = simulation.peers[bystander]
    await assert.rejects(member.hear(culprit, accusation(culprit, forgeries[1][1])))
    const truth = encodeEvidence(accuse([say('Prepare', leader, vote), say('Prepare', leader, rival)]))
    member.check(accusation(order[4], truth))
    await member.hear(order[4], accusation(order[4], truth))
    assert.deepEqual(member.evidence.map(encodeEvidence), [truth])
    await simulation.clock.run(() => false, simulation.clock.now() + 2000).catch(() => {})
    for (const { member } of simulation.peers) assert.equal(member.evidence.length, 1)
    await simulation.round(1)
    await checkRound(simulation, 1)
    const { views, aggregator } = outcomeOf(simulation)
    assert.deepEqual({ views, aggregator }, { views: 2, aggregator: order[1] })
  })
})

/** A second header, once the vector of the first is there: a member that would be in two sums. */
function secondHeader(): Tamper {
  return async function* (frames, to) {
    const first = Promise.withResolvers<Message<'MaskedHeader'>>()
    const keep = insteadOf('MaskedHeader', (header, frame) => (first.resolve(header), [frame]))
    for await (const frame of keep(frames, to)) {
      const isVote = frame.kind === 'control' && decodeMessage(frame.payload).type === 'Prepare'
      if (isVote) yield signedBy(culprit, await first.promise, { root: other })
      yield frame
    }
  }
}
