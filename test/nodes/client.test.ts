import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { RunningApi } from '../../nodes/daemon/api/server.ts'
import { readNpy, writeNpy } from '../../nodes/npy.ts'
import { until } from '../network/nodes.ts'
import { startApiOf, startMembers } from './members.ts'
import type { Members } from './members.ts'
import { secagg, startSecagg, temporaryFolder } from './secagg.ts'

const terms = {
  name: 'votes',
  length: 4,
  encoding: { type: 'integer', max: 100 },
  threat: { corrupt: 0, dropout: 0 },
  deadline: 8
} as const

describe('the commands that ask a node', function () {
  this.timeout(120_000)
  const folder = temporaryFolder()
  let members: Members
  let api: RunningApi
  let node: string[]

  before(async () => {
    members = await startMembers(3, terms)
    const started = await startApiOf(members)
    api = started.api
    node = ['--node', api.url, '--token-file', started.tokenFile]
  })
  after(async () => {
    await api.close()
    await members.stop()
  })

  /** Hands a file over and waits, while the others contribute ones. */
  async function contributed(file: string): Promise<Record<string, unknown>> {
    const ended = secagg('contribute', file, '--wait', '--json', ...node)
    const others = members.daemons
      .slice(1)
      .map((daemon) => daemon.contribute({ vector: new Int32Array(4).fill(1) }).then(({ ended: summed }) => summed))
    await Promise.all(others)
    const { code, stdout, stderr } = await ended
    assert.equal(code, 0, stderr)
    return JSON.parse(stdout) as Record<string, unknown>
  }

  const path = (name: string): string => join(folder(), name)

  it('contribute .csv, .npy, .json and raw float32, and write the sum as .npy, .csv and .json', async () => {
    await writeFile(path('mine.csv'), '1,2\n3,4\n')
    await writeFile(path('mine.json'), '[5, 6, 7, 8]')
    await writeNpy(path('mine.npy'), Int32Array.of(9, 10, 11, 12))
    await writeFile(path('mine.f32'), new Uint8Array(Float32Array.of(13, 14, 15, 16).buffer))
    for (const [at, name] of ['mine.csv', 'mine.json', 'mine.npy', 'mine.f32'].entries()) {
      const round = at + 1
      assert.deepEqual(await contributed(path(name)), {
        ...{ type: 'contribution', status: 'summed', round, included: 3, totalWeight: 3 }
      })
      const { code, stderr } = await secagg('sum', String(round), '--out', path('sum.npy'), ...node)
      assert.equal(code, 0, stderr)
      const { dtype, values } = await readNpy(path('sum.npy'))
      assert.equal(dtype, 'int64')
      assert.deepEqual(
        [...values].map(Number),
        [3, 4, 5, 6].map((value) => value + 4 * at)
      )
    }
    assert.equal((await secagg('sum', '1', '--out', path('sum.csv'), ...node)).code, 0)
    assert.equal(await readFile(path('sum.csv'), 'utf8'), '3\n4\n5\n6\n')
    assert.equal((await secagg('sum', '1', '--out', path('sum.json'), ...node)).code, 0)
    assert.deepEqual(JSON.parse(await readFile(path('sum.json'), 'utf8')), {
      ...{ round: 1, totalWeight: 3, included: 3, values: [3, 4, 5, 6] }
    })
  })

  it('list the rounds, and go on with each that is closed', async () => {
    const following = startSecagg('rounds', '--follow', '--json', ...node)
    let told = ''
    following.child.stdout!.on('data', (text: string) => (told += text))
    await until(() => told.includes('"round":4'), 'what is past is told', 30_000)
    await contributed(path('mine.csv'))
    await until(() => told.includes('"round":5'), 'round 5 is told', 30_000)
    following.child.kill()
    await following.ended
    const { stdout } = await secagg('rounds', '--limit', '2', ...node)
    assert.match(stdout, /^ round {2}status.*\n {5}4 {2}summed.*\n {5}5 {2}summed.*\n$/)
  })

  it('audit a round of a running node, and export it to a file that is audited anywhere', async () => {
    const told = await secagg('audit', '1', '--json', ...node)
    assert.equal(told.code, 0, told.stderr)
    const { type, passed, taskId, round, included, closed, sum } = JSON.parse(told.stdout) as Record<string, unknown>
    assert.deepEqual(
      { type, passed, taskId, round, closed, sum },
      { type: 'audit', passed: true, taskId: members.task.id, round: 1, closed: true, sum: true }
    )
    assert.equal((included as string[]).length, 3)
    assert.equal((await secagg('export', '1', '--out', path('round-1.tar'), ...node)).code, 0)
    const { code, stdout, stderr } = await secagg('audit', '--file', path('round-1.tar'), '--task-id', members.task.id)
    assert.equal(code, 0, stderr)
    assert.match(stdout, /^round 1 of votes \(task [0-9a-f]{64}\), epoch 0: summed\n {2}sum of 3 members/)
    assert.match(stdout, /holds: the sum, under the root/)
    assert.match(stdout, /not recomputed: the masked vectors are no longer held/)
  })

  it('end with 1 where an exported round was altered, and say what does not hold', async () => {
    const whole = await readFile(path('round-1.tar'))
    const at = whole.indexOf('sum\0') + 512
    await writeFile(
      path('altered.tar'),
      Uint8Array.from(whole, (byte, place) => (place === at ? byte ^ 1 : byte))
    )
    const { code, stdout, stderr } = await secagg('audit', '--file', path('altered.tar'), '--json')
    assert.equal(code, 1)
    assert.deepEqual((JSON.parse(stdout) as { passed: boolean }).passed, false)
    assert.match(stderr, /^secagg: round 1 does not hold: the sum is not the one under its root[^\n]*\n$/)
  })

  it('say in one line what is wrong', async () => {
    const one = async (code: number, sentence: RegExp, ...args: string[]): Promise<void> => {
      const ended = await secagg(...args)
      assert.equal(ended.code, code, ended.stderr)
      assert.match(ended.stderr, sentence)
      assert.match(ended.stderr, /^secagg: [^\n]+\n$/)
    }
    await writeFile(path('short.csv'), '1,2')
    await one(1, /refuses: .*2 elements and the task 4/, 'contribute', path('short.csv'), ...node)
    await one(1, /no such file/, 'contribute', path('nothing.npy'), ...node)
    await one(2, /needs <file>/, 'contribute', ...node)
    await one(2, /--token-file/, 'rounds')
    await one(1, /no record of round 99/, 'sum', '99', '--out', path('x.npy'), ...node)
    await one(2, /must end in \.npy/, 'sum', '1', '--out', path('x.txt'), ...node)
    await one(2, /give a round, or a file/, 'audit')
    await one(2, /is of the task votes/, 'audit', '--file', path('round-1.tar'), '--task-id', 'ab')
    const nobody = ['--node', 'http://127.0.0.1:4', ...node.slice(2)]
    await one(1, /cannot be reached: nothing answers there/, 'rounds', ...nobody)
    await one(1, /is running; ask it with --node/, 'rounds', '--data', members.folders[0])
  })

  it('read what a stopped node kept, and a started one has it again', async () => {
    await members.daemons[2].stop()
    const { stdout } = await secagg('rounds', '--json', '--data', members.folders[2])
    const rounds = stdout
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { round: number }).round)
    assert.deepEqual(rounds, [1, 2, 3, 4, 5])
    assert.equal((await secagg('sum', '2', '--out', path('kept.csv'), '--data', members.folders[2])).code, 0)
    assert.equal(await readFile(path('kept.csv'), 'utf8'), '7\n8\n9\n10\n')
    assert.equal((await secagg('export', '3', '--out', path('round-3.tar'), '--data', members.folders[2])).code, 0)
    assert.equal((await secagg('audit', '--file', path('round-3.tar'))).code, 0)
    const again = await members.restart(2)
    assert.deepEqual([...(await again.archive.sum(2)).values].map(Number), [7, 8, 9, 10])
  })
})

