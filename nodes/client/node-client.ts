import { request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { Readable } from 'node:stream'
import { SecureAggregationError } from '../../src/errors.ts'
import { readToken } from '../daemon/api/token.ts'
import { UsageError } from '../usage-error.ts'
import type { Typed } from '../commands/command.ts'

export const DEFAULT_NODE = 'http://127.0.0.1:4080'

/** The options of commands that speak with a running node. */
export const nodeOptions = {
  node: { type: 'string', requiresArg: true, describe: 'the running node’s API', defaultDescription: DEFAULT_NODE },
  'token-file': {
    type: 'string',
    requiresArg: true,
    describe: 'api.token of its dataDir; or named in SECAGG_TOKEN_FILE'
  },
  task: {
    type: 'string',
    requiresArg: true,
    describe: 'name or id of the task',
    defaultDescription: 'the node’s only one'
  }
} as const

interface Call {
  method?: 'GET' | 'POST'
  headers?: Record<string, string>
  body?: Uint8Array
}

/** One running node, as a client with its token sees it. */
export class NodeClient {
  readonly #url: string
  readonly #token: string

  constructor(url: string, token: string) {
    this.#url = url.replace(/\/$/, '')
    this.#token = token
  }

  /** Throws UsageError; SecureAggregationError TOKEN_INVALID, SECRET_EXPOSED. */
  static async of(typed: Typed): Promise<NodeClient> {
    const url = (typed.node as string | undefined) ?? DEFAULT_NODE
    if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
      throw new UsageError(`--node must be a URL like ${DEFAULT_NODE}, not "${url}"`)
    const file = (typed['token-file'] as string | undefined) ?? process.env.SECAGG_TOKEN_FILE
    if (file === undefined)
      throw new UsageError('name the node’s token with --token-file; it is api.token in its dataDir')
    return new NodeClient(url, await readToken(file))
  }

  /** The path of the task that was named, or of the node's own. */
  async taskPath(named: string | undefined): Promise<string> {
    if (named !== undefined) return `/v1/tasks/${encodeURIComponent(named)}`
    const { tasks } = (await (await this.fetch('/v1/tasks')).json()) as { tasks: { id: string }[] }
    return `/v1/tasks/${tasks[0].id}`
  }

  /** Throws SecureAggregationError NODE_UNREACHABLE, or with the code and the sentence of the node's refusal. */
  async fetch(path: string, call: Call = {}): Promise<Response> {
    const headers = { ...call.headers, authorization: `Bearer ${this.#token}` }
    const response = await send(`${this.#url}${path}`, { ...call, headers }).catch((error: Error) => {
      const { code } = error as NodeJS.ErrnoException
      const why = code === 'ECONNREFUSED' ? 'nothing answers there' : (code ?? error.message)
      throw new SecureAggregationError('NODE_UNREACHABLE', `the node at ${this.#url} cannot be reached: ${why}`)
    })
    if (response.ok) return response
    throw await refusalOf(response)
  }
}

/** Without the global fetch, which gives up after five minutes without an answer: a round may be waited for longer. */
function send(url: string, { method, headers, body }: Call): Promise<Response> {
  const { promise, resolve, reject } = Promise.withResolvers<Response>()
  const request = url.startsWith('https:') ? requestHttps : requestHttp
  const sent = request(url, { method, headers }, (answer) =>
    resolve(
      new Response(Readable.toWeb(answer) as ReadableStream, {
        status: answer.statusCode,
        headers: answer.headers as Record<string, string>
      })
    )
  )
  sent.on('error', reject)
  sent.end(body)
  return promise
}

async function refusalOf(response: Response): Promise<SecureAggregationError> {
  const text = await response.text()
  try {
    const { error } = JSON.parse(text) as { error: { code: string; message: string } }
    return new SecureAggregationError(error.code, `the node refuses: ${error.message}`)
  } catch {
    return new SecureAggregationError('NODE_UNREACHABLE', `what answers is no node of secagg (HTTP ${response.status})`)
  }
}
