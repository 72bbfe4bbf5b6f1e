import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { npyPreamble } from '../../npy.ts'
import type { ArchivedSum } from '../archive.ts'
import { ApiError } from './errors.ts'

/** Elements of a sum that are written as JSON at a time. */
const ELEMENTS_AT_ONCE = 16_384

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength)

/**
 * Answers with a sum as the client accepts it: JSON; .npy (int64 for integer tasks, else float64); raw little-endian
 * (float32 as it is contributed, int64 for integer tasks). What is no part of the format stands in headers.
 */
export function sendSum(request: FastifyRequest, reply: FastifyReply, sum: ArchivedSum): FastifyReply {
  const { record, values, totalWeight, included, groups, privacy } = sum
  void reply.headers({
    'x-secagg-round': String(record.round),
    'x-secagg-total-weight': String(totalWeight),
    'x-secagg-included': String(included.length),
    ...(groups && { 'x-secagg-groups': String(groups.length) }),
    ...(privacy && { 'x-secagg-epsilon': String(privacy.epsilon), 'x-secagg-delta': String(privacy.delta) })
  })
  switch (acceptedType(request.headers.accept)) {
    case 'application/x-npy':
      return reply.type('application/x-npy').send(Buffer.concat([npyPreamble(values), bytesOf(values)]))
    case 'application/octet-stream': {
      const raw = values instanceof BigInt64Array ? values : Float32Array.from(values)
      void reply.header('x-secagg-dtype', values instanceof BigInt64Array ? 'int64' : 'float32')
      return reply.type('application/octet-stream').send(bytesOf(raw))
    }
    case 'application/json':
      return reply.type('application/json').send(Readable.from(jsonOf(sum)))
  }
}

const types = ['application/json', 'application/x-npy', 'application/octet-stream'] as const

/** The first type of the client's list, by weight, that there is. */
function acceptedType(accept = '*/*'): (typeof types)[number] {
  const wanted = accept
    .split(',')
    .map((part) => {
      const [type, ...parameters] = part.split(';').map((word) => word.trim().toLowerCase())
      const q = parameters.find((parameter) => parameter.startsWith('q='))
      return { type, weight: q === undefined ? 1 : Number(q.slice(2)) }
    })
    .filter(({ weight }) => weight > 0)
    .sort((a, b) => b.weight - a.weight)
  for (const { type } of wanted) {
    const found = types.find((one) => type === one || type === '*/*' || type === 'application/*')
    if (found !== undefined) return found
  }
  throw new ApiError(406, 'NOT_ACCEPTABLE', `a sum is to be had as ${types.join(', ')}`)
}

function* jsonOf(sum: ArchivedSum): Generator<string> {
  const { record, values, totalWeight, clippedFraction, included, groups, trimmedMean, privacy, audit } = sum
  const { round, status } = record
  yield JSON.stringify({ round, status, included, totalWeight, clippedFraction, audit, privacy }).slice(0, -1)
  yield* elementsOf('values', values)
  if (groups !== undefined) yield* groupsOf(groups)
  if (trimmedMean !== undefined) yield* elementsOf('trimmedMean', trimmedMean)
  yield '}\n'
}

function* groupsOf(groups: NonNullable<ArchivedSum['groups']>): Generator<string> {
  for (const [place, { included, totalWeight, clippedFraction, values }] of groups.entries()) {
    yield place === 0 ? ',"groups":[' : ','
    yield JSON.stringify({ included, totalWeight, clippedFraction }).slice(0, -1)
    yield* elementsOf('values', values)
    yield '}'
  }
  yield ']'
}

function* elementsOf(name: string, values: ArchivedSum['values']): Generator<string> {
  yield `,"${name}":[`
  for (let start = 0; start < values.length; start += ELEMENTS_AT_ONCE)
    yield `${start === 0 ? '' : ','}${values.slice(start, start + ELEMENTS_AT_ONCE).join(',')}`
  yield ']'
}
