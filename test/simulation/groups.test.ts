import assert from 'node:assert/strict'
import { decodeGroups } from '../../src/encoding/groups.ts'
import { unpack } from '../../src/encoding/packing.ts'
import { createTask } from '../../src/task/task.ts'
import { members as membersOf } from '../task/members.ts'
import { sumShapeOf } from '../../src/round/vectors.ts'
import type { Phase } from '../../src/round/ports.ts'
import { Simulation } from './network.ts'
import { checkNobodyBlamed, checkNobodyConvicted, checkRound } from './schedule.ts'

const terms = { members: 12, threat: { corrupt: 0, dropout: 0.17 }, groups: { count: 2, trim: 0 }, length: 5 }

async function sumsOf(simulation: Simulation, round: number) {
  const { vectors, outcomes } = simulation.honest[0]
  const { sum, included, groups } = outcomes[round - 1]
  const { elements, bits } = sumShapeOf(simulation.task)
  const packed = await vectors.readRange(sum!, 0, (await vectors.size(sum!))!)
  return decodeGroups(simulation.task, round, unpack(packed, elements, bits), included, groups!)
}

const phases: Phase[] = ['keys', 'shares', 'mask', 'agree', 'unmask', 'sum', 'close']

describe('rounds whose sums are per group', function () {
  this.timeout(0)

  it('give each group’s exact sum, and the groups are drawn anew each round', async () => {
    const simulation = await Simulation.create({ ...terms, seed: 1 })
    const drawn = []
    for (const round of [1, 2]) {
      await simulation.round(round, 600_000)
      await checkRound(simulation, round)
      const groups = await sumsOf(simulation, round)
      assert.deepEqual(
        groups.map(({ members }) => members.length),
        [6, 6]
      )
      for (const { members, values } of groups) assert.deepEqual([...values].map(Number), simulation.expected(members))
      drawn.push(groups.map(({ members }) => members))
    }
    assert.notDeepEqual(drawn[0], drawn[1])
    simulation.ledger.check(simulation.task.thresholds.quorum)
  })

  it('survive two members that die at any phase, and the leader among them', async () => {
    for (const [at, phase] of phases.entries()) {
      const quiet = await Simulation.create({ ...terms, seed: at })
      await quiet.round(1, 600_000)
      const leader = quiet.honest[0].outcomes[0].aggregator
      const who = at % 2 === 0 ? [leader, (leader + 1) % 12] : [(leader + 1) % 12, (leader + 2) % 12]
      const kills = who.map((one) => ({ who: one, phase, round: 1 }))
      const simulation = await Simulation.create({ ...terms, seed: at, kills })
      await simulation.round(1, 600_000)
      await checkRound(simulation, 1)
      const [{ status, reason }] = simulation.living[0].outcomes
      assert.equal(status, 'summed', `${phase}: ${reason}`)
      checkNobodyBlamed(simulation)
      checkNobodyConvicted(simulation)
    }
  })

  it('are refused where a group may lose so many that fewer than max(f + 2, 3) are left, with what to change', () => {
    const task = (count: number, corrupt: number) => () =>
      createTask({
        name: 'groups',
        members: membersOf(20),
        length: 1,
        encoding: { type: 'integer', max: 1 },
        threat: { corrupt, dropout: 0.1 },
        groups: { count, trim: 0 }
      })
    for (const [corrupt, most] of [
      [0, 4],
      [0.1, 3]
    ]) {
      assert.equal(task(most, corrupt)().groups!.count, most)
      assert.throws(task(most + 1, corrupt), new RegExp(`lower groups.count to ${most}`))
    }
  })
})
