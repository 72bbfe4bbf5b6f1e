import assert from 'node:assert/strict'
import { CHUNK_ELEMENTS } from '../../src/encoding/packing.ts'
import { MessageError } from '../../src/errors.ts'
import { verifyEvidence } from '../../src/index.ts'
import type { EvidenceProof, Task } from '../../src/index.ts'
import { decodeEvidence, encodeEvidence } from '../../src/round/evidence.ts'
import type { Evidence } from '../../src/round/evidence.ts'
import { encodeMessage, signedBytes } from '../../src/round/messages.ts'
import { proofOf } from '../../src/round/third-party.ts'
import type { Behaviour } from './adversaries/index.ts'
import { runHostile } from './hostile.ts'
import type { HostileSchedule } from './hostile.ts'
import { simulatedTask } from './identities.ts'
import { Simulation } from './network.ts'
import { firstOrder } from './schedule.ts'

const terms = { members: 6, threat: { corrupt: 0.17, dropout: 0.17 }, length: 2 * CHUNK_ELEMENTS + 11 }

function provesNothing(task: Task, proof: EvidenceProof, why = /./): void {
  assert.throws(
    () => verifyEvidence(task, proof),
    (error) => error instanceof MessageError && why.test(error.message)
  )
}

/** What an honest member holds against the first leader, which does this. */
async function against(as: Behaviour, kind: Evidence['kind'], over: Partial<HostileSchedule> = {}) {
  const quiet = { crashes: [], breaks: [], partitions: [], lostDirect: 0, rounds: 1, seed: 3, audit: 'full' as const }
  const [who] = firstOrder((await simulatedTask({ ...terms, audit: 'full', ...over })).task)
  const { simulation } = await runHostile({ ...terms, ...quiet, adversaries: [{ who, as }], ...over })
  const { member, participant } = simulation.honest[0]
  const found = member.evidence.find((one) => one.kind === kind && one.culprit === who)
  assert.ok(found, `${as} left evidence of ${kind} behind`)
  const proof = await proofOf(found, simulation.task, participant.chronicle)
  return { task: simulation.task, proof, culprit: simulation.task.members[who] }
}

describe('evidence, for somebody who took no part', function () {
  this.timeout(0)

  it('convicts an aggregator that showed members different things, by the task alone', async () => {
    const { task, proof, culprit } = await against('EquivocatingSets', 'equivocation')
    const { evidence } = proof
    assert.deepEqual(verifyEvidence(task, { evidence }), { kind: 'equivocation', culprit, epoch: 0, round: 1 })
    const other = (await simulatedTask({ ...terms, length: 5 })).task
    provesNothing(other, { evidence }, /another task/)
  })

  it('convicts whoever published a wrong sum, by the task alone', async () => {
    const { task, proof, culprit } = await against('AltersSum', 'wrong-sum')
    assert.deepEqual(verifyEvidence(task, proof), { kind: 'wrong-sum', culprit, epoch: 0, round: 1 })
  })

  it('convicts whoever published a wrong sum of groups, which follow from what closed the round before', async () => {
    const over = { groups: { count: 2, trim: 0 }, members: 8, threat: { corrupt: 0.125, dropout: 0 } }
    const { task, proof, culprit } = await against('AltersSum', 'wrong-sum', over)
    assert.equal(verifyEvidence(task, proof).culprit, culprit)
  })

  it('proves nothing where any byte of it is another', async () => {
    for (const [as, kind] of [
      ['EquivocatingSets', 'equivocation'],
      ['AltersSum', 'wrong-sum']
    ] as const) {
      const { task, proof } = await against(as, kind)
      const { evidence } = proof
      const step = Math.ceil(evidence.length / 400)
      for (let at = 0; at < evidence.length; at += step)
        provesNothing(task, { evidence: evidence.map((byte, place) => (place === at ? byte ^ 1 : byte)) })
      provesNothing(task, { evidence: evidence.slice(1) })
      const said = decodeEvidence(evidence)
      const honest = (said.culprit + 1) % task.members.length
      for (const lie of [{ culprit: honest }, { culprit: 99 }, { round: 2 }, { kind: 'double-vote' as const }])
        provesNothing(task, { evidence: encodeEvidence({ ...said, ...lie }) })
    }
  })

  it('of a later epoch takes the chain of rosters, and no other', async () => {
    const threat = { corrupt: 0, dropout: 0.25 }
    const simulation = await Simulation.create({ members: 4, seed: 1, threat, admission: { allow: [20] } })
    const newcomer = await simulation.add(20)
    const { clock, task } = simulation
    const pass = async (ms: number) => {
      let over = false
      void clock.sleep(ms).then(() => (over = true))
      await clock.run(() => over, clock.now() + ms)
    }
    await pass(1000)
    for (let round = 1; round <= 2; round++) {
      void simulation.peers[0].member.want()
      await pass(30_000)
    }
    const { chronicle } = simulation.peers[0].participant
    const { epoch } = chronicle.roster
    assert.equal(epoch, 1)
    const { id } = simulation.peers[newcomer]
    const context = { task: task.idBytes, epoch, round: 3 }
    const from = chronicle.roster.indexOf(id)
    const statements = [1, 2].map((byte) => {
      const body = { attemptId: new Uint8Array(32), root: new Uint8Array(32).fill(byte) }
      const signature = simulation.signAs(newcomer, signedBytes('ShareRoot', context, body))
      return encodeMessage('ShareRoot', context, from, body, signature).encoded
    })
    const said: Evidence = { kind: 'double-statement', culprit: from, ...context, statements }
    const proof = await proofOf(said, task, chronicle)
    assert.deepEqual(verifyEvidence(task, proof), { kind: said.kind, culprit: id, epoch, round: 3 })
    const { evidence, chain = [] } = proof
    provesNothing(task, { evidence }, /is of epoch 1, and the rosters shown end with epoch 0/)
    const [{ roster, made, effective }] = chain
    provesNothing(task, { evidence, chain: [{ roster, made: effective, effective: made.slice(1) }] })
    const forged = roster.map((byte, at) => (at === roster.length - 9 ? byte ^ 1 : byte))
    provesNothing(task, { evidence, chain: [{ roster: forged, made, effective }] })
    // Nobody of that index has said it in the first epoch.
    provesNothing(task, { evidence: encodeEvidence({ ...said, epoch: 0 }) })
  })
})
