import assert from 'node:assert/strict'
import { mortalPhases } from '../../nodes/local-network/kills.ts'
import { network } from './secagg.ts'

/** Longer than a test run has time for, and shown for several deaths at once by faults.test.ts. */
const asked = process.env.SECAGG_KILLS === undefined ? it.skip : it

describe('a network of processes whose aggregator is killed at a phase, another in each round', function () {
  this.timeout(900_000)

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
})
