import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as dagCbor from '@ipld/dag-cbor'
import { exportRound, openExport } from '../../nodes/record/export.ts'
import { VectorHasher } from '../../src/crypto/merkle.ts'
import { CHUNK_ELEMENTS, packedLength } from '../../src/encoding/packing.ts'
import { MessageError } from '../../src/errors.ts'
import { decodeMessage, encodeMessage, signedBytes } from '../../src/round/messages.ts'
import type { Message } from '../../src/round/messages.ts'
import { onThisThread } from '../../src/round/ports.ts'
import { heldRound, slicesKey } from '../../src/round/record.ts'
import type { HeldRound, HeldVector } from '../../src/round/record.ts'
import { recheckRound } from '../../src/round/recheck.ts'
import type { RoundRecheck } from '../../src/round/recheck.ts'
import { simulatedTask } from './identities.ts'
import { Simulation } from './network.ts'
import { firstOrder } from './schedule.ts'

const threat = { corrupt: 0, dropout: 0.25 }

function held(simulation: Simulation, index: number, round: number): Promise<HeldRound | undefined> {
  const { participant, journal, vectors, id } = simulation.peers[index]
  return heldRound({ task: simulation.task, chronicle: participant.chronicle, journal, vectors, id }, round)
}

const recheck = (simulation: Simulation, of: HeldRound): Promise<RoundRecheck> =>
  recheckRound(of, { clock: simulation.clock, compute: onThisThread })

/** The same with bytes that lie elsewhere. */
const vectorOf = (bytes: Uint8Array): HeldVector => ({
  size: bytes.length,
  read: async (offset, length) => bytes.slice(offset, offset + length)
})

const copyOf = ({ size, read }: HeldVector): Promise<Uint8Array> => read(0, size)

/** Time that passes without a round. */
async function pass({ clock }: Simulation, ms: number): Promise<void> {
  let over = false
  void clock.sleep(ms).then(() => (over = true))
  await clock.run(() => over, clock.now() + ms)
}

const refused = (sentence: RegExp, culprit?: string) => (error: unknown) => {
  assert.ok(error instanceof MessageError, String(error))
  assert.match(error.message, sentence)
  assert.equal(error.culprit, culprit)
  return true
}

