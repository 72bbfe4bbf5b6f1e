import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { z } from 'zod'
import { bytesToHex } from '@noble/hashes/utils.js'
import { sha256 } from '../../../src/crypto/primitives.ts'
import type { Task } from '../../../src/task/task.ts'
import { encodeEvidenceFile } from '../../record/evidence-file.ts'
import { exportRound } from '../../record/export.ts'
import { auditReportSchema, reportOf } from '../../record/report.ts'
import type { Daemon } from '../daemon.ts'
import { ApiError } from './errors.ts'
import { streamEvents } from './events.ts'
import * as schemas from './schemas.ts'
import type { ApiSettings } from './settings.ts'
import { sendSum } from './sum-formats.ts'
import { expectedOf, largestUpload, readBody, readVector, vectorTypes } from './vectors.ts'
import type { VectorType } from './vectors.ts'

type Params<T extends z.ZodType> = { Params: z.output<T> }

/** Everything under /v1. */
export function registerRoutes(server: FastifyInstance, daemon: Daemon, settings: ApiSettings): void {
  const { refusals } = schemas
  const checked = (named: string): Task => {
    const { task } = daemon
    if (named === task.id || named === task.name) return task
    throw new ApiError(404, 'TASK_UNKNOWN', `this node runs the task ${task.name} (${task.id}), and no other`)
  }

  server.get(
    '/v1/tasks',
    { schema: { summary: 'The task of this node', response: { 200: schemas.tasksBody } } },
    () => ({
      tasks: [toldTask(daemon)]
    })
  )

  server.post<Params<typeof schemas.taskParams> & { Querystring: z.output<typeof schemas.contributeQuery> }>(
    '/v1/tasks/:task/contributions',
    {
      schema: {
        summary: 'Hands a vector over for one round; at most one a round',
        params: schemas.taskParams,
        querystring: schemas.contributeQuery,
        body: { content: Object.fromEntries(vectorTypes.map((type) => [type, { schema: documentedBody(type) }])) },
        response: {
          200: schemas.sumBody,
          202: schemas.contributionBody,
          ...refusals(400, 401, 403, 404, 408, 409, 413, 415, 422)
        }
      }
    },
    async (request, reply) => {
      const task = checked(request.params.task)
      const { weight, round, wait } = request.query
      // Refused before the body is read, where it can be known by then.
      daemon.roundFor(round)
      const vector = await receive(request, task, settings.maxUploadBytes)
      const signal = wait === undefined ? undefined : untilHungUp(reply)
      const { contribution, ended } = await daemon.contribute({ vector, weight }, { round, signal })
      if (wait !== undefined) return sendSum(request, reply, await daemon.archive.sum(await ended))
      const location = `/v1/tasks/${task.id}/contributions/${contribution.id}`
      return reply.status(202).header('location', location).send(contribution)
    }
  )

  server.get<Params<typeof schemas.contributionParams>>(
    '/v1/tasks/:task/contributions/:id',
    {
      schema: {
        summary: 'What became of a contribution',
        params: schemas.contributionParams,
        response: { 200: schemas.contributionBody, ...refusals(401, 404) }
      }
    },
    ({ params }) => {
      checked(params.task)
      const contribution = daemon.contribution(params.id)
      if (contribution === undefined)
        throw new ApiError(404, 'CONTRIBUTION_UNKNOWN', 'this node knows no such contribution since it was started')
      return contribution
    }
  )

  server.get<Params<typeof schemas.taskParams> & { Querystring: z.output<typeof schemas.roundsQuery> }>(
    '/v1/tasks/:task/rounds',
    {
      schema: {
        summary: 'Closed rounds, newest first',
        params: schemas.taskParams,
        querystring: schemas.roundsQuery,
        response: { 200: schemas.roundsBody, ...refusals(400, 401, 404) }
      }
    },
    async ({ params, query }) => {
      checked(params.task)
      const rounds = await daemon.archive.list(query.limit, query.before)
      return { runningRound: daemon.standing.runningRound ?? null, rounds }
    }
  )

  server.get<Params<typeof schemas.roundParams>>(
    '/v1/tasks/:task/rounds/:round',
    {
      schema: {
        summary: 'One closed round',
        params: schemas.roundParams,
        response: { 200: schemas.roundBody, ...refusals(400, 401, 404) }
      }
    },
    ({ params }) => {
      checked(params.task)
      return daemon.archive.record(params.round)
    }
  )

  server.get<Params<typeof schemas.roundParams>>(
    '/v1/tasks/:task/rounds/:round/sum',
    {
      schema: {
        summary: 'The sum of a round, as JSON, .npy or raw, by Accept',
        params: schemas.roundParams,
        response: { 200: schemas.sumBody, ...refusals(400, 401, 404, 406) }
      }
    },
    async (request, reply) => {
      checked(request.params.task)
      return sendSum(request, reply, await daemon.archive.checkedSum(request.params.round))
    }
  )

  server.get<Params<typeof schemas.roundParams>>(
    '/v1/tasks/:task/rounds/:round/transcript',
    {
      schema: {
        summary: 'All that is held of a round as one file, which secagg audit --file checks anywhere',
        params: schemas.roundParams,
        response: { 200: schemas.exportBody, ...refusals(400, 401, 404) }
      }
    },
    async ({ params: { task, round } }, reply) => {
      checked(task)
      const file = exportRound(await daemon.held(round))
      void reply.header('content-disposition', `attachment; filename="round-${round}.tar"`)
      return reply.type('application/x-tar').send(Readable.from(file, { objectMode: false }))
    }
  )

  server.get<Params<typeof schemas.roundParams>>(
    '/v1/tasks/:task/rounds/:round/audit',
    {
      schema: {
        summary: 'Checks from scratch all that is held of a round, and tells what was found',
        params: schemas.roundParams,
        response: { 200: auditReportSchema, ...refusals(400, 401, 404) }
      }
    },
    async ({ params: { task, round } }) => {
      checked(task)
      return reportOf(await daemon.held(round))
    }
  )

  server.get<Params<typeof schemas.taskParams>>(
    '/v1/tasks/:task/evidence',
    {
      schema: {
        summary: 'Evidence that members broke the protocol, of whatever round',
        params: schemas.taskParams,
        response: { 200: schemas.evidenceBody, ...refusals(401, 404) }
      }
    },
    async ({ params }) => {
      const { id: taskId } = checked(params.task)
      const held = await daemon.evidence()
      const told = held.map(({ kind, culprit, epoch, round, evidence }) => {
        const id = evidenceName(evidence)
        return { id, kind, culprit, epoch, round, path: `/v1/tasks/${taskId}/evidence/${id}` }
      })
      return { evidence: told }
    }
  )

  server.get<Params<typeof schemas.evidenceParams>>(
    '/v1/tasks/:task/evidence/:id',
    {
      schema: {
        summary: 'One piece of evidence as a file, which secagg evidence verifies anywhere',
        params: schemas.evidenceParams,
        response: { 200: schemas.evidenceFile, ...refusals(401, 404) }
      }
    },
    async ({ params: { task, id } }, reply) => {
      checked(task)
      const held = (await daemon.evidence()).find(({ evidence }) => evidenceName(evidence) === id)
      if (held === undefined) throw new ApiError(404, 'EVIDENCE_UNKNOWN', 'this node holds no such evidence')
      void reply.header('content-disposition', `attachment; filename="${held.kind}-${held.round}.cbor"`)
      return reply.type('application/cbor').send(Buffer.from(encodeEvidenceFile(held)))
    }
  )

  server.get<Params<typeof schemas.taskParams>>(
    '/v1/tasks/:task/members',
    {
      schema: {
        summary: 'The roster, and who of it is connected',
        params: schemas.taskParams,
        response: { 200: schemas.membersBody, ...refusals(401, 404) }
      }
    },
    ({ params }) => {
      checked(params.task)
      return daemon.members
    }
  )

  server.get('/v1/events', { schema: { summary: 'What happens, as server-sent events' } }, (request, reply) =>
    streamEvents(daemon.feed, request, reply)
  )
}

