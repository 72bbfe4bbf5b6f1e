import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

/*
 * The tests start the command line some three hundred times, and half of what a short-lived process costs is to find and load
 * its eight hundred modules. So for a whole run (see .mocharc.json) it is bundled once from the sources as they are, and
 * `nodes/start.js` is told where. A single file run with --no-config runs from the sources.
 */

const root = fileURLToPath(new URL('..', import.meta.url))
let folder: string | undefined

export async function mochaGlobalSetup(): Promise<void> {
  const caches = join(root, 'node_modules/.cache')
  await mkdir(caches, { recursive: true })
  folder = await mkdtemp(join(caches, 'secagg-'))
  await build({
    absWorkingDir: root,
    // Workers and helper processes lie beside what starts them.
    entryPoints: {
      cli: 'nodes/cli.ts',
      'mask-worker': 'src/crypto/mask-worker.ts',
      'transfer-peer': 'nodes/bench/transfer-peer.ts'
    },
    outdir: folder,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node22',
    // Native code, and what starts workers from files of its own.
    external: ['classic-level', 'piscina', 'pino', 'esbuild', '@libp2p/webrtc'],
    // TensorFlow.js' backend registers itself in a file that its package declares to have no such effect.
    ignoreAnnotations: true,
    // CommonJS among them asks for Node's own modules.
    banner: {
      js: "import { createRequire as creates } from 'node:module'; const require = creates(import.meta.url);"
    },
    logLevel: 'error'
  })
  process.env.SECAGG_BUNDLE = join(folder, 'cli.js')
  // For the processes that load the tests themselves; where start.js has its own.
  process.env.NODE_COMPILE_CACHE ??= join(tmpdir(), 'node-compile-cache')
}

export async function mochaGlobalTeardown(): Promise<void> {
  if (folder !== undefined) await rm(folder, { recursive: true, force: true })
}
