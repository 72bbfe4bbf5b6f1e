import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Browser } from 'puppeteer-core'
import { createIdentity } from '../../nodes/daemon/daemon.ts'
import type { ReportedOutcome } from '../../nodes/daemon/launcher-messages.ts'
import { ProcessPeer } from '../../nodes/local-network/process-peer.ts'
import { readNpy, writeNpy } from '../../nodes/npy.ts'
import type { BrowserMember } from '../../nodes/browser/index.ts'
import { createTask } from '../../src/task/task.ts'
import type { TaskInput } from '../../src/task/task.ts'
import { temporaryFolder } from '../nodes/secagg.ts'
import { closeChromium, openChromium } from './chromium.ts'
import { servePages, Visitor } from './pages.ts'

type Library = typeof import('../../nodes/browser/index.ts')
type Told = { type: string; round?: number; phase?: string; leading?: boolean }
declare global {
  // In the page.
  var member: BrowserMember | undefined
  var told: Told[]
}

const LENGTH = 3_000

async function until(
  condition: () => Promise<boolean> | boolean,
  what: () => string,
  patience = 60_000
): Promise<void> {
  const end = Date.now() + patience
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`waited in vain until ${what()}`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

describe('members in pages', function () {
  this.timeout(180_000)
  const folder = temporaryFolder()
  let browser: Browser | undefined
  let site: Awaited<ReturnType<typeof servePages>>
  let task: TaskInput
  const visitors: Visitor[] = []
  const daemons: ProcessPeer[] = []
  const pageIds: string[] = []
  const outcomes: ReportedOutcome[][] = []

  before(async function () {
    browser = await openChromium(this)
    site = await servePages()
    for (let i = 0; i < 2; i++) visitors.push(await Visitor.arrive(browser, site.url))
    for (const { page } of visitors) {
      pageIds.push(
        await page.evaluate(async () => {
          const { pageIdentity } = (await import(`${location.origin}/secagg.js`)) as Library
          return pageIdentity()
        })
      )
    }
    const folders = Array.from({ length: 5 }, (_, number) => join(folder(), `daemon-${number}`))
    const ids = await Promise.all(
      folders.map(async (dataDir) => {
        await mkdir(dataDir)
        return createIdentity(dataDir)
      })
    )
    task = {
      name: 'pages',
      members: [...ids, ...pageIds],
      length: LENGTH,
      encoding: { type: 'integer', min: 0, max: 65_535 },
      threat: { corrupt: 0, dropout: 0.29 },
      deadline: 10
    }
    const taskFile = join(folder(), 'task.yaml')
    await writeFile(taskFile, JSON.stringify(task))
    for (const [number, dataDir] of folders.entries()) {
      const heard: ReportedOutcome[] = []
      outcomes.push(heard)
      const settings = {
        number,
        folder: dataDir,
        taskFile,
        listen: ['/ip4/127.0.0.1/tcp/0', '/ip4/127.0.0.1/tcp/0/ws'],
        bootstrap: []
      }
      daemons.push(
        new ProcessPeer(settings, {
          phase: () => {},
          outcome: (outcome) => void heard.push(outcome),
          glimpse: () => {},
          failed: (why) => assert.fail(why)
        })
      )
    }
    await daemons[0].run([], [])
    for (const daemon of daemons.slice(1)) await daemon.run([daemons[0].addresses[0]], [])
    await Promise.all(visitors.map((visitor) => join_(visitor)))
  })

  after(async () => {
    await Promise.all(daemons.map((daemon) => daemon.stop()))
    await closeChromium(browser)
    await site?.close()
  })

  async function join_(visitor: Visitor): Promise<void> {
    const bootstrap = daemons[0].addresses.filter((address) => address.includes('/ws/'))
    await visitor.page.evaluate(
      async (task, bootstrap) => {
        const { BrowserMember } = (await import(`${location.origin}/secagg.js`)) as Library
        globalThis.told = []
        const onEvent = (event: Told): void => void told.push(event)
        globalThis.member = await BrowserMember.start({ task, bootstrap, local: true, onEvent })
      },
      task,
      bootstrap
    )
  }

  it('join', async () => {
    const started = Date.now()
    try {
      await until(
        async () => {
          const all = await Promise.all(visitors.map(({ page }) => page.evaluate(() => member!.subscribed.length)))
          const st = await Promise.all(daemons.map((d) => d.status()))
          return all.every((n) => n >= 5) && st.every((s) => s.subscribed.length === 6)
        },
        () => 'connected',
        30_000
      )
    } finally {
      console.log(Date.now() - started)
      for (const { page, errors } of visitors) console.log(await page.evaluate(() => member!.addresses), errors)
      for (const daemon of daemons) console.log(await daemon.status())
    }
  })
})