describe('the record of a round', function () {
  this.timeout(0)
  let simulation: Simulation
  /** What the leader of the first round holds of it, masked vectors included. */
  let whole: HeldRound
  let leader: number

  before(async () => {
    const length = CHUNK_ELEMENTS + 3
    simulation = await Simulation.create({ members: 5, seed: 1, threat, length })
    await simulation.round(1)
    leader = simulation.peers[0].outcomes[0].aggregator
    const found = (await held(simulation, leader, 1))!
    const masked = new Map<number, HeldVector>()
    for (const [member, vector] of found.masked) masked.set(member, vectorOf(await copyOf(vector)))
    whole = { ...found, masked, sum: vectorOf(await copyOf(found.sum!)) }
  })

  it('is checked again from the task alone, every chunk of the sum where the masked vectors are held', async () => {
    const { id } = simulation.peers[leader]
    assert.deepEqual(await recheck(simulation, whole), {
      ...{ round: 1, epoch: 0, aggregator: id, included: simulation.peers.map((peer) => peer.id), dropped: [] },
      ...{ closed: true, sum: true, masked: simulation.peers.map((peer) => peer.id), slices: 0 },
      ...{ chunks: { checked: 2, of: 2 } }
    })
  })

  it('is held by every member, without masked vectors once the round is closed, and so for each round', async () => {
    for (let round = 2; round <= 3; round++) await simulation.round(round)
    await pass(simulation, 5000)
    for (const index of simulation.peers.keys())
      for (let round = 1; round <= 3; round++) {
        const { closed, sum, masked, chunks } = await recheck(simulation, (await held(simulation, index, round))!)
        assert.deepEqual(
          { closed, sum, masked, chunks },
          { closed: true, sum: true, masked: [], chunks: { checked: 0, of: 2 } }
        )
      }
  })

  it('is refused where any byte of what is public was changed', async () => {
    const { transcript } = whole
    for (let at = 0; at < transcript.length; at += 97) {
      const changed = transcript.map((byte, place) => (place === at ? byte ^ 1 : byte))
      await assert.rejects(recheck(simulation, { ...whole, masked: new Map(), transcript: changed }), MessageError)
    }
  })

  it('is refused where a sum or a masked vector was altered on its way here, which is nobody’s fault that is known', async () => {
    const sum = await copyOf(whole.sum!)
    sum[5] ^= 1
    await assert.rejects(
      recheck(simulation, { ...whole, sum: vectorOf(sum) }),
      refused(/the sum is not the one under its root/)
    )
    await assert.rejects(
      recheck(simulation, { ...whole, sum: vectorOf(sum.slice(1)) }),
      refused(/the sum has \d+ bytes/)
    )
    const masked = await copyOf(whole.masked.get(2)!)
    masked[7] ^= 1
    const others = new Map([...whole.masked, [2, vectorOf(masked)]])
    await assert.rejects(
      recheck(simulation, { ...whole, masked: others }),
      refused(/the masked vector of member 2 is not the one/)
    )
  })

  it('names an aggregator that signed the root of a wrong sum, one element of it altered', async () => {
    const { bits, idBytes } = simulation.task
    const sum = await copyOf(whole.sum!)
    sum[5] ^= 1
    const parts = dagCbor.decode<Record<'basis' | 'sum' | 'decision', Uint8Array>>(whole.transcript)
    const { body } = decodeMessage(parts.sum) as Message<'SumHeader'>
    const { attemptId } = body.cut
    const hasher = new VectorHasher({ attemptId, member: 5, chunkBytes: packedLength(CHUNK_ELEMENTS, bits) })
    hasher.update(sum)
    const wrong = { ...body, root: hasher.finish().root }
    const context = { task: idBytes, epoch: 0, round: 1 }
    const signature = simulation.signAs(leader, signedBytes('SumHeader', context, wrong))
    const { encoded } = encodeMessage('SumHeader', context, leader, wrong, signature)
    const transcript = dagCbor.encode({ ...parts, sum: encoded, closing: null })
    const { id } = simulation.peers[leader]
    await assert.rejects(
      recheck(simulation, { ...whole, transcript, sum: vectorOf(sum) }),
      refused(/member \d published is wrong: element \d+/, id)
    )
    // Where the round is closed, a quorum stands for the root.
    const closed = dagCbor.encode({ ...dagCbor.decode<object>(whole.transcript), sum: encoded })
    await assert.rejects(
      recheck(simulation, { ...whole, transcript: closed, sum: vectorOf(sum) }),
      refused(/another sum/)
    )
  })

  it('is refused without what closed the round before, or with that of another round', async () => {
    const second = (await held(simulation, 0, 2))!
    const third = (await held(simulation, 0, 3))!
    await assert.rejects(recheck(simulation, { ...second, before: null }), refused(/what closed round 1 is missing/))
    await assert.rejects(recheck(simulation, { ...second, before: third.before }), refused(/closed round 2 stands/))
    await assert.rejects(recheck(simulation, { ...second, round: 3 }), MessageError)
  })

  it('is checked in a task with groups, too', async () => {
    const grouped = await Simulation.create({
      members: 9,
      seed: 4,
      threat: { corrupt: 0, dropout: 0 },
      groups: { count: 3, trim: 1 }
    })
    await grouped.round(1)
    const record = (await held(grouped, grouped.peers[0].outcomes[0].aggregator, 1))!
    assert.deepEqual((await recheck(grouped, record)).chunks, { checked: 1, of: 1 })
  })

  it('is checked with members dropped, whose masks are taken off', async () => {
    const who = (leader + 1) % 5
    const losing = await Simulation.create({ members: 5, seed: 1, threat, kills: [{ who, phase: 'mask', round: 1 }] })
    await losing.round(1)
    const living = losing.living[0].outcomes[0]
    const record = (await held(losing, living.aggregator, 1))!
    const { dropped, chunks } = await recheck(losing, record)
    assert.deepEqual(dropped, [losing.peers[who].id])
    assert.deepEqual(chunks, { checked: 1, of: 1 })
  })

  it('is checked through the chain of rosters, of a round that a later roster ran', async () => {
    const growing = await Simulation.create({ members: 4, seed: 1, threat, admission: { allow: [20] } })
    await growing.add(20)
    await pass(growing, 1000)
    for (let round = 1; round <= 3; round++) {
      void growing.peers[0].member.want()
      await pass(growing, 30_000)
    }
    const record = (await held(growing, 0, 3))!
    assert.equal(record.chain.length, 1)
    const { epoch, included } = await recheck(growing, record)
    assert.deepEqual([epoch, included.length], [1, 5])
    await assert.rejects(recheck(growing, { ...record, chain: [] }), MessageError)
  })
})

