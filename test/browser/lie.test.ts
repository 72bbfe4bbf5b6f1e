import assert from 'node:assert/strict'
import type { Browser } from 'puppeteer-core'
import { temporaryFolder } from '../nodes/secagg.ts'
import { closeChromium, openChromium } from './chromium.ts'
import { PagesNetwork } from './pages-network.ts'
import { servePages } from './pages.ts'

describe('a page whose aggregator alters the sum', function () {
  this.timeout(120_000)
  const folder = temporaryFolder()
  let browser: Browser | undefined
  let site: Awaited<ReturnType<typeof servePages>> | undefined
  let network: PagesNetwork | undefined

  before(async function () {
    browser = await openChromium(this)
    site = await servePages()
    network = new PagesNetwork(folder())
    const options = { relays: false, pageLeadsFirst: false, lastLies: true }
    await network.start(browser, site.url, { daemons: 3, pages: 1 }, options)
    await network.assembled({ pagesMeet: false })
  })

  after(async () => {
    await closeChromium(browser)
    await network?.stop()
    await site?.close()
  })

  it('holds the proof, and ends the round with the right sum', async () => {
    const { task, daemons, visitors } = network!
    const round = await network!.open()
    const outcome = await network!.closed(round)
    assert.deepEqual(
      { status: outcome.status, views: outcome.views, included: outcome.included },
      { status: 'summed', views: 2, included: [0, 1, 2, 3] }
    )
    assert.deepEqual(await network!.sumOfPage(visitors[0], round), network!.expected(outcome.included, round))
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
