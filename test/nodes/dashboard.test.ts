import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import type { AxeResults, RunOptions } from 'axe-core'
import type { Browser, Page } from 'puppeteer-core'
import { closeChromium, openChromium } from '../browser/chromium.ts'
import { startSecagg } from './secagg.ts'

const peers = 8
const patience = { timeout: 120_000 }
const axeFile = createRequire(import.meta.url).resolve('axe-core/axe.min.js')

/** Runs in the page. */
declare const axe: { run(options: RunOptions): Promise<AxeResults> }

/** Until the page shows it, however slow the machine is. */
async function shows(page: Page, expression: string): Promise<void> {
  await page.waitForFunction(expression, patience)
}

const read = <T>(page: Page, expression: string): Promise<T> => page.evaluate(expression) as Promise<T>

/** What the accessibility checker finds wrong on a page. */
async function stumblingBlocks(page: Page): Promise<string[]> {
  await page.evaluate(`${await readFile(axeFile, 'utf8')}; undefined`)
  const { violations } = await page.evaluate(() => axe.run({ resultTypes: ['violations'] }))
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`)
}

function printedUrl(child: ReturnType<typeof startSecagg>['child']): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    child.stdout!.on('data', (more: string) => {
      const [url] = /http:\/\/\S+#token=[\w-]+/.exec((text += more)) ?? []
      if (url !== undefined) resolve(url)
    })
    child.on('exit', () => reject(new Error('the network ended before it printed where its page is')))
  })
}

describe('the dashboard of secagg network', function () {
  this.timeout(240_000)
  let browser: Browser | undefined
  let network: ReturnType<typeof startSecagg>
  let url: string
  let page: Page
  const complaints: string[] = []

  before(async function () {
    browser = await openChromium(this)
    const options = ['--peers', `${peers}`, '--rounds', '1000', '--length', '400', '--pause', '1', '--seed', 'page']
    network = startSecagg('network', '--dashboard', ...options)
    url = await printedUrl(network.child)
    page = await browser.newPage()
    page.on('console', (message) => void (message.type() === 'error' && complaints.push(message.text())))
    page.on('pageerror', (error) => void complaints.push((error as Error).message))
    await page.setViewport({ width: 1280, height: 900 })
    await page.goto(url)
    // Every phase that is ever the current one, as the page shows it.
    await page.evaluate(`
      globalThis.currentPhases = []
      new MutationObserver(() => {
        const now = document.querySelector('[data-phase][aria-current=step]')?.dataset.phase
        if (now !== undefined && now !== currentPhases.at(-1)) currentPhases.push(now)
      }).observe(document.getElementById('app'), { subtree: true, childList: true, attributes: true })`)
    await shows(page, `document.querySelectorAll('tbody tr').length >= 2`)
  })
  after(async () => {
    if (process.env.SCREENSHOT !== undefined && page !== undefined) await photograph(page, process.env.SCREENSHOT)
    await closeChromium(browser)
    network?.child.kill('SIGTERM')
    await network?.ended
  })

  it('takes the token from its address and shows it no more', async () => {
    assert.equal(page.url(), url.replace(/#.*/, ''))
    assert.equal(await read(page, `document.body.innerText.includes(${JSON.stringify(url.split('token=')[1])})`), false)
  })

  it('shows eight members in a ring with the aggregator marked', async () => {
    await shows(page, `document.querySelectorAll('.node').length === ${peers}`)
    const labels = await read<string[]>(page, `[...document.querySelectorAll('.node')].map((node) => node.ariaLabel)`)
    assert.deepEqual(
      labels.map((label) => label.split(',')[0]),
      Array.from({ length: peers }, (_, number) => `peer-${number}`)
    )
    assert.equal(labels.filter((label) => label.includes('aggregator')).length, 1)
    assert.equal(
      await read(page, `getComputedStyle(document.querySelector('.node.leads'), '::after').content`),
      '"Σ" / ""'
    )
  })

  it('lets the role be seen moving from round to round', async () => {
    const leaders = await read<string[]>(
      page,
      `[...document.querySelectorAll('tbody tr')].map((row) => row.cells[2].innerText || row.cells[2].textContent)`
    )
    leaders.forEach((leader, at) => at > 0 && assert.notEqual(leader, leaders[at - 1]))
  })

  it('shows the phases as they happen', async () => {
    await shows(page, 'new Set(currentPhases).size >= 3')
    assert.equal(await read(page, `document.querySelectorAll('[data-phase]').length`), 7)
  })

  it('shows what each member sent as noise beside the sum, and the sum when it is unmasked', async () => {
    await shows(page, `document.querySelectorAll('.vectors canvas').length >= ${peers - 2}`)
    await shows(page, `document.querySelector('.sum canvas') && document.querySelector('.values polyline')`)
    const shades = await read<number[]>(
      page,
      `[...document.querySelectorAll('canvas.bits')].map((canvas) =>
        new Set(canvas.getContext('2d').getImageData(0, 0, 16, 16).data.filter((_, at) => at % 4 === 0)).size)`
    )
    for (const count of shades) assert.ok(count > 80, `an image of ${count} shades of grey is no noise`)
  })

  it('draws the rounds as stacked bars, and tells each to the arrow keys', async () => {
    const coloured = (at: number): string => `(() => {
      const canvas = document.querySelectorAll('.plot canvas')[${at}]
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
      const colours = new Map()
      for (let at = 0; at < data.length; at += 4)
        if (data[at + 3] === 255) { const key = data.slice(at, at + 3).join(); colours.set(key, (colours.get(key) ?? 0) + 1) }
      return [...colours.values()].filter((pixels) => pixels > 40).length
    })()`
    await shows(page, `${coloured(0)} >= 5 && ${coloured(1)} >= 1`)
    const spoken = `document.querySelector('[role=slider]').getAttribute('aria-valuetext')`
    await page.focus('[role=slider]')
    await page.keyboard.press('Home')
    await shows(page, `${spoken}.startsWith('Round 1 was summed by peer-')`)
    await page.keyboard.press('ArrowRight')
    await shows(page, `${spoken}.startsWith('Round 2 was summed by peer-')`)
    assert.equal(await read(page, `document.querySelector('.described').innerText.startsWith('Round 2 ')`), true)
  })

  it('is walked through with the keyboard from top to bottom', async () => {
    const focused = `(({ role, tagName, classList }) => role ?? classList[0] ?? tagName)(document.activeElement)`
    await page.focus('.skip')
    const stops = [await read<string>(page, focused)]
    while (stops.length < 5) {
      await page.keyboard.press('Tab')
      stops.push(await read(page, focused))
    }
    assert.deepEqual(stops, ['skip', 'INPUT', 'node', 'slider', 'SUMMARY'])
    const at = `document.activeElement.ariaLabel.split(',')[0]`
    await page.focus('.node[tabindex="0"]')
    const here = await read<string>(page, at)
    await page.keyboard.press('ArrowRight')
    assert.notEqual(await read(page, at), here)
    assert.equal(await read(page, `document.querySelectorAll('.node[tabindex="0"]').length`), 1)
  })

  it('follows the system’s colours until a person chooses others', async () => {
    const paper = `getComputedStyle(document.documentElement).backgroundColor`
    const papers: string[] = []
    for (const value of ['light', 'dark']) {
      await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value }])
      papers.push(await read(page, paper))
    }
    assert.notEqual(papers[0], papers[1])
    await page.evaluate(`document.querySelector('input[value=light]').click()`)
    await shows(page, `${paper} === ${JSON.stringify(papers[0])}`)
    await page.evaluate(`document.querySelector('input[value=system]').click()`)
  })

  for (const colours of ['light', 'dark']) {
    it(`has no barrier in ${colours} colours`, async () => {
      await page.emulateMediaFeatures([
        { name: 'prefers-color-scheme', value: colours },
        { name: 'prefers-reduced-motion', value: 'reduce' }
      ])
      assert.deepEqual(await stumblingBlocks(page), [])
    })
  }

  it('fits on a phone', async () => {
    await page.setViewport({ width: 360, height: 740, isMobile: true, hasTouch: true })
    // To become a phone, the browser loads the page again.
    await shows(page, `document.querySelector('.plot canvas')?.getBoundingClientRect().width < 360`)
    await page.evaluate(`document.querySelector('details').open = true`)
    assert.equal(await read(page, `document.documentElement.scrollWidth <= innerWidth`), true)
    assert.deepEqual(await stumblingBlocks(page), [])
  })

  it('asks for the token where none was given, and says when one is refused', async () => {
    const context = await browser!.createBrowserContext()
    const stranger = await context.newPage()
    await stranger.goto(url.replace(/#.*/, ''))
    await stranger.waitForSelector('#token')
    assert.deepEqual(await stumblingBlocks(stranger), [])
    await stranger.type('#token', 'guessed')
    await stranger.keyboard.press('Enter')
    await stranger.waitForSelector('[role=alert]')
    assert.equal(await read(stranger, `document.querySelectorAll('.node').length`), 0)
    await context.close()
  })

  it('has nothing to complain of in the console', () => assert.deepEqual(complaints, []))
})

/** For the README: a round that is over, in light colours. */
async function photograph(page: Page, path: string): Promise<void> {
  await page.setViewport({ width: 1280, height: 1400 })
  await page.emulateMediaFeatures([
    { name: 'prefers-color-scheme', value: 'light' },
    { name: 'prefers-reduced-motion', value: 'reduce' }
  ])
  await page.evaluate(`document.activeElement.blur(); document.querySelector('details').open = false; scrollTo(0, 0)`)
  await shows(page, `document.querySelectorAll('tbody tr').length >= 9 && document.querySelector('.values polyline')`)
  const end = await read<number>(page, `document.querySelector('.rounds-card').getBoundingClientRect().bottom`)
  await page.screenshot({ path, clip: { x: 0, y: 0, width: 1280, height: Math.ceil(end) + 16 } })
}
