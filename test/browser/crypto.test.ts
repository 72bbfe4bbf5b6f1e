import assert from 'node:assert/strict'
import { fileURLToPath } from 'node:url'
import type { Browser } from 'puppeteer-core'
import { vectors } from '../crypto/vectors.ts'
import { closeChromium, openChromium } from './chromium.ts'
import { answersTo } from './crypto-answers.ts'
import { servePages, Visitor } from './pages.ts'

describe('cryptography in a browser', function () {
  this.timeout(60_000)
  let browser: Browser | undefined
  let site: Awaited<ReturnType<typeof servePages>> | undefined

  before(async function () {
    browser = await openChromium(this)
    site = await servePages({ answers: fileURLToPath(new URL('crypto-answers.ts', import.meta.url)) })
  })

  after(async () => {
    await closeChromium(browser)
    await site?.close()
  })

  it('gives the bytes of the published vectors and of Node, masks included', async () => {
    const { page, errors } = await Visitor.arrive(browser!, site!.url)
    const found = await page.evaluate(async (questions) => {
      const bundle = (await import(`${location.origin}/answers.js`)) as { answersTo: typeof answersTo }
      return bundle.answersTo(questions)
    }, vectors)
    assert.deepEqual(found, await answersTo(vectors))
    assert.equal(found.aes, vectors.aes256Ctr.ciphertext)
    assert.deepEqual(
      found.signatures,
      vectors.ed25519.cases.map(({ signature }) => signature)
    )
    assert.deepEqual(
      found.x25519,
      vectors.x25519.scalarMultiplications.map(({ result }) => result)
    )
    assert.deepEqual(errors, [])
  })
})