describe('the record of a round that is summed in slices', function () {
  this.timeout(0)
  const terms = {
    members: 5,
    shards: 3,
    threat: { corrupt: 0.2, dropout: 0 },
    length: 4 * CHUNK_ELEMENTS + 3,
    audit: 0
  }
  let order: number[]

  before(async () => {
    order = firstOrder((await simulatedTask(terms)).task)
  })

  /** The records of all members, by index, of a round that is never closed. */
  async function running(prepare: (simulation: Simulation) => void = () => {}) {
    const stalls = order.map((who) => ({ who, phase: 'close' as const, round: 1 }))
    const simulation = await Simulation.create({ ...terms, seed: 3, stalls })
    prepare(simulation)
    void simulation.peers[0].member.want()
    for (let waited = 0; waited < 100; waited++) {
      await pass(simulation, 100)
      const records = await Promise.all(simulation.peers.map((_, index) => held(simulation, index, 1)))
      if (records.every((record) => record !== undefined)) return { simulation, records: records }
    }
    assert.fail('not all members have the sum')
  }

  it('has what each member sums or keeps: an owner can check each chunk of its slice', async () => {
    const { simulation, records } = await running()
    for (const [index, record] of records.entries()) {
      const { closed, sum, masked, slices, chunks } = await recheck(simulation, record)
      assert.deepEqual([closed, sum, masked], [false, true, [simulation.peers[index].id]])
      const slice = order.slice(0, 3).indexOf(index)
      // The first slice has one chunk, the others two; beside its own, a member may keep that of another owner.
      assert.deepEqual(chunks, { checked: slice < 0 ? 0 : [1, 2, 2][slice], of: 5 })
      assert.ok(slice < 0 || slices >= 4, `${slices} slices of others`)
    }
  })

  it('is the same in an exported file, with its slices, and any of them that was altered is refused', async () => {
    const { simulation, records } = await running()
    const owner = order[1]
    const folder = await mkdtemp(join(tmpdir(), 'secagg-test-'))
    const file = join(folder, 'round.tar')
    await writeFile(file, exportRound(records[owner]))
    const { held: read, close } = await openExport(file)
    try {
      assert.deepEqual(await recheck(simulation, read), await recheck(simulation, records[owner]))
      const { headers, masked } = read.slices!
      for (const at of masked.keys()) {
        const bytes = await copyOf(masked[at])
        bytes[bytes.length - 2] ^= 1
        const lies = masked.map((slice, place) => (place === at ? { ...slice, ...vectorOf(bytes) } : slice))
        await assert.rejects(
          recheck(simulation, { ...read, slices: { headers, masked: lies } }),
          refused(/slice \d of the masked vector of member \d is not the one under its root/)
        )
      }
      const short = { ...masked[0], path: masked[0].path.slice(1) }
      await assert.rejects(
        recheck(simulation, { ...read, slices: { headers, masked: [short] } }),
        refused(/is not the one under its root/)
      )
    } finally {
      await close()
      await rm(folder, { recursive: true })
    }
  })

  it('names the owner of a wrong slice, which signed its root, and not the leader', async () => {
    const who = order[1]
    let lies = true
    const { simulation, records } = await running(({ peers }) => {
      const { vectors } = peers[who]
      const read = vectors.readRange.bind(vectors)
      // It adds up what it was not sent.
      vectors.readRange = async (name, offset, bytes) => {
        const piece = await read(name, offset, bytes)
        if (lies && name.endsWith(`slice-1-${order[2]}`)) piece[0] ^= 1
        return piece
      }
    })
    lies = false
    const { id } = simulation.peers[who]
    const wrong = new RegExp(`slice 1 of the sum, which member ${who} summed, is wrong: element \\d+`)
    await assert.rejects(recheck(simulation, records[who]), refused(wrong, id))
    // So does any other record, with the masked vectors of all.
    const masked = new Map(records.map((record, index) => [index, record.masked.get(index)!]))
    const whole = { ...records[order[0]], masked }
    await assert.rejects(recheck(simulation, whole), refused(wrong, id))
    // Whoever hides the signature of a slice, or shows it for another, blames nobody.
    for (const headers of [[], [whole.slices!.headers[0]], [new Uint8Array(9)]])
      await assert.rejects(
        recheck(simulation, { ...whole, slices: { headers, masked: [] } }),
        refused(/slice 1 of the sum, whose owner's signature is not shown, is wrong/)
      )
  })

  it('has no slices any more once the round is closed', async () => {
    const simulation = await Simulation.create({ ...terms, seed: 3 })
    await simulation.round(1)
    for (const [index, { journal }] of simulation.peers.entries()) {
      assert.equal((await held(simulation, index, 1))!.slices, undefined)
      assert.equal(await journal.get(slicesKey(simulation.task.id, 1)), undefined)
    }
  })
})
