import assert from 'node:assert/strict'
import type { MessageError, MessageFault } from '../../src/errors.ts'
import { decodeMessage, encodeMessage, isSigned, MAX_MESSAGE_BYTES, signedBytes } from '../../src/round/messages.ts'
import type { Body, Message, MessageType, Value } from '../../src/round/messages.ts'
import type { Frame, Phase } from '../../src/round/ports.ts'
import { burnedBeacon, genesisBeacon } from '../../src/membership/beacon.ts'
import { deal, deckHash, initialDeck } from '../../src/membership/deck.ts'
import { encodeSet } from '../../src/membership/member-set.ts'
import { createRoster } from '../../src/membership/roster.ts'
import { control, eachFrame, insteadOf } from './adversaries/adversary.ts'
import { simulatedTask } from './identities.ts'
import { Simulation } from './network.ts'
import type { SimulationOptions, Tamper } from './network.ts'
import { checkRound, firstOrder } from './schedule.ts'

const members = 5
const { task, identities } = await simulatedTask({ members, length: 7, threat: {} })
const [leader] = firstOrder(task)
/** Whoever misbehaves: never the leader, nor the one that takes its vector into custody. */
const culprit = firstOrder(task)[3]
const bystander = firstOrder(task)[2]
const peerId = task.members[culprit]

/** Another message, of the culprit's own. */
function signed<T extends 'Ready' | 'Commit' | 'KeyBook'>(
  { task: id, epoch, round }: Message,
  type: T,
  body: Body<T>
): Frame {
  const context = { task: id, epoch, round }
  const signature = isSigned(type) ? identities[culprit].sign(signedBytes(type, context, body)) : undefined
  return control(encodeMessage(type, context, culprit, body, signature).encoded)
}

/** A message as the culprit would sign it: another body, another context, or another name. */
function forge<T extends MessageType>(
  original: Message<T>,
  change: Partial<Body<T>>,
  context: Partial<Message> = {}
): Frame {
  const { task: id, epoch, round, from } = { ...original, ...context }
  const body = { ...original.body, ...change } as Body<T>
  const signature = isSigned(original.type)
    ? identities[culprit].sign(signedBytes(original.type, { task: id, epoch, round }, body))
    : undefined
  return control(encodeMessage(original.type, { task: id, epoch, round }, from, body, signature).encoded)
}

async function run(options: Partial<SimulationOptions>, rounds = 1): Promise<Simulation> {
  const simulation = await Simulation.create({ members, seed: 11, ...options })
  for (let round = 1; round <= rounds; round++) {
    await simulation.round(round)
    await checkRound(simulation, round)
  }
  simulation.ledger.check(task.thresholds.quorum)
  return simulation
}

const outcomeOf = (simulation: Simulation, round = 1) => simulation.peers[bystander].outcomes[round - 1]

function assertNamed({ peers }: Simulation, code: MessageFault, by: number, sentence?: RegExp): void {
  const named = peers[by].refusals.filter((error) => (error as MessageError).culprit === peerId) as MessageError[]
  const found = named.find((error) => error.code === code && (sentence?.test(error.message) ?? true))
  assert.ok(found, `nobody was named for ${code}: ${peers[by].refusals.map(String).join('; ')}`)
}

