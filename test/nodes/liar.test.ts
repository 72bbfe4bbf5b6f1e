import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Browser, Page } from 'puppeteer-core'
import { MemoryJournal } from '../../src/journal/journal.ts'
import { leaderOrder } from '../../src/membership/deck.ts'
import { Chronicle } from '../../src/round/chronicle.ts'
import { taskInputOf } from '../../src/task/task-input.ts'
import type { RunningApi } from '../../nodes/daemon/api/server.ts'
import type { FeedEvents } from '../../nodes/daemon/feed.ts'
import { closeChromium, openChromium } from '../browser/chromium.ts'
import { letLie } from './liar.ts'
import { startApiOf, startMembers } from './members.ts'
import type { Members } from './members.ts'
import { secagg, temporaryFolder } from './secagg.ts'

const count = 4
const terms = { name: 'steps', length: 300, encoding: { type: 'integer', max: 100 }, deadline: 8 } as const

describe('an aggregator that alters its sum, on real streams', function () {
  this.timeout(120_000)
  const folder = temporaryFolder()
  const path = (name: string): string => join(folder(), name)
  let members: Members
  let liar: string
  /** Of an honest member. */
  let place: number
  let api: RunningApi
  let headers: { authorization: string }
  let token: string
  let beHonest: () => void

  before(async () => {
    members = await startMembers(count, terms)
    const { task, daemons, folders } = members
    const { roster, closed } = new Chronicle(task, new MemoryJournal())
    liar = leaderOrder(closed.deck, roster, closed.beacon, 1).map((index) => roster.members[index].id)[0]
    const lies = daemons.findIndex(({ id }) => id === liar)
    beHonest = await letLie(task, folders[lies])
    place = (lies + 1) % count
    const started = await startApiOf(members, place)
    api = started.api
    token = (await readFile(started.tokenFile, 'utf8')).trim()
    headers = { authorization: `Bearer ${token}` }
  })
  after(async () => {
    await api.close()
    await members.stop()
    beHonest()
  })

  const closed = (): FeedEvents['round:closed'][] =>
    members.daemons[place].feed.history().flatMap(({ name, data }) => (name === 'round:closed' ? [data] : []))

  async function sumOnce(value: number): Promise<FeedEvents['round:closed']> {
    const inside = members.daemons.filter(({ id }) => closed().length === 0 || id !== liar)
    const given = inside.map((daemon) => daemon.contribute({ vector: new Int32Array(300).fill(value) }))
    await Promise.all(given.map(async (contribution) => (await contribution).ended))
    return closed().at(-1)!
  }

  it('is caught by the members’ audits, and the next in line publishes the right sum of the same round', async () => {
    const { round, status, views, included, attempts } = await sumOnce(7)
    assert.deepEqual(
      { round, status, attempts, included },
      { round: 1, status: 'summed', attempts: 1, included: [0, 1, 2, 3] }
    )
    assert.equal(views, 2)
    const sum = await fetch(`${api.url}/v1/tasks/steps/rounds/1/sum`, { headers })
    const { values } = (await sum.json()) as { values: number[] }
    assert.deepEqual(values, new Array(300).fill(7 * count))
  })

  it('is proven a liar by a file that is verified without the network, and counted', async () => {
    const told = await fetch(`${api.url}/v1/tasks/steps/evidence`, { headers })
    const { evidence } = (await told.json()) as { evidence: Array<Record<string, string>> }
    assert.deepEqual(new Set(evidence.map(({ culprit }) => culprit)), new Set([liar]))
    // It may be shown to have signed the true header as well, which is an offence of its own.
    const wrongSum = evidence.find(({ kind }) => kind === 'wrong-sum')!
    await writeFile(path('lie.cbor'), await (await fetch(`${api.url}${wrongSum.path}`, { headers })).bytes())
    await writeFile(path('task.yaml'), JSON.stringify(taskInputOf(members.task)))
    const verified = await secagg('evidence', path('lie.cbor'), '--task', path('task.yaml'))
    assert.match(verified.stdout, new RegExp(`^proven: ${liar} broke the protocol \\(wrong-sum\\)`), verified.stderr)
    const metrics = await (await fetch(`${api.url}/metrics`, { headers })).text()
    assert.match(metrics, /^secagg_evidence_total\{kind="wrong-sum"\} 1$/m)
  })

  it('is no member any more, and the others go on', async () => {
    const honest = members.task.members.filter((id) => id !== liar)
    // The roster without it is decided with one round, and in effect after another.
    for (let round = 2, epoch = 0; epoch === 0; round++) {
      assert.ok(round < 6, 'it is never removed')
      const { status, views, included } = await sumOnce(round)
      assert.deepEqual({ status, views, others: included.length }, { status: 'summed', views: 1, others: count - 1 })
      const told = await fetch(`${api.url}/v1/tasks/steps/members`, { headers })
      const body = (await told.json()) as { epoch: number; members: Array<{ id: string }> }
      epoch = body.epoch
      if (epoch > 0)
        assert.deepEqual(
          body.members.map(({ id }) => id),
          honest
        )
    }
    assert.deepEqual((await sumOnce(1)).included, [0, 1, 2])
  })

  describe('on the dashboard', () => {
    let browser: Browser | undefined
    let page: Page
    before(async function () {
      browser = await openChromium(this)
      page = await browser.newPage()
      await page.goto(`${api.url}/#token=${token}`)
    })
    after(() => closeChromium(browser))

    it('is named, with what it did', async () => {
      await page.waitForSelector('.evidence li', { timeout: 60_000 })
      const told = await page.$$eval('.evidence li', (items) =>
        items.map(({ textContent, firstElementChild }) => ({
          textContent,
          who: (firstElementChild as HTMLElement).title
        }))
      )
      const sentence = /signed a sum that is not what the masked vectors give\s*wrong-sum, round 1$/
      assert.ok(
        told.some(({ textContent, who }) => who === liar && sentence.test(textContent)),
        JSON.stringify(told)
      )
    })

    it('left the others with other numbers, and the rounds before with those who led them', async () => {
      const { members: now } = members.daemons[place].members
      const [{ aggregatorId }] = closed()
      const { index } = now.find(({ id }) => id === aggregatorId)!
      const first = await page.$eval('tbody tr:last-child', (row) =>
        [...row.children].map(({ textContent }) => textContent)
      )
      assert.deepEqual(first.slice(0, 3), ['1', 'summed', `member ${index}`])
      const second = await page.$eval('tbody tr:nth-last-child(2)', (row) => row.children[5].textContent)
      assert.match(second, new RegExp(`member ${members.task.members.indexOf(liar)}\\b.* of epoch 0$`))
    })
  })
})
