import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmod, readFile, stat } from 'node:fs/promises'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { request } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { pino } from 'pino'
import { startApi } from '../../nodes/daemon/api/server.ts'
import type { RunningApi } from '../../nodes/daemon/api/server.ts'
import type { ArchivedSum } from '../../nodes/daemon/archive.ts'
import { Daemon } from '../../nodes/daemon/daemon.ts'
import { createIdentity } from '../../nodes/daemon/identity.ts'
import { createTask } from '../../src/task/task.ts'
import { defaultApiSettings } from '../../nodes/daemon/api/settings.ts'
import type { ApiSettings } from '../../nodes/daemon/api/settings.ts'
import type { RoundRecord } from '../../nodes/daemon/round-record.ts'
import { decodeNpy } from '../../nodes/npy.ts'
import { Npy } from './npy-bytes.ts'
import { startMembers } from './members.ts'
import type { Members } from './members.ts'

const LENGTH = 100
const terms = {
  name: 'api',
  length: LENGTH,
  encoding: { type: 'fixed', clip: 8, bits: 16, rounding: 'nearest', weighted: 10 },
  threat: { corrupt: 0, dropout: 0 },
  deadline: 4
} as const

const floats = (value: number, length = LENGTH): Float32Array<ArrayBuffer> => new Float32Array(length).fill(value)
const bytesOf = (values: Float32Array<ArrayBuffer>): Uint8Array<ArrayBuffer> => new Uint8Array(values.buffer)

