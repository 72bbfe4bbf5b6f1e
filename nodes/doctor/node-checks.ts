import { access, constants, stat, statfs } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { AddressInfo, Server } from 'node:net'
import { join } from 'node:path'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import type { PrivateKey } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { LevelJournal } from '../../src/journal/level-journal.ts'
import { packedLength } from '../../src/encoding/packing.ts'
import type { Task } from '../../src/task/task.ts'
import { readToken } from '../daemon/api/token.ts'
import { readTask } from '../daemon/config.ts'
import type { NodeConfig } from '../daemon/config.ts'
import { readIdentity } from '../daemon/identity.ts'
import { createNode, isListenable } from '../daemon/libp2p.ts'
import { readNetworkKey } from '../daemon/network-key.ts'
import { checked, fail, ok, warn, size } from './check.ts'
import type { Check } from './check.ts'

/** Everything that a start of a node would stumble over. */

const DIAL_MS = 8_000

/** @param reach whether bootstrap peers and relays are dialled */
export async function checkNode(config: NodeConfig, reach: boolean): Promise<Check[]> {
  let task: Task | undefined
  let key: PrivateKey | undefined
  const checks = [
    await checked('task', async () => {
      task = await readTask(config.task)
      const { name, members, length } = task
      return `${name}: ${members.length} members, ${length} elements`
    }),
    await checked('identity', async () => {
      key = await readIdentity(config.dataDir)
      return `${peerIdFromPrivateKey(key).toString()}, for its owner only`
    })
  ]
  if (task !== undefined && key !== undefined) checks.push(checkMembership(task, peerIdFromPrivateKey(key).toString()))
  const journal = await checked('journal', () => checkJournal(config.dataDir))
  checks.push(journal)
  checks.push(
    await checked('disk', () => checkDisk(config.dataDir, task)),
    await checked('clock', () => checkClock(config))
  )
  if (config.networkKey !== undefined)
    checks.push(
      await checked('network key', async () => (await readNetworkKey(config.networkKey!), 'is one, for its owner only'))
    )
  const sockets = new Sockets()
  for (const address of config.listen)
    checks.push(await checked(`listen ${address}`, () => checkListen(address, config, sockets)))
  if (config.listen.length === 0) checks.push(checkReachable(config))
  checks.push(...(await checkApi(config, sockets)))
  await sockets.close()
  if (reach && key !== undefined && checks.every(({ name, status }) => name !== 'network key' || status === 'ok'))
    checks.push(...(await checkPeers(config, key)))
  return checks
}

function checkMembership(task: Task, id: string): Check {
  if (task.members.includes(id)) return ok('membership', `member ${task.members.indexOf(id)} of ${task.members.length}`)
  if (task.admission !== undefined) return warn('membership', `${id} is no member yet; it will ask to be let in`)
  return fail('membership', `${id} is not among the members of the task; add it to the task or use another dataDir`)
}

function isThere(path: string, mode?: number): Promise<boolean> {
  return access(path, mode).then(
    () => true,
    () => false
  )
}

async function checkJournal(dataDir: string): Promise<Check | string> {
  const folder = join(dataDir, 'journal')
  if (!(await isThere(folder))) return 'is made at the first start'
  const journal = await LevelJournal.open(folder)
  await journal.close()
  return 'opens, and nobody else uses it'
}

/** A leader keeps every member's packed vector until the round is closed, and a sum. */
async function checkDisk(dataDir: string, task: Task | undefined): Promise<Check | string> {
  if (!(await isThere(dataDir, constants.W_OK)))
    return fail('disk', `${dataDir} is not there, or this user may not write to it; make it with secagg keygen`)
  const { bavail, bsize } = await statfs(dataDir)
  const free = bavail * bsize
  if (task === undefined) return `${size(free)} free`
  const need = (task.members.length + 1) * packedLength(task.laneCount, task.bits)
  const found = `${size(free)} free, and a round that this member leads needs ${size(need)}`
  return free > 2 * need ? found : warn('disk', `${found}; make room, or such a round fails`)
}

/** Rounds need no common time: deadlines run from messages. Only a clock that is far off is a sign of something. */
async function checkClock({ dataDir }: NodeConfig): Promise<Check | string> {
  const mtimeMs = await stat(dataDir).then(
    (found) => found.mtimeMs,
    () => 0
  )
  const now = Date.now()
  if (mtimeMs > now + 60_000)
    return warn('clock', `the clock is behind the last change of ${dataDir}; set it, or logs will mislead`)
  if (new Date(now).getUTCFullYear() < 2025)
    return warn('clock', `the clock says ${new Date(now).toISOString()}; set it`)
  return 'plausible; rounds do not depend on the time of day, so it is not compared with other members'
}

