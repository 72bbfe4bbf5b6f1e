import assert from 'node:assert/strict'
import type { MessageError } from '../../src/errors.ts'
import { decodeMessage, encodeMessage, signedBytes } from '../../src/round/messages.ts'
import type { Frame } from '../../src/round/ports.ts'
import { folderOf, sumName } from '../../src/round/round.ts'
import { heldRound, transcriptKey } from '../../src/round/record.ts'
import { recheckRound } from '../../src/round/recheck.ts'
import { Simulation } from './network.ts'

const threat = { corrupt: 0, dropout: 0.25 }

async function pass({ clock }: Simulation, ms: number): Promise<void> {
  let over = false
  void clock.sleep(ms).then(() => (over = true))
  await clock.run(() => over, clock.now() + ms)
}

/** What a member holds of a round, checked from the task alone. */
async function recheck(simulation: Simulation, index: number, round: number) {
  const { participant, journal, vectors, id } = simulation.peers[index]
  const held = await heldRound({ task: simulation.task, chronicle: participant.chronicle, journal, vectors, id }, round)
  assert.ok(held, `round ${round} is held`)
  return recheckRound(held, { clock: simulation.clock })
}

/** The same header, which its publisher never signed. */
function forged({ payload }: Frame): Frame {
  const { type, body, signature, from, ...context } = decodeMessage(payload)
  const { encoded } = encodeMessage(
    type,
    context,
    from,
    body,
    signature.map((byte) => byte ^ 1)
  )
  return { kind: 'control', payload: encoded }
}