describe('the control API', function () {
  this.timeout(60_000)
  let members: Members
  let api: RunningApi
  let token: string
  const lines: string[] = []
  const logger = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) })

  const settings = (more: Partial<ApiSettings> = {}): ApiSettings => ({
    ...defaultApiSettings,
    listen: '127.0.0.1:0',
    tokenFile: join(members.folders[0], 'api.token'),
    allowedOrigins: ['https://app.example'],
    ...more
  })

  before(async () => {
    members = await startMembers(3, terms, { retention: { keepSums: 3, keepRounds: 100 } })
    api = await startApi(members.daemons[0], settings({ requestTimeoutSeconds: 2 }), logger)
    token = (await readFile(join(members.folders[0], 'api.token'), 'utf8')).trim()
  })
  after(async () => {
    await api.close()
    await members.stop()
  })

  const call = (path: string, init: RequestInit = {}): Promise<Response> =>
    fetch(`${api.url}${path}`, { ...init, headers: { authorization: `Bearer ${token}`, ...init.headers } })
  const contribute = (body: BodyInit, query = '', type = 'application/octet-stream', more = {}): Promise<Response> =>
    call(`/v1/tasks/api/contributions${query}`, { method: 'POST', body, headers: { 'content-type': type, ...more } })
  const others = (...values: number[]): Promise<number[]> =>
    Promise.all(
      values.map(async (value, at) => {
        const { ended } = await members.daemons[at + 1].contribute({ vector: floats(value), weight: 1 })
        return ended
      })
    )

  async function refused(response: Response, status: number, code: string, sentence: RegExp): Promise<void> {
    const text = await response.text()
    assert.equal(response.status, status, text)
    const { error } = JSON.parse(text) as { error: { code: string; message: string } }
    assert.equal(error.code, code)
    assert.match(error.message, sentence)
    assert.ok(!error.message.includes('\n'))
  }

  const waitsForNothing = async (): Promise<void> => {
    const { rounds, runningRound } = (await (await call('/v1/tasks/api/rounds')).json()) as {
      rounds: RoundRecord[]
      runningRound: number | null
    }
    assert.equal(runningRound, null)
    assert.equal(rounds.length, members.daemons[0].standing.closedRound)
  }

  it('refuses whoever has no token, or a wrong one, and never says what is right', async () => {
    for (const headers of [{}, { authorization: 'Bearer wrong' }, { authorization: `Basic ${token}` }]) {
      const response = await fetch(`${api.url}/v1/tasks`, { headers: headers as Record<string, string> })
      assert.equal(response.headers.get('www-authenticate'), 'Bearer')
      await refused(response, 401, 'UNAUTHORIZED', /token/)
    }
  })

  it('refuses a call under another host name, and a page of another origin, unless configured', async () => {
    const rebound = request(`${api.url}/healthz`, { headers: { host: 'attacker.example' } }).end()
    const [answer] = (await once(rebound, 'response')) as [IncomingMessage]
    assert.equal(answer.statusCode, 403)
    answer.resume()
    const origin = { origin: 'https://attacker.example' }
    await refused(await call('/v1/tasks', { headers: origin }), 403, 'ORIGIN_NOT_ALLOWED', /allowedOrigins/)
    const allowed = await call('/v1/tasks', { headers: { origin: 'https://app.example' } })
    assert.equal(allowed.status, 200)
    assert.equal(allowed.headers.get('access-control-allow-origin'), 'https://app.example')
    assert.match(allowed.headers.get('access-control-expose-headers')!, /x-secagg-round.*x-secagg-epsilon/)
    const preflight = await fetch(`${api.url}/v1/tasks/api/contributions`, {
      method: 'OPTIONS',
      headers: { origin: 'https://app.example', 'access-control-request-method': 'POST' }
    })
    assert.equal(preflight.status, 204)
    assert.match(preflight.headers.get('access-control-allow-headers')!, /authorization/)
  })

  it('refuses a path that cannot be read as it refuses anything else, and tells strangers nothing of it', async () => {
    const paths = ['/v1/tasks/%zz/rounds', `/v1/tasks/${'a'.repeat(101)}/rounds`]
    const called = async (path: string, headers: Record<string, string>): Promise<Response> => {
      const sent = request({ port: new URL(api.url).port, path, headers }).end()
      const [answer] = (await once(sent, 'response')) as [IncomingMessage]
      assert.match(answer.headers['content-type']!, /^application\/json/)
      return new Response(Buffer.concat(await answer.toArray()), { status: answer.statusCode })
    }
    await refused(await called(paths[0], {}), 400, 'INVALID_REQUEST', /%25/)
    await refused(await called(paths[1], {}), 414, 'TOO_LONG', /longer/)
    for (const path of paths) {
      await refused(await called(path, { host: 'attacker.example' }), 403, 'HOST_NOT_ALLOWED', /allowedHosts/)
      const origin = 'https://attacker.example'
      await refused(await called(path, { origin }), 403, 'ORIGIN_NOT_ALLOWED', /allowedOrigins/)
    }
  })

  it('refuses a task that it does not run, and a path that is not there', async () => {
    const body = bytesOf(floats(1))
    const wrong = await call('/v1/tasks/other/contributions', { method: 'POST', body })
    await refused(wrong, 404, 'TASK_UNKNOWN', /runs the task api/)
    await refused(await call('/v1/tasks/other/rounds'), 404, 'TASK_UNKNOWN', /api/)
    await refused(await call('/v2'), 404, 'NOT_FOUND', /openapi/)
    await refused(await call('/dashboard/'), 404, 'NOT_FOUND', /no file/)
  })

  it('refuses what is too large, at its announcement or once it is', async () => {
    await refused(await contribute(bytesOf(floats(1, LENGTH + 1))), 413, 'TOO_LARGE', /takes 100 numbers/)
    const stream = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let i = 0; i < 10; i++) controller.enqueue(new Uint8Array(1000))
        controller.close()
      }
    })
    const init = { method: 'POST', body: stream, duplex: 'half' }
    const streamed = await call('/v1/tasks/api/contributions', {
      ...init,
      headers: { 'content-type': 'application/octet-stream' }
    })
    await refused(streamed, 413, 'TOO_LARGE', /over 400 bytes/)
  })

  it('refuses a wrong dtype or length, saying what was expected', async () => {
    await refused(await contribute(bytesOf(floats(1, LENGTH - 1))), 422, 'INPUT_LENGTH', /396 bytes.*400 bytes/)
    const npy = 'application/x-npy'
    await refused(await contribute(Npy.of('<i2', LENGTH, 2), '', npy), 422, 'INPUT_TYPE', /dtype '<i2'.*float32/)
    await refused(await contribute(Npy.of('<f4', 99, 4), '', npy), 422, 'INPUT_LENGTH', /99 elements and the task 100/)
    await refused(await contribute('not npy', '', npy), 422, 'INPUT_FILE', /numpy\.save/)
    const json = 'application/json'
    await refused(await contribute('[1,2]', '', json), 422, 'INPUT_LENGTH', /2 elements and the task 100/)
    await refused(await contribute('{"a":1}', '', json), 422, 'INPUT_TYPE', /array of numbers/)
    await refused(await contribute('[1,', '', json), 400, 'INVALID_JSON', /no JSON/)
    await refused(await contribute('1', '', 'text/plain'), 415, 'MEDIA_TYPE', /x-npy/)
    const gzip = { 'content-encoding': 'gzip' }
    await refused(
      await contribute(bytesOf(floats(1)), '', 'application/octet-stream', gzip),
      415,
      'CONTENT_ENCODING',
      /gzip/
    )
  })

  it('refuses NaN, in every format, and a weight that the task does not have', async () => {
    const values = floats(1)
    values[7] = NaN
    await refused(await contribute(bytesOf(values)), 422, 'INPUT_NOT_FINITE', /element 7 is NaN/)
    const python = JSON.stringify([...floats(1)]).replace('1', 'NaN')
    await refused(await contribute(python, '', 'application/json'), 422, 'INPUT_NOT_FINITE', /NaN/)
    await refused(await contribute(bytesOf(floats(1)), '?weight=11'), 422, 'INPUT_WEIGHT', /from 1 to 10/)
    await refused(await contribute(bytesOf(floats(1)), '?weight=x'), 400, 'INVALID_REQUEST', /weight/)
    const misspelt = await contribute(bytesOf(floats(1)), '?wieght=2')
    await refused(misspelt, 400, 'INVALID_REQUEST', /^there is no parameter "wieght" \(did you mean "weight"\?\)$/)
    await waitsForNothing()
  })

  it('refuses a request that comes too slowly, and cuts it off', async () => {
    const { port } = new URL(api.url)
    const socket = connect(Number(port), '127.0.0.1')
    const head = `POST /v1/tasks/api/contributions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${token}\r\n`
    socket.write(`${head}Content-Type: application/octet-stream\r\nContent-Length: 400\r\n\r\nabcd`)
    let answer = ''
    socket.setEncoding('utf8').on('data', (text: string) => (answer += text))
    await once(socket, 'close')
    assert.match(answer, /^HTTP\/1\.1 408 /)
    assert.match(answer, /"code":"TOO_SLOW"/)
  })

  it('refuses a vector while its node is no member', async () => {
    const folder = join(members.folders[0], 'outsider')
    await createIdentity(folder)
    const { name, length, encoding, members: ids } = members.task
    const outside = await Daemon.start({
      ...{ dataDir: folder, listen: [], bootstrap: [], mdns: false, local: true, logger },
      task: createTask({ name, length, encoding, members: [...ids], admission: { vouches: 1 } })
    })
    const tokenFile = join(folder, 'api.token')
    const served = await startApi(outside, settings({ tokenFile }), logger)
    const init = { method: 'POST', body: bytesOf(floats(1)) }
    const authorization = `Bearer ${(await readFile(tokenFile, 'utf8')).trim()}`
    const headers = { authorization, 'content-type': 'application/octet-stream' }
    const response = await fetch(`${served.url}/v1/tasks/api/contributions`, { ...init, headers })
    await refused(response, 403, 'NOT_A_MEMBER', /no member of the task api now/)
    await served.close()
    await outside.stop()
  })

  it('keeps nothing of an upload whose client hangs up', async () => {
    const upload = request(`${api.url}/v1/tasks/api/contributions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/octet-stream', 'content-length': 400 }
    })
    upload.on('error', () => {})
    upload.write(new Uint8Array(200))
    await setTimeout(100)
    upload.destroy()
    await setTimeout(100)
    await waitsForNothing()
    assert.equal(members.daemons[0].roundFor(), 1)
  })

  it('takes a vector, answers at once, and refuses a second one for the same round', async () => {
    const response = await contribute(bytesOf(floats(0.5)), '?weight=2')
    assert.equal(response.status, 202)
    const { id, round } = (await response.json()) as { id: string; round: number }
    assert.equal(round, 1)
    const location = response.headers.get('location')!
    await refused(await contribute(bytesOf(floats(0.5))), 409, 'ALREADY_CONTRIBUTED', new RegExp(id))
    await others(1, -1)
    while (members.daemons[0].standing.closedRound < 1) await setTimeout(20)
    await setTimeout(50)
    assert.deepEqual(await (await call(location)).json(), { id, round: 1, status: 'summed' })
    await refused(await contribute(bytesOf(floats(1)), '?round=1'), 409, 'ROUND_OVER', /round 1 is over; take 2/)
    await refused(await contribute(bytesOf(floats(1)), '?round=9'), 409, 'ROUND_NOT_OPEN', /take 2/)
  })

  it('gives the sum in every format, with what it is of', async () => {
    const path = '/v1/tasks/api/rounds/1/sum'
    const told = (await (await call(path)).json()) as { values: number[]; totalWeight: number; included: string[] }
    assert.equal(told.values.length, LENGTH)
    assert.equal(told.totalWeight, 4)
    assert.deepEqual([...told.included].sort(), members.daemons.map(({ id }) => id).sort())
    for (const value of told.values) assert.ok(Math.abs(value - 1) < 0.01, String(value))
    const npy = await call(path, { headers: { accept: 'application/x-npy' } })
    const { dtype, values } = await decodeNpy(new Uint8Array(await npy.arrayBuffer()), 'the answer')
    assert.equal(dtype, 'float64')
    assert.deepEqual([...(values as Float64Array)], told.values)
    const raw = await call(path, { headers: { accept: 'application/octet-stream' } })
    assert.equal(raw.headers.get('x-secagg-dtype'), 'float32')
    assert.equal(raw.headers.get('x-secagg-total-weight'), '4')
    assert.deepEqual(new Float32Array(await raw.arrayBuffer()), Float32Array.from(told.values))
    await refused(await call(path, { headers: { accept: 'image/png' } }), 406, 'NOT_ACCEPTABLE', /x-npy/)
    await refused(await call('/v1/tasks/api/rounds/77/sum'), 404, 'ROUND_UNKNOWN', /no record of round 77/)
  })

  it('answers with the sum where it is waited for, of .npy and of JSON', async () => {
    const [first] = await Promise.all([
      contribute(Npy.floats(floats(1)), '?wait=sum', 'application/x-npy'),
      others(1, 1)
    ])
    const { round, values } = (await first.json()) as { round: number; values: number[] }
    assert.equal(round, 2)
    assert.ok(Math.abs(values[0] - 3) < 0.01)
    const [second] = await Promise.all([
      contribute(JSON.stringify([...floats(2)]), '?wait=sum', 'application/json', { accept: 'application/x-npy' }),
      others(1, 1)
    ])
    assert.equal(second.headers.get('x-secagg-round'), '3')
  })

  it('withdraws a vector that no round has taken when the client that waits hangs up', async () => {
    const client = new AbortController()
    const [first] = members.daemons
    // Taken by the round that it asks for at once, so a second one waits for the round after that.
    await contribute(bytesOf(floats(1)))
    while (first.standing.runningRound === undefined) await setTimeout(10)
    const next = first.standing.runningRound + 1
    const waiting = call(`/v1/tasks/api/contributions?wait=sum&round=${next}`, {
      method: 'POST',
      body: bytesOf(floats(1)),
      headers: { 'content-type': 'application/octet-stream' },
      signal: client.signal
    })
    const isHeld = (): boolean => {
      try {
        return first.roundFor(next) !== next
      } catch {
        return true
      }
    }
    while (!isHeld()) await setTimeout(10)
    client.abort()
    await assert.rejects(waiting)
    while (isHeld()) await setTimeout(10)
    await others(1, 1)
  })

  it('says which numbers there are of rounds', async () => {
    const path = '/v1/tasks/api/rounds'
    const code = 'INVALID_REQUEST'
    await refused(await call(`${path}?limit=0`), 400, code, /^limit must be at least 1$/)
    await refused(await call(`${path}?limit=1001`), 400, code, /^limit must be at most 1000$/)
    await refused(await call(`${path}?limit=1.5`), 400, code, /^limit must be a whole number$/)
    await refused(await call(`${path}?before=0`), 400, code, /^before must be at least 1$/)
    await refused(await call(`${path}/0`), 400, code, /^round must be at least 1$/)
    await refused(await call(`${path}/x/sum`), 400, code, /^round must be a whole number$/)
  })

  it('cuts off who does not read a sum, and nobody who waits for events', async () => {
    const { archive } = members.daemons[0]
    const { round } = (await archive.list(10)).find(({ hasSum }) => hasSum)!
    const archived = await archive.sum(round)
    const large = { ...Object.getOwnPropertyDescriptors(archived), values: { value: new Float64Array(8_000_000) } }
    archive.sum = () => Promise.resolve(Object.defineProperties({} as ArchivedSum, large))
    const head = (path: string): string =>
      `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${token}\r\nAccept: application/x-npy\r\n\r\n`
    const open = (): Socket => connect(Number(new URL(api.url).port), '127.0.0.1')
    const [idle, steady] = [open(), open().setEncoding('utf8')]
    try {
      idle.pause().write(head(`/v1/tasks/api/rounds/${round}/sum`))
      let told = ''
      steady.on('data', (text: string) => (told += text))
      // A connection that has been answered before is watched over no longer.
      steady.write(head('/healthz'))
      while (!told.includes('{"status":"ok"}')) await setTimeout(10)
      steady.write(head('/v1/events'))
      await setTimeout(6000)
      let read = 0
      idle.on('data', ({ length }) => (read += length)).on('error', () => {})
      idle.resume()
      if (!idle.closed) await once(idle, 'close')
      assert.ok(read < 8 * 8_000_000, `${read} bytes`)
      const before = told.length
      members.daemons[0].feed.emit('input', { round, status: 'summed' })
      while (!told.slice(before).includes('event: input')) await setTimeout(10)
    } finally {
      Reflect.deleteProperty(archive, 'sum')
      idle.destroy()
      steady.destroy()
    }
  })

  it('lists rounds, newest first, and the members', async () => {
    const { rounds } = (await (await call('/v1/tasks/api/rounds?limit=2')).json()) as { rounds: RoundRecord[] }
    assert.equal(rounds.length, 2)
    assert.equal(rounds[0].round, rounds[1].round + 1)
    const one = (await (await call(`/v1/tasks/${members.task.id}/rounds/2`)).json()) as RoundRecord
    assert.equal(one.status, 'summed')
    assert.deepEqual(one.included, [0, 1, 2])
    assert.equal(one.aggregatorId, members.daemons[0].task.members[one.aggregator])
    const roster = (await (await call('/v1/tasks/api/members')).json()) as { members: { id: string }[] }
    assert.deepEqual(
      roster.members.map(({ id }) => id),
      members.task.members
    )
  })

  it('makes its token for its owner only, refuses one that others can read, and never logs it', async () => {
    const file = join(members.folders[0], 'api.token')
    assert.equal((await stat(file)).mode & 0o777, 0o600)
    await chmod(file, 0o644)
    await assert.rejects(
      startApi(members.daemons[0], settings(), logger),
      /open to other users \(mode 644\).*chmod 600/
    )
    await chmod(file, 0o600)
    assert.ok(lines.some((line) => line.includes('answered')))
    assert.ok(!lines.some((line) => line.includes(token)))
  })
})
