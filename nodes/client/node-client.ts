import { SecureAggregationError } from '../../src/errors.ts'
import { readToken } from '../daemon/api/token.ts'
import { UsageError } from '../usage-error.ts'
import type { Typed } from '../commands/command.ts'

export const DEFAULT_NODE = 'http://127.0.0.1:4080'

/** The options of commands that speak with a running node. */
export const nodeOptions = {
  node: { type: 'string', requiresArg: true, describe: `the running node’s API (${DEFAULT_NODE})` },
  'token-file': {
    type: 'string',
    requiresArg: true,
    describe: 'its token: api.token in the node’s dataDir (or in SECAGG_TOKEN_FILE)'
  },
  task: { type: 'string', requiresArg: true, describe: 'name or id of the task (the node’s only one)' }
} as const

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
  async fetch(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = { ...(init.headers as Record<string, string>), authorization: `Bearer ${this.#token}` }
    const response = await fetch(`${this.#url}${path}`, { ...init, headers }).catch((error: Error) => {
      const { code } = (error.cause ?? {}) as { code?: string }
      const why = code === 'ECONNREFUSED' ? 'nothing answers there' : (code ?? error.message)
      throw new SecureAggregationError('NODE_UNREACHABLE', `the node at ${this.#url} cannot be reached: ${why}`)
    })
    if (response.ok) return response
    throw await refusalOf(response)
  }
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
