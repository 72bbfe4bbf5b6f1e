import assert from 'node:assert/strict'
import { encodeAbsence, readAbsence } from '../../src/round/absences.ts'
import { decodeMessage, encodeMessage, signedBytes } from '../../src/round/messages.ts'
import type { Body, Message } from '../../src/round/messages.ts'
import { sumKey } from '../../src/round/round.ts'
import { Simulation } from './network.ts'

describe('what shows that a member was left out of a sum', () => {
  let simulation: Simulation
  let decision: Uint8Array
  let header: Message<'SumHeader'>

  before(async () => {
    simulation = await Simulation.create({ members: 5, seed: 1, threat: { corrupt: 0.2, dropout: 0 } })
    await simulation.round(1)
    const [{ outcomes, journal }] = simulation.honest
    decision = outcomes[0].decision
    header = decodeMessage((await journal.get(sumKey(simulation.task.id, 1)))!) as Message<'SumHeader'>
  })

  const read = (encoded: Uint8Array) =>
    readAbsence(encodeAbsence(decision, encoded), simulation.task, simulation.honest[0].participant.roster)

  /** As `signer` signs it, in the name of `from`. */
  function headerOf(change: Partial<Body<'SumHeader'>>, from = header.from, signer = from): Uint8Array {
    const body = { ...header.body, ...change }
    const signature = simulation.signAs(signer, signedBytes('SumHeader', header, body))
    return encodeMessage('SumHeader', header, from, body, signature).encoded
  }

  it('is the header of its leader, and says whom it included', () => {
    const { round, aggregator, included } = read(header.encoded)
    assert.equal(round, 1)
    assert.equal(aggregator, simulation.task.members[header.from])
    assert.deepEqual([...included], simulation.task.members)
  })

  it('counts for nobody else, for no later view and for no other cut', () => {
    const other = (header.from + 1) % 5
    assert.throws(() => read(headerOf({}, other, header.from)), { code: 'SIGNATURE' })
    assert.throws(() => read(headerOf({ view: 1 })), { code: 'INVALID', message: /header of a first view/ })
    const cut = { ...header.body.cut, included: Uint8Array.of(0b01111) }
    assert.throws(() => read(headerOf({ cut })), { code: 'INVALID', message: /cut that was not decided/ })
  })
})
