import assert from 'node:assert/strict'
import { decodeMessage, encodeMessage, signedBytes } from '../../src/round/messages.ts'
import { folderOf, sumKey } from '../../src/round/round.ts'
import type { Phase } from '../../src/round/ports.ts'
import { below, chance, pick } from './chance.ts'
import { simulatedTask } from './identities.ts'
import { Simulation } from './network.ts'
import { checkNobodyBlamed, checkNobodyConvicted, checkRound, firstOrder } from './schedule.ts'

const threat = { corrupt: 0, dropout: 0.25 }

/** The first in the order leads; who is last in it. */
async function lastInOrder(members: number): Promise<number> {
  const { task } = await simulatedTask({ members, length: 7, threat })
  return firstOrder(task).at(-1)!
}

describe('a member that crashes and comes back with its journal', function () {
  this.timeout(0)

  for (const phase of ['shares', 'mask', 'agree', 'unmask'] as Phase[]) {
    it(`sits out the attempt it had entered when it crashed before ${phase}, votes, and takes part in the next round`, async () => {
      const who = await lastInOrder(5)
      const kills = [{ who, phase, round: 1 }]
      const restart = { afterMs: 150, vectors: true }
      const simulation = await Simulation.create({ members: 5, seed: 3, threat, kills, restart })
      await simulation.round(1)
      const signed = (type: Parameters<typeof simulation.ledger.count>[0]) => simulation.ledger.count(type, who)
      const before = signed('Commit')
      assert.equal(simulation.peers[who].restarts, 1)
      assert.equal(signed('KeyAdvert'), 1)
      assert.ok(signed('MaskedHeader') <= 1)
      assert.equal(signed('Reveal'), 0, 'nothing is revealed in an attempt that was entered before a crash')
      assert.ok(before > 0, 'a restarted member still votes')
      const { status, included } = simulation.living[0].outcomes[0]
      assert.equal(status, 'summed')
      assert.equal(included.includes(who), phase === 'agree' || phase === 'unmask')
      await checkRound(simulation, 1)

      await simulation.round(2)
      assert.deepEqual(simulation.living[0].outcomes[1].included, [0, 1, 2, 3, 4])
      await checkRound(simulation, 2)
      simulation.ledger.check(simulation.task.thresholds.quorum)
    })
  }

  it('asks for the round after those in its journal, also where it is asked before that is read', async () => {
    const simulation = await Simulation.create({ members: 4, seed: 3, threat, disk: 50 })
    await simulation.round(1)
    simulation.kill(1)
    simulation.restart(1)
    const { participant } = simulation.peers[1]
    let isAsked = false
    void participant.want().then(() => (isAsked = true))
    await simulation.clock.run(() => isAsked, simulation.clock.now() + 10_000)
    assert.equal(participant.member.closedRound, 1)
    assert.equal(participant.member.runningRound, 2)
    await simulation.round(2, 60_000)
    assert.deepEqual(simulation.living[0].outcomes[1].included, [0, 1, 2, 3])
    checkNobodyConvicted(simulation)
  })

  it('ends a round with the others that is over before it has taken it up again', async () => {
    const who = await lastInOrder(5)
    let taken = 0
    const simulation: Simulation = await Simulation.create({
      members: 5,
      seed: 3,
      threat,
      kills: [{ who, phase: 'mask', round: 1 }],
      restart: { afterMs: 150, vectors: true },
      contextHash: async (index) => {
        if (index === who && simulation.peers[who].restarts > 0 && taken++ === 0) await simulation.clock.sleep(5000)
        return new Uint8Array(32)
      }
    })
    await simulation.round(1)
    assert.equal(taken, 1, 'it takes the round up while the others close it')
    let isTaken = false
    void simulation.clock.sleep(6000).then(() => (isTaken = true))
    await simulation.clock.run(() => isTaken, Infinity)
    await simulation.round(2)
    assert.deepEqual(simulation.living[0].outcomes[1].included, [0, 1, 2, 3, 4])
    assert.deepEqual(simulation.peers[who].viewsLeft, [])
    checkNobodyBlamed(simulation)
  })

  for (const phase of ['keys', 'mask', 'unmask', 'close'] as Phase[])
    it(`ends the round with the others where all of them have crashed before ${phase}`, async () => {
      const kills = Array.from({ length: 4 }, (_, who) => ({ who, phase, round: 1 }))
      const restart = { afterMs: 2000, vectors: true }
      const simulation = await Simulation.create({ members: 4, seed: 3, threat, kills, restart })
      await simulation.round(1, 1_200_000)
      assert.ok(simulation.peers.every(({ restarts }) => restarts > 0))
      // What opens the masks is in no journal.
      const isLost = phase === 'unmask' || phase === 'close'
      assert.equal(simulation.living[0].outcomes[0].status, isLost ? 'burned' : 'summed')
      await simulation.round(2)
      assert.deepEqual(simulation.living[0].outcomes.at(-1)!.included, [0, 1, 2, 3])
      simulation.ledger.check(simulation.task.thresholds.quorum)
      checkNobodyBlamed(simulation)
    })

  it('nor one in a sum that nobody can give it any more', async () => {
    const { task } = await simulatedTask({ members: 5, length: 7, threat })
    const who = firstOrder(task).at(-1)!
    const kills = [{ who, phase: 'sum' as const, round: 1 }]
    const simulation = await Simulation.create({
      members: 5,
      seed: 3,
      threat,
      kills,
      restart: { afterMs: 60_000, vectors: true }
    })
    void simulation.clock.sleep(30_000).then(async () => {
      for (const { vectors } of simulation.peers) await vectors.remove(`${folderOf(task.id)}/sums/`)
    })
    await simulation.round(1)
    const { outcomes } = simulation.peers[who]
    await simulation.clock.run(() => outcomes.length > 0, simulation.clock.now() + 600_000)
    const [{ status, input, sum, included, dropped, missing }] = outcomes
    assert.deepEqual({ status, input, sum }, { status: 'summed', input: 'burned', sum: undefined })
    // Who was in it stands in the sum's header alone.
    assert.deepEqual({ included, dropped, missing }, { included: [], dropped: [], missing: [] })
  })

  it('gives nobody a sum of a round that was burned, though one was made', async () => {
    const summed = await Simulation.create({ members: 4, seed: 3, threat })
    await summed.round(1)
    const key = sumKey(summed.task.id, 1)
    const header = (await summed.peers[0].journal.get(key))!
    const kills = Array.from({ length: 4 }, (_, who) => ({ who, phase: 'unmask' as const, round: 1 }))
    const restart = { afterMs: 2000, vectors: true }
    const burned = await Simulation.create({ members: 4, seed: 3, threat, kills, restart })
    await burned.round(1, 1_200_000)
    const answerOf = async (simulation: Simulation): Promise<string> => {
      const { task, peers } = simulation
      await peers[0].journal.put(key, header)
      const context = { task: task.idBytes, epoch: 0, round: 1 }
      const signature = simulation.signAs(1, signedBytes('SumRequest', context, {}))
      const { encoded } = encodeMessage('SumRequest', context, 1, {}, signature)
      for await (const { payload } of peers[0].participant.answer(task.members[1], encoded))
        return decodeMessage(payload).type
      return 'nothing'
    }
    assert.equal(burned.peers[0].outcomes[0].status, 'burned')
    assert.equal(await answerOf(summed), 'SumHeader')
    assert.equal(await answerOf(burned), 'Refusal')
  })

  it('names nobody for the shares that were sealed to the keys it has lost', async () => {
    for (let seed = 1; seed <= 10; seed++) {
      const who = await lastInOrder(6)
      const restart = { afterMs: 1, vectors: true }
      const simulation = await Simulation.create({ members: 6, seed, threat, restart, direct: 0 })
      simulation.killAtStep(who, 8 + seed)
      await simulation.round(1)
      assert.equal(simulation.peers[who].restarts, 1)
      checkNobodyBlamed(simulation)
    }
  })

  it('never tells its application that an input it may have masked before the crash is safe to contribute again', async () => {
    const { task } = await simulatedTask({ members: 5, length: 7, threat })
    const [leader, keeper] = firstOrder(task)
    // The only two that have the leader's vector, which is in the decided cut.
    const kills = [leader, keeper].map((who) => ({ who, phase: 'unmask' as const, round: 1 }))
    const restart = { afterMs: 150, vectors: true }
    const simulation = await Simulation.create({ members: 5, seed: 3, threat, kills, restart })
    await simulation.round(1)
    for (const { outcomes, restarts } of simulation.peers) {
      const [{ status, input, reason }] = outcomes
      assert.deepEqual(
        { status, input },
        { status: 'burned', input: 'burned' },
        `after ${restarts} restarts: ${reason}`
      )
    }
  })

  it('signs nothing twice, whichever journal write or signature it crashes at, and is in the next sum', async () => {
    for (let seed = 0; seed < 50; seed++) {
      const draw = chance(seed)
      const members = pick([4, 5, 5, 6, 8], draw)
      const leader = await firstOfOrder(members)
      const who = draw() < 0.3 ? leader : below(members, draw)
      const restart = { afterMs: pick([1, 100, 1000, 8000], draw), vectors: draw() < 0.5 }
      const simulation = await Simulation.create({ members, seed, threat, restart, loss: pick([0, 0.3], draw) })
      simulation.killAtStep(who, below(120, draw))
      try {
        await simulation.round(1, 600_000)
        await checkRound(simulation, 1)
        // A process that crashed late in the round comes back while the next one is wanted.
        await simulation.clock
          .run(() => simulation.living.length === members, simulation.clock.now() + 60_000)
          .catch(() => {})
        await simulation.round(2, 600_000)
        await checkRound(simulation, 2)
        const [first, second] = simulation.living.find(({ restarts }) => restarts === 0)!.outcomes
        assert.equal(first.status, 'summed', first.reason)
        assert.equal(second.status, 'summed', second.reason)
        checkNobodyConvicted(simulation)
        simulation.ledger.check(simulation.task.thresholds.quorum)
      } catch (cause) {
        throw new Error(`seed ${seed}: member ${who} of ${members}: ${(cause as Error).message}`, { cause })
      }
    }
  })
})

async function firstOfOrder(members: number): Promise<number> {
  const { task } = await simulatedTask({ members, length: 7, threat })
  return firstOrder(task)[0]
}