describe('a bad message costs its sender its place, never the round', () => {
  const without: Array<[string, MessageFault, Tamper]> = [
    ['bytes that are no message', 'MALFORMED', insteadOf('KeyAdvert', () => [control(Uint8Array.of(0xff, 1, 2, 3))])],
    [
      'an oversized message',
      'OVERSIZED',
      insteadOf('KeyAdvert', () => [control(new Uint8Array(MAX_MESSAGE_BYTES + 1))])
    ],
    ['a truncated message', 'MALFORMED', insteadOf('KeyAdvert', (_, { payload }) => [control(payload.slice(0, -1))])],
    [
      'a piece of a vector in the place of a message',
      'OUT_OF_PHASE',
      insteadOf('KeyAdvert', (_, { payload }) => [{ kind: 'data', payload }])
    ],
    [
      'an acknowledgement in place of a key advert',
      'OUT_OF_PHASE',
      insteadOf('KeyAdvert', (advert) => {
        const { attemptId } = advert.body
        const body = { attemptId, keyBookHash: new Uint8Array(32), dealers: encodeSet([0, 1, 2], members) }
        return [signed(advert, 'Ready', body)]
      })
    ],
    [
      'a vote before there is a proposal',
      'OUT_OF_PHASE',
      insteadOf('Ready', (ready, frame) => {
        const body = { agreement: 'attempt-0' as const, view: 0, value: new Uint8Array(32), root: null }
        return [signed(ready, 'Commit', body), frame]
      })
    ],
    [
      'what only a leader says',
      'OUT_OF_PHASE',
      insteadOf('KeyAdvert', (advert, frame) => {
        const { attemptId } = advert.body
        return [signed(advert, 'KeyBook', { view: 0, attemptId, adverts: [] }), frame]
      })
    ],
    [
      'a second, different key advert',
      'REPEATED',
      insteadOf('KeyAdvert', (advert, frame) => [frame, forge(advert, { contributes: false })])
    ],
    [
      'a key advert for another attempt',
      'WRONG_ATTEMPT',
      insteadOf('KeyAdvert', (advert) => [forge(advert, { attemptId: new Uint8Array(32) })])
    ],
    [
      'a key advert of another task',
      'WRONG_TASK',
      insteadOf('KeyAdvert', (advert) => [forge(advert, {}, { task: new Uint8Array(32) })])
    ],
    [
      'a key advert of another round',
      'WRONG_ROUND',
      insteadOf('KeyAdvert', (advert) => [forge(advert, {}, { round: 7 })])
    ],
    [
      'a key advert of another epoch',
      'WRONG_ROUND',
      insteadOf('KeyAdvert', (advert) => [forge(advert, {}, { epoch: 1 })])
    ],
    [
      'another member’s id',
      'IMPERSONATION',
      insteadOf('KeyAdvert', (advert) => [forge(advert, {}, { from: bystander })])
    ],
    ['the id of a stranger', 'STRANGER', insteadOf('KeyAdvert', (advert) => [forge(advert, {}, { from: members })])],
    [
      'an advert that it did not sign',
      'SIGNATURE',
      insteadOf('KeyAdvert', (advert) => [
        control(encodeMessage('KeyAdvert', advert, advert.from, advert.body, new Uint8Array(64)).encoded)
      ])
    ],
    [
      'a key of low order',
      'LOW_ORDER_KEY',
      insteadOf('KeyAdvert', (advert) => [forge(advert, { maskKey: new Uint8Array(32) })])
    ],
    [
      'one key for both uses',
      'DUPLICATE_KEY',
      insteadOf('KeyAdvert', (advert) => [forge(advert, { maskKey: advert.body.sealKey })])
    ],
    [
      'an acknowledgement for another attempt',
      'WRONG_ATTEMPT',
      insteadOf('Ready', (ready) => [forge(ready, { attemptId: new Uint8Array(32) })])
    ],
    [
      'an acknowledgement of another key book',
      'INVALID',
      insteadOf('Ready', (ready) => [forge(ready, { keyBookHash: new Uint8Array(32) })])
    ],
    [
      'a vector that does not match its root',
      'INVALID',
      insteadOf('MaskedHeader', (header) => [forge(header, { root: new Uint8Array(32) })])
    ],
    [
      'a vector under another masking set',
      'INVALID',
      insteadOf('MaskedHeader', (header) => [forge(header, { maskingSetHash: new Uint8Array(32) })])
    ],
    ['a message in the middle of a vector', 'OUT_OF_PHASE', insteadOf('Vector', (_, frame) => [frame, frame])]
  ]

  for (const [what, code, tamper] of without) {
    it(`${what}: the round is summed without it, and the leader names it`, async () => {
      const simulation = await run({ tamper: new Map([[culprit, tamper]]) })
      const { status, included, views } = outcomeOf(simulation)
      assert.deepEqual({ status, included, views }, { status: 'summed', included: allBut(culprit), views: 1 })
      assertNamed(simulation, code, leader)
    })
  }

  it('a vector that breaks off: the round is summed without it, and the leader names it', async () => {
    const hangUp: Tamper = async function* (frames) {
      for await (const frame of frames) {
        yield frame
        if (frame.kind === 'control' && decodeMessage(frame.payload).type === 'Vector') return
      }
    }
    const simulation = await run({ tamper: new Map([[culprit, hangUp]]) })
    assert.deepEqual(outcomeOf(simulation).included, allBut(culprit))
    assertNamed(simulation, 'TRUNCATED', leader)
  })

  it('a vector longer than the task’s: the round is summed without it, and the leader names it', async () => {
    const longer: Tamper = async function* (frames) {
      for await (const frame of frames)
        yield frame.kind === 'data' ? { ...frame, payload: new Uint8Array(frame.payload.length + 1) } : frame
    }
    const simulation = await run({ tamper: new Map([[culprit, longer]]) })
    assert.deepEqual(outcomeOf(simulation).included, allBut(culprit))
    assertNamed(simulation, 'OVERSIZED', leader)
  })

  it('shares that do not open: every holder names the dealer, and the round is summed without its input', async () => {
    const flip = (message: Uint8Array): Uint8Array => {
      const delivery = decodeMessage(message)
      assert.equal(delivery.type, 'ShareDelivery')
      const sealed = delivery.body.sealed.map((byte, at) => (at === 40 ? byte ^ 1 : byte))
      return forge(delivery, { sealed }).payload
    }
    const simulation = await run({ tamperDelivery: new Map([[culprit, flip]]) })
    assert.deepEqual(outcomeOf(simulation).included, allBut(culprit))
    assert.deepEqual(outcomeOf(simulation).missing, [culprit])
    for (const holder of allBut(culprit)) assertNamed(simulation, 'INVALID', holder, /cannot be opened/)
  })

  it('a message of a round that is over, said again in the next: that one is summed without it', async () => {
    const old: Frame[] = []
    const replay = insteadOf('KeyAdvert', (advert, frame) => {
      if (advert.round === 1) old.push(frame)
      return advert.round === 1 ? [frame] : old
    })
    const simulation = await run({ tamper: new Map([[culprit, replay]]) }, 2)
    assert.deepEqual(outcomeOf(simulation).included, [0, 1, 2, 3, 4])
    const { aggregator, status, included } = outcomeOf(simulation, 2)
    if (aggregator === culprit) return
    assert.deepEqual({ status, included }, { status: 'summed', included: allBut(culprit) })
    assertNamed(simulation, 'WRONG_ROUND', aggregator)
  })

  const after: Array<[string, MessageFault, Tamper]> = [
    [
      'a vote for something that was not proposed',
      'INVALID',
      insteadOf('Prepare', (vote) => [forge(vote, { value: new Uint8Array(32) })])
    ],
    [
      'a seed that is not the one it committed to',
      'INVALID',
      insteadOf('Reveal', (reveal) => [forge(reveal, { seed: new Uint8Array(32) })])
    ],
    [
      'a reveal for another cut',
      'INVALID',
      insteadOf('Reveal', (reveal) => [forge(reveal, { cutHash: new Uint8Array(32) })])
    ]
  ]
  for (const [what, code, tamper] of after) {
    it(`${what}, after its vector is in: the round is summed with it, its seed from the others’ shares`, async () => {
      const simulation = await run({ tamper: new Map([[culprit, tamper]]) })
      const { status, included } = outcomeOf(simulation)
      assert.deepEqual({ status, included }, { status: 'summed', included: [0, 1, 2, 3, 4] })
      assertNamed(simulation, code, leader)
    })
  }

  it('a share that its dealer never signed: the lying holder is named, not the dealer', async () => {
    const lie = insteadOf('Reveal', (reveal) => [
      forge(reveal, {
        keyShares: reveal.body.keyShares.map((proof) => ({ ...proof, share: new Uint8Array(32) }))
      })
    ])
    const kills = [{ who: bystander, phase: 'mask' as Phase, round: 1 }]
    // Two of seven may be missing here: the one that dies while masking, and the one that lies about its key.
    const simulation = await Simulation.create({
      members: 7,
      seed: 5,
      threat: { corrupt: 0.15, dropout: 0.15 },
      kills,
      tamper: new Map([[culprit, lie]])
    })
    const order = firstOrder(simulation.task)
    assert.ok(order[0] !== culprit && order[0] !== bystander)
    await simulation.round(1)
    await checkRound(simulation, 1)
    const witness = simulation.living[0].outcomes[0]
    assert.equal(witness.status, 'summed')
    assert.deepEqual(witness.dropped, [bystander])
    const blamed = simulation.peers[order[0]].refusals.map((error) => (error as MessageError).culprit)
    assert.ok(blamed.includes(simulation.task.members[culprit]))
    assert.ok(!blamed.includes(simulation.task.members[bystander]))
  })

  describe('a key that is another member’s', () => {
    const terms = { members: 10, threat: { corrupt: 0.1, dropout: 0.3 } }

    /** One copies the mask key of another, in which order they come; a third may die as it has seen both. */
    async function copying(copierFirst: boolean, leaderDies: boolean) {
      const { task, identities } = await simulatedTask({ ...terms, length: 7 })
      const order = firstOrder(task)
      const [victim, copier] = [order[5], order[8]]
      const stolen = Promise.withResolvers<Uint8Array>()
      const simulation = await Simulation.create({
        ...terms,
        seed: 4,
        kills: leaderDies ? [{ who: order[0], phase: 'shares', round: 1 }] : [],
        tamper: new Map<number, Tamper>([
          [
            victim,
            eachFrame(async function* (message, frame) {
              if (message?.type === 'KeyAdvert') {
                stolen.resolve(message.body.maskKey)
                if (copierFirst) await simulation.clock.sleep(300)
              }
              yield frame
            })
          ],
          [
            copier,
            eachFrame(async function* (message, frame) {
              if (message?.type !== 'KeyAdvert') {
                yield frame
                return
              }
              const { body } = message
              const copied = { ...body, maskKey: await stolen.promise }
              if (!copierFirst) await simulation.clock.sleep(300)
              const signature = identities[copier].sign(signedBytes('KeyAdvert', message, copied))
              yield control(encodeMessage('KeyAdvert', message, copier, copied, signature).encoded)
            })
          ]
        ])
      })
      await simulation.round(1)
      await checkRound(simulation, 1)
      const { status, included } = simulation.peers[order[3]].outcomes[0]
      const refusals = simulation.living.flatMap((peer) => peer.refusals as MessageError[])
      const twice = refusals.filter(({ code }) => code === 'DUPLICATE_KEY').map(({ culprit }) => culprit)
      return { status, out: order.filter((member) => !included.includes(member)), twice, order, victim, copier, task }
    }

    it('is refused, and its sender named, where nobody but the leader had seen it before', async () => {
      const { status, out, twice, copier, task } = await copying(false, false)
      assert.deepEqual({ status, out, twice }, { status: 'summed', out: [copier], twice: [task.members[copier]] })
    })

    for (const copierFirst of [false, true])
      it(`names neither after an earlier leader may have shown it to the ${copierFirst ? 'first' : 'second'} that sends it`, async () => {
        const { status, out, twice, order, victim, copier } = await copying(copierFirst, true)
        assert.deepEqual(
          { status, out, twice },
          { status: 'summed', out: [order[0], victim, copier], twice: [undefined] }
        )
      })
  })

  it('a gossiped want under another member’s name is refused', async () => {
    const simulation = await Simulation.create({ members, seed: 1 })
    const context = { task: task.idBytes, epoch: 0, round: 1 }
    const signature = identities[culprit].sign(signedBytes('Want', context, {}))
    const { encoded } = encodeMessage('Want', context, bystander, {}, signature)
    await assert.rejects(simulation.peers[leader].member.hear(culprit, encoded), { code: 'SIGNATURE' })
    assert.equal(simulation.peers[leader].member.runningRound, undefined)
  })
})

