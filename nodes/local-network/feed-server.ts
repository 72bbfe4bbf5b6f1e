import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { PassThrough } from 'node:stream'
import type { AddressInfo } from 'node:net'
// The HTTP framework of the daemons' API.
import fastify from 'fastify'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { registerDashboard } from '../daemon/dashboard/serve.ts'
import type { Feed, FeedEvent } from '../daemon/feed.ts'

export interface FeedServer {
  /** Opened by hand; the token in its fragment stays in the browser. */
  url: string
  /** Resolves when the first page reads the feed. */
  watched: Promise<void>
  close(): Promise<void>
}

/** Serves the dashboard with one feed on a free port of loopback, as a daemon serves its own, to who has the token. */
export async function serveFeed(feed: Feed): Promise<FeedServer> {
  const token = randomBytes(24).toString('base64url')
  const watched = Promise.withResolvers<void>()
  const streams = new Set<PassThrough>()
  const server = fastify({ forceCloseConnections: true })
  server.addHook('onRequest', refuseOtherHosts)
  await registerDashboard(server)
  server.get('/v1/events', (request, reply) => {
    if (!sameText(request.headers.authorization ?? '', `Bearer ${token}`)) {
      return reply.code(401).send({ error: { code: 'UNAUTHORIZED', message: 'open the address that was printed' } })
    }
    const stream = new PassThrough()
    for (const event of feed.history()) stream.write(eventText(event))
    const ended = feed.listen((event) => void stream.write(eventText(event)))
    streams.add(stream)
    reply.raw.on('close', () => {
      ended()
      streams.delete(stream)
    })
    watched.resolve()
    return reply.headers({ 'content-type': 'text/event-stream', 'cache-control': 'no-store' }).send(stream)
  })
  await server.listen({ host: '127.0.0.1', port: 0 })
  const { port } = server.server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/#token=${token}`,
    watched: watched.promise,
    close: async () => {
      for (const stream of streams) stream.end()
      await server.close()
    }
  }
}

/** A name that some other site has pointed at this machine is not this server's. */
async function refuseOtherHosts({ hostname }: FastifyRequest, reply: FastifyReply): Promise<void> {
  if (hostname === '127.0.0.1' || hostname === 'localhost') return
  await reply.code(403).send({ error: { code: 'WRONG_HOST', message: 'ask for 127.0.0.1 or localhost' } })
}

function sameText(one: string, other: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(one), digest(other))
}

function eventText({ id, name, data }: FeedEvent): string {
  return `id: ${id}\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`
}
