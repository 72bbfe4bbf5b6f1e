import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { writeNpy } from '../../nodes/npy.ts'
import { network, processesOf, startSecagg, temporaryFolder } from './secagg.ts'

const everyone = (members: number): number[] => Array.from({ length: members }, (_, member) => member)
const without = (members: number, gone: number): number[] => everyone(members).filter((member) => member !== gone)

describe('a network of processes that loses members', function () {
  this.timeout(300_000)
  const folder = temporaryFolder()

  it('sums over who is left when a member dies, at whatever phase', async () => {
    const phases = ['keys', 'shares', 'mask', 'agree', 'unmask', 'sum']
    const kills = phases.flatMap((phase, at) => ['--kill', `member@${phase}:${at + 1}`])
    const ended = await network('--peers', '5', '--rounds', '6', '--length', '100', '--timeout', '3', ...kills)
    assert.equal(ended.code, 0, ended.stderr)
    for (const { round, status, exact, killed, included, dropped, missing, views } of ended.rounds) {
      const phase = phases[round - 1]
      const where = `killed at ${phase}`
      assert.deepEqual(
        { status, exact, views, killed: killed.length },
        { status: 'summed', exact: true, views: 1, killed: 1 },
        where
      )
      const [gone] = killed
      // Who is killed at the first phases has not masked; who is killed after them is in the sum.
      if (round > 3) assert.deepEqual(included, everyone(5), where)
      else assert.deepEqual(included, without(5, gone), where)
      if (phase === 'keys') assert.deepEqual(missing, [gone], where)
      if (phase === 'mask') assert.deepEqual(dropped, [gone], where)
    }
    assert.equal(ended.summary?.distinctAggregators, 5)
  })

  it('without restarts goes on with who is left, and says no quorum where too few are', async () => {
    const kills = ['--kill', 'member@shares:1', '--kill', 'member@keys:2']
    const ended = await network('--peers', '4', '--rounds', '3', '--timeout', '2', '--no-restart', ...kills)
    assert.equal(ended.code, 1)
    const [first, second, third] = ended.rounds
    assert.equal(first.exact, true)
    assert.deepEqual(first.included, without(4, first.killed[0]))
    for (const { status, reason } of [second, third])
      assert.deepEqual({ status, reason }, { status: 'burned', reason: 'no quorum' })
    assert.deepEqual({ aggregator: third.aggregator, views: third.views }, { aggregator: null, views: 0 })
    assert.deepEqual(ended.summary, {
      type: 'summary',
      rounds: 3,
      summed: 1,
      burned: 2,
      distinctAggregators: ended.summary?.distinctAggregators,
      exact: 1
    })
  })

  it('leaves no sum of an earlier run beside a round that has none', async () => {
    const out = join(folder(), 'burned')
    await mkdir(out)
    await writeNpy(join(out, 'round-1.npy'), Float64Array.of(1, 2, 3))
    const sizes = ['--peers', '3', '--rounds', '1', '--no-restart', '--out', out]
    const ended = await network(...sizes, '--kill', '0@keys', '--kill', '1@keys')
    assert.equal(ended.rounds[0].status, 'burned', ended.stderr)
    assert.deepEqual(await readdir(out), ['round-1.json'])
  })

  it('warns of more kills in a round than the task allows for, and of kills that never come about', async () => {
    const kills = ['--kill', 'aggregator@sum', '--kill', 'aggregator@keys', '--kill', 'aggregator@keys']
    const { stderr } = await network('--peers', '4', '--rounds', '1', '--timeout', '2', '--no-restart', ...kills)
    assert.match(stderr, /secagg: round 1 has 3 kills and the task allows for 1 missing/)
    assert.match(stderr, /secagg: aggregator@sum:1 never came about/)
  })

  for (const signal of ['SIGINT', 'SIGKILL'] as const) {
    it(`leaves no process behind after ${signal}`, async () => {
      const data = join(folder(), signal)
      const { child, ended } = startSecagg('network', '--peers', '3', '--rounds', '1000', '--data', data, '--json')
      await new Promise((resolve) => child.stdout!.once('data', resolve))
      assert.equal((await processesOf(data)).length, 3)
      child.kill(signal)
      const { code } = await ended
      assert.equal(code, signal === 'SIGINT' ? 130 : null)
      for (let tries = 0; tries < 100 && (await processesOf(data)).length > 0; tries++) await sleep(50)
      assert.deepEqual(await processesOf(data), [])
      assert.ok(existsSync(join(data, 'peer-0', 'identity.key')), 'a named folder stays')
    })
  }
})
