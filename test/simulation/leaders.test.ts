import assert from 'node:assert/strict'
import { simulatedTask } from './identities.ts'
import { Simulation } from './network.ts'
import { runAll } from './run-all.ts'
import { firstOrder } from './schedule.ts'

describe('whole rounds whose leader dies', function () {
  this.timeout(0)

  it('are carried on by the next in line when the leader dies too, at any moment, for everyone alike', () =>
    runAll('leaders', 2_000_000, 150, ({ peers, living, task }, { rounds, deaths }) => {
      const { deadlineMs, thresholds } = task
      const dead = peers.length - living.length
      for (const { outcomes } of living) {
        assert.equal(outcomes.length, rounds)
        for (const { round, status, views, reason, durationMs } of outcomes) {
          // A leader and a contributor that die after the cut may take a vector with them that is in it (§6).
          const lost = round === 1 && deaths.length > 1 && /are lost/.test(reason ?? '')
          // Where fewer live than the least of a sum, every leader in turn gives up.
          const tooFew = living.length < thresholds.nMin
          assert.ok(status === 'summed' || lost || tooFew, `round ${round} was burned: ${reason}`)
          // The dead may be next in the order as well: each costs a view.
          const most = lost || tooFew ? thresholds.f + thresholds.D + 2 + dead : 1 + dead
          assert.ok(views <= most, `${views} views for ${dead} dead`)
          assert.ok(durationMs <= most * 4 * deadlineMs)
        }
      }
    }))

  it('are summed when it was only cut off for a while, whenever it was, although an included member has died with its vector', async () => {
    const members = 8
    const threat = { corrupt: 0.125, dropout: 0.25 }
    const { task } = await simulatedTask({ members, length: 7, threat })
    const [leader, , , , dead] = firstOrder(task)
    let carriedOn = 0
    for (const from of [1_100, 1_120, 1_140]) {
      const simulation = await Simulation.create({
        members,
        seed: from,
        threat,
        delay: 100,
        kills: [{ who: dead, phase: 'unmask', round: 1 }],
        partitions: [{ from, until: from + 1.1 * task.deadlineMs, side: [leader] }]
      })
      await simulation.round(1, 600_000)
      for (const { outcomes } of simulation.living) {
        const [{ status, views, included, reason }] = outcomes
        assert.equal(status, 'summed', `cut off at ${from} ms: ${reason}`)
        if (views > 1 && included.includes(dead)) carriedOn++
      }
      // A vector that an earlier leader has is given to nobody else, and no honest leader left for that.
      for (const { refusals } of simulation.living)
        assert.deepEqual(
          refusals.filter(({ message }) => message.includes('given into custody')),
          []
        )
    }
    assert.ok(carriedOn > 0)
  })

  it('are burned where too few of the others can check the sum for a quorum, and do not go on for ever', async () => {
    const threat = { corrupt: 0, dropout: 0.25 }
    const { task } = await simulatedTask({ members: 5, length: 7, threat })
    const astray = firstOrder(task).at(-1)!
    // Four of five are a quorum: one of them has seen another context, and another, the leader, dies with the sum told.
    const simulation = await Simulation.create({
      members: 5,
      seed: 5,
      threat,
      contextHash: (index) => new Uint8Array(32).fill(index === astray ? 1 : 0),
      kills: [{ who: 'aggregator', phase: 'close', round: 1 }]
    })
    await simulation.round(1, 600_000)
    for (const { outcomes } of simulation.living) {
      assert.equal(outcomes[0].status, 'burned')
      assert.match(outcomes[0].reason!, /the sum was proposed in 2 views, and no quorum prepared it/)
    }
  })

  it('take back from its application the sum that a leader had locked, where the others have burned the round', async () => {
    const threat = { corrupt: 0, dropout: 0.25 }
    const { task } = await simulatedTask({ members: 5, length: 7, threat })
    const order = firstOrder(task)
    const leader = order[0]
    const contextHash = (index: number) => new Uint8Array(32).fill(index === order.at(-1) ? 1 : 0)
    const settings = { members: 5, seed: 5, threat, contextHash }
    const undisturbed = await Simulation.create(settings)
    await undisturbed.round(1)
    const [{ at }] = undisturbed.peers[leader].provisional
    // Cut off with the lock in its hands, before any other has seen it.
    const partitions = [{ from: at + 0.001, until: at + 40 * task.deadlineMs, side: [leader] }]
    const simulation = await Simulation.create({ ...settings, partitions })
    await simulation.round(1, 3_600_000)
    for (const { outcomes } of simulation.peers) assert.equal(outcomes[0].status, 'burned')
    assert.deepEqual(
      simulation.peers.map(({ provisional }) => provisional.map(({ round, told }) => `${told} ${round}`)),
      simulation.peers.map((_, index) => (index === leader ? ['provisional 1', 'withdrawn 1'] : []))
    )
  })
})
