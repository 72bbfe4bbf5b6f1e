import assert from 'node:assert/strict'
import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { LevelJournal } from '../../src/journal/level-journal.ts'
import { startMembers } from './members.ts'
import { network, secagg, temporaryFolder } from './secagg.ts'

describe('the rounds that stopped nodes keep', function () {
  this.timeout(120_000)
  const folder = temporaryFolder()
  const path = (name: string): string => join(folder(), name)
  /** Of a node that was in a task with slices. */
  let data: string

  before(async () => {
    const shape = ['--peers', '4', '--rounds', '2', '--length', '70000', '--shards', '4', '--audit', '2']
    const run = await network(...shape, '--timeout', '20', '--data', path('slices'), '--in-process')
    assert.equal(run.code, 0, run.stderr)
    data = path('slices/peer-0')
  })

  async function refused(sentence: RegExp, ...args: string[]): Promise<void> {
    const { code, stdout, stderr } = await secagg(...args)
    assert.equal(code, 1, stdout + stderr)
    assert.match(stderr, sentence)
    assert.match(stderr, /^secagg: [^\n]+\n$/)
  }

  async function told(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await secagg(...args)
    assert.equal(code, 0, stderr)
    return stdout
  }

  it('are audited and exported where they were summed in slices, and the export is audited alone', async () => {
    const audited = await told('audit', '1', '--data', data)
    assert.match(audited, /^round 1 of .*: summed\n {2}sum of 4 members/)
    assert.match(audited, /holds: the sum, under the root/)
    await told('export', '2', '--out', path('slices.tar'), '--data', data)
    assert.match(await told('audit', '--file', path('slices.tar')), /holds: the sum, under the root/)
    await told('sum', '2', '--out', path('sum.npy'), '--data', data)
  })

  it('have sums that are written only where they are those that were decided', async () => {
    const altered = path('altered')
    await cp(data, altered, { recursive: true })
    const vectors = await readdir(join(altered, 'vectors'), { recursive: true })
    const [first] = vectors.filter((name) => /sums.*1\.vector$/.test(name))
    const file = join(altered, 'vectors', first)
    const bytes = await readFile(file)
    bytes[12_345] ^= 1
    await writeFile(file, bytes)
    await refused(
      /round 1 does not hold: the sum is not the one under its root/,
      ...['sum', '1', '--out', path('altered.npy'), '--data', altered]
    )
    await writeFile(file, bytes.subarray(1))
    await refused(/the sum has \d+ bytes/, 'sum', '1', '--out', path('altered.npy'), '--data', altered)
    await assert.rejects(readFile(path('altered.npy')), { code: 'ENOENT' })
    await told('sum', '2', '--out', path('right.npy'), '--data', altered)
    await rm(file)
    await refused(/there is no sum of round 1 here/, 'sum', '1', '--out', path('altered.npy'), '--data', altered)
  })

  it('are those of the task that is named, where a node was in several', async () => {
    const terms = { name: 'votes', length: 2, encoding: { type: 'integer', max: 9 }, deadline: 10 } as const
    const members = await startMembers(3, terms)
    const vector = new Int32Array(2).fill(3)
    const contributed = members.daemons.map((daemon) => daemon.contribute({ vector }))
    for (const { ended } of await Promise.all(contributed)) await ended
    await Promise.all(members.daemons.map((daemon) => daemon.stop()))
    const both = path('both')
    await mkdir(both)
    for (const from of [members.folders[0], data])
      await cp(from, both, { recursive: true, filter: (name) => !name.includes('journal') })
    const journal = await LevelJournal.open(join(both, 'journal'))
    for (const from of [members.folders[0], data]) {
      const own = await LevelJournal.open(join(from, 'journal'))
      for await (const [key, value] of own.entries('')) await journal.put(key, value)
      await own.close()
    }
    await journal.close()
    await members.stop()
    const named = ['--data', both, '--task']
    assert.match(await told('rounds', ...named, 'votes'), /^ round {2}status.*\n {5}1 {2}summed[^\n]*\n$/)
    assert.match(await told('rounds', ...named, 'local-network'), /\n {5}2 {2}summed/)
    await told('sum', '1', '--out', path('votes.csv'), ...named, members.task.id)
    assert.equal(await readFile(path('votes.csv'), 'utf8'), '9\n9\n')
    assert.match(await told('audit', '1', ...named, 'votes'), /^round 1 of votes /)
    assert.match(await told('audit', '1', ...named, 'local-network'), /^round 1 of local-network /)
    await told('export', '1', '--out', path('votes.tar'), ...named, 'votes')
    assert.match(await told('audit', '--file', path('votes.tar')), /^round 1 of votes /)
    for (const command of [
      ['rounds'],
      ['audit', '1'],
      ['sum', '1', '--out', path('x.npy')],
      ['export', '1', '--out', path('x')]
    ]) {
      await refused(
        /several tasks; name one with --task.*(votes|local-network) \(.*(votes|local-network) \(/,
        ...command,
        '--data',
        both
      )
      await refused(/never been in a task "vote", only in .*(votes|local-network) \(/, ...command, ...named, 'vote')
    }
    const { code, stderr } = await secagg('audit', '--file', path('votes.tar'), '--task', 'votes')
    assert.equal(code, 2)
    assert.match(stderr, /with --file give --task-id/)
  })
})
