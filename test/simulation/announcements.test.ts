import assert from 'node:assert/strict'
import { signRequest } from '../../src/membership/requests.ts'
import { parsePeer } from '../../src/membership/roster.ts'
import { decodeMessage, encodeMessage, signedBytes } from '../../src/round/messages.ts'
import type { AnyMessage, Body, Message, MessageType, RoundContext } from '../../src/round/messages.ts'
import { without } from './adversaries/adversary.ts'
import type { Adversary } from './adversaries/adversary.ts'
import { identity } from './identities.ts'
import { Simulation } from './network.ts'
import { firstOrder } from './schedule.ts'

const threat = { corrupt: 0, dropout: 0.25 }
const open = { members: 4, seed: 7, threat, admission: { vouches: 1 } }

async function pass({ clock }: Simulation, ms: number): Promise<void> {
  let over = false
  void clock.sleep(ms).then(() => (over = true))
  await clock.run(() => over, clock.now() + ms)
}

const say = <T extends MessageType>(
  { task }: Simulation,
  from: { sign: (bytes: Uint8Array) => Uint8Array; index: number },
  type: T,
  at: Omit<RoundContext, 'task'>,
  body: Body<T>
): Message<T> => {
  const context = { task: task.idBytes, ...at }
  return encodeMessage(type, context, from.index, body, from.sign(signedBytes(type, context, body)))
}

describe('what is announced', function () {
  this.timeout(0)

  /** After a round; the others say what member 1 signs. */
  async function afterRound() {
    const simulation = await Simulation.create(open)
    await simulation.round(1)
    await pass(simulation, 5000)
    const { peers } = simulation
    const member = { index: 1, sign: (bytes: Uint8Array) => simulation.signAs(1, bytes) }
    const wants = (round: number) => say(simulation, member, 'Want', { epoch: 0, round }, {})
    return { simulation, peers, member, wants, participant: peers[0].participant }
  }

  it('is passed on while it is news: not of a round that is over, nor of one that is far', async () => {
    const { peers, participant, wants, simulation, member } = await afterRound()
    const isPassedOn = ({ encoded }: Message) => participant.check(peers[1].id, encoded)
    assert.deepEqual(
      [0, 1, 2, 3, 4, 1000].map((round) => isPassedOn(wants(round))),
      [false, false, true, true, false, false]
    )
    const change = (round: number) => say(simulation, member, 'ViewChange', { epoch: 0, round }, { view: 1, locks: [] })
    assert.deepEqual([isPassedOn(change(1)), isPassedOn(change(2))], [false, true])
    const { decision } = participant.chronicle.closed
    assert.equal(isPassedOn(decision!), true, 'others may not know how the last round was closed')
    assert.throws(() => isPassedOn(say(simulation, { ...member, index: 2 }, 'Want', { epoch: 0, round: 2 }, {})))
  })

  it('is passed on for members alone, whoever has signed it', async () => {
    const { peers, participant, wants } = await afterRound()
    const stranger = await identity(30)
    assert.equal(participant.check(peers[2].id, wants(2).encoded), true)
    assert.equal(participant.check(stranger.id, wants(2).encoded), false)
  })

  it('of the roster is passed on once, for the roster in effect, and by whoever signed it', async () => {
    const { participant, simulation } = await afterRound()
    const { id, sign } = await identity(30)
    const { bytes } = parsePeer(id)
    const { roster } = participant
    const to = { taskId: simulation.task.idBytes, rosterHash: roster.hash }
    const body = await signRequest('join', bytes, to, sign)
    const asks = (epoch: number, said = body) =>
      encodeMessage('RosterRequest', { task: simulation.task.idBytes, epoch, round: 0 }, 0, said).encoded
    assert.throws(() => participant.check(id, asks(0, { ...body, signature: new Uint8Array(64) })), {
      code: 'SIGNATURE'
    })
    assert.deepEqual([participant.check(id, asks(0)), participant.check(id, asks(0))], [true, false])
    // Nobody has to sign what is of an epoch that is over: it was passed on unread.
    const later = await Simulation.create({ ...open, admission: { allow: [20] } })
    await later.add(20)
    await pass(later, 1000)
    for (let round = 1; later.peers[0].participant.roster.epoch === 0; round++) {
      await later.peers[1].member.want()
      const isClosed = () => later.peers.slice(0, 4).every((peer) => peer.participant.chronicle.closed.round >= round)
      await later.clock.run(isClosed, later.clock.now() + 100_000)
      await pass(later, 15_000)
    }
    const forged = { ...body, signature: new Uint8Array(64) }
    const old = encodeMessage('RosterRequest', { task: later.task.idBytes, epoch: 0, round: 0 }, 0, forged).encoded
    assert.equal(later.peers[0].participant.check(id, old), false)
  })

  it('of a round that is over is answered to whoever brings it, not to whose word it once was', async () => {
    const { simulation, peers, wants } = await afterRound()
    const told: number[] = []
    for (const [index, { participant }] of peers.entries()) {
      const hear = participant.hear.bind(participant)
      participant.hear = (from, encoded) => {
        if (decodeMessage(encoded).type === 'Decision') told.push(index)
        return hear(from, encoded)
      }
    }
    // Member 3 says again to all what member 1 said long ago.
    for (const to of [0, 2]) void peers[to].participant.hear(peers[3].id, wants(1).encoded)
    await pass(simulation, 1000)
    assert.deepEqual(told, [3, 3])
  })

  it('as a decision, and is none, keeps nobody from announcing the real one', async () => {
    const simulation = await Simulation.create({ ...open, members: 7, threat: { corrupt: 0.15, dropout: 0.15 } })
    const [leader, first] = firstOrder(simulation.task)
    const isClosing = (message: AnyMessage): boolean =>
      message.type === 'Decision' && message.body.commits.agreement === 'closing'
    // Whoever leads tells how the round was closed to one member only, and says before that it was told of a later round.
    const said = (encoded: Uint8Array): Uint8Array[] => (isClosing(decodeMessage(encoded)) ? [] : [encoded])
    const liar: Pick<Adversary, 'toMember' | 'announcements' | 'deliveries'> = {
      toMember: (member) => (member === first ? (frames) => frames : without(isClosing)),
      announcements: said,
      deliveries: said
    }
    ;(simulation.adversaries as Map<number, unknown>).set(leader, liar)
    const commits = {
      ...{ agreement: 'closing', view: 0, value: new Uint8Array(32), root: null },
      ...{ signers: Uint8Array.of(0), signatures: new Uint8Array(0) }
    }
    const body = { value: { kind: 'retry' as const }, commits, reason: '' }
    const signer = { index: leader, sign: (bytes: Uint8Array) => simulation.signAs(leader, bytes) }
    const bogus = say(simulation, signer, 'Decision', { epoch: 0, round: 2 ** 40 }, body)
    for (const { participant, id } of simulation.peers)
      if (id !== simulation.task.members[leader])
        void participant.hear(simulation.task.members[leader], bogus.encoded).catch(() => {})
    await pass(simulation, 1000)
    await simulation.round(1)
    for (const { outcomes, viewsLeft } of simulation.honest)
      assert.deepEqual([outcomes[0].status, viewsLeft], ['summed', []])
  })
})
