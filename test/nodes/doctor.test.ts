import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { chmod, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { stringify } from 'yaml'
import type { NodeConfigInput } from '../../nodes/daemon/config-schema.ts'
import { readConfig } from '../../nodes/daemon/config.ts'
import type { Check } from '../../nodes/doctor/check.ts'
import { checkNode } from '../../nodes/doctor/node-checks.ts'
import { roundBytes } from '../../nodes/doctor/round-bytes.ts'
import type { RoundBytes } from '../../nodes/doctor/round-bytes.ts'
import { roundSeconds } from '../../nodes/doctor/round-time.ts'
import { withMembers } from '../../nodes/doctor/task-report.ts'
import { packageFile } from '../../nodes/package-root.ts'
import { until } from '../network/nodes.ts'
import { Simulation } from '../simulation/network.ts'
import { firstOrder } from '../simulation/schedule.ts'
import { Daemons, makeMembers } from './daemons.ts'
import type { Members } from './daemons.ts'
import { secagg, temporaryFolder } from './secagg.ts'

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await new Promise((closed) => server.close(closed))
  return port
}

describe('secagg doctor --config', () => {
  const folder = temporaryFolder()
  const daemons = new Daemons()
  let members: Members
  before(async () => {
    members = await makeMembers(folder(), 3)
  })
  after(() => daemons.stop())

  async function write(number: number, more: Partial<NodeConfigInput> = {}): Promise<string> {
    const file = join(folder(), `node-${number}.yaml`)
    const config = { dataDir: members.folders[number], task: members.taskFile, api: { listen: '127.0.0.1:0' }, ...more }
    await writeFile(file, stringify(config))
    return file
  }

  async function checks(number: number, more: Partial<NodeConfigInput> = {}): Promise<Map<string, Check>> {
    const found = await checkNode(await readConfig(await write(number, more)), true)
    return new Map(
      found.map((check) => [check.name.split(' ')[0] + (check.name === 'api token' ? ' token' : ''), check])
    )
  }

  it('finds nothing where a start would succeed, reaches who is there, and ends with 0', async () => {
    const first = await daemons.start(members, 0)
    const { code, stdout, stderr } = await secagg(
      'doctor',
      '--config',
      await write(1, { bootstrap: [first.addresses[0]] })
    )
    assert.equal(code, 0, stdout + stderr)
    const lines = stdout.trim().split('\n')
    assert.ok(
      lines.every((line) => line.startsWith('ok  ')),
      stdout
    )
    assert.match(stdout, /membership +member \d of 3/)
    assert.match(stdout, /bootstrap \S+ +answers in \d+ ms/)
  })

  it('fails, with what to do, where a start would fail', async () => {
    const first = daemons.running[0]
    const listen = first.addresses.map((address) => address.split('/p2p/')[0])
    const inUse = await checks(0, { listen })
    assert.equal(inUse.get('journal')!.status, 'fail')
    assert.match(inUse.get('journal')!.message, /is in use: end the process/)
    assert.match(inUse.get('listen')!.message, /is in use; choose another port/)

    const key = join(members.folders[1], 'identity.key')
    await chmod(key, 0o640)
    assert.match((await checks(1)).get('identity')!.message, /open to other users \(mode 640\)/)
    await chmod(key, 0o600)

    const token = join(folder(), 'api.token')
    await writeFile(token, 'secret-of-the-api', { mode: 0o644 })
    const exposed = (await checks(1, { api: { listen: '127.0.0.1:0', tokenFile: token } })).get('api token')!
    assert.equal(exposed.status, 'fail')
    assert.ok(!exposed.message.includes('secret-of-the-api'))

    const stranger = await makeMembers(folder(), 3)
    const file = await write(1, { dataDir: stranger.folders[0], networkKey: 'nothing.key' })
    const { code, stdout } = await secagg('doctor', '--json', '--offline', '--config', file)
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Check & { type: string; ok?: boolean })
    const failed = lines.filter(({ status }) => status === 'fail').map(({ name }) => name)
    assert.deepEqual(failed, ['membership', 'network key'])
    assert.deepEqual(lines.at(-1), { type: 'summary', ok: false })
    assert.equal(code, 1)
  })

  it('fails where a token is too short, ports are given twice, or nothing can be listened on', async () => {
    const token = join(folder(), 'short.token')
    await writeFile(token, 'short-one\n', { mode: 0o600 })
    const short = (await checks(1, { api: { listen: '127.0.0.1:0', tokenFile: token } })).get('api token')!
    assert.equal(short.status, 'fail')
    assert.match(short.message, /no token of at least 16/)
    assert.ok(!short.message.includes('short-one'))

    const port = await freePort()
    const found = async (more: Partial<NodeConfigInput>): Promise<Check[]> =>
      (await checkNode(await readConfig(await write(1, more)), false)).filter(({ name }) => /^(listen|api) /.test(name))
    const tcp = `/ip4/127.0.0.1/tcp/${port}`
    const twice = await found({ listen: [tcp, `${tcp}/ws`] })
    assert.deepEqual(
      twice.map(({ status }) => status),
      ['ok', 'fail', 'ok', 'ok']
    )
    assert.match(twice[1].message, /another address of this file/)
    const withApi = await found({ listen: [tcp], api: { listen: `127.0.0.1:${port}` } })
    assert.equal(withApi[1].status, 'fail')
    assert.equal((await found({ listen: [tcp] }))[0].status, 'ok', 'every port is given back')

    for (const address of [`/ip4/127.0.0.1/udp/${port}/quic-v1`, '/webrtc']) {
      assert.equal((await found({ listen: [address] }))[0].status, 'fail', address)
      assert.equal((await found({ listen: [tcp, address] }))[1].status, 'warn', address)
    }
  })

  it('says nothing of the room that the rounds of a broken task need', async () => {
    const task = join(folder(), 'broken.yaml')
    await writeFile(task, 'name: x\n')
    const found = await checks(1, { task })
    assert.equal(found.get('task')!.status, 'fail')
    assert.match(found.get('disk')!.message, /^\S+ [KMGT]iB free$/)
  })

  it('warns of peers that do not answer, because a start goes on without them', async () => {
    const nobody = `/ip4/127.0.0.1/tcp/9/p2p/${members.ids[2]}`
    const found = await checks(1, { bootstrap: [nobody] })
    assert.equal(found.get('bootstrap')!.status, 'warn')
    assert.match(found.get('bootstrap')!.message, /does not answer; check that it runs/)
  })

  it('tells a wrong file as a failure, and a wrong command line as wrong usage', async () => {
    const file = join(folder(), 'wrong.yaml')
    await writeFile(file, 'dataDir: x\ntask: y\nlissten: []\n')
    const { code, stdout } = await secagg('doctor', '--config', file)
    assert.equal(code, 1)
    assert.match(
      stdout,
      /^fail {2}config {2}\S+wrong\.yaml: line 3: there is no field "lissten" \(did you mean "listen"\?\)\n$/
    )
    assert.equal((await secagg('doctor')).code, 2)
    assert.equal((await secagg('doctor', '--config', file, '--members', '4')).code, 2)
  })
})

