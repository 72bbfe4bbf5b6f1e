import assert from 'node:assert/strict'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { archivedTasks, RoundArchive } from '../../nodes/daemon/archive.ts'
import { recordOf } from '../../nodes/daemon/round-record.ts'
import { createLanes } from '../../src/crypto/mask-stream.ts'
import { pack } from '../../src/encoding/packing.ts'
import { SecureAggregationError } from '../../src/errors.ts'
import { MemoryJournal } from '../../src/journal/journal.ts'
import { MemoryVectorStore } from '../../src/journal/vector-store.ts'
import { PrivacyLedger, privateTerms } from '../../src/round/privacy-ledger.ts'
import { sumKey, sumName } from '../../src/round/round.ts'
import { createTask } from '../../src/task/task.ts'
import type { Task } from '../../src/task/task.ts'

describe('what a node keeps of closed rounds', () => {
  const journal = new MemoryJournal()
  const vectors = new MemoryVectorStore()
  const retention = { keepSums: 2, keepRounds: 11 }
  let task: Task

  const outcomeOf = (round: number) => ({
    ...{ round, epoch: 0, status: 'summed' as const, aggregator: 1, views: 1, attempts: 1, included: [0, 1, 2] },
    ...{ dropped: [], missing: [], input: 'summed' as const, phaseMs: { keys: 1 }, durationMs: 5 },
    decision: new Uint8Array()
  })

  async function close(archive: RoundArchive, round: number, to = { journal, vectors }): Promise<void> {
    const lanes = createLanes(task.bits, task.laneCount).fill(round)
    const staged = await to.vectors.stage(sumName(task.id, round))
    await staged.write(pack(lanes, task.bits))
    await staged.commit()
    await to.journal.put(sumKey(task.id, round), Uint8Array.of(1))
    await archive.add(recordOf(outcomeOf(round), task, { bytesSent: 1, bytesReceived: 2 }), task, true)
  }

  const code = (expected: string) => (error: unknown) =>
    error instanceof SecureAggregationError && error.code === expected

  before(async () => {
    const keys = await Promise.all([1, 2, 3].map(() => generateKeyPair('Ed25519')))
    const members = keys.map((key) => peerIdFromPrivateKey(key).toString())
    task = createTask({ name: 'kept', members, length: 3, encoding: { type: 'integer', max: 100 } })
    const archive = await RoundArchive.open(journal, vectors, task.id, retention)
    // Round 1 and rounds 10 to 12 begin alike: removing the one must leave the others.
    for (let round = 1; round <= 12; round++) await close(archive, round)
  })

  it('are told while another one is being written, without that one', async () => {
    const own = { journal: new MemoryJournal(), vectors: new MemoryVectorStore() }
    const archive = await RoundArchive.open(own.journal, own.vectors, task.id, { keepSums: 1, keepRounds: 2 })
    const numbers = async () => (await archive.list(9)).map(({ round, hasSum }) => [round, hasSum])
    await close(archive, 1, own)
    await close(archive, 2, own)
    assert.deepEqual(await numbers(), [
      [2, true],
      [1, false]
    ])
    const [begun, written] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const write = own.journal.batch.bind(own.journal)
    own.journal.batch = async (operations) => {
      // The batch that forgets the first round.
      if (operations.some(({ type }) => type === 'del')) {
        begun.resolve()
        await written.promise
      }
      await write(operations)
    }
    const third = close(archive, 3, own)
    await begun.promise
    // Those that it replaces are gone, and it is not there yet.
    assert.deepEqual(await numbers(), [[2, false]])
    written.resolve()
    await third
    assert.deepEqual(await numbers(), [
      [3, true],
      [2, false]
    ])
  })

  it('are the last sums and more records, newest first, also when it is opened again', async () => {
    const archive = await RoundArchive.open(journal, vectors, task.id, retention)
    const told = await archive.list(100)
    assert.deepEqual(
      told.map(({ round }) => round),
      [12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2]
    )
    assert.deepEqual(
      told.filter(({ hasSum }) => hasSum).map(({ round }) => round),
      [12, 11]
    )
    assert.deepEqual(
      (await archive.list(1, 5)).map(({ round }) => round),
      [4]
    )
    const { values, included } = await archive.sum(12)
    assert.deepEqual([...values], [12n, 12n, 12n])
    assert.deepEqual(included, task.members)
    assert.deepEqual(await archivedTasks(journal), [task.id])
  })

  it('is not what is too long ago: its vector is removed, and whoever asks is told why', async () => {
    const archive = await RoundArchive.open(journal, vectors, task.id, retention)
    await assert.rejects(archive.sum(10), code('SUM_MISSING'))
    assert.equal(await vectors.size(sumName(task.id, 10)), undefined)
    assert.equal(await journal.get(sumKey(task.id, 10)), undefined)
    await assert.rejects(archive.record(1), code('ROUND_UNKNOWN'))
  })

  it('is the record of a kept sum, however many burned rounds follow', async () => {
    const own = await RoundArchive.open(new MemoryJournal(), vectors, task.id, { keepSums: 2, keepRounds: 3 })
    const add = (round: number, status: 'summed' | 'burned'): Promise<void> =>
      own.add(
        recordOf({ ...outcomeOf(round), status }, task, { bytesSent: 1, bytesReceived: 2 }),
        task,
        status === 'summed'
      )
    const kept = async (): Promise<number[]> => (await own.list(100)).map(({ round }) => round)
    await add(11, 'summed')
    await add(12, 'summed')
    for (let round = 13; round <= 20; round++) await add(round, 'burned')
    assert.deepEqual(await kept(), [20, 19, 18, 12, 11])
    assert.equal((await own.sum(12)).values.length, 3)
    await add(21, 'summed')
    assert.deepEqual(await kept(), [21, 20, 19, 12])
  })

  it('is, in a task with privacy, also what this node has given away, as far as it is known now', async () => {
    const own = new MemoryJournal()
    const privacy = { noiseMultiplier: 1, delta: 1e-5 }
    const privately = createTask({ name: 'kept', members: [...task.members], length: 3, privacy })
    const lanes = createLanes(privately.bits, privately.laneCount)
    const staged = await vectors.stage(sumName(privately.id, 1))
    await staged.write(pack(lanes, privately.bits))
    await staged.commit()
    await own.put(sumKey(privately.id, 1), Uint8Array.of(1))
    const archive = await RoundArchive.open(own, vectors, privately.id, retention)
    await archive.add(recordOf(outcomeOf(1), privately, { bytesSent: 1, bytesReceived: 2 }), privately, true)
    const { privacy: before } = await archive.sum(1)
    assert.equal(before!.epsilon, 0)
    assert.ok(before!.epsilonOfRound > 0)
    await new PrivacyLedger(privateTerms(privately)!, own).enter(1, privateTerms(privately)!)
    const { privacy: after } = await archive.sum(1)
    assert.equal(after!.releases, 1)
    assert.ok(after!.epsilon > 0)
  })
})
