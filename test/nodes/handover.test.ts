import assert from 'node:assert/strict'
import { CHUNK_ELEMENTS } from '../../src/encoding/packing.ts'
import { sumKey } from '../../src/round/round.ts'
import { verifyHandover } from '../../nodes/learner/handover.ts'
import type { Handover, KnownRosters } from '../../nodes/learner/handover.ts'
import { Simulation } from '../simulation/network.ts'

const model = new Uint8Array(32).fill(7)

describe('a shown model', function () {
  this.timeout(60_000)

  it('is proved by a sum in slices of several chunks, and by no other sum', async () => {
    const length = 4 * CHUNK_ELEMENTS + 5
    const simulation = await Simulation.create({ members: 4, shards: 3, length, seed: 1, contextHash: () => model })
    await simulation.round(1, 600_000)
    const { task, peers } = simulation
    const { journal, vectors, outcomes, participant } = peers[0]
    const { sum: name, decision, included } = outcomes[0]
    const header = (await journal.get(sumKey(task.id, 1)))!
    const sum = await vectors.readRange(name!, 0, (await vectors.size(name!))!)
    const known: KnownRosters = {
      task,
      terms: (epoch) => participant.terms(epoch),
      rosterOf: (epoch) => participant.chronicle.rosterOf(epoch)
    }
    const verify = (change: Partial<Handover>) =>
      verifyHandover({ decision, header, before: model, sum, ...change }, model, known)
    const { sums } = await verify({})
    assert.deepEqual(
      [...sums[0].mean],
      simulation.expected(included).map((value) => value / included.length)
    )
    await assert.rejects(verify({ sum: sum.map((byte, at) => (at === sum.length - 9 ? byte ^ 1 : byte)) }), /its root/)
  })
})
