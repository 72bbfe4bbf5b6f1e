import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmod, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { stringify } from 'yaml'
import { toLauncherSchema } from '../../nodes/daemon/launcher-messages.ts'
import type { Hold, ReportedOutcome, ToLauncher, ToNode } from '../../nodes/daemon/launcher-messages.ts'
import { packageFile } from '../../nodes/package-root.ts'
import { until } from '../network/nodes.ts'
import { Daemons, makeMembers } from './daemons.ts'
import type { Members } from './daemons.ts'
import { startSecagg, temporaryFolder } from './secagg.ts'

/** `secagg node` in a process of its own, and what it tells whoever started it. */
class NodeProcess {
  readonly child: ChildProcess
  readonly told: ToLauncher[] = []
  log = ''
  exit?: number | string

  constructor(file: string, holds: Hold[] = []) {
    this.child = fork(packageFile('nodes/start.js'), ['node', '--config', file], {
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
      execArgv: []
    })
    this.child.stdout!.setEncoding('utf8').on('data', (text: string) => (this.log += text))
    this.child.on('message', (message) => this.told.push(toLauncherSchema.parse(message)))
    this.child.on('close', (code, signal) => (this.exit = code ?? signal ?? 'nothing'))
    this.send({ type: 'hold', holds })
  }

  send(message: ToNode): void {
    this.child.send(message)
  }

  get outcomes(): ReportedOutcome[] {
    return this.told.flatMap((message) => (message.type === 'outcome' ? [message.outcome] : []))
  }

  of<T extends ToLauncher['type']>(type: T): Extract<ToLauncher, { type: T }>[] {
    return this.told.filter((message): message is Extract<ToLauncher, { type: T }> => message.type === type)
  }

  async ready(): Promise<string> {
    await until(() => this.of('ready').length > 0, 'the node runs', 30_000)
    return this.of('ready')[0].addresses[0]
  }

  reached({ phase, round }: Hold): boolean {
    return this.of('phase').some((reached) => reached.phase === phase && reached.round === round)
  }
}

describe('a daemon that is told to end', () => {
  const folder = temporaryFolder()
  const processes: NodeProcess[] = []
  let members: Members
  const file = (number: number): string => join(members.folders[number], 'node.yaml')

  before(async () => {
    members = await makeMembers(folder(), 4, { deadline: 5 })
    await run(0, [])
    const bootstrap = [await processes[0].ready()]
    for (const number of [1, 2]) await run(number, bootstrap)
    await run(3, bootstrap, [{ phase: 'mask', round: 1 }])
    await assembled()
  })

  after(async () => {
    for (const { child } of processes) child.kill('SIGKILL')
    await until(() => processes.every(({ exit }) => exit !== undefined), 'all have ended')
  })

  async function run(number: number, bootstrap: string[], holds: Hold[] = [], stopSeconds = 20): Promise<void> {
    const config = {
      dataDir: '.',
      task: members.taskFile,
      bootstrap,
      local: true,
      api: { listen: 'off' },
      stopSeconds
    }
    await writeFile(file(number), stringify(config))
    processes[number] = new NodeProcess(file(number), holds)
  }

  async function assembled(): Promise<void> {
    await Promise.all(processes.map((process) => process.ready()))
    const isConnected = ({ told }: NodeProcess): boolean => {
      const last = told.findLast((message) => message.type === 'status')?.status
      return last?.connected.length === 3 && last.subscribed.length === 3
    }
    const asking = setInterval(() => processes.forEach((process) => process.send({ type: 'status' })), 200)
    await until(() => processes.every(isConnected), 'all are connected', 40_000).finally(() => clearInterval(asking))
  }

  async function open(round: number): Promise<void> {
    processes.forEach((process, number) => process.send({ type: 'input', round, file: members.inputs[number] }))
    await until(
      () => processes.every((process) => process.of('staged').some((staged) => staged.round === round)),
      'staged'
    )
    for (const process of processes.slice(0, 2)) process.send({ type: 'want' })
  }

  it('finishes the running round, ends with 0, and takes part again when it is started again', async () => {
    await open(1)
    const [, , , last] = processes
    const held: Hold = { phase: 'mask', round: 1 }
    await until(() => last.reached(held), 'the last one is about to mask')
    // As where a whole process group is told, and whoever started the daemon passes that on.
    last.child.kill('SIGTERM')
    await sleep(20)
    last.child.kill('SIGTERM')
    await until(() => last.log.includes('told to end'), 'it has heard')
    last.send({ type: 'go', ...held })
    await until(() => last.exit !== undefined, 'it has ended', 30_000)
    assert.equal(last.exit, 0)
    assert.equal(last.outcomes[0].status, 'summed')
    await until(() => processes.every(({ outcomes }) => outcomes.length === 1), 'the others closed the round')
    assert.deepEqual(processes[0].outcomes[0].included, [0, 1, 2, 3])

    await run(3, [await processes[0].ready()], [{ phase: 'mask', round: 2 }])
    await assembled()
    const { status } = processes[3].of('status').at(-1)!
    assert.equal(status.closedRound, 1)
  })

  it('ends at once when it is told twice, and the round goes on without it', async () => {
    await open(2)
    const [, , , last] = processes
    await until(() => last.reached({ phase: 'mask', round: 2 }), 'the last one is about to mask')
    last.child.kill('SIGTERM')
    await until(() => last.log.includes('told to end'), 'it has heard')
    for (; last.exit === undefined; await sleep(100)) last.child.kill('SIGTERM')
    assert.equal(last.exit, 128 + 15)
    const others = processes.slice(0, 3)
    await until(() => others.every(({ outcomes }) => outcomes.some(({ round }) => round === 2)), 'round 2', 40_000)
    const [, second] = others[0].outcomes
    assert.equal(second.status, 'summed')
    assert.equal(second.included.length, 3)
  })

  it('abandons the round when its time to stop runs out, ends with 0, and the round goes on without it', async () => {
    const held: Hold = { phase: 'mask', round: 3 }
    await run(3, [await processes[0].ready()], [held], 1)
    await assembled()
    await open(3)
    const [, , , last] = processes
    await until(() => last.reached(held), 'the last one is about to mask')
    last.child.kill('SIGTERM')
    await until(() => last.exit !== undefined, 'it has ended', 30_000)
    assert.equal(last.exit, 0)
    assert.match(last.log, /"round":3,"msg":"round abandoned"/)
    const others = processes.slice(0, 3)
    await until(() => others.every(({ outcomes }) => outcomes.some(({ round }) => round === 3)), 'round 3', 40_000)
    const third = others[0].outcomes.at(-1)!
    assert.equal(third.status, 'summed')
    assert.deepEqual(third.dropped.concat(third.missing).length, 1)
  })
})

