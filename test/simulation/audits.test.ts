import assert from 'node:assert/strict'
import { CHUNK_ELEMENTS } from '../../src/encoding/packing.ts'
import { createRoster } from '../../src/membership/roster.ts'
import { decodeEvidence, encodeEvidence, verifyEvidence } from '../../src/round/evidence.ts'
import { rulesOf } from '../../src/round/transcript.ts'
import { runHostile } from './hostile.ts'
import type { HostileSchedule } from './hostile.ts'
import { simulatedTask } from './identities.ts'
import type { Simulation } from './network.ts'
import { firstOrder } from './schedule.ts'

/** Whole rounds with sums of several chunks: of six members one may lie, and one may be missing. */
const terms = { members: 6, threat: { corrupt: 0.17, dropout: 0.17 }, length: 2 * CHUNK_ELEMENTS + 11 }

async function run(over: Partial<HostileSchedule>): Promise<Simulation> {
  const quiet = { crashes: [], breaks: [], partitions: [], lostDirect: 0, adversaries: [], rounds: 1, seed: 3 }
  const { simulation } = await runHostile({ ...terms, ...quiet, ...over })
  return simulation
}

const leaderWith = async (audit: number | 'full', over = {}): Promise<number> =>
  firstOrder((await simulatedTask({ ...terms, ...over, audit })).task)[0]

describe('the audit of a sum', function () {
  this.timeout(0)

  it('covers as many chunks as the task asks of each member; the aggregator has computed all', async () => {
    for (const [audit, chunks] of [
      [2, 1],
      [0, 0],
      ['full', 3]
    ] as const) {
      const leader = await leaderWith(audit)
      const simulation = await run({ audit })
      for (const [index, { outcomes }] of simulation.peers.entries()) {
        assert.deepEqual(outcomes[0].audit, { chunks: index === leader ? 3 : chunks, of: 3 })
        assert.deepEqual([outcomes[0].status, outcomes[0].views], ['summed', 1])
      }
    }
  })

  it('by members that check some of the chunks finds the altered one, and all hold evidence and get the right sum', async () => {
    const audit = 4
    const leader = await leaderWith(audit)
    const { task } = await simulatedTask({ ...terms, audit })
    const rules = rulesOf(
      { task: task.idBytes, epoch: 0, round: 1 },
      createRoster({ epoch: 0, members: [...task.members] }),
      task
    )
    const simulation = await run({ audit, adversaries: [{ who: leader, as: 'AltersSum' }] })
    const [{ status, views }] = simulation.honest[0].outcomes
    assert.deepEqual([status, views], ['summed', 2])
    for (const { member } of simulation.honest) {
      const found = member.evidence.find(({ kind, culprit }) => kind === 'wrong-sum' && culprit === leader)
      verifyEvidence(decodeEvidence(encodeEvidence(found!)), rules)
    }
  })

  it('of sums per group finds the altered element', async () => {
    const over = { groups: { count: 2, trim: 0 }, members: 8, threat: { corrupt: 0.125, dropout: 0 } }
    const leader = await leaderWith('full', over)
    const simulation = await run({ ...over, audit: 'full', adversaries: [{ who: leader, as: 'AltersSum' }] })
    const [{ status, views }] = simulation.honest[0].outcomes
    assert.deepEqual([status, views], ['summed', 2])
    for (const { member } of simulation.honest)
      assert.ok(member.evidence.some(({ kind, culprit }) => kind === 'wrong-sum' && culprit === leader))
  })
})
