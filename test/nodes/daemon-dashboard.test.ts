import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pino } from 'pino'
import type { Browser, Page } from 'puppeteer-core'
import { startApi } from '../../nodes/daemon/api/server.ts'
import type { RunningApi } from '../../nodes/daemon/api/server.ts'
import { defaultApiSettings } from '../../nodes/daemon/api/settings.ts'
import type { FeedEvents } from '../../nodes/daemon/feed.ts'
import { closeChromium, openChromium } from '../browser/chromium.ts'
import { startMembers } from './members.ts'
import type { Members } from './members.ts'

const patience = { timeout: 60_000 }

describe('the dashboard of a daemon', function () {
  this.timeout(120_000)
  let browser: Browser | undefined
  let members: Members | undefined
  let api: RunningApi | undefined
  let page: Page
  const complaints: string[] = []

  before(async function () {
    browser = await openChromium(this)
    members = await startMembers(4, { name: 'steps', length: 300, encoding: { type: 'integer', min: 0, max: 100 } })
    const tokenFile = join(members.folders[0], 'api.token')
    api = await startApi(
      members.daemons[0],
      { ...defaultApiSettings, listen: '127.0.0.1:0', tokenFile },
      pino({ level: 'silent' })
    )
    page = await browser.newPage()
    page.on('pageerror', (error) => void complaints.push((error as Error).message))
    await page.goto(`${api.url}/#token=${(await readFile(tokenFile, 'utf8')).trim()}`)
  })
  after(async () => {
    await closeChromium(browser)
    await api?.close()
    await members?.stop()
  })

  const text = (selector: string): Promise<string> => page.$eval(selector, (element) => element.textContent ?? '')

  it('tells which of the members it is', async () => {
    await page.waitForFunction(`document.querySelectorAll('.node').length === 4`, patience)
    const labels = await page.$$eval('.node', (nodes) => nodes.map((node) => node.ariaLabel!))
    const me = members!.task.members.indexOf(members!.daemons[0].id)
    assert.deepEqual(
      labels.map((label) => label.includes('this one')),
      [0, 1, 2, 3].map((index) => index === me)
    )
    assert.equal(await text('h1'), 'steps')
  })

  it('shows every round’s sum, and the masked vectors of those that this member leads', async () => {
    const me = members!.task.members.indexOf(members!.daemons[0].id)
    const { feed } = members!.daemons[0]
    const closed = (): FeedEvents['round:closed'][] =>
      feed.history().flatMap(({ name, data }) => (name === 'round:closed' ? [data] : []))
    // Everybody leads once in as many rounds as there are members.
    for (let round = 1; round <= 4 || !closed().some(({ aggregator }) => aggregator === me); round++) {
      const given = members!.daemons.map((daemon) => daemon.contribute({ vector: new Int32Array(300).fill(round) }))
      await Promise.all(given.map(async (contribution) => (await contribution).ended))
      // On a busy machine a vector may have come too late for a round and went into the next.
      const rows = closed().length
      await page.waitForFunction(`document.querySelectorAll('tbody tr').length === ${rows}`, patience)
      await page.waitForSelector('.values polyline', patience)
      if (closed().at(-1)!.aggregator === me) await page.waitForSelector('.vectors canvas', patience)
      else assert.match(await text('.noise-card .hint'), /it alone receives the masked vectors/)
    }
    const summed = closed().filter(({ status }) => status === 'summed')
    const audited = closed().filter(({ audit }) => audit !== undefined && audit.chunks > 0)
    assert.equal(await text('.headline dd'), `${summed.length} of ${closed().length}`)
    assert.equal(await text('.evidence-card header p'), `${audited.length} sums audited by this node`)
    assert.match(await text('.described'), /; all of the sum’s chunks recomputed here\.$/)
    assert.deepEqual(complaints, [])
  })

  it('is no part of what its API document describes', async () => {
    const { paths } = (await (await fetch(`${api!.url}/openapi.json`, { headers: await bearer() })).json()) as {
      paths: object
    }
    assert.deepEqual(
      Object.keys(paths).filter((path) => path === '/' || path.startsWith('/dashboard')),
      []
    )
  })

  async function bearer(): Promise<Record<string, string>> {
    const token = await readFile(join(members!.folders[0], 'api.token'), 'utf8')
    return { authorization: `Bearer ${token.trim()}` }
  }
})