const evidenceName = (evidence: Uint8Array): string => bytesToHex(sha256(evidence))

function toldTask(daemon: Daemon): z.output<typeof schemas.taskBody> {
  const { id, name, length, encoding, deadlineMs } = daemon.task
  const { closedRound, runningRound } = daemon.standing
  return {
    ...{ id, name, length, encoding, deadlineSeconds: deadlineMs / 1000 },
    ...{ closedRound, runningRound: runningRound ?? null }
  }
}

function documentedBody(type: VectorType): object {
  return type === 'application/json'
    ? { type: 'array', items: { type: 'number' } }
    : { type: 'string', format: 'binary', description: type.endsWith('npy') ? 'a .npy file' : 'float32 little-endian' }
}

/** The vector of a request. Throws ApiError, InputError; then nothing of it is kept. */
async function receive(request: FastifyRequest, task: Task, mostBytes: number) {
  const type = (request.headers['content-type'] ?? '').split(';')[0].trim().toLowerCase()
  const known = vectorTypes.find((one) => one === type)
  if (known === undefined)
    throw new ApiError(415, 'MEDIA_TYPE', `the body is of type "${type}"; send one of ${vectorTypes.join(', ')}`)
  const encoded = request.headers['content-encoding'] ?? 'identity'
  if (encoded !== 'identity')
    throw new ApiError(415, 'CONTENT_ENCODING', `the body comes in the encoding "${encoded}"; send it as it is`)
  const limit = Math.min(largestUpload(known, task), mostBytes)
  const bytes = await readBody(request.body as IncomingMessage, limit, expectedOf(task))
  return readVector(known, bytes, task)
}

function untilHungUp({ raw }: FastifyReply): AbortSignal {
  const gone = new AbortController()
  raw.once('close', () => gone.abort(new ApiError(499, 'HUNG_UP', 'the client hung up')))
  return gone.signal
}
