import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { unready } from '../../nodes/daemon/api/health.ts'
import type { RunningApi } from '../../nodes/daemon/api/server.ts'
import type { FeedEvent, FeedEvents } from '../../nodes/daemon/feed.ts'
import { packageFile } from '../../nodes/package-root.ts'
import { until } from '../network/nodes.ts'
import { startApiOf, startMembers } from './members.ts'
import type { Members } from './members.ts'

const terms = {
  name: 'watched',
  length: 10,
  encoding: { type: 'integer', max: 100 },
  threat: { corrupt: 0, dropout: 0 },
  deadline: 4
} as const

interface Grafana {
  panels: {
    id: number
    gridPos: { x: number; y: number; w: number; h: number }
    targets: { expr: string; legendFormat: string }[]
  }[]
  templating: { list: [unknown, { query: { query: string } }] }
}

interface Documented {
  responses: Record<string, { headers: Record<string, { description: string }> }>
}

describe('what a node tells its operator', function () {
  this.timeout(60_000)
  let members: Members
  let api: RunningApi

  before(async () => {
    members = await startMembers(3, terms)
    ;({ api } = await startApiOf(members))
    await Promise.all(
      members.daemons.map(async (daemon) => {
        const { ended } = await daemon.contribute({ vector: new Int32Array(10).fill(1) })
        await ended
      })
    )
  })
  after(async () => {
    await api.close()
    await members.stop()
  })

  const metrics = async (): Promise<string> => (await fetch(`${api.url}/metrics`)).text()

  it('has metrics, without a token, of rounds, members, phases, bytes, masking and the event loop', async () => {
    await until(() => members.daemons[0].feed.history().some(({ name }) => name === 'input'), 'the round is told')
    const text = await metrics()
    const wanted = [
      'secagg_rounds_total{outcome="summed",reason=""} 1',
      'secagg_members{state="connected"} 3',
      'secagg_phase_seconds_count{phase="mask"} 1',
      'secagg_round_seconds_count 1',
      'secagg_masking_seconds_count 1',
      'secagg_inputs_total{outcome="summed"} 1',
      'secagg_audits_total{outcome="passed"} 1',
      'secagg_audits_total{outcome="failed"} 0',
      'secagg_audited_chunks_total 1',
      'secagg_evidence_total{kind="wrong-sum"} 0',
      'secagg_closed_round 1'
    ]
    for (const line of wanted) assert.ok(text.includes(`${line}\n`), `${line} in\n${text}`)
    for (const name of ['secagg_sent_bytes_total', 'secagg_received_bytes_total'])
      assert.match(text, new RegExp(`^${name} [1-9]\\d+$`, 'm'))
    assert.match(text, /^secagg_event_loop_delay_seconds\{quantile="0\.99"\} \S+$/m)
    assert.match(text, /^process_resident_memory_bytes \d+$/m)
  })

  it('has every metric, and every label of it, that the Grafana dashboard asks for', async () => {
    const dashboard = JSON.parse(await readFile(packageFile('config/grafana-dashboard.json'), 'utf8')) as Grafana
    const { panels, templating } = dashboard
    const series = (await metrics())
      .split('\n')
      .filter((line) => line.startsWith('secagg_') || line.startsWith('process_'))
    const of = (name: string): string[] => series.filter((line) => /^\w+/.exec(line)![0] === name)
    const labelsOf = (name: string): Set<string> =>
      new Set(of(name).flatMap((line) => [...line.matchAll(/[{,](\w+)="/g)].map(([, label]) => label)))
    const asked = new Set<string>()
    for (const { expr, legendFormat } of panels.flatMap(({ targets }) => targets)) {
      const by = [...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, labels]) => labels.split(', '))
      const shown = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label)
      for (const [, name, matchers] of expr.matchAll(/\b((?:secagg|process)_\w+)\{([^}]*)\}/g)) {
        asked.add(name)
        // One with privacy alone, whose task this is not, has no series here: its name is in the metrics all the same.
        if (name === 'secagg_privacy_epsilon') continue
        const labels = labelsOf(name).add('instance')
        assert.ok(of(name).length > 0, `a series of ${name}`)
        const wanted = [...matchers.matchAll(/(\w+)[!=]/g)].map(([, label]) => label)
        for (const label of [...wanted, ...by, ...shown])
          assert.ok(labels.has(label), `${name} has a label ${label}, which "${expr}" asks for`)
      }
    }
    assert.ok(asked.size > 15, 'what is asked for is found')
    assert.match(await metrics(), /^# TYPE secagg_privacy_epsilon gauge$/m)
    const [, variable] = /^label_values\((\w+), instance\)$/.exec(templating.list[1].query.query)!
    assert.ok(of(variable).length > 0)
  })

  it('has a Grafana dashboard of panels that lie beside one another', async () => {
    const { panels } = JSON.parse(await readFile(packageFile('config/grafana-dashboard.json'), 'utf8')) as Grafana
    assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length)
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, at) => `${x + (at % w)}:${y + Math.floor(at / w)}`)
    )
    assert.equal(new Set(cells).size, cells.length)
    assert.ok(panels.every(({ gridPos: { x, w } }) => x + w <= 24))
  })

  it('tells in its feed who leads, which phases passed and how the round ended', () => {
    const events = members.daemons.flatMap(({ feed }) => feed.history())
    const of = <Name extends FeedEvent['name']>(name: Name) =>
      events.filter((event): event is Extract<FeedEvent, { name: Name }> => event.name === name)
    const [opened] = of('round:open')
    assert.deepEqual([...opened.data.order].sort(), [0, 1, 2])
    const phases = of('round:phase').map(({ data }) => data)
    assert.ok(phases.every(({ leader, view }) => leader === opened.data.order[view]))
    for (const phase of ['keys', 'shares', 'mask', 'agree', 'unmask', 'sum', 'close'])
      assert.ok(
        phases.some((reached) => reached.phase === phase && reached.leading),
        phase
      )
    assert.deepEqual(new Set(of('vector').map(({ data }) => data.member)), new Set([0, 1, 2]))
    const last = of('progress').at(-1)!.data
    assert.deepEqual([...last.received].sort(), [0, 1, 2])
    assert.ok(Buffer.from(last.preview, 'base64').length > 8)
    const audit = { chunks: 1, of: 1 }
    for (const { data } of of('round:closed')) {
      assert.deepEqual([data.status, data.included.length, data.audit], ['summed', 3, audit])
    }
    assert.deepEqual(
      of('audit').map(({ data }) => data),
      members.daemons.map(() => ({ round: 1, passed: true, ...audit }))
    )
  })

  it('tells in its feed of a sum before the round is closed with it, and takes none back', () => {
    const feeds = members.daemons.map(({ feed }) => feed.history())
    const told = feeds.filter((feed) => feed.some(({ name }) => name === 'sum:provisional'))
    assert.ok(told.length > 0)
    for (const feed of told) {
      const at = feed.findIndex(({ name }) => name === 'sum:provisional')
      assert.ok(at < feed.findIndex(({ name }) => name === 'round:closed'))
      const { round, included, audit } = feed[at].data as FeedEvents['sum:provisional']
      assert.deepEqual([round, included, audit], [1, [0, 1, 2], { chunks: 1, of: 1 }])
    }
    assert.ok(feeds.flat().every(({ name }) => name !== 'sum:withdrawn'))
  })

  it('streams the feed as server-sent events, from where a client left off', async () => {
    const token = (await readFile(join(members.folders[0], 'api.token'), 'utf8')).trim()
    const read = async (headers: Record<string, string>, upTo: RegExp): Promise<string> => {
      const response = await fetch(`${api.url}/v1/events`, {
        headers: { authorization: `Bearer ${token}`, ...headers }
      })
      assert.equal(response.headers.get('content-type'), 'text/event-stream')
      let text = ''
      for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
        text += chunk
        if (upTo.test(text)) break
      }
      return text
    }
    const all = await read({}, /event: input\ndata: \{"round":1,"status":"summed"\}\n\n/)
    const [, closed] = /id: (\d+)\nevent: round:closed\n/.exec(all)!
    const rest = await read({ 'last-event-id': closed }, /event: input\n.*\n\n/)
    assert.doesNotMatch(rest, /round:closed/)
  })

  it('describes its API in a document that names every path', async () => {
    const token = (await readFile(join(members.folders[0], 'api.token'), 'utf8')).trim()
    const response = await fetch(`${api.url}/openapi.json`, { headers: { authorization: `Bearer ${token}` } })
    const { openapi, paths } = (await response.json()) as { openapi: string; paths: Record<string, unknown> }
    assert.equal(openapi, '3.1.0')
    assert.deepEqual(
      Object.keys(paths)
        .filter((path) => path.startsWith('/v1/'))
        .sort(),
      [
        '/v1/events',
        '/v1/tasks',
        '/v1/tasks/{task}/contributions',
        '/v1/tasks/{task}/contributions/{id}',
        '/v1/tasks/{task}/evidence',
        '/v1/tasks/{task}/evidence/{id}',
        '/v1/tasks/{task}/members',
        '/v1/tasks/{task}/rounds',
        '/v1/tasks/{task}/rounds/{round}',
        '/v1/tasks/{task}/rounds/{round}/audit',
        '/v1/tasks/{task}/rounds/{round}/sum',
        '/v1/tasks/{task}/rounds/{round}/transcript'
      ]
    )
    const post = (paths['/v1/tasks/{task}/contributions'] as { post: { requestBody: { content: object } } }).post
    assert.deepEqual(Object.keys(post.requestBody.content), [
      'application/octet-stream',
      'application/x-npy',
      'application/json'
    ])
  })

  it('documents the headers of a sum, the ε reached among them', async () => {
    const token = (await readFile(join(members.folders[0], 'api.token'), 'utf8')).trim()
    const response = await fetch(`${api.url}/openapi.json`, { headers: { authorization: `Bearer ${token}` } })
    const { paths } = (await response.json()) as { paths: Record<string, Record<string, Documented>> }
    const answers = [
      paths['/v1/tasks/{task}/rounds/{round}/sum'].get.responses['200'],
      paths['/v1/tasks/{task}/contributions'].post.responses['200']
    ]
    for (const { headers } of answers) {
      assert.match(headers['x-secagg-epsilon'].description, /ε/)
      for (const name of ['round', 'included', 'total-weight', 'groups', 'delta', 'dtype'])
        assert.ok(`x-secagg-${name}` in headers, name)
    }
  })

  it('is healthy, and ready only while a quorum is connected', async () => {
    assert.equal((await fetch(`${api.url}/healthz`)).status, 200)
    const ready = await fetch(`${api.url}/readyz`)
    assert.equal(ready.status, 200, await ready.text())
    await members.daemons[2].stop()
    await until(() => unready(members.daemons[0]) !== undefined, 'the loss is noticed')
    const response = await fetch(`${api.url}/readyz`)
    assert.equal(response.status, 503)
    const { reason } = (await response.json()) as { reason: string }
    assert.match(reason, /connected to 2 members, itself counted, fewer than a quorum of 3/)
  })
})
