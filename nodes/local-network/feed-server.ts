import { randomBytes } from 'node:crypto'
import fastify from 'fastify'
import { pino } from 'pino'
import { handleErrors } from '../daemon/api/errors.ts'
import { streamEvents } from '../daemon/api/events.ts'
import { gateOf, guard } from '../daemon/api/guard.ts'
import { defaultApiSettings } from '../daemon/api/settings.ts'
import { tokenCheck } from '../daemon/api/token.ts'
import { registerDashboard } from '../daemon/dashboard/serve.ts'
import type { Feed } from '../daemon/feed.ts'

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
  // Streams of events would never end by themselves.
  const server = fastify({ forceCloseConnections: true })
  server.setErrorHandler(handleErrors(pino({ level: 'silent' })))
  guard(server, gateOf({ ...defaultApiSettings, listen: '127.0.0.1:0', tokenFile: '' }), tokenCheck(token))
  await registerDashboard(server)
  server.get('/v1/events', (request, reply) => {
    watched.resolve()
    streamEvents(feed, request, reply)
  })
  const origin = await server.listen({ host: '127.0.0.1', port: 0 })
  return { url: `${origin}/#token=${token}`, watched: watched.promise, close: () => server.close() }
}