describe('a member that missed rounds', function () {
  this.timeout(0)

  /** A network in which the last member died before the second of four rounds. */
  async function withoutOne(): Promise<{ simulation: Simulation; who: number }> {
    const simulation = await Simulation.create({ members: 5, seed: 3, threat })
    await simulation.round(1)
    const who = 4
    simulation.kill(who)
    for (let round = 2; round <= 4; round++) await simulation.round(round)
    return { simulation, who }
  }

  it('has their sums when it is back, with all that is public of them, and tells its application of each', async () => {
    const { simulation, who } = await withoutOne()
    simulation.restart(who)
    await pass(simulation, 60_000)
    const { missed } = simulation.peers[who]
    assert.deepEqual(
      missed.map(({ round, status, input }) => ({ round, status, input })),
      [2, 3, 4].map((round) => ({ round, status: 'summed', input: 'none' }))
    )
    for (const outcome of missed) {
      const seen = simulation.peers[0].outcomes.find(({ round }) => round === outcome.round)!
      assert.deepEqual(outcome.included, seen.included)
      assert.deepEqual([outcome.dropped, outcome.missing], [seen.dropped, seen.missing])
      assert.equal(outcome.aggregator, seen.aggregator)
      const { values } = await simulation.sum(who, outcome)
      assert.deepEqual([...values].map(Number), simulation.expected(outcome.included))
      const { closed, sum } = await recheck(simulation, who, outcome.round)
      assert.deepEqual([closed, sum], [true, true])
    }
    assert.deepEqual(
      simulation.peers[who].refusals.filter((error) => 'culprit' in error && error.culprit !== undefined),
      []
    )
  })

  it('has from another what one member has lost, and believes nobody who forges a transcript', async () => {
    const { simulation, who } = await withoutOne()
    const [liar, lost] = simulation.peers
    const key = transcriptKey(simulation.task.id, 3)
    const transcript = (await liar.journal.get(key))!
    transcript[transcript.length >> 1] ^= 1
    await liar.journal.put(key, transcript)
    await lost.journal.delete(key)
    await lost.vectors.remove(`${folderOf(simulation.task.id)}/sums/`)
    simulation.restart(who)
    await pass(simulation, 60_000)
    assert.equal((await recheck(simulation, who, 3)).sum, true)
    const blamed = simulation.peers[who].refusals.map((error) => (error as { culprit?: string }).culprit)
    assert.deepEqual(new Set(blamed.filter((id) => id !== undefined)), new Set([liar.id]))
  })

  it('is told the truth by another where one gives it a wrong sum: that one is named, and nobody else', async () => {
    const data = (change: (payload: Uint8Array) => Uint8Array) => (frame: Frame) =>
      frame.kind === 'data' ? { ...frame, payload: change(frame.payload) } : frame
    const flip = (at: number) => (payload: Uint8Array) => payload.map((byte, place) => (place === at ? byte ^ 1 : byte))
    const lies: Array<[RegExp, (frame: Frame) => Frame | undefined]> = [
      [/does not match the root/, data(flip(0))],
      [/breaks off after/, (frame) => (frame.kind === 'data' ? undefined : frame)],
      [/ends at/, data((payload) => new Uint8Array([...payload, 0]))],
      [/the header of a sum is invalid/, (frame) => (frame.kind === 'data' ? frame : forged(frame))],
      [/hung up/, () => undefined]
    ]
    for (const [sentence, lie] of lies) {
      const { simulation, who } = await withoutOne()
      // Whoever is asked first.
      let liar: string | undefined
      for (const { participant, id } of simulation.peers) {
        const answer = participant.answer.bind(participant)
        participant.answer = async function* (peer, encoded) {
          const isSum = decodeMessage(encoded).type === 'SumRequest'
          if (isSum) liar ??= id
          for await (const frame of answer(peer, encoded)) {
            const said = isSum && liar === id ? lie(frame) : frame
            if (said !== undefined) yield said
          }
        }
      }
      simulation.restart(who)
      await pass(simulation, 60_000)
      for (const round of [2, 3, 4]) assert.equal((await recheck(simulation, who, round)).sum, true)
      const named = (simulation.peers[who].refusals as MessageError[]).filter(({ culprit }) => culprit !== undefined)
      assert.deepEqual(new Set(named.map(({ culprit }) => culprit)), new Set([liar]))
      assert.ok(
        named.some(({ message }) => sentence.test(message)),
        `${sentence}: ${named.join('; ')}`
      )
    }
  })

  it('has the parts of a sum that it asks for, and is named where there are no such parts', async () => {
    const simulation = await Simulation.create({ members: 4, seed: 3, threat, length: 40 })
    await simulation.round(1)
    const [{ participant, vectors }] = simulation.peers
    const { task } = simulation
    const sum = sumName(task.id, 1)
    const size = (await vectors.size(sum))!
    const ask = async (parts: Array<{ offset: number; length: number }>): Promise<number[]> => {
      const context = { task: task.idBytes, epoch: 0, round: 1 }
      const signature = simulation.signAs(1, signedBytes('SumRequest', context, { parts }))
      const { encoded } = encodeMessage('SumRequest', context, 1, { parts }, signature)
      const bytes: number[] = []
      for await (const { kind, payload } of participant.answer(task.members[1], encoded))
        if (kind === 'data') bytes.push(...payload)
      return bytes
    }
    const all = [...(await vectors.readRange(sum, 0, size))]
    assert.deepEqual(await ask([]), [])
    assert.deepEqual(await ask([{ offset: 0, length: size }]), all)
    const some = [
      { offset: 2, length: 3 },
      { offset: size - 1, length: 1 }
    ]
    assert.deepEqual(await ask(some), [...all.slice(2, 5), all[size - 1]])
    for (const parts of [[{ offset: 0, length: size + 1 }], some.toReversed(), [some[0], some[0]]])
      await assert.rejects(ask(parts), { code: 'INVALID', culprit: task.members[1] })
  })

  it('is not given the sums of rounds in which it was no member', async () => {
    const simulation = await Simulation.create({ members: 4, seed: 1, threat, admission: { allow: [20] } })
    const newcomer = await simulation.add(20)
    await pass(simulation, 1000)
    for (let round = 1; round <= 3; round++) {
      void simulation.peers[0].member.want()
      await pass(simulation, 60_000)
    }
    const { vectors, member } = simulation.peers[newcomer]
    assert.ok(member.me >= 0 && member.closedRound === 3)
    assert.notEqual(await vectors.size(sumName(simulation.task.id, 3)), undefined)
    assert.equal(await vectors.size(sumName(simulation.task.id, 2)), undefined)
    assert.equal(await vectors.size(sumName(simulation.task.id, 1)), undefined)
  })

  it('joins epochs later, from an empty journal, and verifies the chain of rosters from the task alone', async () => {
    const simulation = await Simulation.create({ members: 4, seed: 1, threat, admission: { allow: [20, 21] } })
    await simulation.add(20)
    await pass(simulation, 1000)
    const rounds = async (from: number, to: number): Promise<void> => {
      for (let round = from; round <= to; round++) {
        void simulation.peers[0].member.want()
        await pass(simulation, 60_000)
      }
    }
    await rounds(1, 3)
    const late = await simulation.add(21)
    await rounds(4, 6)
    const { participant, member } = simulation.peers[late]
    assert.deepEqual([member.me >= 0, participant.roster.epoch, member.closedRound], [true, 2, 6])
    const { epoch, included } = await recheck(simulation, late, 6)
    assert.deepEqual([epoch, included.length], [2, 6])
    for (const { refusals } of simulation.peers) assert.deepEqual(refusals.map(String), [])
  })
})
