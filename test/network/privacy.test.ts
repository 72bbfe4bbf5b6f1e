import assert from 'node:assert/strict'
import { RoundError } from '../../src/index.ts'
import { network } from './applications.ts'

describe('a task with privacy, as a service', () => {
  it('sums with noise, tells what has been given away, and refuses what would go beyond the budget', async () => {
    const privacy = { clip: 1, noiseMultiplier: 0.5, delta: 1e-5, budget: 30 }
    const { nodes, tasks, stop } = await network(4, { length: 300, encoding: undefined, privacy })
    const vector = new Float64Array(300).fill(1 / Math.sqrt(300))
    const contribute = () => Promise.all(nodes.map((node) => node.services.aggregation.contribute(tasks[0].id, vector)))
    try {
      let before = 0
      let refused: unknown
      for (let round = 1; round <= 10 && refused === undefined; round++) {
        const sums = await contribute().catch((error: unknown) => void (refused = error))
        if (!Array.isArray(sums)) break
        for (const { values, privacy, included, clippedFraction } of sums) {
          assert.equal(included.length, 4)
          assert.equal(clippedFraction, undefined)
          // The sum has the norm 4, and the noise of each of 300 elements a deviation of about a half.
          const plain = 4 / Math.sqrt(300)
          const errors = [...values].map((value) => Number(value) - plain)
          assert.ok(errors.some((error) => error !== 0))
          assert.ok(Math.hypot(...errors) / Math.sqrt(300) < 1)
          assert.equal(privacy!.releases, round)
          assert.ok(privacy!.epsilon > before && privacy!.epsilon <= 30)
          assert.ok(privacy!.epsilonOfRound <= privacy!.epsilon)
        }
        before = sums[0].privacy!.epsilon
      }
      assert.ok(before > 0)
      assert.ok(refused instanceof RoundError && refused.code === 'PRIVACY_BUDGET', String(refused))
    } finally {
      await stop()
    }
  })
})

describe('a task with groups, as a service', () => {
  it('gives the sum of each group, and a mean that one bad group cannot move', async () => {
    const groups = { count: 3, trim: 1 }
    const threat = { corrupt: 0, dropout: 0 }
    const encoding = { type: 'fixed', clip: 100, bits: 20 } as const
    const { nodes, tasks, ids, stop } = await network(9, { length: 2, encoding, groups, threat })
    try {
      const sums = await Promise.all(
        nodes.map((node, index) =>
          node.services.aggregation.contribute(tasks[0].id, index === 0 ? [100, -100] : [1, -1])
        )
      )
      for (const sum of sums) {
        assert.equal(sum.groups!.length, 3)
        assert.deepEqual(sum.groups!.flatMap(({ included }) => included).sort(), [...ids].sort())
        assert.ok(Math.abs(Number(sum.values[0]) - 108) < 0.01)
        assert.ok(Math.abs(sum.mean[0] - 12) < 0.01)
        assert.ok(Math.abs(sum.trimmedMean![0] - 1) < 0.01 && Math.abs(sum.trimmedMean![1] + 1) < 0.01)
      }
    } finally {
      await stop()
    }
  })
})
