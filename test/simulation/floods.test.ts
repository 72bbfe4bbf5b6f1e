import assert from 'node:assert/strict'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { MessageError } from '../../src/errors.ts'
import { channelPair } from '../../src/round/channel.ts'
import { encodeMessage, signedBytes } from '../../src/round/messages.ts'
import type { Body, Message } from '../../src/round/messages.ts'
import { control, insteadOf, said } from './adversaries/adversary.ts'
import { simulatedTask } from './identities.ts'
import { Simulation } from './network.ts'
import { checkRound, firstOrder } from './schedule.ts'

const terms = { members: 7, length: 7, threat: { corrupt: 0.15, dropout: 0.15 } }
const { task, identities } = await simulatedTask(terms)
const order = firstOrder(task)
const [leader] = order
const plot = { sign: (member: number, bytes: Uint8Array) => identities[member].sign(bytes) }

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** Bytes that are held in arrays, after a collection. */
async function heldBytes(): Promise<number> {
  await new Promise((resolve) => setImmediate(resolve))
  collect()
  return process.memoryUsage().arrayBuffers
}

describe('what one member says', function () {
  this.timeout(60_000)

  it('takes no more memory however many views to come it joins, each with all that it can show', async () => {
    const simulation = await Simulation.create({ ...terms, seed: 5 })
    const [, , flooder] = order
    const context = { task: task.idBytes, epoch: 0, round: 1 }
    const why = encodeMessage('Want', context, flooder, {}, identities[flooder].sign(signedBytes('Want', context, {})))
    await simulation.peers[leader].participant.hear(task.members[flooder], why.encoded)
    const before = await heldBytes()
    for (let turn = 1; turn <= 60; turn++) {
      const join: Body<'Join'> = {
        ...{ view: turn * terms.members, why: why.encoded, locks: [], decisions: [], masked: null, sitsOut: false },
        ...{ custody: [], uploads: new Uint8Array(1), shown: [new Uint8Array(1_000_000).fill(turn)] }
      }
      const [mine, theirs] = channelPair()
      void mine
        .sink(
          (async function* () {
            yield said('Join', context, flooder, join, plot)
            await new Promise(() => {})
          })()
        )
        .catch(() => {})
      await simulation.peers[leader].participant.converse(task.members[flooder], theirs)
    }
    const held = (await heldBytes()) - before
    assert.ok(held < 20_000_000, `${held} bytes are held of 60,000,000`)
    simulation.stop()
  })

  it('as a leader, of agreements that nobody is in, costs it its view before it fills anybody’s memory', async () => {
    const manyProposals = insteadOf('Proposal', (proposal, frame) =>
      proposal.body.cut === null ? [frame] : [...others(proposal), control(proposal.encoded)]
    )
    const others = (proposal: Message<'Proposal'>) =>
      Array.from({ length: 100 }, (_, at) =>
        said('Proposal', proposal, leader, { ...proposal.body, agreement: `attempt-${1 + at}` }, plot)
      )
    const simulation = await Simulation.create({
      ...terms,
      seed: 5,
      tamperAsLeader: new Map([[leader, manyProposals]])
    })
    await simulation.round(1)
    await checkRound(simulation, 1)
    const { status, views } = simulation.living[0].outcomes[0]
    assert.deepEqual([status, views], ['summed', 2])
    for (const { refusals, id } of simulation.peers) {
      if (id === task.members[leader]) continue
      const isOfLeader = (error: Error): boolean => (error as MessageError).culprit === task.members[leader]
      assert.ok(refusals.some((error) => isOfLeader(error) && (error as MessageError).code === 'REPEATED'))
      assert.ok(refusals.filter(isOfLeader).length < 30)
    }
  })
})