describe('secagg doctor --task', () => {
  const folder = temporaryFolder()
  const daemons = new Daemons()
  afterEach(() => daemons.stop())
  const example = packageFile('config/task.yaml')
  const written = { name: 'foretold', encoding: { type: 'fixed', clip: 8, bits: 16 } }

  it('tells what the task asks of its members, for any number of them', async () => {
    const { code, stdout } = await secagg('doctor', '--task', example, '--members', '100', '--json')
    assert.equal(code, 0)
    const [report] = stdout.split('\n').map((line) => (line === '' ? {} : JSON.parse(line)) as Record<string, unknown>)
    assert.deepEqual(report.thresholds, {
      members: 100,
      f: 12,
      D: 25,
      quorum: 57,
      nMin: 75,
      threshold: 26,
      acknowledgements: 62
    })
    assert.equal(report.degree, 99)
    assert.deepEqual(report.bits, { element: 16, ring: 23, most: 32 })
    assert.ok((report.maskMs as number) > 0)
    const people = await secagg('doctor', '--task', example)
    assert.match(people.stdout, /^ok {4}leader +sends .* and receives .* a round/m)
  })

  it('says what is infeasible and why, and what would do', async () => {
    const file = join(folder(), 'task.yaml')
    const task = await readFile(example, 'utf8')
    await writeFile(file, task.replace('corrupt: 0.125', 'corrupt: 0.4'))
    const threat = await secagg('doctor', '--task', file, '--members', '10')
    assert.equal(threat.code, 1)
    assert.match(threat.stdout, /^fail {2}task {2}with 10 members, .*needs 3·4 \+ 2·2 < 10, but it is 16; lower/)
    await writeFile(file, task.replace('bits: 16', 'bits: 31'))
    const bits = await secagg('doctor', '--task', file, '--json')
    assert.equal(bits.code, 1)
    assert.match(bits.stdout, /need 33 bits, more than 32; lower encoding\.bits to 30/)
  })

  it('foretells how long a round takes over a link, and wants to know of one before it hears of a delay', async () => {
    const { code, stdout } = await secagg(
      'doctor',
      '--task',
      example,
      '--members',
      '16',
      '--link',
      '100',
      '--delay',
      '20'
    )
    assert.equal(code, 0)
    assert.match(stdout, /^ok {4}round +[\d.]+ s if nobody drops out, over links of 100 Mbit\/s and 20 ms$/m)
    const alone = await secagg('doctor', '--task', example, '--delay', '20')
    assert.equal(alone.code, 2)
    assert.match(alone.stderr, /doctor takes --delay with --link only/)
  })

  it('has the leader’s link carry all vectors and one sum, and where a sum is shared by all nobody’s more than two', async () => {
    const task = await withMembers({ ...written, length: 1_000_000, audit: 0 }, 16)
    const { leader, member, owner, vector, busiest } = roundBytes(task)
    assert.equal(owner, undefined)
    assert.deepEqual(busiest, {
      uploads: { sent: 1, received: 15 },
      sums: { sent: 1, received: 0 },
      audits: { sent: 0, received: 0 }
    })
    assert.ok(leader.sent > 2 * vector && leader.sent < 2.3 * vector)
    assert.ok(member.sent > 1.9 * vector && member.sent < 2.1 * vector)
    assert.ok(leader.received > 15 * vector && leader.received < 15.1 * vector)
    // Twice on average, each of 16 members has an eighth of the 15 other vectors, and in full all of them.
    const sampled = roundBytes({ ...task, audit: 2 })
    assert.deepEqual(sampled.busiest.audits, { sent: 14 / 8, received: 15 / 8 })
    const full = roundBytes({ ...task, audit: 'full' })
    assert.ok(full.member.received - member.received > 15 * vector)
    assert.ok(full.leader.received - leader.received < vector / 100)
    const shared = roundBytes({ ...task, shards: 16 })
    for (const bytes of [shared.owner!.sent, shared.owner!.received, shared.leader.sent, shared.leader.received])
      assert.ok(bytes > 1.8 * vector && bytes < 2.3 * vector, `${bytes / vector} vectors`)
    // To two of its class and one of the other.
    assert.deepEqual(roundBytes({ ...task, shards: 2 }).busiest.sums, { sent: 3 / 2, received: 1 / 2 })
    const seconds = (bytes: RoundBytes, mbit: number, delayMs = 0): number =>
      roundSeconds(bytes, { mbit, delayMs }, { maskMs: 0, unmaskMs: 0 })
    const whole = roundBytes(task)
    const [fast, slow] = [seconds(whole, 100), seconds(whole, 10)]
    assert.ok(slow > 5 * fast && seconds(whole, 100, 20) > fast && seconds(shared, 100) < fast / 3)
  })

  it('foretells what each sends of a sum in slices, as simulated networks do', async function () {
    for (const [members, shards] of [
      [9, 9],
      [8, 2],
      [11, 4]
    ]) {
      const terms = { members, shards, length: 3 * shards * 2 ** 14, threat: {}, audit: 0 }
      const simulation = await Simulation.create({ ...terms, seed: 5 })
      await simulation.round(1)
      const told = roundBytes(simulation.task)
      const order = firstOrder(simulation.task)
      const sent = order.map((member) => simulation.traffic[member].sent)
      const isClose = (found: number, foretold: number): void =>
        assert.ok(
          Math.abs(found / foretold - 1) < 0.05,
          `${members}/${shards}: ${found} bytes, and ${foretold} foretold`
        )
      isClose(Math.max(...sent.slice(1, shards)), told.owner!.sent)
      const others = sent.slice(shards)
      if (others.length > 0) isClose(others.reduce((all, bytes) => all + bytes) / others.length, told.member.sent)
    }
  })

  for (const audit of [0, 'full'] as const) {
    it(`counts the bytes of a round as they are, within a quarter, with the audit ${audit}`, async () => {
      const members = await makeMembers(folder(), 4, { deadline: 30, audit })
      const memory = () => ({ memory: true, listen: [`/memory/${randomUUID()}`] })
      const first = await daemons.start(members, 0, memory())
      for (const number of [1, 2, 3]) await daemons.start(members, number, { ...memory(), bootstrap: first.addresses })
      const all = daemons.running
      const acquainted = () =>
        all.every((daemon) => daemon.status().subscribed.length === 3 && daemon.standing.answered === 4)
      await until(acquainted, 'all have met', 40_000)
      const told = roundBytes(members.task)
      const indices = members.ids.map((id) => members.task.members.indexOf(id))
      let calm = 0
      for (let round = 1; calm < 5; round++) {
        await Promise.all(all.map((daemon, number) => daemon.stage(round, members.inputs[number])))
        await first.want()
        await until(() => daemons.outcomes.every(({ length }) => length === round), 'the round is closed', 40_000)
        const outcomes = daemons.outcomes.map((told) => told[round - 1])
        // On a machine that is too busy another leader takes over, and much is said twice.
        if (outcomes.some(({ views }) => views > 1)) continue
        calm++
        const ratios = outcomes.flatMap(({ aggregator, bytesSent, bytesReceived }, number) => {
          const { sent, received } = indices[number] === aggregator ? told.leader : told.member
          return [sent / bytesSent, received / bytesReceived]
        })
        const seen = `round ${round}: ${ratios.map((ratio) => ratio.toFixed(2)).join(' ')}`
        for (const ratio of ratios) assert.ok(ratio > 0.75 && ratio < 1.25, seen)
      }
    })
  }
})
