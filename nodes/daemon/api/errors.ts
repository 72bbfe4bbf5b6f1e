import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import type { Logger } from 'pino'
import { InputError, RoundError, SecureAggregationError } from '../../../src/errors.ts'

/** What a request is refused with: a status, a code for programs, a sentence for people. */
export class ApiError extends SecureAggregationError {
  static override name = 'ApiError'
  readonly status: number

  constructor(status: number, code: string, message: string) {
    super(code, message)
    this.status = status
  }
}

const statusOf: Readonly<Record<string, number>> = {
  NOT_A_MEMBER: 403,
  TASK_UNKNOWN: 404,
  ROUND_UNKNOWN: 404,
  SUM_MISSING: 404,
  TRANSCRIPT_MISSING: 404,
  ALREADY_CONTRIBUTED: 409,
  ROUND_OVER: 409,
  ROUND_NOT_OPEN: 409,
  // No 5xx, which clients repeat by themselves: contributing a burned vector again takes an explicit choice.
  BURNED: 409,
  NOT_INCLUDED: 409,
  PRIVACY_BUDGET: 409,
  SUM_ALTERED: 500,
  STOPPED: 503
}

/** Of Fastify's own refusals: what they are called here. */
const namedBy: Readonly<Record<string, string>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'TOO_LARGE',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'MEDIA_TYPE',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'INVALID_REQUEST',
  FST_ERR_MAX_PARAM_LENGTH: 'TOO_LONG'
}

/** Those that would repeat all of the path. */
const sentenceOf: Readonly<Record<string, string>> = {
  FST_ERR_BAD_URL: 'the path has a % that encodes nothing; write a % itself as %25',
  FST_ERR_MAX_PARAM_LENGTH: 'a part of the path is longer than any name or number here'
}

export interface ErrorBody {
  error: { code: string; message: string }
}

/** Anything unexpected is logged, and told without a word of what it was. */
export function answerOf(error: unknown, logger: Logger): { status: number; body: ErrorBody } {
  const { status, code, message } = known(error)
  if (status >= 500 && code === 'INTERNAL')
    logger.error({ reason: error instanceof Error ? error.stack : String(error) }, 'a request failed')
  return { status, body: { error: { code, message } } }
}

function known(error: unknown): { status: number; code: string; message: string } {
  if (error instanceof ApiError) return error
  if (error instanceof InputError) return { status: 422, code: error.code, message: error.message }
  if (error instanceof SecureAggregationError || error instanceof RoundError) {
    const status = statusOf[error.code]
    if (status !== undefined) return { status, code: error.code, message: error.message }
  }
  const { statusCode, code, message } = error as Partial<FastifyError>
  // What the file server says of a folder, and of what lies outside of its own.
  if (statusCode === 403) return { status: 404, code: 'NOT_FOUND', message: 'there is no file under this path' }
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    const told = sentenceOf[code ?? ''] ?? message ?? ''
    return { status: statusCode, code: namedBy[code ?? ''] ?? 'INVALID_REQUEST', message: told }
  }
  return { status: 500, code: 'INTERNAL', message: 'the node failed to answer this; its log says why' }
}

export function handleErrors(logger: Logger) {
  return (error: unknown, _request: FastifyRequest, reply: FastifyReply): void => {
    const { status, body } = answerOf(error, logger)
    void reply.status(status).type('application/json').send(body)
  }
}
