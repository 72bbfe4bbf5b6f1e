import { readFileSync } from 'node:fs'
import type { AddressInfo, Socket } from 'node:net'
// Routing, streaming bodies, timeouts and the life of connections are Fastify's; the OpenAPI document its plugin's.
import fastifySwagger from '@fastify/swagger'
import fastify from 'fastify'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Logger } from 'pino'
import { SecureAggregationError } from '../../../src/errors.ts'
import { packageFile } from '../../package-root.ts'
import type { Daemon } from '../daemon.ts'
import { registerDashboard } from '../dashboard/serve.ts'
import { Metrics } from '../metrics.ts'
import { ApiError, handleErrors } from './errors.ts'
import type { ErrorBody } from './errors.ts'
import { gateOf, guard } from './guard.ts'
import type { Gate } from './guard.ts'
import { registerHealth } from './health.ts'
import { registerRoutes } from './routes.ts'
import { compileValidator, documented } from './schemas.ts'
import type { ApiSettings } from './settings.ts'
import { ensureToken, tokenCheck } from './token.ts'

export interface RunningApi {
  /** Such as http://127.0.0.1:4080. */
  url: string
  close(): Promise<void>
}

/**
 * Serves a daemon's control API. Throws SecureAggregationError TOKEN_INVALID, API_LISTEN_FAILED.
 */
export async function startApi(daemon: Daemon, settings: ApiSettings, logger: Logger): Promise<RunningApi> {
  const token = await ensureToken(settings.tokenFile)
  const metrics = new Metrics(daemon)
  const gate = gateOf(settings)
  const server = await createServer(settings, gate, logger)
  guard(server, gate, tokenCheck(token))
  registerHealth(server, daemon, metrics)
  registerRoutes(server, daemon, settings)
  if (settings.dashboard) await registerDashboard(server)
  server.get('/openapi.json', { schema: { summary: 'This document' } }, () => server.swagger())
  const url = await listen(server, settings.listen)
  logger.info({ url }, 'the API listens')
  return {
    url,
    close: async () => {
      await server.close()
      metrics.stop()
    }
  }
}

async function createServer(
  { requestTimeoutSeconds }: ApiSettings,
  gate: Gate,
  logger: Logger
): Promise<FastifyInstance> {
  const requestTimeout = requestTimeoutSeconds * 1000
  const answerError = handleErrors(logger)
  const server = fastify({
    // Its own lines would name addresses and queries; ours are below.
    logger: false,
    requestTimeout,
    http: {
      connectionsCheckingInterval: Math.min(30_000, requestTimeout / 4),
      headersTimeout: Math.min(60_000, requestTimeout)
    },
    // Streams of events would never end by themselves.
    forceCloseConnections: true,
    clientErrorHandler: refuseConnection,
    // Of a path that leads to no route no hook is asked.
    frameworkErrors: (error, request, reply) => answerError(refusalOf(gate, error, request, reply), request, reply)
  })
  server.setValidatorCompiler(compileValidator)
  server.setSerializerCompiler(() => JSON.stringify)
  server.setErrorHandler(answerError)
  server.setNotFoundHandler(({ method }) => {
    throw new ApiError(404, 'NOT_FOUND', `there is nothing to ${method} under this path; see /openapi.json`)
  })
  // Bodies are read by the route, once it is clear that they are wanted.
  server.removeAllContentTypeParsers()
  server.addContentTypeParser('*', (_, body, done) => done(null, body))
  // Who takes nothing at all for so long, or for twice that. Streams of events are not sent through here.
  server.addHook('onSend', async (_, { raw }) => void raw.setTimeout(requestTimeout, () => raw.destroy()))
  server.addHook('onResponse', async (request, reply) =>
    logger.debug(
      {
        method: request.method,
        route: request.routeOptions.url,
        status: reply.statusCode,
        ms: Math.round(reply.elapsedTime)
      },
      'answered'
    )
  )
  await server.register(fastifySwagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'secagg', version: packageVersion(), description: 'The control API of one node.' },
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
      security: [{ token: [] }]
    },
    transform: ({ schema, url, route }) => ({
      url,
      schema: {
        ...documented(schema ?? {}),
        hide: schema?.hide ?? schema === undefined,
        ...(route.config?.open === true ? { security: [] } : {})
      }
    })
  })
  return server
}

async function listen(server: FastifyInstance, where: string): Promise<string> {
  const [, host, port] = /^(.+):(\d+)$/.exec(where) ?? []
  if (host === undefined) {
    const sentence = `api.listen has "${where}", which is no address; write it like 127.0.0.1:4080`
    throw new SecureAggregationError('API_LISTEN_FAILED', sentence)
  }
  try {
    await server.listen({ host: host.replace(/^\[(.*)\]$/, '$1'), port: Number(port) })
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    const why = code === 'EADDRINUSE' ? 'is in use' : `cannot be used (${code ?? String(cause)})`
    throw new SecureAggregationError('API_LISTEN_FAILED', `the address ${where} of api.listen ${why}; choose another`, {
      cause
    })
  }
  return `http://${host}:${(server.server.address() as AddressInfo).port}`
}

/** A path that cannot be read is told of to those only who may call. */
function refusalOf(gate: Gate, error: FastifyError, request: FastifyRequest, reply: FastifyReply): Error {
  try {
    gate(request, reply)
    return error
  } catch (refusal) {
    return refusal as Error
  }
}

/** What is no HTTP, or too slow: answered in the API's own words, and cut off. */
function refuseConnection(error: Error & { code?: string }, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') return void socket.destroy()
  const isSlow = error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
  const refusal: ErrorBody['error'] = isSlow
    ? {
        code: 'TOO_SLOW',
        message: 'the request did not arrive whole in time; send it faster, or raise api.requestTimeoutSeconds'
      }
    : { code: 'INVALID_REQUEST', message: 'this is no HTTP request that can be read' }
  const body = JSON.stringify({ error: refusal })
  const status = isSlow ? '408 Request Timeout' : '400 Bad Request'
  const head = `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close`
  socket.end(`${head}\r\n\r\n${body}`)
  socket.destroySoon()
}

function packageVersion(): string {
  return (JSON.parse(readFileSync(packageFile('package.json'), 'utf8')) as { version: string }).version
}