describe('the commands that ask a node of a task with privacy and groups', function () {
  this.timeout(120_000)
  const folder = temporaryFolder()
  let members: Members
  let api: RunningApi
  let node: string[]

  const groups = { count: 2, trim: 0 }
  const privacy = { clip: 1, noiseMultiplier: 1, delta: 1e-5 }

  before(async () => {
    const threat = { corrupt: 0, dropout: 0 }
    members = await startMembers(6, { name: 'private', length: 4, privacy, groups, threat, deadline: 8 })
    const started = await startApiOf(members)
    api = started.api
    node = ['--node', api.url, '--token-file', started.tokenFile]
  })
  after(async () => {
    await api.close()
    await members.stop()
  })

  const path = (name: string): string => join(folder(), name)

  async function contributed(...options: string[]): Promise<string> {
    await writeFile(path('mine.csv'), '0.1,0.2\n0.3,0.4\n')
    const ended = secagg('contribute', path('mine.csv'), '--wait', ...options, ...node)
    const vector = new Float64Array(4).fill(0.1)
    await Promise.all(members.daemons.slice(1).map(async (daemon) => (await daemon.contribute({ vector })).ended))
    const { code, stdout, stderr } = await ended
    assert.equal(code, 0, stderr)
    return stdout
  }

  it('tell the ε reached, as text, as JSON and as a metric', async () => {
    const text = /^summed in round 1, with 6 members; ε reached so far: ([\d.]+) at δ = 0.00001\n$/
    const [, first] = text.exec(await contributed())!
    const { round, epsilon, delta } = JSON.parse(await contributed('--json')) as Record<string, number>
    assert.deepEqual([round, delta], [2, 1e-5])
    assert.ok(epsilon > Number(first) && Number(first) > 0, `${epsilon} after ${first}`)
    const spent = await members.daemons[0].privacySpent()
    assert.deepEqual([spent!.epsilon, spent!.releases], [epsilon, 2])
    const metrics = await (await fetch(`${api.url}/metrics`)).text()
    assert.ok(metrics.includes(`secagg_privacy_epsilon{delta="0.00001"} ${epsilon}\n`), metrics)
    const { stdout } = await secagg('sum', '2', '--out', path('sum.csv'), ...node)
    assert.match(stdout, /: the sum of round 2, 4 elements of 6 members; ε reached so far: [\d.]+ at δ = 0.00001\n$/)
  })

  it('write it with the groups and the trimmed mean beside a sum, of a running and of a stopped node', async () => {
    const { epsilon } = (await members.daemons[0].privacySpent())!
    const fromNode = await secagg('sum', '1', '--json', '--out', path('sum.json'), ...node)
    await members.daemons[0].stop()
    const fromData = await secagg('sum', '1', '--json', '--out', path('kept.json'), '--data', members.folders[0])
    for (const [{ code, stdout, stderr }, file] of [
      [fromNode, path('sum.json')],
      [fromData, path('kept.json')]
    ] as const) {
      assert.equal(code, 0, stderr)
      const { type, length, file: named, ...told } = JSON.parse(stdout) as Record<string, unknown>
      assert.deepEqual([type, length, named], ['sum', 4, file])
      const { values, ...written } = JSON.parse(await readFile(file, 'utf8')) as Record<string, number[]>
      assert.deepEqual(written, told)
      const { groups, trimmedMean, ...others } = told as { groups: Group[]; trimmedMean: number[] }
      assert.deepEqual(others, { round: 1, totalWeight: 6, included: 6, epsilon, delta: 1e-5 })
      assert.deepEqual(groups.flatMap(({ included }) => included).sort(), [...members.task.members].sort())
      assert.equal(trimmedMean.length, 4)
      for (const [at, value] of values.entries())
        assert.ok(Math.abs(groups.reduce((sum, group) => sum + group.values[at], -value)) < 1e-9)
    }
  })
})

interface Group {
  included: string[]
  values: number[]
}
