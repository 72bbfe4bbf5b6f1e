import { z } from 'zod'
import type { FastifySchema } from 'fastify'
import { evidenceKinds } from '../../../src/round/evidence.ts'
import { nearest } from '../../suggestion.ts'
import { toldRoundSchema } from '../round-record.ts'
import { ApiError } from './errors.ts'

/** The shapes of requests and answers: they check the former, and the OpenAPI document is made of both. */

const wholeNumber = (what: string) =>
  z.coerce
    .number(`${what} must be a whole number`)
    .int(`${what} must be a whole number`)
    .min(1, `${what} must be at least 1`)

export const taskParams = z.object({ task: z.string().describe('the task’s id (hex) or its name') })
export const roundParams = taskParams.extend({ round: wholeNumber('round') })
export const contributionParams = taskParams.extend({ id: z.string() })
export const contributeQuery = z.strictObject({
  weight: wholeNumber('weight').optional().describe('for weighted tasks; 1 if left out'),
  round: wholeNumber('round').optional().describe('into this round or none; the next one that takes it if left out'),
  wait: z.literal('sum', 'wait can only be "sum"').optional().describe('answer when the round is summed, with the sum')
})
export const roundsQuery = z.strictObject({
  limit: wholeNumber('limit').max(1000, 'limit must be at most 1000').default(50),
  before: wholeNumber('before').optional().describe('only rounds below this number')
})

export const errorBody = z
  .object({ error: z.object({ code: z.string(), message: z.string() }) })
  .describe('what was wrong, and what to do')
export const contributionBody = z.object({
  id: z.string(),
  round: z.int().describe('the round that it is for; one that was not included goes on to the next'),
  status: z.enum(['waiting', 'taken', 'withdrawn', 'refused', 'summed', 'not included', 'burned'])
})
export const taskBody = z.object({
  id: z.string(),
  name: z.string(),
  length: z.int(),
  encoding: z.looseObject({ type: z.enum(['fixed', 'integer', 'skellam']) }),
  deadlineSeconds: z.number(),
  closedRound: z.int(),
  runningRound: z.int().nullable()
})
export const tasksBody = z.object({ tasks: z.array(taskBody) })
export const roundsBody = z.object({ runningRound: z.int().nullable(), rounds: z.array(toldRoundSchema) })
export const roundBody = toldRoundSchema
const header = (type: 'integer' | 'number' | 'string', description: string): object => ({ type, description })
/** What stands beside a sum of any format. */
export const sumHeaders = {
  'x-secagg-round': header('integer', 'whose sum it is'),
  'x-secagg-included': header('integer', 'how many vectors are in the sum'),
  'x-secagg-total-weight': header('number', 'the sum divided by it is the mean'),
  'x-secagg-groups': header('integer', 'where the task has groups: how many; the sum as JSON tells of each'),
  'x-secagg-epsilon': header(
    'number',
    'where the task has privacy: the ε that this node’s vectors have reached so far'
  ),
  'x-secagg-delta': header('number', 'where the task has privacy: the δ of that ε'),
  'x-secagg-dtype': header('string', 'of application/octet-stream: float32, or int64 in integer tasks')
}
export const sumBody = z
  .object({
    round: z.int(),
    status: z.literal('summed'),
    included: z.array(z.string()).describe('peer ids of the members whose vectors are in the sum'),
    totalWeight: z.number().describe('the sum divided by it is the mean'),
    clippedFraction: z.number().optional(),
    groups: z
      .array(
        z.object({
          included: z.array(z.string()),
          totalWeight: z.number(),
          clippedFraction: z.number().optional(),
          values: z.array(z.number())
        })
      )
      .optional()
      .describe('where the task has groups: who is in each, and its sum'),
    audit: z
      .object({ chunks: z.int(), of: z.int() })
      .optional()
      .describe('how many chunks of the sum this node recomputed before it voted for it; the aggregator all'),
    privacy: z
      .object({ epsilon: z.number(), delta: z.number(), releases: z.int(), epsilonOfRound: z.number() })
      .optional()
      .describe('where the task has privacy: what this node’s vectors have given away in all rounds, and in this one'),
    values: z.array(z.number()),
    trimmedMean: z
      .array(z.number())
      .optional()
      .describe(
        'where the task has groups: the mean of their means without the largest and smallest, element by element'
      )
  })
  .meta({ headers: sumHeaders })
export const evidenceParams = taskParams.extend({ id: z.string().describe('as the list names it') })
export const evidenceBody = z.object({
  evidence: z.array(
    z.object({
      id: z.string(),
      kind: z.enum(evidenceKinds),
      culprit: z.string().describe('the peer id of the member that broke the protocol'),
      epoch: z.int(),
      round: z.int(),
      path: z.string().describe('where the evidence itself is, in this API')
    })
  )
})
export const evidenceFile = z.string().describe('one piece of evidence, application/cbor')
export const exportBody = z.string().describe('a tar, application/x-tar')
export const membersBody = z.object({
  task: z.string(),
  epoch: z.int(),
  me: z.int().describe('this node’s index; −1 outside the roster'),
  members: z.array(
    z.object({
      index: z.int(),
      id: z.string(),
      connected: z.boolean(),
      state: z.enum(['member', 'suspended', 'leaving'])
    })
  )
})
export const healthBody = z.object({ status: z.literal('ok') })
export const readyBody = z.object({ ready: z.boolean(), reason: z.string().optional() }).catchall(z.unknown())

/** What each answer may be refused with, beside what the guard refuses. */
export const refusals = (...statuses: number[]): Record<number, z.ZodType> =>
  Object.fromEntries(statuses.map((status) => [status, errorBody]))

type Validate = (value: unknown) => { value: unknown } | { error: Error }

/** Fastify's validator for zod schemas; what only documents (a body that is streamed) passes. */
export function compileValidator({ schema }: { schema: unknown }): Validate {
  if (!(schema instanceof z.ZodType)) return (value) => ({ value })
  return (value) => {
    const parsed = schema.safeParse(value)
    if (parsed.success) return { value: parsed.data }
    const [issue] = parsed.error.issues
    const sentence = issue.code === 'unrecognized_keys' ? unknownParameter(issue.keys[0], schema) : issue.message
    return { error: new ApiError(400, 'INVALID_REQUEST', sentence) }
  }
}

function unknownParameter(key: string, schema: z.ZodType): string {
  const meant = schema instanceof z.ZodObject ? nearest(key, Object.keys(schema.shape)) : undefined
  return `there is no parameter "${key.slice(0, 40)}"${meant === undefined ? '; see /openapi.json' : ` (did you mean "${meant}"?)`}`
}

/** The same schemas as JSON Schema, for the OpenAPI document. */
export function documented(schema: FastifySchema): FastifySchema {
  return Object.fromEntries(
    Object.entries(schema).map(([part, value]) => [part, part === 'response' ? eachStatus(value) : asJson(value)])
  )
}

function eachStatus(responses: unknown): unknown {
  return Object.fromEntries(
    Object.entries(responses as Record<string, unknown>).map(([status, one]) => [status, asJson(one)])
  )
}

function asJson(schema: unknown): unknown {
  if (!(schema instanceof z.ZodType)) return schema
  const { $schema: _, ...json } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' })
  return { ...json, description: json.description ?? 'as described' }
}
