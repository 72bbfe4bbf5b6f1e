import assert from 'node:assert/strict'
import { startPages } from './pages-network.ts'
import type { Library, PagesNetwork } from './pages-network.ts'
import type { Visitor } from './pages.ts'

describe('members in pages', function () {
  this.timeout(150_000)
  const started = startPages({ daemons: 5, pages: 2 }, { relays: true, pageLeadsFirst: true })
  let network: PagesNetwork
  before(() => void ({ network } = started()))

  /** Opens a round in which a page stops before its vector leaves. */
  async function standsAtMask({ page }: Visitor): Promise<number> {
    await page.evaluate(() => (globalThis.standsStillAt = 'mask'))
    const round = await network.open()
    const atMask = (round: number): boolean =>
      events.some((event) => event.type === 'round:phase' && event.round === round && event.phase === 'mask')
    await page.waitForFunction(atMask, { timeout: 60_000 }, round)
    return round
  }

  it('reach daemons by WebSocket, and each other by WebRTC or, where that cannot be, through a daemon that relays', async () => {
    const { visitors, pageIds } = network
    const have = await Promise.all(visitors.map(({ page }) => page.evaluate(() => 'RTCPeerConnection' in globalThis)))
    // Where both can, one that relays is not good enough.
    const wanted = have.every(Boolean) ? '/webrtc/' : '/'
    for (const [number, { page }] of visitors.entries()) {
      const other = pageIds[1 - number]
      const reached = (other: string, wanted: string): boolean =>
        member.addresses[other]?.some((way) => way.includes(wanted)) ?? false
      await page.waitForFunction(reached, { timeout: 60_000 }, other, wanted)
      const { [other]: between, ...ways } = await page.evaluate(() => member.addresses)
      for (const way of between) assert.match(way, /\/webrtc\/|\/p2p-circuit\//)
      assert.equal(Object.keys(ways).length, 5)
      for (const [way] of Object.values(ways)) assert.match(way, /\/ws\/p2p\//)
    }
  })

  it('sum exactly with five daemons, and audit the sum before they vote for it, whether a page leads or a daemon does', async () => {
    const { visitors, pageIds, task } = network
    const led: boolean[] = []
    const audited = new Set<Visitor>()
    // A page on a busy machine may hear that the others have closed the round before it has audited the sum itself.
    while (!led.includes(false) || audited.size < visitors.length) {
      assert.ok(led.length < 8, 'a page never audits a sum before the others have voted')
      const round = await network.open()
      const outcome = await network.closed(round)
      assert.deepEqual(outcome.included, [...task.members.keys()], JSON.stringify(outcome))
      led.push(pageIds.includes(task.members[outcome.aggregator]))
      const sum = network.expected(outcome.included, round)
      assert.deepEqual(await network.sumOfDaemon(1, round), sum)
      for (const visitor of visitors) {
        assert.deepEqual(await network.sumOfPage(visitor, round), sum)
        const { chunks, of } = await network.auditOfPage(visitor, round)
        assert.ok(of > 0 && (chunks === of || chunks === 0), `${chunks} of ${of} chunks`)
        if (chunks === of) audited.add(visitor)
      }
    }
    assert.equal(led[0], true)
    assert.deepEqual(
      visitors.flatMap(({ errors }) => errors),
      []
    )
  })

  it('that are closed before their vector arrives are dropped, and the sum of the others is exact', async () => {
    const [stays, goes] = network.visitors
    const index = network.task.members.indexOf(network.pageIds[1])
    const round = await standsAtMask(goes)
    await goes.page.close()
    const outcome = await network.closed(round)
    // Where it led itself, nobody had been shown a masking set with it yet.
    const out = outcome.views > 1 ? [...outcome.dropped, ...outcome.missing] : outcome.dropped
    assert.deepEqual(out, [index], JSON.stringify(outcome))
    const sum = network.expected(outcome.included, round)
    assert.deepEqual(outcome.included.length, 6)
    assert.deepEqual(await network.sumOfDaemon(2, round), sum)
    assert.deepEqual(await network.sumOfPage(stays, round), sum)
  })

  it('that are opened again are the same member, know the last round, and take part in the next', async () => {
    const [, back] = network.visitors
    await back.open()
    await network.join(back)
    assert.equal(await back.page.evaluate(() => member.id), network.pageIds[1])
    await network.assembled({ pagesMeet: true })
    const last = await back.page.evaluate(() => member.closedRound)
    const round = await network.open()
    assert.equal(last, round - 1)
    const outcome = await network.closed(round)
    assert.equal(outcome.included.length, 7, outcome.reason)
    assert.deepEqual(await network.sumOfPage(back, round), network.expected(outcome.included, round))
  })

  it('that are loaded again within a round sit it out, hear how it ended, and take part in the next', async () => {
    const [, back] = network.visitors
    const round = await standsAtMask(back)
    await back.page.reload()
    await network.join(back)
    const outcome = await network.closed(round)
    const members = network.task.members
    const others = [...members.keys()].filter((member) => members[member] !== network.pageIds[1])
    assert.deepEqual(outcome.included, others, JSON.stringify(outcome))
    await back.page.waitForFunction((round: number) => member.closedRound === round, { timeout: 60_000 }, round)
    await network.assembled({ pagesMeet: true })
    const next = await network.open()
    const { included } = await network.closed(next)
    assert.equal(included.length, 7)
    assert.deepEqual(await network.sumOfPage(back, next), network.expected(included, next))
  })

  it('run an identity in one tab only', async () => {
    const [visitor] = network.visitors
    const tab = await visitor.context.newPage()
    await tab.goto(started().site.url)
    const refusal = await tab.evaluate(async () => {
      const { pageIdentity } = (await import(`${location.origin}/secagg.js`)) as Library
      return pageIdentity().catch((error: Error & { code: string }) => error.code)
    })
    assert.equal(refusal, 'JOURNAL_IN_USE')
  })
})
