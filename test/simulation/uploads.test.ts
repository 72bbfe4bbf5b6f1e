import assert from 'node:assert/strict'
import { VectorHasher } from '../../src/crypto/merkle.ts'
import { CHUNK_ELEMENTS, packedLength } from '../../src/encoding/packing.ts'
import { encodeMessage, signedBytes } from '../../src/round/messages.ts'
import type { Message } from '../../src/round/messages.ts'
import { eachFrame, said } from './adversaries/adversary.ts'
import { checkRound, firstOrder } from './schedule.ts'
import { simulatedTask } from './identities.ts'
import { Simulation } from './network.ts'
import type { Tamper } from './network.ts'

describe('a leader that long vectors are sent to', function () {
  this.timeout(60_000)

  /** The most vectors that its store had begun and not ended at the same time, in the first round. */
  async function mostAtOnce(members: number, length: number): Promise<number> {
    const terms = { members, length, threat: { corrupt: 0, dropout: 0.3 } }
    const [leader] = firstOrder((await simulatedTask(terms)).task)
    const simulation = await Simulation.create({ ...terms, seed: 1 })
    const { vectors } = simulation.peers[leader]
    const stage = vectors.stage.bind(vectors)
    let [open, most] = [0, 0]
    vectors.stage = async (name) => {
      const staged = await stage(name)
      if (!name.includes('upload')) return staged
      most = Math.max(most, ++open)
      const ends = { commit: staged.commit.bind(staged), abort: staged.abort.bind(staged) }
      let isOpen = true
      const over = (): void => {
        if (isOpen) open--
        isOpen = false
      }
      staged.commit = (options) => (over(), ends.commit(options))
      staged.abort = () => (over(), ends.abort())
      return staged
    }
    await simulation.round(1)
    const { status, included, aggregator } = simulation.peers[leader].outcomes[0]
    assert.deepEqual(
      { status, included: included.length, aggregator },
      { status: 'summed', included: members, aggregator: leader }
    )
    simulation.stop()
    return most
  }

  it('takes four at a time and lets the others wait, so that its memory is the same whatever the number of members', async () => {
    for (const members of [6, 9]) assert.equal(await mostAtOnce(members, 600_000), 4)
  })

  it('takes short ones as they come', async () => {
    assert.ok((await mostAtOnce(9, 1000)) > 4)
  })
})

describe('a leader that is offered two vectors of one member, each under a header that it signed', function () {
  this.timeout(60_000)

  /** @param hasLed an earlier view: then others may keep its vector for it */
  async function offeredTwo(hasLed: boolean): Promise<void> {
    const terms = { members: 10, length: 7, threat: { corrupt: 0.2, dropout: 0.1 } }
    const { task, identities } = await simulatedTask(terms)
    const [first, second, third, , accomplice] = firstOrder(task)
    const [liar, leader] = hasLed ? [first, second] : [third, first]
    const plot = { sign: (member: number, bytes: Uint8Array) => identities[member].sign(bytes) }
    const signed = Promise.withResolvers<Message<'MaskedHeader'>>()
    const pause = (ms: number): Promise<void> => simulation.clock.sleep(ms)
    const slowly: Tamper = eachFrame(async function* (message, frame) {
      if (message?.type === 'MaskedHeader') signed.resolve(message)
      if (message?.type === 'Vector') await pause(100)
      yield frame
    })
    /** Says that it keeps another vector of the liar, and sends it, but for its end, before the liar sends its own. */
    const offersAnother: Tamper = eachFrame(async function* (message, frame) {
      yield frame
      if (message?.type !== 'MaskedHeader') return
      const header = await signed.promise
      const { attemptId } = header.body
      const packed = new Uint8Array(packedLength(task.laneCount, task.bits))
      const chunkBytes = packedLength(CHUNK_ELEMENTS, task.bits)
      const hasher = new VectorHasher({ attemptId, member: liar, chunkBytes })
      hasher.update(packed)
      const body = { ...header.body, root: hasher.finish().root }
      const signature = plot.sign(liar, signedBytes('MaskedHeader', header, body))
      const another = encodeMessage('MaskedHeader', header, liar, body, signature)
      await pause(30)
      yield said('Custody', header, accomplice, { header: another.encoded }, plot)
      await pause(60)
      yield said('Vector', header, accomplice, { attemptId, member: liar }, plot)
      yield { kind: 'data', payload: packed.slice(1) }
      await pause(300)
      yield { kind: 'data', payload: packed.slice(0, 1) }
    })
    const simulation = await Simulation.create({
      ...{ ...terms, seed: 5 },
      stalls: hasLed ? [{ who: liar, phase: 'shares', round: 1 }] : [],
      tamper: new Map([
        [liar, slowly],
        [accomplice, offersAnother]
      ])
    })
    const { vectors } = simulation.peers[leader]
    const read = vectors.read.bind(vectors)
    vectors.read = async function* (name, options) {
      if (name.includes('upload')) await pause(200)
      yield* read(name, options)
    }
    await simulation.round(1)
    await checkRound(simulation, 1)
    const { status, aggregator } = simulation.peers[leader].outcomes[0]
    assert.deepEqual([status, aggregator], ['summed', leader])
    for (const { member } of simulation.peers)
      assert.deepEqual(
        member.evidence.filter(({ culprit }) => culprit !== liar),
        []
      )
  }

  for (const [who, hasLed] of [
    ['a member that never led', false],
    ['an earlier leader', true]
  ] as const)
    it(`${who}, adds up the one whose header it shows, though the other arrives while that one waits to be added`, () =>
      offeredTwo(hasLed))
})
