import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import { developersGuide, frontPage } from './guides.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const tool = (name: string) => join(root, 'node_modules/.bin', name)

/** stdout, or an error that has everything that was printed in its message. */
async function run(directory: string, program: string, ...args: string[]): Promise<string> {
  try {
    return (await promisify(execFile)(program, args, { cwd: directory, maxBuffer: 2 ** 26 })).stdout
  } catch (error) {
    const { message, stdout } = error as Error & { stdout: string }
    throw new Error(`${message}\n${stdout}`, { cause: error })
  }
}

const quiet = ['--no-audit', '--no-fund', '--prefer-offline']

/** What `npm publish` would send: packed in a copy, so that no `dist` is left behind in the checkout. */
async function pack(scratch: string): Promise<string> {
  const copy = join(scratch, 'copy')
  await mkdir(copy)
  const { files } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { files: string[] }
  const sources = files.filter((name) => name !== 'dist' && !name.startsWith('!'))
  for (const name of [...sources, 'package.json', 'tsconfig.json', 'tsconfig.build.json', 'README.md', 'LICENSE'])
    await cp(join(root, name), join(copy, name), { recursive: true })
  await symlink(join(root, 'node_modules'), join(copy, 'node_modules'))
  await run(copy, 'npm', 'pack', '--pack-destination', scratch)
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string }
  return join(scratch, `secagg-${version}.tgz`)
}

/** An application's folder with nothing but the package in it; the npm registry must be within reach. */
async function install(scratch: string, tarball: string): Promise<string> {
  const project = join(scratch, 'application')
  await mkdir(project)
  await writeFile(join(project, 'package.json'), '{"name":"application","private":true,"type":"module"}')
  const guide = await readFile(join(root, 'src/README.md'), 'utf8')
  const [, beside] = /^npm install secagg (.*)$/m.exec(guide)!
  await run(project, 'npm', 'install', tarball, ...beside.split(' '), ...quiet)
  for (const [name, text] of Object.entries({
    'application.ts': await readFile(new URL('application.ts.txt', import.meta.url), 'utf8'),
    'guide.ts': developersGuide(guide),
    'front-page.ts': frontPage(await readFile(join(root, 'README.md'), 'utf8')),
    'page.js':
      "import { IndexedDbJournal } from 'secagg/browser'\nexport * from 'secagg'\nexport { IndexedDbJournal }\n",
    'tsconfig.json': JSON.stringify({
      compilerOptions: {
        strict: true,
        skipLibCheck: false,
        module: 'nodenext',
        target: 'es2024',
        lib: ['es2024', 'dom', 'dom.asynciterable'],
        types: ['node'],
        noEmit: true
      },
      files: ['application.ts', 'guide.ts', 'front-page.ts']
    })
  }))
    await writeFile(join(project, name), text)
  return project
}

/** Node 22 beside the one that runs the tests; undefined where it cannot be had. */
async function oldestNode(scratch: string): Promise<string | undefined> {
  const folder = join(scratch, 'node-22')
  await mkdir(folder)
  await writeFile(join(folder, 'package.json'), '{"private":true,"allowScripts":{"node":true}}')
  try {
    await run(folder, 'npm', 'install', 'node@22', ...quiet)
    const program = join(folder, 'node_modules/node/bin/node')
    await run(folder, program, '--version')
    return program
  } catch {
    return undefined
  }
}

