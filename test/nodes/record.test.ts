import assert from 'node:assert/strict'
import { readdir, readlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import * as dagCbor from '@ipld/dag-cbor'
import { readIdentity } from '../../nodes/daemon/identity.ts'
import { exportRound, openExport } from '../../nodes/record/export.ts'
import { reportOf } from '../../nodes/record/report.ts'
import type { AuditReport } from '../../nodes/record/report.ts'
import type { Daemon } from '../../nodes/daemon/daemon.ts'
import { VectorHasher } from '../../src/crypto/merkle.ts'
import { ed25519Signer } from '../../src/crypto/primitives.ts'
import { CHUNK_ELEMENTS, packedLength } from '../../src/encoding/packing.ts'
import { decodeMessage, encodeMessage, signedBytes } from '../../src/round/messages.ts'
import type { Message } from '../../src/round/messages.ts'
import { startApiOf, startMembers } from './members.ts'
import type { Members } from './members.ts'
import { secagg, temporaryFolder } from './secagg.ts'

async function until(condition: () => Promise<boolean>, what: string): Promise<void> {
  const end = Date.now() + 30_000
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`waited in vain until ${what}`)
    await setTimeout(20)
  }
}

/** The files of vectors that this process has open. */
async function openVectors(): Promise<string[]> {
  const open = await readdir('/proc/self/fd')
  const paths = await Promise.all(open.map((fd) => readlink(join('/proc/self/fd', fd)).catch(() => '')))
  return paths.filter((path) => path.includes('.vector'))
}

