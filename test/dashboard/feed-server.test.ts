import assert from 'node:assert/strict'
import { request } from 'node:http'
import { createHash } from 'node:crypto'
import { Feed } from '../../nodes/daemon/feed.ts'
import { serveFeed } from '../../nodes/local-network/feed-server.ts'
import type { FeedServer } from '../../nodes/local-network/feed-server.ts'

describe('the server of the dashboard of a local network', () => {
  const feed = new Feed()
  let server: FeedServer
  let origin: string
  let token: string

  before(async () => {
    server = await serveFeed(feed)
    origin = new URL(server.url).origin
    token = new URL(server.url).hash.replace('#token=', '')
  })
  after(() => server.close())

  const events = (authorization?: string): Promise<Response> =>
    fetch(`${origin}/v1/events`, { headers: authorization === undefined ? {} : { authorization } })

  it('tells what happened before and what happens, to who has the token', async () => {
    feed.emit('evidence', { round: 1, kind: 'double-vote', culprit: 'somebody' })
    const response = await events(`Bearer ${token}`)
    await server.watched
    feed.emit('evidence', { round: 2, kind: 'double-vote', culprit: 'somebody' })
    let text = ''
    for await (const bytes of response.body!) {
      text += Buffer.from(bytes).toString()
      if (text.includes('"round":2')) break
    }
    assert.deepEqual(
      text.split('\n').filter((line) => line.startsWith('event:') || line.startsWith('data:')),
      [1, 2].flatMap((round) => [
        'event: evidence',
        `data: {"round":${round},"kind":"double-vote","culprit":"somebody"}`
      ])
    )
  })

  it('tells nothing without the token', async () => {
    for (const authorization of [undefined, 'Bearer', 'Bearer guessed', token]) {
      const response = await events(authorization)
      assert.equal(response.status, 401)
      assert.equal((await response.text()).includes(token), false)
    }
  })

  /** As typed: `fetch` would tidy the path up, and sends no other host. */
  function statusOf(path: string, host: string): Promise<number | undefined> {
    const headers = { host, authorization: `Bearer ${token}` }
    const { hostname, port } = new URL(origin)
    return new Promise((resolve, reject) => {
      const sent = request({ hostname, port, path, headers }, (response) => {
        response.resume()
        resolve(response.statusCode)
      })
      sent.on('error', reject).end()
    })
  }

  it('answers under no name but its own, whatever a name server says', async () => {
    assert.equal(await statusOf('/v1/events', 'evil.example'), 403)
    assert.equal(await statusOf('/', 'evil.example'), 403)
  })

  it('lets the page run nothing but its own files, the import map by its hash', async () => {
    const response = await fetch(origin)
    const policy = response.headers.get('content-security-policy')!
    const [, map] = /<script type="importmap">([^]*?)<\/script>/.exec(await response.text())!
    const hash = createHash('sha256').update(map).digest('base64')
    assert.match(policy, /default-src 'none'/)
    assert.ok(policy.includes(`script-src 'self' 'sha256-${hash}';`))
    assert.doesNotMatch(policy, /unsafe/)
    const modules = Object.values((JSON.parse(map) as { imports: Record<string, string> }).imports)
    for (const path of modules) {
      const { status, headers } = await fetch(`${origin}${path}`)
      assert.deepEqual(
        [path, status, headers.get('content-type')],
        [path, 200, 'application/javascript; charset=utf-8']
      )
    }
  })

  it('serves the page’s files and no other of its folder', async () => {
    assert.equal(await statusOf('/dashboard/app.js', '127.0.0.1'), 200)
    for (const path of ['../serve.ts', '%2e%2e/serve.ts', '..%2fserve.ts', '../../daemon.ts', ''])
      assert.ok([403, 404].includes((await statusOf(`/dashboard/${path}`, '127.0.0.1'))!), path)
  })
})
