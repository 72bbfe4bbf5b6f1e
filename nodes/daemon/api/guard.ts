import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { ApiError } from './errors.ts'
import { sumHeaders } from './schemas.ts'
import type { ApiSettings } from './settings.ts'

const loopbackNames = ['localhost', '127.0.0.1', '[::1]']

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Answered without a token. */
    open?: boolean
  }
}

/** Throws ApiError where a request is refused for how it came. */
export type Gate = (request: FastifyRequest, reply: FastifyReply) => void

/** Who is answered at all: by the name that the node was called under, and by the page that calls. */
export function gateOf({ listen, allowedHosts, allowedOrigins }: ApiSettings): Gate {
  const hosts = new Set([...loopbackNames, hostname(listen), ...allowedHosts].map((name) => name.toLowerCase()))
  const isKnown = (host: string): boolean => hosts.has(host) || hosts.has(hostname(host))
  return (request, reply) => {
    // A name that an attacker's DNS points to this machine (DNS rebinding) is not one of ours.
    const host = (request.headers.host ?? '').toLowerCase()
    if (!isKnown(host)) {
      const sentence = 'this node is not called by the host name of this request; add it to api.allowedHosts'
      throw new ApiError(403, 'HOST_NOT_ALLOWED', sentence)
    }
    allowOrigin(request, reply, host, allowedOrigins)
  }
}

/** The gate, and the token. */
export function guard(server: FastifyInstance, gate: Gate, isToken: (sent: string) => boolean): void {
  server.addHook('onRequest', async (request, reply) => {
    gate(request, reply)
    if (request.method === 'OPTIONS' && request.headers.origin !== undefined) return reply.status(204).send()
    if (isOpen(request)) return
    const sent = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1]
    if (sent === undefined || !isToken(sent)) {
      void reply.header('www-authenticate', 'Bearer')
      const why = sent === undefined ? 'no token came along' : 'the token is wrong'
      const sentence = `${why}: send Authorization: Bearer and what is in the node’s token file`
      throw new ApiError(401, 'UNAUTHORIZED', sentence)
    }
  })
}

/** The page holds no data of its own, and asks for the token. */
function isOpen({ routeOptions: { config, url } }: FastifyRequest): boolean {
  return config?.open === true || url === '/' || url?.startsWith('/dashboard') === true
}

function allowOrigin(request: FastifyRequest, reply: FastifyReply, host: string, allowed: string[]): void {
  const { origin } = request.headers
  if (origin === undefined || origin === `http://${host}`) return
  if (!allowed.includes(origin)) {
    const sentence = 'pages of another origin may not call this node; add the origin to api.allowedOrigins'
    throw new ApiError(403, 'ORIGIN_NOT_ALLOWED', sentence)
  }
  void reply.headers({
    'access-control-allow-origin': origin,
    vary: 'origin',
    'access-control-allow-methods': 'GET, POST',
    'access-control-allow-headers': 'authorization, content-type, last-event-id',
    'access-control-expose-headers': ['location', ...Object.keys(sumHeaders)].join(', ')
  })
}

/** Without the port. */
function hostname(host: string): string {
  return host.replace(/:\d+$/, '')
}