async function checkListen(address: string, { listen }: NodeConfig, sockets: Sockets): Promise<Check | string> {
  if (!isListenable(address)) {
    const found =
      'is nothing to listen on for a node: write it like /ip4/0.0.0.0/tcp/4001, with /ws behind it or without'
    return listen.some(isListenable)
      ? warn(`listen ${address}`, `${found}; it is passed over`)
      : fail(`listen ${address}`, found)
  }
  const parts = multiaddr(address).getComponents()
  const host = parts.find(({ name }) => name === 'ip4' || name === 'ip6')?.value
  if (host === undefined) return warn(`listen ${address}`, 'is not looked at: not an IP address and TCP port')
  const port = Number(parts.find(({ name }) => name === 'tcp')?.value)
  await sockets.bind(host, port)
  const reach = /^(127\.|::1$)/.test(host) ? '; only this machine reaches it' : ''
  return (port === 0 ? 'any free port' : 'free') + reach
}

/** All that a start would listen on at the same time. */
class Sockets {
  readonly #open: Server[] = []

  /** @throws where nobody could listen there */
  async bind(host: string, port: number): Promise<void> {
    const server = createServer()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    server.once('error', (error: NodeJS.ErrnoException) => {
      const isOwn = this.#open.some((other) => (other.address() as AddressInfo).port === port)
      const inUse = isOwn
        ? 'is in use by another address of this file; choose another port'
        : 'is in use; choose another port, or end the program that has it'
      const why: Record<string, string> = {
        EADDRINUSE: inUse,
        EACCES: 'is not allowed to this user; choose a port of 1024 or more',
        EADDRNOTAVAIL: 'is no address of this machine'
      }
      reject(new Error(why[error.code ?? ''] ?? error.message))
    })
    server.listen({ host, port, exclusive: true }, resolve)
    await promise
    this.#open.push(server)
  }

  async close(): Promise<void> {
    await Promise.all(this.#open.map((server) => new Promise((closed) => server.close(closed))))
  }
}

function checkReachable({ relay, bootstrap }: NodeConfig): Check {
  if (relay.use.length > 0) return ok('listen', 'nothing; others reach it through relays')
  const found = 'it listens on nothing and uses no relay, so two such members never meet'
  return bootstrap.length > 0
    ? warn('listen', `${found}; name a relay in relay.use`)
    : fail('listen', `${found}; name an address in listen or a relay in relay.use`)
}

async function checkApi({ api }: NodeConfig, sockets: Sockets): Promise<Check[]> {
  if (api.listen === 'off') return [ok('api', 'off')]
  const place = api.listen.lastIndexOf(':')
  const host = api.listen.slice(0, place).replace(/^\[(.*)\]$/, '$1')
  const listens = await checked(`api ${api.listen}`, async () => {
    await sockets.bind(host, Number(api.listen.slice(place + 1)))
    if (/^(127\.|::1$|localhost$)/.test(host)) return 'free, and for this machine only'
    return warn(`api ${api.listen}`, 'others can reach it, and the token travels in the clear: put TLS in front of it')
  })
  const token = await checked('api token', async () => {
    if (!(await isThere(api.tokenFile))) return 'is made at the first start'
    await readToken(api.tokenFile)
    return 'is one, for its owner only'
  })
  return [listens, token]
}

/** A real connection to each, with this member's identity and network key, and a ping over it. */
async function checkPeers(config: NodeConfig, privateKey: PrivateKey): Promise<Check[]> {
  const targets = [
    ...config.bootstrap.map((address) => ({ name: `bootstrap ${address}`, address })),
    ...config.relay.use.map((address) => ({ name: `relay ${address}`, address }))
  ].filter(({ address }) => !address.endsWith(peerIdFromPrivateKey(privateKey).toString()))
  if (targets.length === 0) return []
  const networkKey = config.networkKey === undefined ? undefined : await readNetworkKey(config.networkKey)
  const node = await createNode({ privateKey, listen: [], bootstrap: [], networkKey, local: true })
  try {
    const dial = async (address: string): Promise<string> => {
      const ms = await node.services.ping.ping(multiaddr(address), { signal: AbortSignal.timeout(DIAL_MS) })
      return `answers in ${ms} ms`
    }
    return await Promise.all(
      targets.map(async ({ name, address }) => {
        const check = await checked(name, () => dial(address))
        if (check.status === 'ok') return check
        // A start goes on without: the peer may come later.
        return warn(
          name,
          'does not answer; check that it runs, that its address and peer id are right, that no firewall is in between, and that both have the same task and network key'
        )
      })
    )
  } finally {
    await node.stop()
  }
}
