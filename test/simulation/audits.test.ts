import assert from 'node:assert/strict'
import { sha256 } from '../../src/crypto/primitives.ts'
import { CHUNK_ELEMENTS } from '../../src/encoding/packing.ts'
import { createRoster } from '../../src/membership/roster.ts'
import { decodeEvidence, encodeEvidence, MAX_EVIDENCE_BYTES, verifyEvidence } from '../../src/round/evidence.ts'
import { encodeMessage, signedBytes } from '../../src/round/messages.ts'
import { rulesOf } from '../../src/round/transcript.ts'
import { runHostile } from './hostile.ts'
import type { HostileSchedule } from './hostile.ts'
import { identity, simulatedTask } from './identities.ts'
import { Simulation } from './network.ts'
import type { Peer } from './network.ts'
import { firstOrder } from './schedule.ts'

/** Whole rounds with sums of several chunks: of six members one may lie, and one may be missing. */
const terms = { members: 6, threat: { corrupt: 0.17, dropout: 0.17 }, length: 2 * CHUNK_ELEMENTS + 11 }

async function run(over: Partial<HostileSchedule>): Promise<Simulation> {
  const quiet = { crashes: [], breaks: [], partitions: [], lostDirect: 0, adversaries: [], rounds: 1, seed: 3 }
  const { simulation } = await runHostile({ ...terms, ...quiet, ...over })
  return simulation
}

const heldBy = ({ member }: Peer, who: number) =>
  member.evidence.find(({ kind, culprit }) => kind === 'wrong-sum' && culprit === who)

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

  it('is of all chunks where two leaders have signed two roots in two views, and the right one is closed with', async () => {
    const audit = 1
    const [first, second] = firstOrder((await simulatedTask({ ...terms, audit })).task)
    // The first has all members fetch its sum, never proposes to close with it, and is cut off from the rest then.
    const simulation = await run({
      audit,
      stalls: [{ who: first, phase: 'close', round: 1 }],
      partitions: [{ from: 5000, until: 60_000, side: [first] }],
      adversaries: [{ who: second, as: 'AltersSum' }]
    })
    const others = simulation.honest.filter(({ id }) => id !== simulation.task.members[first])
    for (const peer of others) {
      const [{ status, views }] = peer.outcomes
      assert.deepEqual([status, views], ['summed', 3])
      assert.ok(heldBy(peer, second), 'it holds evidence against the second')
      assert.ok(!heldBy(peer, first), 'and none against the first')
    }
    // Whoever found out had the sum of the first, of which it had audited a chunk at most.
    assert.ok(others.some(({ outcomes }) => outcomes[0].audit?.chunks === 3))
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

describe('evidence of a wrong sum that is too large for a message', function () {
  this.timeout(0)

  it('is asked for by whoever hears of it, and given to members of the roster only', async () => {
    const leader = await leaderWith('full')
    const { honest } = await run({ audit: 'full', adversaries: [{ who: leader, as: 'AltersSum' }] })
    const evidence = encodeEvidence(heldBy(honest[0], leader)!)
    // Another network of the same task, in which one member holds it.
    const simulation = await Simulation.create({ ...terms, audit: 'full', seed: 3 })
    const [holder, hearer] = simulation.peers.keys().filter((index) => index !== leader)
    const offence = `0000000000/${String(leader).padStart(5, '0')}/wrong-sum`
    await simulation.peers[holder].journal.put(`${simulation.task.id}/evidence/${offence}`, evidence)
    simulation.kill(holder)
    simulation.restart(holder)
    const { clock, peers } = simulation
    await clock.run(() => heldBy(peers[holder], leader) !== undefined, clock.now() + 10_000)
    const context = { task: simulation.task.idBytes, epoch: 0, round: 1 }
    const body = { culprit: leader, hash: sha256(evidence), bytes: evidence.length }
    const signature = simulation.signAs(holder, signedBytes('EvidenceNotice', context, body))
    const notice = encodeMessage('EvidenceNotice', context, holder, body, signature)
    assert.equal(peers[hearer].participant.check(peers[holder].id, notice.encoded), true)
    await peers[hearer].participant.hear(peers[holder].id, notice.encoded)
    await clock.run(() => heldBy(peers[hearer], leader) !== undefined, clock.now() + 60_000)
    assert.deepEqual(encodeEvidence(heldBy(peers[hearer], leader)!), evidence)
    const stranger = await identity(20)
    const asks = { hash: body.hash }
    const asked = encodeMessage(
      'EvidenceRequest',
      context,
      0,
      asks,
      stranger.sign(signedBytes('EvidenceRequest', context, asks))
    )
    await assert.rejects(peers[holder].participant.answer(stranger.id, asked.encoded).next(), { code: 'STRANGER' })
  })

  it('convicts whoever published it before all members of a round of many', async function () {
    // Pieces of 16 KiB of as many vectors: half a minute.
    if (process.env.TEST_RUNS !== 'all') return this.skip()
    const many = { members: 64, threat: { corrupt: 0.02, dropout: 0 }, length: 8192, audit: 6 }
    const leader = await leaderWith(many.audit, many)
    const { clock, honest } = await run({ ...many, adversaries: [{ who: leader, as: 'AltersSum' }] })
    await clock.run(() => honest.every((peer) => heldBy(peer, leader) !== undefined), clock.now() + 60_000)
    assert.ok(encodeEvidence(heldBy(honest[0], leader)!).length > MAX_EVIDENCE_BYTES)
  })
})
