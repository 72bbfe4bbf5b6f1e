import assert from 'node:assert/strict'
import { genesisBeacon } from '../../src/membership/beacon.ts'
import { graphOf } from '../../src/membership/graphs.ts'
import { createRoster } from '../../src/membership/roster.ts'
import { decodeSet, encodeSet } from '../../src/membership/member-set.ts'
import { cutHash, decodeMessage } from '../../src/round/messages.ts'
import type { Message } from '../../src/round/messages.ts'
import { headersRoot } from '../../src/round/transcript.ts'
import { hexToBytes } from '@noble/hashes/utils.js'
import { insteadOf, said, without } from './adversaries/adversary.ts'
import type { Tamper } from './adversaries/index.ts'
import { simulatedTask } from './identities.ts'
import { Simulation } from './network.ts'
import { checkNobodyBlamed, checkNobodyConvicted, checkRound, firstOrder } from './schedule.ts'

describe('a round of more than 128 members, on sparse graphs', function () {
  this.timeout(0)

  it('is exact when one in twenty of 150 members dies before it has masked', async () => {
    const who = Array.from({ length: 7 }, (_, at) => 20 * at + 3)
    const kills = who.map((member) => ({ who: member, phase: 'mask' as const, round: 1 }))
    const simulation = await Simulation.create({
      members: 150,
      threat: { corrupt: 0.05, dropout: 0.05 },
      length: 5,
      seed: 1,
      kills
    })
    const { shareDegree, maskDegree } = simulation.task.thresholds.graph!
    assert.ok(shareDegree < 100 && maskDegree < 100)
    await simulation.round(1, 600_000)
    await checkRound(simulation, 1)
    const [{ status, dropped, views }] = simulation.honest[0].outcomes
    assert.deepEqual({ status, dropped, views }, { status: 'summed', dropped: who, views: 1 })
    checkNobodyBlamed(simulation)
    checkNobodyConvicted(simulation)
  })

  it('refuses the cut of a leader that drops a victim’s partners, and the next leader sums everyone', async () => {
    const terms = { members: 130, threat: { corrupt: 0.02, dropout: 0.2 }, length: 5 }
    const { task, identities } = await simulatedTask(terms)
    const { D, graph: degrees } = task.thresholds
    const [leader, victim] = firstOrder(task)
    const rosterHash = createRoster({ epoch: 0, members: [...task.members] }).hash
    const beacon = genesisBeacon(task.idBytes, rosterHash, hexToBytes(task.randomness!))
    const graph = graphOf(terms.members, degrees, { beacon, rosterHash, round: 1, attempt: 0 })
    const left = new Set(task.members.keys())
    const dropped = new Set<number>()
    for (const partner of graph.partners(victim)) {
      if (!graph.isSafe(victim, left)) break
      if (partner === leader) continue
      left.delete(partner)
      dropped.add(partner)
    }
    assert.ok(dropped.size <= D && !graph.isSafe(victim, left), 'only the live slots stand in its way')

    // The leader takes no vector of these partners, and lets its victim stand in the cut all the same.
    let header: Message<'MaskedHeader'> | undefined
    const unheard: Tamper = (frames, to) =>
      to === leader ? without(({ type }) => type === 'MaskedHeader')(frames, to) : frames
    const overheard: Tamper = (frames, to) =>
      insteadOf('MaskedHeader', (message, frame) => {
        header = message
        return [frame]
      })(frames, to)
    const tamper = new Map([...dropped].map((member) => [member, unheard] as const).concat([[victim, overheard]]))
    const sign = (_: number, bytes: Uint8Array) => identities[leader].sign(bytes)
    let lies = 0
    const lie = insteadOf('Proposal', (proposal, frame) => {
      const { cut, headers } = proposal.body
      if (cut === null || proposal.body.view > 0 || header === undefined) return [frame]
      const read = headers.map((encoded) => decodeMessage(encoded) as Message<'MaskedHeader'>)
      const all = [...read.filter(({ from }) => from !== victim), header].sort((a, b) => a.from - b.from)
      const included = encodeSet(
        all.map(({ from }) => from),
        terms.members
      )
      assert.ok(!decodeSet(cut.included, terms.members).includes(victim), 'an honest leader leaves the victim out')
      const invented = { ...cut, included, headersRoot: headersRoot(all) }
      const value = { kind: 'cut' as const, cutHash: cutHash(invented) }
      lies++
      const body = { ...proposal.body, cut: invented, value, headers: all.map(({ encoded }) => encoded) }
      return [said('Proposal', proposal, leader, body, { sign })]
    })
    const tamperAsLeader = new Map([[leader, lie]])
    const simulation = await Simulation.create({ ...terms, seed: 2, tamper, tamperAsLeader })
    await simulation.round(1, 600_000)
    await checkRound(simulation, 1)
    const [{ status, included, views, aggregator }] = simulation.peers[victim].outcomes
    assert.ok(lies > 100)
    const refused = simulation.peers[victim].refusals.map(({ message }) => message)
    assert.ok(
      refused.some((message) => /^a cut leaves member \d+ too few of its mask partners$/.test(message)),
      refused.join('; ')
    )
    assert.deepEqual({ status, views, included: included.length }, { status: 'summed', views: 2, included: 130 })
    assert.notEqual(aggregator, leader)
  })
})
