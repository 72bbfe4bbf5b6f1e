import assert from 'node:assert/strict'
import * as dagCbor from '@ipld/dag-cbor'
import { CHUNK_ELEMENTS, packedLength } from '../../src/encoding/packing.ts'
import { decodeMessage, encodeMessage, signedBytes } from '../../src/round/messages.ts'
import type { Body, Message } from '../../src/round/messages.ts'
import { chunkTree } from '../../src/round/chunks.ts'
import type { Frame, Phase } from '../../src/round/ports.ts'
import { heldRound } from '../../src/round/record.ts'
import { folderOf, sumKey } from '../../src/round/round.ts'
import type { Behaviour } from './adversaries/index.ts'
import { runHostile } from './hostile.ts'
import type { HostileSchedule } from './hostile.ts'
import { identity, simulatedTask } from './identities.ts'
import type { Identity } from './identities.ts'
import { Simulation } from './network.ts'
import { checkNobodyConvicted, checkRound, firstOrder } from './schedule.ts'

/** Six members, of whom one may lie and one may be missing, and a sum of several chunks. */
const terms = { members: 6, threat: { corrupt: 0.17, dropout: 0.17 }, length: 4 * CHUNK_ELEMENTS + 11, audit: 0 }
const { task } = await simulatedTask(terms)
const order = firstOrder(task)
const [leader] = order
/** It is the first to have a part of the sum, and passes it on. */
const server = order[1]

async function run(over: Partial<HostileSchedule>) {
  const quiet = { crashes: [], breaks: [], partitions: [], lostDirect: 0, adversaries: [], rounds: 1, seed: 3 }
  const { simulation } = await runHostile({ ...terms, ...quiet, ...over })
  checkNobodyConvicted(simulation)
  const [{ status, views }] = simulation.honest[0].outcomes
  const refusals = simulation.honest.flatMap((peer) => peer.refusals) as Array<Error & { culprit?: string }>
  return { simulation, status, views, refusals }
}

async function pass({ clock }: Simulation, ms: number): Promise<void> {
  let over = false
  void clock.sleep(ms).then(() => (over = true))
  await clock.run(() => over, clock.now() + ms)
}

/** What the first leader answers, in types of messages. */
async function askLeader(
  simulation: Simulation,
  body: Body<'ChunkRequest'>,
  { from = order[2], by }: { from?: number; by?: Identity } = {}
): Promise<string[]> {
  const context = { task: task.idBytes, epoch: 0, round: 1 }
  const bytes = signedBytes('ChunkRequest', context, body)
  const { id, signature } = by
    ? { id: by.id, signature: by.sign(bytes) }
    : { id: task.members[from], signature: simulation.signAs(from, bytes) }
  const { encoded } = encodeMessage('ChunkRequest', context, from, body, signature)
  const frames: Frame[] = []
  const answered = (async () => {
    for await (const frame of simulation.peers[leader].participant.answer(id, encoded)) frames.push(frame)
  })()
  await Promise.all([answered, pass(simulation, 10_000)])
  return frames.map(({ kind, payload }) => (kind === 'data' ? 'bytes' : decodeMessage(payload).type))
}

/** A round in which everybody stops before a phase, as far as it goes until something holds. */
async function stalledBefore(phase: Phase, holds: (simulation: Simulation) => Promise<boolean>): Promise<Simulation> {
  const stalls = order.map((who) => ({ who, phase, round: 1 }))
  const simulation = await Simulation.create({ ...terms, seed: 3, stalls })
  void simulation.peers[leader].member.want()
  for (let waited = 0; !(await holds(simulation)) && waited < 20; waited++) await pass(simulation, 100)
  assert.ok(await holds(simulation))
  return simulation
}

const isSummed = async ({ peers }: Simulation): Promise<boolean> =>
  (await peers[leader].journal.get(sumKey(task.id, 1))) !== undefined

const against = (as: Behaviour, who: number) => run({ adversaries: [{ who, as }] })

