import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import type { Browser, Page } from 'puppeteer-core'
import type { IndexedDbJournal } from '../../src/browser.ts'
import { closeChromium, openChromium } from './chromium.ts'

/** What the page has as globals. */
declare const secagg: { IndexedDbJournal: typeof IndexedDbJournal }

/** What an application bundles from the sources; nothing of Node is in it. */
async function bundle(): Promise<string> {
  const resolveDir = fileURLToPath(new URL('../../', import.meta.url))
  const contents = "export * from './src/index.ts'\nexport * from './src/browser.ts'"
  const stdin = { contents, resolveDir, loader: 'ts' as const }
  const options = { bundle: true, write: false, format: 'iife', globalName: 'secagg', platform: 'browser' } as const
  const { outputFiles } = await build({ stdin, ...options })
  return outputFiles[0].text
}

describe('a journal in IndexedDB', () => {
  let browser: Browser | undefined
  let script: string
  const server = createServer((_request, response) =>
    response.setHeader('content-type', 'text/html').end('<!doctype html><title>journal</title>')
  )

  before(async function () {
    browser = await openChromium(this)
    script = await bundle()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  })

  after(async () => {
    server.close()
    await closeChromium(browser)
  })

  async function open(): Promise<Page> {
    const page = await browser!.newPage()
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
    await page.addScriptTag({ content: script })
    return page
  }

  it('keeps what was put, in key order, apart from the arrays that went in and came out', async () => {
    const page = await open()
    const seen = await page.evaluate(async () => {
      const journal = await secagg.IndexedDbJournal.open('values')
      // A view of a larger buffer, of which nothing else may be kept.
      const value = new Uint8Array(1000).subarray(10, 12)
      value.set([1, 2])
      const writing = journal.put('b/2', value)
      value[0] = 9
      await writing
      for (const key of ['b/10', 'a~', 'b', 'b0', 'b/~']) await journal.put(key, new Uint8Array([3]))
      await journal.batch([
        { type: 'put', key: 'c', value: new Uint8Array() },
        { type: 'del', key: 'b/~' },
        { type: 'del', key: 'nothing' }
      ])
      const keys: string[] = []
      for await (const [key] of journal.entries('b/')) keys.push(key)
      const all: string[] = []
      for await (const [key, bytes] of journal.entries('')) all.push(`${key}:${[...bytes].join()}`)
      const first = (await journal.get('b/2'))!
      const kept = first.buffer.byteLength
      first.fill(7)
      return {
        keys,
        all,
        kept,
        again: [...(await journal.get('b/2'))!],
        missing: (await journal.get('d')) === undefined
      }
    })
    assert.deepEqual(seen, {
      keys: ['b/10', 'b/2'],
      all: ['a~:3', 'b:3', 'b/10:3', 'b/2:1,2', 'b0:3', 'c:'],
      kept: 2,
      again: [1, 2],
      missing: true
    })
    await page.close()
  })

  it('is refused to a second tab, and has everything again when the first one is gone', async () => {
    const first = await open()
    await first.evaluate(async () => {
      const journal = await secagg.IndexedDbJournal.open('shared')
      await journal.put('vote', new Uint8Array([42]))
    })
    const second = await open()
    const tryToOpen = () =>
      second.evaluate(async () => {
        try {
          const journal = await secagg.IndexedDbJournal.open('shared')
          return [...(await journal.get('vote'))!].join()
        } catch (error) {
          return (error as { code: string }).code
        }
      })
    assert.equal(await tryToOpen(), 'JOURNAL_IN_USE')
    await first.close()
    assert.equal(await tryToOpen(), '42')
    await second.close()
  })

  it('does nothing after it is closed, and refuses bad keys with all of their batch', async () => {
    const page = await open()
    const codes = await page.evaluate(async () => {
      const nameOf = (work: Promise<unknown>) =>
        work.then(
          () => 'done',
          (error: Error & { code?: string }) => error.code ?? error.name
        )
      const value = new Uint8Array([1])
      const journal = await secagg.IndexedDbJournal.open('closed')
      const bad = await nameOf(
        journal.batch([
          { type: 'put', key: 'good', value },
          { type: 'put', key: 'ä', value }
        ])
      )
      const nothing = (await journal.get('good')) === undefined
      await journal.close()
      await journal.close()
      const after = await Promise.all([
        nameOf(journal.get('a')),
        nameOf(journal.put('a', value)),
        nameOf(journal.batch([])),
        nameOf(journal.delete('a'))
      ])
      const again = await secagg.IndexedDbJournal.open('closed')
      await again.close()
      return { bad, nothing, after }
    })
    const after = Array.from({ length: 4 }, () => 'JOURNAL_CLOSED')
    assert.deepEqual(codes, { bad: 'RangeError', nothing: true, after })
    await page.close()
  })
})
