import assert from 'node:assert/strict'
import { startPages } from './pages-network.ts'

describe('a page whose aggregator alters the sum', function () {
  this.timeout(120_000)
  const started = startPages({ daemons: 3, pages: 1 }, { relays: false, pageLeadsFirst: false, lastLies: true })

  it('holds the proof, and ends the round with the right sum', async () => {
    const { network } = started()
    const { task, daemons, visitors } = network
    const round = await network.open()
    const outcome = await network.closed(round)
    assert.deepEqual(
      { status: outcome.status, views: outcome.views, included: outcome.included },
      { status: 'summed', views: 2, included: [0, 1, 2, 3] }
    )
    assert.deepEqual(await network.sumOfPage(visitors[0], round), network.expected(outcome.included, round))
    const { page } = visitors[0]
    const proven = (): boolean => events.some((event) => event.type === 'evidence' && event.kind === 'wrong-sum')
    await page.waitForFunction(proven, { timeout: 60_000 })
    const culprits = await page.evaluate(() =>
      events.flatMap((event) => (event.type === 'evidence' ? [event.culprit] : []))
    )
    const [liar] = daemons.slice(-1).map(({ addresses }) => addresses[0].split('/p2p/')[1])
    assert.deepEqual(new Set(culprits), new Set([liar]))
    assert.ok(task.members.includes(liar))
    assert.deepEqual(visitors[0].errors, [])
  })
})