describe('the sum of a round', function () {
  this.timeout(0)

  it('goes from member to member, and once from its aggregator', async () => {
    const members = 8
    const simulation = await Simulation.create({ members, seed: 5, length: 14 * CHUNK_ELEMENTS, audit: 0 })
    await simulation.round(1)
    await checkRound(simulation, 1)
    const sum = packedLength(simulation.task.laneCount, simulation.task.bits)
    const [aggregator] = firstOrder(simulation.task)
    const outcome = simulation.peers[0].outcomes[0]
    assert.deepEqual([outcome.views, outcome.included.length], [1, members])
    for (const [index, { sent, received }] of simulation.traffic.entries()) {
      // Its masked vector goes to one other member, whoever it is.
      assert.ok(sent <= 2.3 * sum, `member ${index} sent ${sent} bytes, and a sum has ${sum}`)
      if (index !== aggregator) assert.ok(received <= 2.3 * sum, `member ${index} received ${received} bytes`)
    }
  })

  it('is completed, and not sent again, where a member has a part of it when its round is closed', async () => {
    for (const { shards, rate } of [
      { shards: 1, rate: 800 },
      { shards: 3, rate: 1000 }
    ]) {
      const asked: Array<Body<'SumRequest'>> = []
      let sum = 0
      // Who is late, if anybody, is chance.
      for (let seed = 5; asked.length === 0; seed++) {
        assert.ok(seed < 15, 'no member was late')
        const terms = { members: 12, length: 16 * CHUNK_ELEMENTS, audit: 0, shards, rate }
        const simulation = await Simulation.create({ ...terms, seed })
        for (const { participant } of simulation.peers) {
          const answer = participant.answer.bind(participant)
          participant.answer = (peer, encoded) => {
            const request = decodeMessage(encoded)
            if (request.type === 'SumRequest') asked.push(request.body)
            return answer(peer, encoded)
          }
        }
        await simulation.round(1)
        await checkRound(simulation, 1)
        sum = packedLength(simulation.task.laneCount, simulation.task.bits)
      }
      for (const { parts } of asked) {
        const bytes = parts?.reduce((total, { length }) => total + length, 0) ?? sum
        assert.ok(bytes <= sum / 4, `${bytes} bytes are asked for of a sum of ${sum}`)
      }
    }
  })

  it('comes from others where a member serves altered chunks, which is named', async () => {
    const { status, views, refusals } = await against('BadChunks', server)
    assert.deepEqual([status, views], ['summed', 1])
    const named = refusals.filter(({ message }) =>
      /of the vector of member 6 is not the one under its root/.test(message)
    )
    assert.ok(named.length > 0)
    for (const { culprit } of named) assert.equal(culprit, task.members[server])
  })

  it('comes from others where a member gives nothing, or never answers, which is named', async () => {
    const withheld = await against('WithholdsChunks', server)
    assert.deepEqual([withheld.status, withheld.views], ['summed', 1])
    assert.ok(withheld.refusals.some(({ message }) => message.startsWith(`member ${server} was asked for chunk`)))
    const stalled = await run({ stalls: [{ who: server, phase: 'sum', round: 1 }] })
    assert.deepEqual([stalled.status, stalled.views], ['summed', 1])
    assert.ok(stalled.refusals.some(({ message }) => message === `member ${server} took too long to answer`))
  })

  it('comes from others where a member dies that passes it on', async () => {
    const { status, views } = await run({ kills: [{ who: server, phase: 'sum', round: 1 }] })
    assert.deepEqual([status, views], ['summed', 1])
  })

  it('that an aggregator announces and keeps for itself is published by the next', async () => {
    for (const as of ['WithholdsChunks', 'BadChunks'] as const) {
      const { status, views, refusals } = await against(as, leader)
      assert.deepEqual([status, views], ['summed', 2])
      if (as === 'BadChunks') assert.ok(refusals.some(({ culprit }) => culprit === task.members[leader]))
    }
  })

  it('is whole at all members where its aggregator dies with some of it passed on', async () => {
    for (let step = 60; step <= 84; step += 4) {
      const { status } = await run({ crashes: [{ who: leader, step }] })
      assert.equal(status, 'summed', `after ${step} steps`)
    }
  })

  it('is given to members of the roster only, as far as it is there, and to each a few times', async () => {
    const simulation = await stalledBefore('close', isSummed)
    const header = decodeMessage(
      (await simulation.peers[leader].journal.get(sumKey(task.id, 1)))!
    ) as Message<'SumHeader'>
    const { root, cut } = header.body
    const ask = (over: Partial<Body<'ChunkRequest'>>, from = order[2], by?: Identity) =>
      askLeader(
        simulation,
        { attemptId: cut.attemptId, member: terms.members, root, chunks: [0, 4], ...over },
        { from, by }
      )
    assert.deepEqual(await ask({}), ['Chunk', 'bytes', 'Chunk', 'bytes'])
    assert.deepEqual(await ask({ root: new Uint8Array(32) }), ['Refusal'])
    assert.deepEqual(await ask({ chunks: [0, 5] }), ['Chunk', 'bytes', 'Refusal'])
    await assert.rejects(ask({}, order[2], await identity(20)), { code: 'STRANGER' })
    const most = 8 * 5
    const all = await ask({ chunks: Array<number>(2 * most).fill(1) }, order[3])
    assert.ok(all.filter((one) => one === 'bytes').length <= most)
    assert.equal(all.at(-1), 'Refusal')
  })

  it('opens no masked vector: its chunks are given to members of the roster only, after the decision, until the round is closed', async () => {
    const owner = order[1]
    const { id } = task
    const summed = await stalledBefore('close', isSummed)
    const { journal, vectors, participant } = summed.peers[leader]
    const kept = { task, chronicle: participant.chronicle, journal, vectors, id: task.members[leader] }
    const { transcript } = (await heldRound(kept, 1))!
    const { headers } = dagCbor.decode<{ headers: Uint8Array[] }>(
      dagCbor.decode<{ basis: Uint8Array }>(transcript).basis
    )
    const { body } = headers
      .map((one) => decodeMessage(one))
      .find(({ from }) => from === owner) as Message<'MaskedHeader'>
    const request = { attemptId: body.attemptId, member: owner, root: body.root, chunks: [0, 4] }
    assert.deepEqual(await askLeader(summed, request), ['Chunk', 'bytes', 'Chunk', 'bytes'])
    await assert.rejects(askLeader(summed, request, { by: await identity(20) }), { code: 'STRANGER' })

    // The same vector is here before the decision as well.
    const upload = `${folderOf(id)}/round-1/attempt-0/upload-${owner}`
    const before = await stalledBefore(
      'agree',
      async ({ peers }) => (await peers[leader].vectors.size(upload)) !== undefined
    )
    const shape = { elements: task.laneCount, bits: task.bits }
    const of = { attemptId: body.attemptId, member: owner }
    const tree = await chunkTree(before.peers[leader].vectors, upload, of, shape, { pause: async () => {} })
    assert.deepEqual(tree.root, body.root)
    assert.deepEqual(await askLeader(before, request), ['Refusal'])
    await assert.rejects(askLeader(before, request, { by: await identity(20) }), { code: 'STRANGER' })

    const closed = await Simulation.create({ ...terms, seed: 3 })
    await closed.round(1)
    assert.deepEqual(await askLeader(closed, request), ['Refusal'])
    assert.equal(await closed.peers[leader].vectors.size(upload), undefined)
    await assert.rejects(askLeader(closed, request, { by: await identity(20) }), { code: 'STRANGER' })
  })
})
