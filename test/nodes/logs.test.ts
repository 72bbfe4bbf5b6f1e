import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import type { NodeConfigInput } from '../../nodes/daemon/config-schema.ts'
import { until } from '../network/nodes.ts'
import { makeMembers } from './daemons.ts'
import type { Members } from './daemons.ts'
import { startSecagg, temporaryFolder } from './secagg.ts'

interface Line {
  level: number
  module: string
  component?: string
  msg: string
}

const DEBUG = 20

describe('the logs of a daemon', () => {
  const folder = temporaryFolder()
  let members: Members
  before(async () => {
    members = await makeMembers(folder(), 3)
  })

  /** What a daemon logs from its start to its end, which knows a peer that is not there. */
  async function logged(more: Partial<NodeConfigInput>): Promise<Line[]> {
    const file = join(folder(), 'node.yaml')
    const bootstrap = [`/ip4/127.0.0.1/tcp/9/p2p/${members.ids[1]}`]
    const config = { dataDir: members.folders[0], task: members.taskFile, bootstrap, local: true, ...more }
    await writeFile(file, stringify({ api: { listen: 'off' }, ...config }))
    const { child, ended } = startSecagg('node', '--config', file)
    let log = ''
    child.stdout!.on('data', (text: string) => (log += text))
    const isDone = (): boolean =>
      more.logLevels?.network === 'debug' ? log.includes('could not reach') : log.includes('"msg":"started"')
    await until(isDone, 'it has logged', 30_000)
    child.kill('SIGTERM')
    const { code, stdout } = await ended
    assert.equal(code, 0)
    return stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Line)
  }

  it('are JSON, a line each with its module, and leave libp2p out', async () => {
    const lines = await logged({})
    assert.deepEqual(
      lines.map(({ module, msg }) => `${module}: ${msg}`),
      ['network: started', 'network: ended']
    )
  })

  it('have a level for each module, libp2p’s own components among them, and print no secret', async () => {
    const lines = await logged({ logLevel: 'silent', logLevels: { network: 'debug', libp2p: 'trace' } })
    assert.deepEqual(new Set(lines.map(({ module }) => module)), new Set(['network', 'libp2p']))
    const unreachable = lines.find(({ msg }) => msg.startsWith('could not reach'))!
    assert.equal(unreachable.level, DEBUG)
    assert.equal(unreachable.component, 'libp2p:secagg:links')
    assert.ok(unreachable.msg.includes(`${members.ids[1]}, attempt 1 - `), unreachable.msg)
    assert.ok(lines.some(({ component }) => component?.startsWith('libp2p:tcp')))
    const secret = (await readFile(join(members.folders[0], 'identity.key'))).subarray(4, 36)
    const text = JSON.stringify(lines)
    for (const form of ['hex', 'base64', 'base64url'] as const)
      assert.ok(!text.includes(secret.toString(form).slice(0, 40)))
  })
})
