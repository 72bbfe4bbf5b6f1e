import assert from 'node:assert/strict'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { generateInput, reproducible } from '../../nodes/local-network/generated-inputs.ts'
import type { RoundReport } from '../../nodes/local-network/report.ts'
import { readNpy, writeNpy } from '../../nodes/npy.ts'
import { network, processesOf, temporaryFolder } from './secagg.ts'
import type { NetworkEnded } from './secagg.ts'

const everyone = (members: number): number[] => Array.from({ length: members }, (_, member) => member)

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

  it('passes vectors of ten million elements, and reports what the aggregator needed', async () => {
    const ended = await network('--peers', '3', '--rounds', '1', '--length', '10000000', '--timeout', '60')
    assertAllExact(ended, 3, 1)
    const [{ aggregatorIndex, maxRssBytes, eventLoopMaxMs }] = ended.rounds
    const mebibytes = (bytes: number) => Math.round(bytes / 2 ** 20)
    console.log(
      `      the aggregator's peak was ${mebibytes(maxRssBytes[aggregatorIndex!])} MiB, that of the others ` +
        `${mebibytes(Math.min(...maxRssBytes))} MiB or more; no event loop stood still for more than ` +
        `${Math.round(Math.max(...eventLoopMaxMs))} ms`
    )
  })
})

describe('a network in one process', function () {
  this.timeout(120_000)

  it('sums as one of processes does', async () => {
    assertAllExact(await network('--in-process', '--peers', '5', '--rounds', '3', '--length', '20000'), 5, 3)
  })
})
