import { cp, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
// Bundles what a page loads; nothing of it runs in the page.
import { build } from 'esbuild'

const here = fileURLToPath(new URL('.', import.meta.url))

/**
 * Bundles the library for pages (`secagg.js`, an ES module) and the example page (`index.html`) into a folder, and `more` entry points by name. Fails where
 * anything on the way needs a Node built-in, which `platform: 'browser'` resolves to nothing.
 */
export async function buildForBrowsers(folder: string, more: Record<string, string> = {}): Promise<void> {
  await mkdir(folder, { recursive: true })
  await build({
    entryPoints: { secagg: join(here, 'index.ts'), page: join(here, 'page', 'page.ts'), ...more },
    outdir: folder,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    minify: true,
    legalComments: 'none',
    logLevel: 'warning'
  })
  for (const name of ['index.html', 'page.css']) await cp(join(here, 'page', name), join(folder, name))
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const folder = fileURLToPath(new URL('../../dist/browser', import.meta.url))
  await buildForBrowsers(folder)
  process.stdout.write(`${folder}\n`)
}
