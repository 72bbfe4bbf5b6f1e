import assert from 'node:assert/strict'
import { simulatedTask } from './identities.ts'
import { Simulation } from './network.ts'
import { checkRound, firstOrder } from './schedule.ts'

/**
 * Numbers of members, as `TEST_MANY=125,250,500,1000`: minutes each, so that no test run takes them by itself. 1,000 need
 * more memory than Node.js gives itself (NODE_OPTIONS=--max-old-space-size=12000).
 */
const sizes = (process.env.TEST_MANY ?? '').split(',').filter(Boolean).map(Number)
const length = 10_000

describe('a round of many members in one process, of 10,000 elements, with one in twenty dropping out', function () {
  this.timeout(0)

  for (const members of sizes.length > 0 ? sizes : [1000])
    it(`is exact for ${members} members`, async function () {
      if (sizes.length === 0) return this.skip()
      const threat = { corrupt: 0.1, dropout: 0.1 }
      const [leader] = firstOrder((await simulatedTask({ members, length, threat })).task)
      const victims = Array.from({ length: Math.floor(members / 20) }, (_, at) => 20 * at + (leader % 20 === 3 ? 4 : 3))
      const kills = victims.map((who) => ({ who, phase: 'mask' as const, round: 1 }))
      const simulation = await Simulation.create({ members, threat, length, seed: 1, kills })
      const before = process.cpuUsage()
      await simulation.round(1, 3_600_000)
      const { user, system } = process.cpuUsage(before)
      const { status, dropped, views, reason } = simulation.honest[0].outcomes[0]
      const perMember = (user + system) / 1000 / members
      const { graph } = simulation.task.thresholds
      const partners = graph === undefined ? members - 1 : graph.maskDegree
      const holders = graph?.shareDegree ?? members - 1
      console.log(
        `      ${members} members: ${perMember.toFixed(0)} ms of processor each, with ${partners} mask slots and ` +
          `${holders} holders of shares; ${views} views, ${Math.round(process.memoryUsage().rss / 2 ** 20)} MiB`
      )
      assert.equal(status, 'summed', reason)
      assert.deepEqual(dropped, victims)
      await checkRound(simulation, 1)
    })
})
