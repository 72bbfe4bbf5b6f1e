import assert from 'node:assert/strict'
import { startPages } from './pages-network.ts'
import type { PagesNetwork } from './pages-network.ts'
import type { Visitor } from './pages.ts'

describe('two pages that cannot reach each other', function () {
  this.timeout(120_000)

  /** As a person does it, with what the page offers. */
  async function joinByHand({ page }: Visitor, network: PagesNetwork): Promise<void> {
    const { task, daemons } = network
    await page.waitForSelector('button:enabled')
    await page.type(
      '#bootstrap',
      daemons[0].addresses.find((address) => address.includes('/ws/'))!
    )
    await page.$eval('#task', (field, text) => ((field as HTMLTextAreaElement).value = text), network.taskText)
    await page.click('[name=local]')
    await page.click('button')
    await page.waitForSelector('#values')
    assert.ok(task.members.includes(await page.$eval('#id', (id) => id.textContent)))
  }

  const started = startPages(
    { daemons: 3, pages: 2 },
    {
      relays: false,
      pageLeadsFirst: false,
      become: (visitor, network) =>
        visitor === network.visitors[1] ? joinByHand(visitor, network) : network.join(visitor)
    }
  )

  it('send their shares through the aggregator, and a person sees the sum', async () => {
    const { network } = started()
    const { visitors, pageIds } = network
    const [, { page, errors }] = visitors
    const round = await network.stage()
    const numbers = [...network.input(pageIds[1], round)].join(' ')
    await page.$eval('#values', (field, text) => ((field as HTMLTextAreaElement).value = text), numbers)
    await page.click('button')
    const outcome = await network.closed(round)
    assert.deepEqual(outcome.included, [0, 1, 2, 3, 4], outcome.reason)
    const sum = network.expected(outcome.included, round)
    assert.deepEqual(await network.sumOfDaemon(0, round), sum)
    assert.deepEqual(await network.sumOfPage(visitors[0], round), sum)
    const output = await page.waitForSelector('#sum')
    assert.equal(await output!.evaluate(({ textContent }) => textContent), `${sum.slice(0, 100).join(' ')} …`)
    assert.match(await page.$eval('.rounds', (list) => list.textContent), /summed over 5 of 5; your numbers are in it/)
    const ways = await visitors[0].page.evaluate(() => Object.keys(member.addresses))
    assert.ok(!ways.includes(pageIds[1]), 'the pages have no connection')
    assert.deepEqual(errors, [])
  })
})
