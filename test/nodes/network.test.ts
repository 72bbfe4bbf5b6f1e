import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { generateInput, reproducible } from '../../nodes/local-network/generated-inputs.ts'
import type { RoundReport } from '../../nodes/local-network/report.ts'
import { readNpy, writeNpy } from '../../nodes/npy.ts'
import { network, processesOf, secagg, startSecagg, temporaryFolder } from './secagg.ts'
import type { NetworkEnded } from './secagg.ts'

const everyone = (members: number): number[] => Array.from({ length: members }, (_, member) => member)
const without = (members: number, gone: number): number[] => everyone(members).filter((member) => member !== gone)

/** Every round summed and exact, each led by another member. */
function assertAllExact({ code, rounds, summary, stderr }: NetworkEnded, members: number, expected: number): void {
  assert.equal(code, 0, stderr)
  for (const round of rounds) {
    assert.equal(round.status, 'summed')
    assert.equal(round.exact, true)
    assert.deepEqual(round.included, everyone(members))
    assert.equal(round.bytesSent.length, members)
    assert.ok(round.bytesSent.every((bytes) => bytes > 0) && round.bytesReceived.every((bytes) => bytes > 0))
  }
  const counts = { rounds: expected, summed: expected, burned: 0, distinctAggregators: expected, exact: expected }
  assert.deepEqual(summary, { type: 'summary', ...counts })
}

