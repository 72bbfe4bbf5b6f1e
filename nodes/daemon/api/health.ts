import type { FastifyInstance } from 'fastify'
import type { Daemon } from '../daemon.ts'
import type { Metrics } from '../metrics.ts'
import { healthBody, readyBody } from './schemas.ts'

const open = { open: true }

/** What machines look at, without a token: none of it says anything of vectors or sums. */
export function registerHealth(server: FastifyInstance, daemon: Daemon, metrics: Metrics): void {
  server.get(
    '/healthz',
    { config: open, schema: { summary: 'Whether the process answers', response: { 200: healthBody } } },
    () => ({ status: 'ok' as const })
  )
  server.get(
    '/readyz',
    {
      config: open,
      schema: {
        summary: 'Whether this node can take part in a round now',
        response: { 200: readyBody, 503: readyBody }
      }
    },
    (_, reply) => {
      const reason = unready(daemon)
      const { standing } = daemon
      return reply.status(reason === undefined ? 200 : 503).send({ ready: reason === undefined, reason, ...standing })
    }
  )
  server.get('/metrics', { config: open, schema: { summary: 'Prometheus metrics' } }, async (_, reply) =>
    reply.type(metrics.contentType).send(await metrics.text())
  )
}

/** Why this node cannot take part now. */
export function unready({ standing }: Pick<Daemon, 'standing'>): string | undefined {
  const { me, quorum, connected, answered } = standing
  if (me < 0) return 'this node is not in the roster; it follows what the members decide, and asks to be let in'
  if (connected < quorum)
    return `connected to ${connected} members, itself counted, fewer than a quorum of ${quorum}; see bootstrap and firewall`
  if (answered < quorum)
    return `not caught up: ${answered} members, itself counted, have said how far the rounds have come, of ${quorum}`
  return undefined
}