describe('a member’s folder', () => {
  const folder = temporaryFolder()
  const daemons = new Daemons()
  let members: Members
  before(async () => {
    members = await makeMembers(folder(), 3)
  })
  afterEach(() => daemons.stop())

  it('is used by one daemon at a time, in one process or in two', async () => {
    await daemons.start(members, 0)
    await assert.rejects(
      daemons.start(members, 0),
      /^SecureAggregationError: the journal in \S+ is in use: end the process/
    )
    const file = join(folder(), 'node.yaml')
    await writeFile(
      file,
      stringify({ dataDir: members.folders[0], task: members.taskFile, local: true, api: { listen: 'off' } })
    )
    const { ended } = startSecagg('node', '--config', file)
    const { code, stderr } = await ended
    assert.equal(code, 1)
    assert.match(stderr, /^secagg: the journal in \S+ is in use: end the process that uses it[^\n]*\n$/)

    await daemons.stop()
    await daemons.start(members, 0)
  })

  it('holds an identity that only its owner may read, or the daemon does not start', async () => {
    const key = join(members.folders[1], 'identity.key')
    assert.equal((await stat(key)).mode & 0o777, 0o600)
    await chmod(key, 0o644)
    await assert.rejects(daemons.start(members, 1), /identity\.key is open to other users \(mode 644\); .*chmod 600/)
    await chmod(key, 0o600)
    await daemons.start(members, 1)
  })

  it('is given up when a daemon that runs alone is told to end', async () => {
    const file = join(folder(), 'alone.yaml')
    await writeFile(
      file,
      stringify({ dataDir: members.folders[2], task: members.taskFile, local: true, api: { listen: 'off' } })
    )
    const { child, ended } = startSecagg('node', '--config', file)
    let log = ''
    child.stdout!.on('data', (text: string) => (log += text))
    await until(() => log.includes('"msg":"started"'), 'it runs', 30_000)
    child.kill('SIGTERM')
    const [code] = (await once(child, 'exit')) as [number]
    assert.equal(code, 0)
    const lines = (await ended).stdout.trim().split('\n')
    for (const line of lines) assert.equal((JSON.parse(line) as { module: string }).module, 'network')
    await daemons.start(members, 2)
  })
})
