import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { access, readFile, symlink } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { readNpy, writeNpy } from '../../nodes/npy.ts'
import { packageFile } from '../../nodes/package-root.ts'
import { temporaryFolder } from './secagg.ts'

const run = promisify(execFile)

const start = packageFile('nodes/start.js')
/** The ports that the guide names, of the members' APIs first. */
const named = [4080, 4081, 4082, 4001, 4002, 4003]

describe('the operator’s guide, followed to the letter', function () {
  this.timeout(120_000)
  const folder = temporaryFolder()
  let shell: ChildProcess
  let ports: number[]
  let guide: string
  const urls = (): string[] => ports.slice(0, 3).map((port) => `http://127.0.0.1:${port}`)
  const token = async (name: string): Promise<string> =>
    (await readFile(join(folder(), 'data', name, 'api.token'), 'utf8')).trim()

  before(async () => {
    guide = await readFile(packageFile('nodes/daemon/README.md'), 'utf8')
    ports = await freePorts(named.length)
    await symlink(packageFile('config'), join(folder(), 'config'))
    // A process group of its own, so that all it starts can be ended.
    const options = { cwd: folder(), detached: true, stdio: 'inherit' } as const
    shell = spawn('sh', ['-c', `${block('sh', 'start her')}wait`], options)
    const isReady = async (url: string): Promise<boolean> =>
      fetch(`${url}/readyz`).then(
        ({ ok }) => ok,
        () => false
      )
    const ready = async (): Promise<boolean> => (await Promise.all(urls().map(isReady))).every(Boolean)
    while (!(await ready())) await new Promise((resolve) => setTimeout(resolve, 100))
  })
  after(async () => {
    const ended = once(shell, 'close')
    process.kill(-shell.pid!, 'SIGKILL')
    await ended
  })

  /** A block of the guide. */
  function quoted(language: string, containing: string): string {
    const blocks = [...guide.matchAll(new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\``, 'gm'))].map(([, text]) => text)
    const found = blocks.find((text) => text.includes(containing))
    assert.ok(found, `the guide has a ${language} block with ${containing}`)
    return found
  }

  /** The same, for the members of this test. */
  function block(language: string, containing: string): string {
    const found = quoted(language, containing)
    const here = named.reduce((text, port, at) => text.replaceAll(String(port), String(ports[at])), found)
    return here.replaceAll('npx secagg', `'${process.execPath}' '${start}'`)
  }

  /** Where a round has not waited for all, their vectors go on to the next by themselves. */
  const others = (): Promise<Response[]> =>
    Promise.all(
      ['you', 'her'].map(async (name, at) =>
        fetch(`${urls()[at + 1]}/v1/tasks/example/contributions?wait=sum`, {
          method: 'POST',
          body: new Float32Array(1000).fill(at + 1),
          headers: { authorization: `Bearer ${await token(name)}`, 'content-type': 'application/octet-stream' }
        })
      )
    )

  it('contributes with curl, lists the rounds and fetches the sum', async function () {
    const hasCurl = await run('curl', ['--version']).then(
      () => true,
      () => false
    )
    if (!hasCurl) {
      console.log('      skipped: there is no curl on this machine')
      this.skip()
    }
    await writeNpy(join(folder(), 'vector.npy'), new Float32Array(1000).fill(-1))
    const { stdout: taken } = await run('sh', ['-c', block('sh', 'contributions')], { cwd: folder() })
    assert.equal((JSON.parse(taken) as { round: number }).round, 1)
    await assert.rejects(run('sh', ['-ec', block('sh', 'sum.npy')], { cwd: folder() }), { code: 22 })
    await assert.rejects(access(join(folder(), 'sum.npy')))
    for (const { status } of await others()) assert.equal(status, 200)
    const sum = async (): Promise<boolean> => {
      // Not closed here yet, perhaps.
      const { stdout } = await run('sh', ['-ec', block('sh', 'sum.npy')], { cwd: folder() }).catch(
        (failed: { stdout: string }) => failed
      )
      return stdout.includes('"round":1')
    }
    while (!(await sum())) await new Promise((resolve) => setTimeout(resolve, 100))
    const { values } = await readNpy(join(folder(), 'sum.npy'))
    assert.ok(Math.abs(Number(values[999]) - 2) < 0.01, String(values[999]))
  })

  it('takes part from Python', async function () {
    const hasNumpy = await run('python3', ['-c', 'import numpy']).then(
      () => true,
      () => false
    )
    if (!hasNumpy) {
      console.log('      skipped: there is no python3 with numpy on this machine')
      this.skip()
    }
    const script = block('python', 'numpy')
    assert.ok(script.trim().split('\n').length <= 20)
    const [{ stdout }] = await Promise.all([run('python3', ['-c', script], { cwd: folder() }), others()])
    assert.match(stdout, /^round \d+ of 3 members, mean \[0\.66\d+ /)
  })

  it('shows the page at the address of the API', async () => {
    const response = await fetch(urls()[0])
    assert.equal(response.status, 200)
    assert.match(response.headers.get('content-type')!, /text\/html/)
    assert.match(response.headers.get('content-security-policy')!, /default-src 'none'/)
  })

  it('is quoted by the front page as it is', async () => {
    const front = await readFile(packageFile('README.md'), 'utf8')
    assert.ok(front.includes(quoted('python', 'numpy')))
    // What an operator asks for once in a while is in the guide alone.
    const everyday = [...guide.matchAll(/^curl .*$/gm)].filter(([line]) => !line.includes('/evidence'))
    for (const [line] of everyday) assert.ok(front.includes(line), line)
    for (const [, file] of front.matchAll(/\]\((?!https?:)([^)]+)\)/g)) await access(packageFile(file.split('#')[0]))
  })

  it('names files that there are', async () => {
    for (const [, file] of guide.matchAll(/\]\(\.\.\/\.\.\/([^)]+)\)/g)) await access(packageFile(file))
  })
})

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map((server) => once(server, 'listening')))
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => once(server.close(), 'close')))
  return ports
}