describe('a leader that lies', () => {
  const roster = createRoster({ epoch: 0, members: [...task.members] })
  const beacon = genesisBeacon(task.idBytes, roster.hash)
  const next = { rosterHash: roster.hash, deckHash: deckHash(deal(initialDeck(), firstOrder(task), members)) }
  const lies: Array<[string, RegExp, Tamper]> = [
    [
      'includes an invented survivor',
      /cut/,
      insteadOf('Proposal', (proposal, frame) =>
        proposal.body.cut === null
          ? [frame]
          : [asLeader(proposal, { cut: { ...proposal.body.cut, included: Uint8Array.of(0b1111) } })]
      )
    ],
    [
      'shows a masking set below the least',
      /a sum needs at least/,
      insteadOf('MaskingSet', (set) => [asLeader(set, { members: Uint8Array.of(0b11) })])
    ],
    [
      'shows a key book with one advert twice',
      /roster order/,
      insteadOf('KeyBook', (book) => [asLeader(book, { adverts: [...book.body.adverts, book.body.adverts[0]] })])
    ],
    [
      'plans another length',
      /asks for vectors of 8/,
      insteadOf('RoundPlan', (plan) => [asLeader(plan, { length: 8 })])
    ],
    [
      'proves how a round ended that came before the first',
      /this is the first round/,
      insteadOf('RoundPlan', (plan) => [asLeader(plan, { previous: new Uint8Array(9) })])
    ],
    [
      'plans an attempt without the decision to come to it',
      /comes with 0 decisions/,
      insteadOf('RoundPlan', (plan) => [asLeader(plan, { attempt: 1 })])
    ],
    [
      'pads a proposal to close the round',
      /carries a cut/,
      insteadOf('Proposal', (proposal, frame) =>
        proposal.body.agreement === 'closing' ? [asLeader(proposal, { headers: [new Uint8Array(9)] })] : [frame]
      )
    ],
    [
      'opens a seed that nobody committed to',
      /does not match its commitment/,
      insteadOf('SumHeader', (sum) => [
        asLeader(sum, { seeds: sum.body.seeds.map(({ member }) => ({ member, secret: new Uint8Array(32) })) })
      ])
    ],
    [
      'sends a sum that does not match its root',
      /does not match the root/,
      insteadOf('SumHeader', (sum) => [asLeader(sum, { root: new Uint8Array(32) })])
    ],
    [
      'shows two masking sets in one view',
      /two different MaskingSets in one view/,
      insteadOf('MaskingSet', (set) => [control(set.encoded), asLeader(set, { readyHash: new Uint8Array(32) })])
    ],
    [
      'proposes to burn the round while others may still lead it',
      /cannot be burned in view 0/,
      closing(() => ({ value: { kind: 'burned', beacon: burnedBeacon(beacon, 1), ...next }, lock: null, reason: 'so' }))
    ],
    [
      'proposes to give the attempt up in its first view',
      /cannot be given up in its first view/,
      insteadOf('Proposal', (proposal, frame) =>
        proposal.body.cut === null
          ? [frame]
          : [asLeader(proposal, { value: { kind: 'retry' }, cut: null, headers: [] })]
      )
    ],
    ['sends what no leader sends', /no leader sends/, insteadOf('MaskingSet', (set) => [ready(set)])]
  ]

  function asLeader<T extends MessageType>(original: Message<T>, change: Partial<Body<T>>): Frame {
    const body = { ...original.body, ...change } as Body<T>
    const signature = identities[leader].sign(signedBytes(original.type, original, body))
    return control(encodeMessage(original.type, original, leader, body, signature).encoded)
  }

  /** Another proposal to close the first round with a sum. */
  function closing(change: (value: Extract<Value, { kind: 'summed' }>) => Partial<Body<'Proposal'>>): Tamper {
    return insteadOf('Proposal', (proposal, frame) => {
      const { value } = proposal.body
      return proposal.round === 1 && value.kind === 'summed' ? [asLeader(proposal, change(value))] : [frame]
    })
  }

  function ready({ body: { attemptId, keyBookHash }, ...set }: Message<'MaskingSet'>): Frame {
    const body = { attemptId, keyBookHash, dealers: Uint8Array.of(0) }
    return control(
      encodeMessage('Ready', set, leader, body, identities[leader].sign(signedBytes('Ready', set, body))).encoded
    )
  }

  for (const [what, sentence, tamper] of lies) {
    it(`${what}: members name it and leave its view, and the next leader carries the round on for all alike`, async () => {
      const simulation = await run({ tamperAsLeader: new Map([[leader, tamper]]) }, 2)
      const { status, views } = outcomeOf(simulation)
      assert.equal(status, 'summed')
      assert.equal(views, 2)
      for (const member of allBut(leader)) {
        const { refusals, member: own } = simulation.peers[member]
        const named = refusals.find((error) => sentence.test(error.message)) as MessageError | undefined
        // Whoever was brought evidence before it was lied to itself has left by then.
        const convicted = named === undefined && own.evidence.some(({ culprit }) => culprit === leader)
        assert.ok(convicted || named?.culprit === task.members[leader], refusals.join('; '))
      }
      assert.equal(outcomeOf(simulation, 2).status, 'summed')
    })
  }

  // Of two sums that a liar published, an honest leader may have the other: so nobody is named for this.
  const others: Array<[string, Partial<Extract<Value, { kind: 'summed' }>>]> = [
    ['beacon', { beacon: new Uint8Array(32) }],
    ['deck', { deckHash: new Uint8Array(32) }]
  ]
  for (const [what, change] of others) {
    it(`closes with another ${what} than follows from the round: nobody votes for it, and the next leader closes it`, async () => {
      const tamper = closing((value) => ({ value: { ...value, ...change } }))
      const simulation = await run({ tamperAsLeader: new Map([[leader, tamper]]) })
      const { status, views } = outcomeOf(simulation)
      assert.deepEqual({ status, views }, { status: 'summed', views: 2 })
      const refused = ({ message }: Error): boolean => /differs from what this member computed/.test(message)
      for (const member of allBut(leader)) assert.ok(simulation.peers[member].refusals.some(refused))
    })
  }
})