describe('a network of processes', function () {
  this.timeout(300_000)
  const folder = temporaryFolder()

  it('sums integers exactly, and writes the sums', async () => {
    const [out, data] = [join(folder(), 'integers'), join(folder(), 'integers-data')]
    const encoding = ['--encoding', 'integer', '--min', '-500', '--max', '1000', '--length', '77', '--seed', 'test']
    const ended = await network('--peers', '3', '--rounds', '2', ...encoding, '--out', out, '--data', data)
    assertAllExact(ended, 3, 2)
    const plain = new Array<bigint>(77).fill(0n)
    for (const member of everyone(3)) {
      const input = generateInput({ type: 'integer', min: -500, max: 1000 }, 77, reproducible('input', 'test', member))
      input.forEach((value: number | bigint, at: number) => (plain[at] += BigInt(value)))
      assert.deepEqual((await readNpy(join(data, `peer-${member}.npy`))).values, input)
    }
    const { dtype, values } = await readNpy(join(out, 'round-2.npy'))
    assert.equal(dtype, 'int64')
    assert.deepEqual(values, BigInt64Array.from(plain))
    const { values: described, ...report } = JSON.parse(
      await readFile(join(out, 'round-2.json'), 'utf8')
    ) as RoundReport & {
      values: { max: number }
    }
    assert.deepEqual(report, ended.rounds[1])
    assert.equal(described.max, Number(plain.reduce((a, b) => (a > b ? a : b))))
    assert.deepEqual(await processesOf(data), [])
  })

  it('sums in slices, each added up by another member, although one of them is killed', async () => {
    const { code, rounds, stderr } = await network(
      ...['--peers', '4', '--shards', '4', '--rounds', '2', '--length', '70000', '--timeout', '3'],
      ...['--kill', '3@mask', '--kill', 'aggregator@sum:2']
    )
    assert.equal(code, 0, stderr)
    assert.deepEqual(
      rounds.map(({ status, exact }) => [status, exact]),
      [
        ['summed', true],
        ['summed', true]
      ]
    )
    assert.equal(rounds[0].included.includes(3), false)
  })

  it('sums weighted fixed point within the quantisation error, of inputs that may differ from round to round', async () => {
    const [inputs, out] = [join(folder(), 'inputs'), join(folder(), 'weighted')]
    await mkdir(inputs)
    for (const member of everyone(4))
      await writeNpy(join(inputs, `peer-${member}.npy`), Float32Array.of(member, -1, 0.5))
    await writeNpy(join(inputs, 'peer-3.round-2.npy'), Float64Array.of(7, 7, 70))
    const sizes = ['--peers', '4', '--rounds', '2', '--inputs', inputs]
    const ended = await network(...sizes, '--weights', '1,2,3,10', '--bits', '20', '--out', out)
    assertAllExact(ended, 4, 2)
    const close = async (round: number, expected: number[]): Promise<void> => {
      const { values } = await readNpy(join(out, `round-${round}.npy`))
      expected.forEach((value, at) =>
        assert.ok(Math.abs(Number(values[at]) - value) < 0.01, `round ${round}: ${values.join(' ')}`)
      )
    }
    // Σ x·weight, and what lies beyond the clip of 8 counts as 8.
    await close(1, [2 + 6 + 30, -16, 8])
    await close(2, [2 + 6 + 70, -6 + 70, 3 + 80])
  })

  it('sums over who is left when a member dies, at whatever phase', async () => {
    const phases = ['keys', 'shares', 'mask', 'agree', 'unmask', 'sum']
    const kills = phases.flatMap((phase, at) => ['--kill', `member@${phase}:${at + 1}`])
    const ended = await network('--peers', '8', '--rounds', '6', '--length', '100', '--timeout', '3', ...kills)
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
      if (round > 3) assert.deepEqual(included, everyone(8), where)
      else assert.deepEqual(included, without(8, gone), where)
      if (phase === 'keys') assert.deepEqual(missing, [gone], where)
      if (phase === 'mask') assert.deepEqual(dropped, [gone], where)
    }
    assert.equal(ended.summary?.distinctAggregators, 6)
  })

  it('passes vectors of ten million elements, and reports what the aggregator needed', async () => {
    const ended = await network('--peers', '4', '--rounds', '1', '--length', '10000000', '--timeout', '60')
    assertAllExact(ended, 4, 1)
    const [{ aggregatorIndex, maxRssBytes, eventLoopMaxMs }] = ended.rounds
    const mebibytes = (bytes: number) => Math.round(bytes / 2 ** 20)
    console.log(
      `      the aggregator's peak was ${mebibytes(maxRssBytes[aggregatorIndex!])} MiB, that of the others ` +
        `${mebibytes(Math.min(...maxRssBytes))} MiB or more; no event loop stood still for more than ` +
        `${Math.round(Math.max(...eventLoopMaxMs))} ms`
    )
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

describe('a network in one process', function () {
  this.timeout(120_000)

  it('sums as one of processes does', async () => {
    assertAllExact(await network('--in-process', '--peers', '5', '--rounds', '3', '--length', '20000'), 5, 3)
  })
})

describe('private word counts', function () {
  this.timeout(120_000)

  it('run five rounds with five aggregators, lose a member in round 3, and show the aggregator nothing but noise', async () => {
    const { code, stdout, stderr } = await secagg('word-counts', '--json')
    assert.equal(code, 0, stderr)
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { type: string })
    const rounds = lines.filter((line): line is RoundReport => line.type === 'round')
    assert.deepEqual(
      rounds.map(({ included }) => included.length),
      [8, 8, 7, 8, 8]
    )
    assert.ok(rounds.every(({ exact }) => exact))
    assert.equal(new Set(rounds.map(({ aggregatorIndex }) => aggregatorIndex)).size, 5)
    assert.equal(rounds[2].dropped.length, 1)
    const { top, glimpse } = lines.find((line) => line.type === 'word-counts') as unknown as {
      top: { word: string; count: number }[]
      glimpse: { member: number; aggregatorIndex: number; words: { truth: number; received: number }[] }
    }
    assert.equal(top[0].word, 'the')
    assert.notEqual(glimpse.aggregatorIndex, glimpse.member)
    assert.ok(glimpse.words.filter(({ truth, received }) => truth === received).length < 2)
    assert.match(stderr, /\n {6}3 {2}peer-\d {6}7\/8 .* yes\n/)
  })
})
