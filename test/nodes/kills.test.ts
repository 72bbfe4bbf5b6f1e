import assert from 'node:assert/strict'
import { mortalPhases } from '../../nodes/local-network/kills.ts'
import { network } from './secagg.ts'

/** Longer than a test run has time for, and shown for several deaths at once by faults.test.ts. */
const asked = process.env.TEST_KILLS === undefined ? it.skip : it

describe('a network of processes whose aggregator is killed at a phase, another in each round', function () {
  this.timeout(900_000)

  // Gossip between more than ten peers of one address dies, unless libp2p is told not to mind.
  for (const peers of [8, 13])
    asked(`sums exactly in a later view, of ${peers} members, whatever the phase`, async () => {
      const kills = mortalPhases.flatMap((phase, at) => ['--kill', `aggregator@${phase}:${at + 1}`])
      const rounds = String(mortalPhases.length)
      const ended = await network(
        '--peers',
        String(peers),
        '--rounds',
        rounds,
        '--length',
        '100',
        '--timeout',
        '4',
        ...kills
      )
      assert.equal(ended.code, 0, ended.stderr)
      for (const { round, status, exact, views, killed, aggregatorIndex } of ended.rounds) {
        const where = `killed at ${mortalPhases[round - 1]}`
        assert.deepEqual({ status, exact, killed: killed.length }, { status: 'summed', exact: true, killed: 1 }, where)
        assert.ok(views >= 2 && !killed.includes(aggregatorIndex!), where)
      }
      assert.equal(ended.rounds.length, mortalPhases.length)
    })

  /** In continuous integration. */
  const everything = process.env.TEST_RUNS === 'all' || process.env.TEST_KILLS !== undefined ? it : it.skip
  everything('sums exactly with sixteen members of which one dies while it masks', async () => {
    const args = ['--peers', '16', '--rounds', '2', '--length', '100', '--timeout', '30', '--kill', '5@mask:1']
    const ended = await network(...args, '--encoding', 'integer')
    assert.equal(ended.code, 0, ended.stderr)
    assert.deepEqual(
      ended.rounds.map(({ status, exact, included }) => ({ status, exact, included: included.length })),
      [15, 16].map((included) => ({ status: 'summed', exact: true, included }))
    )
  })
})
