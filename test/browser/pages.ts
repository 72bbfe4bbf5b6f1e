import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import type { Browser, BrowserContext, Page } from 'puppeteer-core'
import { buildForBrowsers } from '../../nodes/browser/build.ts'

const types: Record<string, string> = { '.html': 'text/html', '.css': 'text/css', '.js': 'text/javascript' }

/** As nodes/browser/README.md tells it. */
const policy = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "style-src 'self'",
  'img-src data:',
  "connect-src 'self' ws: wss:"
].join('; ')

/** What is built for browsers, and more entry points by name, on an address of this machine. */
export async function servePages(
  more: Record<string, string> = {}
): Promise<{ url: string; close: () => Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'secagg-pages-'))
  await buildForBrowsers(folder, more)
  const server = createServer((request, response) => {
    const name = new URL(request.url!, 'http://page').pathname.slice(1) || 'index.html'
    readFile(join(folder, name)).then(
      (bytes) =>
        response
          .setHeader('content-security-policy', policy)
          .setHeader('content-type', types[extname(name)])
          .end(bytes),
      () => response.writeHead(404).end()
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const close = async (): Promise<void> => {
    server.closeAllConnections()
    server.close()
    await rm(folder, { recursive: true, force: true })
  }
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close }
}

/** A page of a person of its own: its storage is nobody else's, and outlives the page. What goes wrong in it is kept. */
export class Visitor {
  readonly context: BrowserContext
  readonly #url: string
  readonly errors: string[] = []
  page!: Page

  private constructor(context: BrowserContext, url: string) {
    this.context = context
    this.#url = url
  }

  static async arrive(browser: Browser, url: string): Promise<Visitor> {
    const visitor = new Visitor(await browser.createBrowserContext(), url)
    await visitor.open()
    return visitor
  }

  /** Opens the page, and closes it first where it was open. */
  async open(): Promise<void> {
    if (this.page?.isClosed() === false) await this.page.close()
    this.page = await this.context.newPage()
    this.page.on('pageerror', (error) => this.errors.push(String(error)))
    this.page.on('console', (message) => message.type() === 'error' && this.errors.push(message.text()))
    await this.page.goto(this.#url)
  }
}
