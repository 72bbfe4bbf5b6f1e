import assert from 'node:assert/strict'
import { folderOf, sumName } from '../../src/round/round.ts'
import { heldRound, transcriptKey } from '../../src/round/record.ts'
import { recheckRound } from '../../src/round/recheck.ts'
import { Simulation } from './network.ts'

const threat = { corrupt: 0, dropout: 0.25 }

async function pass({ clock }: Simulation, ms: number): Promise<void> {
  let over = false
  void clock.sleep(ms).then(() => (over = true))
  await clock.run(() => over, clock.now() + ms)
}

/** What a member holds of a round, checked from the task alone. */
async function recheck(simulation: Simulation, index: number, round: number) {
  const { participant, journal, vectors, id } = simulation.peers[index]
  const held = await heldRound({ task: simulation.task, chronicle: participant.chronicle, journal, vectors, id }, round)
  assert.ok(held, `round ${round} is held`)
  return recheckRound(held, { clock: simulation.clock })
}

describe('a member that missed rounds', function () {
  this.timeout(0)

  /** A network in which the last member died before the second of four rounds. */
  async function withoutOne(): Promise<{ simulation: Simulation; who: number }> {
    const simulation = await Simulation.create({ members: 5, seed: 3, threat })
    await simulation.round(1)
    const who = 4
    simulation.kill(who)
    for (let round = 2; round <= 4; round++) await simulation.round(round)
    return { simulation, who }
  }

  it('has their sums when it is back, with all that is public of them, and tells its application of each', async () => {
    const { simulation, who } = await withoutOne()
    simulation.restart(who)
    await pass(simulation, 60_000)
    const { missed } = simulation.peers[who]
    assert.deepEqual(
      missed.map(({ round, status, input }) => ({ round, status, input })),
      [2, 3, 4].map((round) => ({ round, status: 'summed', input: 'none' }))
    )
    for (const outcome of missed) {
      const seen = simulation.peers[0].outcomes.find(({ round }) => round === outcome.round)!
      assert.deepEqual(outcome.included, seen.included)
      assert.deepEqual([outcome.dropped, outcome.missing], [seen.dropped, seen.missing])
      assert.equal(outcome.aggregator, seen.aggregator)
      const { values } = await simulation.sum(who, outcome)
      assert.deepEqual([...values].map(Number), simulation.expected(outcome.included))
      const { closed, sum } = await recheck(simulation, who, outcome.round)
      assert.deepEqual([closed, sum], [true, true])
    }
    assert.deepEqual(
      simulation.peers[who].refusals.filter((error) => 'culprit' in error && error.culprit !== undefined),
      []
    )
  })

  it('has from another what one member has lost, and believes nobody who forges a transcript', async () => {
    const { simulation, who } = await withoutOne()
    const [liar, lost] = simulation.peers
    const key = transcriptKey(simulation.task.id, 3)
    const transcript = (await liar.journal.get(key))!
    transcript[transcript.length >> 1] ^= 1
    await liar.journal.put(key, transcript)
    await lost.journal.delete(key)
    await lost.vectors.remove(`${folderOf(simulation.task.id)}/sums/`)
    simulation.restart(who)
    await pass(simulation, 60_000)
    assert.equal((await recheck(simulation, who, 3)).sum, true)
    const blamed = simulation.peers[who].refusals.map((error) => (error as { culprit?: string }).culprit)
    assert.deepEqual(new Set(blamed.filter((id) => id !== undefined)), new Set([liar.id]))
  })

  it('is not given the sums of rounds in which it was no member', async () => {
    const simulation = await Simulation.create({ members: 4, seed: 1, threat, admission: { allow: [20] } })
    const newcomer = await simulation.add(20)
    await pass(simulation, 1000)
    for (let round = 1; round <= 3; round++) {
      void simulation.peers[0].member.want()
      await pass(simulation, 60_000)
    }
    const { vectors, member } = simulation.peers[newcomer]
    assert.ok(member.me >= 0 && member.closedRound === 3)
    assert.notEqual(await vectors.size(sumName(simulation.task.id, 3)), undefined)
    assert.equal(await vectors.size(sumName(simulation.task.id, 2)), undefined)
    assert.equal(await vectors.size(sumName(simulation.task.id, 1)), undefined)
  })

  it('joins epochs later, from an empty journal, and verifies the chain of rosters from the task alone', async () => {
    const simulation = await Simulation.create({ members: 4, seed: 1, threat, admission: { allow: [20, 21] } })
    await simulation.add(20)
    await pass(simulation, 1000)
    const rounds = async (from: number, to: number): Promise<void> => {
      for (let round = from; round <= to; round++) {
        void simulation.peers[0].member.want()
        await pass(simulation, 60_000)
      }
    }
    await rounds(1, 3)
    const late = await simulation.add(21)
    await rounds(4, 6)
    const { participant, member } = simulation.peers[late]
    assert.deepEqual([member.me >= 0, participant.roster.epoch, member.closedRound], [true, 2, 6])
    const { epoch, included } = await recheck(simulation, late, 6)
    assert.deepEqual([epoch, included.length], [2, 6])
    for (const { refusals } of simulation.peers) assert.deepEqual(refusals.map(String), [])
  })
})
