import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Browser } from 'puppeteer-core'
import type { BrowserMember, MemberEvent, pageIdentity } from '../../nodes/browser/index.ts'
import { createIdentity } from '../../nodes/daemon/identity.ts'
import { readNpy, writeNpy } from '../../nodes/npy.ts'
import { MemoryJournal } from '../../src/journal/journal.ts'
import { leaderOrder } from '../../src/membership/deck.ts'
import { Chronicle } from '../../src/round/chronicle.ts'
import type { Task, TaskInput } from '../../src/task/task.ts'
import { createTask } from '../../src/task/task.ts'
import { temporaryFolder } from '../nodes/secagg.ts'
import { closeChromium, openChromium } from './chromium.ts'
import { DaemonProcess } from './daemon-processes.ts'
import type { Outcome } from './daemon-processes.ts'
import { servePages, Visitor } from './pages.ts'

export interface Library {
  BrowserMember: typeof BrowserMember
  pageIdentity: typeof pageIdentity
}

declare global {
  // In a page.
  var member: BrowserMember
  var events: MemberEvent[]
  /** The phase before which this page stands still. */
  var standsStillAt: string | undefined
}

export const LENGTH = 3_000

/** Waits until `condition` holds. */
export async function until(
  condition: () => Promise<boolean> | boolean,
  what: string,
  patience = 60_000
): Promise<void> {
  const end = Date.now() + patience
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`waited in vain until ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

export interface NetworkOptions {
  /** Whether the daemon that the pages know relays, without which they have no way to each other. */
  relays: boolean
  /** A page if so; else a daemon, the last one where it lies. */
  pageLeadsFirst: boolean
  /** The last daemon alters every sum that it publishes. */
  lastLies?: boolean
  /** How a page becomes a member. */
  become?: (visitor: Visitor, network: PagesNetwork) => Promise<void>
}

/** A task of these members whose public randomness makes one of `leaders` lead the first round. */
function taskWithFirstLeader(members: string[], leaders: string[]): TaskInput {
  for (let tries = 0; ; tries++) {
    const written: TaskInput = {
      name: 'pages',
      members,
      length: LENGTH,
      encoding: { type: 'integer', max: 65_535 },
      threat: { corrupt: 0, dropout: 0.29 },
      // A page on a busy machine is slow, and none of these tests waits for a deadline.
      deadline: 30,
      randomness: tries.toString(16).padStart(64, '0')
    }
    const { roster, closed } = new Chronicle(createTask(written), new MemoryJournal())
    const [first] = leaderOrder(closed.deck, roster, closed.beacon, 1)
    if (leaders.includes(roster.members[first].id)) return written
  }
}

/** Daemons in processes and members in pages that are one roster. */
export class PagesNetwork {
  readonly daemons: DaemonProcess[] = []
  readonly visitors: Visitor[] = []
  readonly pageIds: string[] = []
  task!: Task
  #written!: TaskInput
  readonly #folder: string
  #round = 0

  constructor(folder: string) {
    this.#folder = folder
  }

  /** Starts everyone; the pages know the first daemon only, which relays if so wanted. */
  async start(
    browser: Browser,
    url: string,
    size: { daemons: number; pages: number },
    options: NetworkOptions
  ): Promise<void> {
    const { relays, pageLeadsFirst, lastLies = false, become = (visitor: Visitor) => this.join(visitor) } = options
    for (let page = 0; page < size.pages; page++) this.visitors.push(await Visitor.arrive(browser, url))
    for (const { page } of this.visitors)
      this.pageIds.push(
        await page.evaluate(async () => {
          const { pageIdentity } = (await import(`${location.origin}/secagg.js`)) as Library
          return pageIdentity()
        })
      )
    const folders = Array.from({ length: size.daemons }, (_, number) => join(this.#folder, `daemon-${number}`))
    const ids = await Promise.all(folders.map(createIdentity))
    const daemons = lastLies ? ids.slice(-1) : ids
    this.#written = taskWithFirstLeader([...ids, ...this.pageIds], pageLeadsFirst ? this.pageIds : daemons)
    this.task = createTask(this.#written)
    const taskFile = join(this.#folder, 'task.yaml')
    await writeFile(taskFile, JSON.stringify(this.#written))
    const listen = ['/ip4/127.0.0.1/tcp/0', '/ip4/127.0.0.1/tcp/0/ws']
    const settings = { taskFile, listen, mdns: false, local: true }
    const [first, ...others] = folders
    this.daemons.push(
      await DaemonProcess.start({ ...settings, dataDir: first, bootstrap: [], relay: { serve: relays } })
    )
    const bootstrap = this.daemons[0].addresses.slice(0, 1)
    const started = others.map((dataDir, at) =>
      DaemonProcess.start({ ...settings, dataDir, bootstrap, lies: lastLies && at === others.length - 1 })
    )
    this.daemons.push(...(await Promise.all(started)))
    await Promise.all(this.visitors.map((visitor) => become(visitor, this)))
  }

  /** The task as a file says it. */
  get taskText(): string {
    return JSON.stringify(this.#written)
  }

  /** A page becomes a member. */
  async join({ page }: Visitor): Promise<void> {
    const bootstrap = this.daemons[0].addresses.filter((address) => address.includes('/ws/'))
    await page.evaluate(
      async (task, bootstrap) => {
        const { BrowserMember } = (await import(`${location.origin}/secagg.js`)) as Library
        globalThis.events = []
        const onEvent = (event: MemberEvent): Promise<void> | void => {
          events.push(event)
          if (event.type === 'round:phase' && event.phase === globalThis.standsStillAt) return new Promise(() => {})
        }
        globalThis.member = await BrowserMember.start({ task, bootstrap, local: true, onEvent })
      },
      this.#written,
      bootstrap
    )
  }

  /** Waits until daemons hear all members, and pages all daemons and, where they are to, each other. */
  async assembled({ pagesMeet }: { pagesMeet: boolean }): Promise<void> {
    const all = this.daemons.length + this.visitors.length - 1
    await until(async () => {
      const heard = await Promise.all(
        this.daemons.map(async (daemon) => (await daemon.call('status')).subscribed.length)
      )
      const inPages = await Promise.all(
        this.visitors.map(({ page }) => page.evaluate(() => globalThis.member?.subscribed.length ?? Infinity))
      )
      return (
        heard.every((count) => count === all) &&
        inPages.every((count) => count >= (pagesMeet ? all : this.daemons.length))
      )
    }, 'all members hear each other')
  }

  /** Everyone's input of the next round, by peer id: whole numbers that differ in every element. */
  input(id: string, round: number): Int32Array {
    const index = this.task.members.indexOf(id)
    return Int32Array.from({ length: LENGTH }, (_, i) => (index * 7_919 + i * 31 + round * 1_009) % 65_536)
  }

  /** The plain sum of the inputs of some members, by roster index. */
  expected(included: readonly number[], round: number): number[] {
    const inputs = included.map((index) => this.input(this.task.members[index], round))
    return Array.from({ length: LENGTH }, (_, i) => inputs.reduce((sum, input) => sum + input[i], 0))
  }

  /** Hands in everyone's input for the next round, and opens it; resolves with the round's number. */
  async open(): Promise<number> {
    const round = await this.stage()
    await this.daemons[0].call('want')
    return round
  }

  /** Hands in everyone's input for the next round. */
  async stage(): Promise<number> {
    const round = ++this.#round
    await Promise.all(
      this.daemons.map(async (daemon) => {
        const id = daemon.addresses[0].split('/p2p/')[1]
        const file = join(this.#folder, `${id}.npy`)
        await writeNpy(file, this.input(id, round))
        await daemon.call('stage', round, file)
      })
    )
    await Promise.all(
      this.visitors.map(({ page }, number) =>
        page.evaluate(
          (round, values) =>
            globalThis.member?.onRound((opened) =>
              opened.round === round ? { vector: Int32Array.from(values) } : undefined
            ),
          round,
          [...this.input(this.pageIds[number], round)]
        )
      )
    )
    return round
  }

  /** Waits until every daemon has closed a round; they all tell the same of it. */
  async closed(round: number): Promise<Outcome> {
    const ofRound = (daemon: DaemonProcess): Outcome | undefined => daemon.outcomes.find((one) => one.round === round)
    await until(() => this.daemons.every((daemon) => ofRound(daemon) !== undefined), `round ${round} is closed`, 90_000)
    return ofRound(this.daemons[0])!
  }

  async sumOfDaemon(number: number, round: number): Promise<number[]> {
    const file = join(this.#folder, 'sum.npy')
    await this.daemons[number].call('export', round, file)
    return [...(await readNpy(file)).values].map(Number)
  }

  /** How much of a sum that a page has it recomputed itself. */
  async auditOfPage({ page }: Visitor, round: number): Promise<{ chunks: number; of: number }> {
    return page.evaluate(async (round) => {
      for (const event of events)
        if (event.type === 'round:closed' && event.outcome.round === round)
          return (await member.sum(event.outcome)).audit
      throw new Error('no outcome')
    }, round)
  }

  /** Waits until a page has closed a round, and reads the sum there. */
  async sumOfPage({ page }: Visitor, round: number): Promise<number[]> {
    const handle = await page.waitForFunction(
      (round) => events.some((event) => event.type === 'round:closed' && event.outcome.round === round),
      { timeout: 60_000 },
      round
    )
    await handle.dispose()
    return page.evaluate(async (round) => {
      for (const event of events)
        if (event.type === 'round:closed' && event.outcome.round === round)
          return Array.from((await member.sum(event.outcome)).values as BigInt64Array, Number)
      throw new Error('no outcome')
    }, round)
  }

  async stop(): Promise<void> {
    await Promise.all(this.daemons.map((daemon) => daemon.stop()))
  }
}

/** For a `describe`: a network with pages in a browser of its own, from before its tests until after them. */
export function startPages(size: { daemons: number; pages: number }, options: NetworkOptions): () => Started {
  const folder = temporaryFolder()
  let browser: Browser | undefined
  let site: Started['site'] | undefined
  let network: PagesNetwork | undefined

  before(async function () {
    browser = await openChromium(this)
    site = await servePages()
    network = new PagesNetwork(folder())
    await network.start(browser, site.url, size, options)
    await network.assembled({ pagesMeet: options.relays })
  })

  after(async () => {
    await closeChromium(browser)
    await network?.stop()
    await site?.close()
  })

  return () => ({ network: network!, site: site! })
}

export interface Started {
  network: PagesNetwork
  site: Awaited<ReturnType<typeof servePages>>
}
