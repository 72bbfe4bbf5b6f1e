import assert from 'node:assert/strict'
import { packedLength } from '../../src/encoding/packing.ts'
import { decodeMessage } from '../../src/round/messages.ts'
import type { Message } from '../../src/round/messages.ts'
import type { Phase } from '../../src/round/ports.ts'
import { sumKey } from '../../src/round/round.ts'
import { simulatedTask } from './identities.ts'
import { Simulation } from './network.ts'
import type { SimulationOptions } from './network.ts'
import { checkNobodyBlamed, checkNobodyConvicted, checkRound, firstOrder } from './schedule.ts'

/** Three chunks, so that there are three slices. */
const length = 2 * 2 ** 14 + 5
const threat = { corrupt: 0, dropout: 0.34 }
const phases: Phase[] = ['keys', 'shares', 'mask', 'agree', 'unmask', 'sum', 'close']

async function orderOf(terms: { members: number; shards: number }): Promise<number[]> {
  const { task } = await simulatedTask({ ...terms, length, threat })
  return firstOrder(task)
}

async function run(options: Omit<SimulationOptions, 'length' | 'threat' | 'seed'>): Promise<Simulation> {
  const simulation = await Simulation.create({ seed: 5, length, threat, ...options })
  await simulation.round(1, 600_000)
  await checkRound(simulation, 1)
  simulation.ledger.check(simulation.task.thresholds.quorum)
  checkNobodyBlamed(simulation)
  checkNobodyConvicted(simulation)
  return simulation
}

function outcomeIn({ living }: Simulation) {
  const { status, reason, views, included } = living[0].outcomes[0]
  assert.equal(status, 'summed', reason)
  return { views, included }
}

/** Who has summed which slice, as a member has it. */
async function ownersIn({ task, peers }: Simulation, member: number): Promise<number[]> {
  const header = decodeMessage((await peers[member].journal.get(sumKey(task.id, 1)))!) as Message<'SumHeader'>
  return header.body.slices!.map(({ owner }) => owner)
}

describe('a round that is summed in slices', function () {
  this.timeout(0)

  for (const [members, shards] of [
    [3, 3],
    [5, 2],
    [6, 6],
    [7, 4]
  ])
    it(`is exact and over everyone with ${members} members and ${shards} shards`, async () => {
      const { views, included } = outcomeIn(await run({ members, shards }))
      assert.equal(views, 1)
      assert.equal(included.length, members)
    })

  it('goes through the leader where members cannot reach each other with what they reveal', async () => {
    const { views } = outcomeIn(await run({ members: 5, shards: 3, direct: 0 }))
    assert.equal(views, 1)
  })

  it('takes nobody more than about two vectors, sent or received, with as many shards as members', async () => {
    const members = 8
    const simulation = await Simulation.create({
      seed: 5,
      members,
      shards: members,
      audit: 0,
      // Each slice has two chunks.
      length: 2 * members * 2 ** 14,
      threat
    })
    await simulation.round(1, 600_000)
    await checkRound(simulation, 1)
    const vector = packedLength(simulation.task.laneCount, simulation.task.bits)
    for (const { sent, received } of simulation.traffic) {
      assert.ok(sent <= 2.3 * vector, `${sent} bytes sent for vectors of ${vector}`)
      assert.ok(received <= 2.3 * vector, `${received} bytes received for vectors of ${vector}`)
    }
  })

  it('convicts the owner of a wrong slice, and nobody else, and is summed by another', async () => {
    const terms = { members: 6, shards: 3, length, threat: { corrupt: 0.17, dropout: 0.17 } }
    const who = firstOrder((await simulatedTask(terms)).task)[1]
    const simulation = await Simulation.create({ ...terms, seed: 5 })
    const { vectors } = simulation.peers[who]
    const read = vectors.readRange.bind(vectors)
    // It adds up what it was not sent.
    vectors.readRange = async (name, offset, bytes) => {
      const piece = await read(name, offset, bytes)
      const isOfMember = /slice-\d+-\d+$/.test(name) && !name.endsWith(`-${terms.members}`)
      if (isOfMember) piece[0] ^= 1
      return piece
    }
    await simulation.round(1, 600_000)
    await checkRound(simulation, 1)
    outcomeIn(simulation)
    for (const { member } of simulation.peers.filter((_, index) => index !== who))
      assert.deepEqual(
        member.evidence.map(({ kind, culprit }) => ({ kind, culprit })),
        [{ kind: 'wrong-sum', culprit: who }]
      )
  })

  it('leaves out whoever has signed two vectors, and convicts no owner that was given the other one', async () => {
    const terms = { members: 6, shards: 3, length, threat: { corrupt: 0.17, dropout: 0.17 } }
    const [, , , , , liar] = firstOrder((await simulatedTask(terms)).task)
    const adversaries = [{ who: liar, as: 'TwoHeaders' as const }]
    const simulation = await Simulation.create({ ...terms, seed: 5, adversaries })
    await simulation.round(1, 600_000)
    await checkRound(simulation, 1)
    const { views, included } = outcomeIn(simulation)
    assert.equal(views, 1)
    assert.deepEqual(
      included,
      [0, 1, 2, 3, 4, 5].filter((member) => member !== liar)
    )
    checkNobodyBlamed(simulation)
    checkNobodyConvicted(simulation)
  })

  for (const phase of phases) {
    it(`is summed in the first view when an owner that does not lead dies before ${phase}`, async () => {
      const terms = { members: 6, shards: 3 }
      const [first, who, third, next] = await orderOf(terms)
      const simulation = await run({ ...terms, kills: [{ who, phase, round: 1 }] })
      const { views, included } = outcomeIn(simulation)
      assert.equal(views, 1)
      assert.equal(included.includes(who), !['keys', 'shares', 'mask'].includes(phase))
      // It has published its slice before the last.
      assert.deepEqual(await ownersIn(simulation, first), [first, phase === 'close' ? who : next, third])
    })

    it(`is summed by another leader when the first, an owner as well, dies before ${phase}`, async () => {
      const terms = { members: 6, shards: 6 }
      const { views } = outcomeIn(await run({ ...terms, kills: [{ who: 'aggregator', phase, round: 1 }] }))
      assert.ok(views <= 2)
    })

    it(`is summed when an owner stalls before ${phase} and stays connected`, async () => {
      const terms = { members: 6, shards: 6 }
      const who = (await orderOf(terms))[4]
      const simulation = await run({ ...terms, stalls: [{ who, phase, round: 1 }] })
      outcomeIn(simulation)
      const owners = await ownersIn(
        simulation,
        simulation.peers.findIndex((_, index) => index !== who)
      )
      assert.equal(owners.includes(who), phase === 'close')
    })
  }
})
