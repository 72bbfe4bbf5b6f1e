import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import staticFiles from '@fastify/static'
import type { FastifyInstance } from 'fastify'
import { packageFile } from '../../package-root.ts'

const page = packageFile('nodes/daemon/dashboard/page')

/** The libraries of the page: modules that browsers load as they were published, by the names of the page's import map. */
const vendored: Record<string, [library: string, file: string]> = {
  'preact.js': ['preact', 'dist/preact.module.js'],
  'preact-hooks.js': ['preact', 'hooks/dist/hooks.module.js'],
  'htm.js': ['htm', 'dist/htm.module.js'],
  'uplot.js': ['uplot', 'dist/uPlot.esm.js'],
  'uplot.css': ['uplot', 'dist/uPlot.min.css'],
  'eventsource-parser.js': ['eventsource-parser', 'dist/index.js']
}

/**
 * Serves the page at `/` and what it is made of under `/dashboard/`. The page holds no data and asks for no token to be
 * had: it reads `/v1/events` of the same origin with the token that its user gives it.
 */
export async function registerDashboard(server: FastifyInstance): Promise<void> {
  const headers = securityHeaders(await readFile(join(page, 'index.html'), 'utf8'))
  // Sends files with their types and validators.
  await server.register(staticFiles, {
    root: page,
    prefix: '/dashboard/',
    index: false,
    cacheControl: false,
    setHeaders: (reply) => void reply.headers(headers)
  })
  server.get('/', (_, reply) => reply.sendFile('index.html'))
  for (const [name, [library, path]] of Object.entries(vendored)) {
    const file = join(folderOf(library), path)
    server.get(`/dashboard/vendor/${name}`, (_, reply) => reply.sendFile(basename(file), dirname(file)))
  }
}

/** Where a library is installed, wherever the package manager put it. */
function folderOf(library: string): string {
  const require = createRequire(import.meta.url)
  const found = (require.resolve.paths(library) ?? []).map((folder) => join(folder, library))
  return found.find((folder) => existsSync(join(folder, 'package.json'))) ?? packageFile(`node_modules/${library}`)
}

/** Nothing but this origin's own files; the import map is the one inline script, named by its hash. */
function securityHeaders(html: string): Record<string, string> {
  const [, map] = /<script type="importmap">([^]*?)<\/script>/.exec(html)!
  const hash = createHash('sha256').update(map).digest('base64')
  const policy = {
    'default-src': `'none'`,
    'script-src': `'self' 'sha256-${hash}'`,
    'style-src': `'self'`,
    'img-src': `'self'`,
    'connect-src': `'self'`,
    'base-uri': `'none'`,
    'form-action': `'none'`,
    'frame-ancestors': `'none'`
  }
  return {
    'content-security-policy': Object.entries(policy)
      .map(([directive, source]) => `${directive} ${source}`)
      .join('; '),
    'cross-origin-opener-policy': 'same-origin',
    'cache-control': 'no-cache',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff'
  }
}