describe('a leader that proves another end of the last round than the others know', () => {
  const ends: Array<[string, (known: Message<'Decision'>) => Uint8Array | null]> = [
    ['none', () => null],
    ['no decision', ({ body }) => body.commits.signatures],
    [
      'one of fewer than a quorum',
      ({ body, from, signature, ...known }) => {
        const commits = { ...body.commits, signatures: body.commits.signatures.subarray(64) }
        return encodeMessage('Decision', known, from, { ...body, commits }, signature).encoded
      }
    ],
    [
      'another value',
      ({ body, from, signature, ...known }) => {
        const value = { ...body.value, beacon: new Uint8Array(32) } as typeof body.value
        return encodeMessage('Decision', known, from, { ...body, value }, signature).encoded
      }
    ]
  ]
  for (const [what, end] of ends) {
    it(`${what}: members refuse its plan and name it, and the next leader sums the round`, async () => {
      const planned = new Set<number>()
      const tamper = insteadOf('RoundPlan', (plan, frame) => {
        if (plan.round === 1 || plan.body.view > 0) return [frame]
        planned.add(plan.from)
        const body = { ...plan.body, previous: end(decodeMessage(plan.body.previous!) as Message<'Decision'>) }
        const signature = identities[plan.from].sign(signedBytes('RoundPlan', plan, body))
        return [control(encodeMessage('RoundPlan', plan, plan.from, body, signature).encoded)]
      })
      const simulation = await run({ tamperAsLeader: new Map([0, 1, 2, 3, 4].map((member) => [member, tamper])) }, 2)
      const { status, views } = outcomeOf(simulation, 2)
      assert.deepEqual({ status, views }, { status: 'summed', views: 2 })
      const [liar] = planned
      for (const { refusals } of simulation.peers.filter((_, member) => member !== liar)) {
        const named = refusals.find(({ message }) => /how the last round was closed/.test(message)) as MessageError
        assert.equal(named?.culprit, task.members[liar], refusals.join('; '))
      }
    })
  }
})

describe('members that start from different contexts', () => {
  const another = (who: number) => (index: number) => new Uint8Array(32).fill(index === who ? 1 : 0)

  it('one that holds another context than its leader takes no part, and the sum of the others is exact', async () => {
    const simulation = await run({ contextHash: another(culprit) })
    assert.deepEqual(outcomeOf(simulation).included, allBut(culprit))
    assert.ok(simulation.peers[culprit].refusals.some(({ message }) => /another context/.test(message)))
  })

  it('a leader that alone holds another context gets nothing, and the next one sums the others', async () => {
    const simulation = await run({ contextHash: another(leader) })
    const { status, views, included } = outcomeOf(simulation)
    assert.deepEqual({ status, views, included }, { status: 'summed', views: 2, included: allBut(leader) })
  })
})

function allBut(member: number): number[] {
  return [0, 1, 2, 3, 4].filter((index) => index !== member)
}