describe('the record of a node', function () {
  this.timeout(60_000)
  const folder = temporaryFolder()
  let members: Members
  const held = Promise.withResolvers<void>()
  const atClosing = Promise.withResolvers<void>()

  // Garbage collection closes a file as well that nobody has closed, and warns.
  const warnings: string[] = []
  const note = ({ message }: Error): void => void (/on garbage collection/.test(message) && warnings.push(message))

  before(async () => {
    process.on('warning', note)
    members = await startMembers(
      4,
      {
        name: 'record',
        length: 20_000,
        encoding: { type: 'integer', max: 9 },
        threat: { corrupt: 0, dropout: 0.25 },
        deadline: 30
      },
      {
        phase: async (phase, round, leading) => {
          if (phase !== 'close' || round !== 1 || !leading) return
          atClosing.resolve()
          await held.promise
        }
      }
    )
  })
  after(async () => {
    held.resolve()
    await members.stop()
    process.off('warning', note)
  })

  const contribute = (daemons: Daemon[]): Promise<number[]> =>
    Promise.all(
      daemons.map(async (daemon) => (await daemon.contribute({ vector: new Int32Array(20_000).fill(1) })).ended)
    )

  function placeOfFirstLeader(): number {
    const { data } = members.daemons[0].feed.history().find(({ name }) => name === 'round:open') as {
      data: { order: number[] }
    }
    return members.daemons.findIndex(({ id }) => id === members.task.members[data.order[0]])
  }

  async function passed(told: Promise<AuditReport>): Promise<AuditReport & { passed: true }> {
    const report = await told
    assert.ok(report.passed, report.passed ? '' : report.reason)
    return report
  }

  it('is exported by the leader between sum and closing with all masked vectors, and audited from the file alone, every chunk recomputed', async () => {
    const summed = contribute(members.daemons)
    await atClosing.promise
    const place = placeOfFirstLeader()
    const leader = members.daemons[place]
    const { api, tokenFile } = await startApiOf(members, place)
    const file = join(folder(), 'running.tar')
    // It stores its own sum like any other member while it goes on to the closing.
    await until(async () => (await leader.held(1).catch(() => undefined)) !== undefined, 'the sum is stored')
    const exported = await secagg('export', '1', '--out', file, '--node', api.url, '--token-file', tokenFile)
    assert.equal(exported.code, 0, exported.stderr)
    await api.close()
    const other = members.daemons.find(({ id }) => id !== leader.id)!
    await until(async () => (await other.held(1).catch(() => undefined)) !== undefined, 'another has the sum')
    const part = await passed(reportOf(await other.held(1)))
    held.resolve()
    // Whoever does not lead has its own, and the leader's where that is in its custody: too few to recompute a chunk.
    assert.ok(part.masked.includes(other.id))
    assert.ok(part.masked.every((id) => id === other.id || id === leader.id))
    assert.deepEqual(part.chunks, { checked: 0, of: 2 })
    await summed
    const audited = await secagg('audit', '--file', file, '--task-id', members.task.id, '--json')
    assert.equal(audited.code, 0, audited.stderr)
    const { closed, masked, chunks, aggregator } = JSON.parse(audited.stdout) as AuditReport & { passed: true }
    assert.deepEqual(
      { closed, chunks, aggregator },
      { closed: false, chunks: { checked: 2, of: 2 }, aggregator: leader.id }
    )
    assert.deepEqual([...masked].sort(), [...members.task.members].sort())
  })

  it('of a wrong sum ends the audit of its export with 1, and names whoever signed its root', async () => {
    const { held: round, close } = await openExport(join(folder(), 'running.tar'))
    const { idBytes, bits } = members.task
    const sum = await round.sum!.read(0, round.sum!.size)
    sum[5] ^= 1
    const parts = dagCbor.decode<Record<'basis' | 'sum' | 'decision', Uint8Array>>(round.transcript)
    const { body, from } = decodeMessage(parts.sum) as Message<'SumHeader'>
    const { attemptId } = body.cut
    const hasher = new VectorHasher({ attemptId, member: 4, chunkBytes: packedLength(CHUNK_ELEMENTS, bits) })
    hasher.update(sum)
    const wrong = { ...body, root: hasher.finish().root }
    const context = { task: idBytes, epoch: 0, round: 1 }
    const place = placeOfFirstLeader()
    const key = await readIdentity(members.folders[place])
    const sign = ed25519Signer(key.raw.subarray(0, 32))
    const { encoded } = encodeMessage('SumHeader', context, from, wrong, sign(signedBytes('SumHeader', context, wrong)))
    const lie = { size: sum.length, read: async (at: number, length: number) => sum.slice(at, at + length) }
    const transcript = dagCbor.encode({ ...parts, sum: encoded })
    const file = join(folder(), 'wrong.tar')
    await writeFile(file, exportRound({ ...round, transcript, sum: lie }))
    await close()
    const { code, stdout, stderr } = await secagg('audit', '--file', file, '--json')
    const { id } = members.daemons[place]
    const { passed, culprit } = JSON.parse(stdout) as AuditReport & { passed: false }
    assert.deepEqual([code, passed, culprit], [1, false, id])
    assert.match(stderr, new RegExp(`member ${from} published is wrong: element \\d+ [^\\n]+\\(culprit: ${id}\\)\\n$`))
  })

  it('leaves no file of a round open that is over', async function () {
    if (process.platform !== 'linux') this.skip()
    await until(async () => (await openVectors()).length === 0, 'all are closed')
    assert.deepEqual(warnings, [])
  })

  it('has the sum of a round that was closed while the node was away, and its transcript', async () => {
    // Who led the first round does not lead the second: nobody waits for it until time is up.
    const away = placeOfFirstLeader()
    await members.daemons[away].stop()
    await contribute(members.daemons.filter((_, place) => place !== away))
    const back = await members.restart(away)
    await until(async () => (await back.archive.list(10)).length === 2, 'the rounds are recorded')
    const rounds = await back.archive.list(10)
    assert.deepEqual(
      rounds.map(({ round, input, hasSum, included }) => [round, input, hasSum, included.length]),
      [
        [2, 'none', true, 3],
        [1, 'summed', true, 4]
      ]
    )
    for (const { round } of rounds) {
      assert.equal((await back.archive.sum(round)).values[7], round === 1 ? 4n : 3n)
      const { closed, sum } = await passed(reportOf(await back.held(round)))
      assert.deepEqual([closed, sum], [true, true])
    }
  })
})
