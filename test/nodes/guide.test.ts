import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { access, readFile, symlink, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { stringify } from 'yaml'
import { readNpy, writeNpy } from '../../nodes/npy.ts'
import { packageFile } from '../../nodes/package-root.ts'
import { until } from '../network/nodes.ts'
import { makeMembers } from './daemons.ts'
import type { Members } from './daemons.ts'
import { startSecagg, temporaryFolder } from './secagg.ts'

const run = promisify(execFile)

describe('the operator’s guide, followed to the letter', function () {
  this.timeout(120_000)
  const folder = temporaryFolder()
  const children: ChildProcess[] = []
  const urls: string[] = []
  let members: Members
  let guide: string

  before(async () => {
    guide = await readFile(packageFile('nodes/daemon/README.md'), 'utf8')
    const encoding = { type: 'fixed' as const, clip: 8, bits: 16 }
    members = await makeMembers(folder(), 3, { name: 'example', length: 1000, encoding, threat: { dropout: 0 } })
    let bootstrap: string[] = []
    for (const dataDir of members.folders) {
      const file = join(dataDir, 'node.yaml')
      const config = { dataDir, task: members.taskFile, bootstrap, local: true, api: { listen: '127.0.0.1:0' } }
      await writeFile(file, stringify(config))
      const { child } = startSecagg('node', '--config', file)
      children.push(child)
      let log = ''
      child.stdout!.on('data', (text: string) => (log += text))
      await until(() => log.includes('the API listens'), 'the API listens', 60_000)
      urls.push(/"url":"([^"]+)"/.exec(log)![1])
      if (bootstrap.length === 0) bootstrap = [/"addresses":\["([^"]+)"/.exec(log)![1]]
    }
    await mkdir(join(folder(), 'data'))
    await symlink(members.folders[0], join(folder(), 'data', 'me'))
    const ready = (): Promise<boolean[]> => Promise.all(urls.map(async (url) => (await fetch(`${url}/readyz`)).ok))
    while (!(await ready()).every(Boolean)) await new Promise((resolve) => setTimeout(resolve, 100))
  })
  after(async () => {
    await Promise.all(
      children.map(async (child) => {
        child.kill('SIGKILL')
        await new Promise((resolve) => child.once('close', resolve))
      })
    )
  })

  /** The nth block of a language in the guide, spoken to the node of this test. */
  function block(language: string, containing: string): string {
    const blocks = [...guide.matchAll(new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\``, 'gm'))].map(([, text]) => text)
    const found = blocks.find((text) => text.includes(containing))
    assert.ok(found, `the guide has a ${language} block with ${containing}`)
    return found.replaceAll('http://127.0.0.1:4080', urls[0])
  }

  const others = (round: number): Promise<Response[]> =>
    Promise.all(
      [1, 2].map(async (number) => {
        const token = (await readFile(join(members.folders[number], 'api.token'), 'utf8')).trim()
        return fetch(`${urls[number]}/v1/tasks/example/contributions?wait=sum&round=${round}`, {
          method: 'POST',
          body: new Float32Array(1000).fill(number),
          headers: { authorization: `Bearer ${token}`, 'content-type': 'application/octet-stream' }
        })
      })
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
    for (const { status } of await others(1)) assert.equal(status, 200)
    const sum = async (): Promise<boolean> => {
      const { stdout } = await run('sh', ['-c', block('sh', 'sum.npy')], { cwd: folder() })
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
    const token = (await readFile(join(members.folders[0], 'api.token'), 'utf8')).trim()
    const response = await fetch(`${urls[0]}/v1/tasks`, { headers: { authorization: `Bearer ${token}` } })
    const { tasks } = (await response.json()) as { tasks: { closedRound: number }[] }
    const script = block('python', 'numpy')
    assert.ok(script.trim().split('\n').length <= 20)
    const [{ stdout }] = await Promise.all([
      run('python3', ['-c', script], { cwd: folder() }),
      others(tasks[0].closedRound + 1)
    ])
    assert.match(stdout, /^round \d+ of 3 members, mean \[0\.66\d+ /)
  })

  it('shows the page at the address of the API', async () => {
    const response = await fetch(urls[0])
    assert.equal(response.status, 200)
    assert.match(response.headers.get('content-type')!, /text\/html/)
    assert.match(response.headers.get('content-security-policy')!, /default-src 'none'/)
  })

  it('names files that there are', async () => {
    for (const [, file] of guide.matchAll(/\]\(\.\.\/\.\.\/([^)]+)\)/g)) await access(packageFile(file))
  })
})