describe('the npm package', () => {
  let scratch: string
  let tarball: string
  let project: string | undefined
  let node22: string | undefined

  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'secagg-package-'))
    const older = oldestNode(scratch)
    tarball = await pack(scratch)
    node22 = await older
    project = await install(scratch, tarball).catch((error: Error) => {
      if (!/ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH/.test(error.message)) throw error
      return undefined
    })
  }).timeout(400_000)

  after(() => rm(scratch, { recursive: true, force: true }))

  /** The installed application, or a skipped test that says why. */
  function installed(test: Mocha.Context): string {
    if (project !== undefined) return project
    process.stderr.write('    skipped: the npm registry cannot be reached from here\n')
    return test.skip()
  }

  it('has nothing that publint warns of', async () => {
    const { buffer } = await readFile(tarball)
    const { messages, pkg } = await publint({ pack: { tarball: buffer }, strict: true })
    const faults = messages.filter(({ type }) => type !== 'suggestion')
    assert.deepEqual(
      faults.map((fault) => formatMessage(fault, pkg)),
      []
    )
  })

  it('has types that resolve wherever its modules do', async () => {
    await run(scratch, tool('attw'), tarball, '--profile', 'esm-only')
  }).timeout(300_000)

  it('holds what is run and typed, and no tests', async () => {
    const files = (await run(scratch, 'tar', '-tzf', tarball)).split('\n').map((name) => name.replace(/^package\//, ''))
    for (const needed of ['dist/src/index.js', 'dist/src/index.d.ts', 'nodes/start.js', 'dist/nodes/cli.js', 'LICENSE'])
      assert.ok(files.includes(needed), needed)
    assert.deepEqual(
      files.filter((name) => /(^|\/)(test|node_modules|scripts)\//.test(name)),
      []
    )
  })

  it('type-checks in an application and in what the guides show, strictly, its own declarations included', async function () {
    await run(installed(this), tool('tsc'), '-p', '.')
  }).timeout(300_000)

  for (const version of [24, 22]) {
    it(`runs a round of an application, what the guides show, and the command line, under Node ${version}`, async function () {
      const folder = installed(this)
      const node = version === 22 ? node22 : process.execPath
      if (node === undefined) {
        process.stderr.write('    skipped: Node 22 could not be installed from the npm registry\n')
        return this.skip()
      }
      assert.match(await run(folder, node, '--version'), new RegExp(`^v${version}\\.`))
      for (const data of ['data', 'guide']) await rm(join(folder, data), { recursive: true, force: true })
      const quietly = ['--disable-warning=ExperimentalWarning']
      assert.equal(await run(folder, node, ...quietly, 'application.ts'), '3,6\n')
      const [progress, weight] = (await run(folder, node, ...quietly, 'guide.ts')).trim().split(/\n(?=\d+$)/)
      assert.match(progress, /^secagg:taken \{ round: \d+ \}\n[^]*secagg:phase \{ round: \d+, phase: 'close' \}$/)
      // 120 of the member that contributes, and 1 of each that had its answer in time.
      assert.ok(Number(weight) >= 122 && Number(weight) <= 123, weight)
      const summed = await run(folder, node, ...quietly, 'front-page.ts')
      assert.equal(summed.match(/Float64Array\(1000\)/g)!.length, 2 * 3)
      const bin = join(folder, 'node_modules/.bin/secagg')
      assert.match(await run(folder, node, bin, '--version'), /^\d+\.\d+\.\d+\n$/)
    }).timeout(300_000)
  }

  it('bundles for browsers, with no built-in module of Node', async function () {
    const folder = installed(this)
    const bundled = await build({
      absWorkingDir: folder,
      entryPoints: ['page.js'],
      bundle: true,
      minify: true,
      write: false,
      metafile: true,
      format: 'esm',
      platform: 'browser',
      logLevel: 'silent'
    })
    const external = Object.values(bundled.metafile.inputs).flatMap(({ imports }) =>
      imports.filter((one) => one.external === true).map(({ path }) => path)
    )
    assert.deepEqual(external, [])
    const inputs = Object.keys(bundled.metafile.inputs)
    assert.ok(inputs.some((file) => file.endsWith('secagg/dist/src/crypto/primitives.browser.js')))
    assert.ok(!inputs.some((file) => file.endsWith('secagg/dist/src/crypto/primitives.js')))
    const [{ contents }] = bundled.outputFiles
    const kilobytes = (bytes: Uint8Array) => Math.round(bytes.length / 1024)
    process.stderr.write(`      ${kilobytes(contents)} KiB minified, ${kilobytes(gzipSync(contents))} KiB with gzip\n`)
  })
})
