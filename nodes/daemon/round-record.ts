import { z } from 'zod'
import type { RoundOutcome } from '../../src/round/outcome.ts'
import type { Task } from '../../src/task/task.ts'
import type { FeedEvents } from './feed.ts'
import { phases } from './launcher-messages.ts'

const member = z.int().min(0)
const milliseconds = z.number().min(0)

/** What a node keeps of a closed round, in its journal. Members are indices in the roster of the round's epoch. */
export const roundRecordSchema = z.object({
  round: z.int().min(1),
  epoch: z.int().min(0),
  status: z.enum(['summed', 'burned']),
  reason: z.string().optional(),
  aggregator: member,
  aggregatorId: z.string(),
  views: z.int().min(1),
  attempts: z.int().min(1),
  /** How many members the roster had. */
  members: z.int().min(1),
  included: z.array(member),
  dropped: z.array(member),
  missing: z.array(member),
  /** The group of each member, where sums are per group. */
  groups: z.array(member).optional(),
  /** How many chunks of the sum this node recomputed before it voted for it, of how many; the aggregator all. */
  audit: z.object({ chunks: z.int().min(0), of: z.int().min(0) }).optional(),
  /** What became of this node's own input. */
  input: z.enum(['summed', 'not included', 'burned', 'none']),
  phaseMs: z.partialRecord(z.enum(phases), milliseconds),
  durationMs: milliseconds,
  /** How long this node computed its own masks; left out where it masked nothing. */
  maskingMs: milliseconds.optional(),
  /** Frame bytes of this node's protocol streams during the round. */
  bytesSent: z.int().min(0),
  bytesReceived: z.int().min(0),
  /** When this node learned that the round was closed (ISO 8601, UTC). */
  closedAt: z.string()
})

export type RoundRecord = z.infer<typeof roundRecordSchema>

/** The same as told to users: whether the sum is still held here. */
export const toldRoundSchema = roundRecordSchema.extend({ hasSum: z.boolean() })
export type ToldRound = z.infer<typeof toldRoundSchema>

/** What a node measured of a round beside its outcome. */
type Measured = Pick<RoundRecord, 'bytesSent' | 'bytesReceived' | 'maskingMs'>

/** `terms`: the task as the roster of the round's epoch ran it. */
export function recordOf(outcome: RoundOutcome, { members }: Task, measured: Measured): RoundRecord {
  const { round, epoch, status, reason, aggregator, views, attempts, included, dropped, missing, input } = outcome
  const { phaseMs, durationMs, groups, audit } = outcome
  const { bytesSent, bytesReceived, maskingMs } = measured
  return {
    ...{ round, epoch, status, reason, aggregator, aggregatorId: members[aggregator] ?? '', views, attempts },
    ...{ members: members.length, included, dropped, missing, input, phaseMs, durationMs },
    ...(groups === undefined ? {} : { groups: [...groups] }),
    ...(audit === undefined ? {} : { audit: { ...audit } }),
    ...{ maskingMs, bytesSent, bytesReceived, closedAt: new Date().toISOString() }
  }
}

/** A round as the feed tells it. */
export function closedEvent(record: RoundRecord): FeedEvents['round:closed'] {
  const { round, epoch, status, reason, aggregator, aggregatorId, views, attempts } = record
  const { included, dropped, missing } = record
  const { durationMs, phaseMs, maskingMs, bytesSent, bytesReceived, audit } = record
  return {
    ...{ round, epoch, status, reason, aggregator, aggregatorId, views, attempts, included, dropped, missing },
    ...{ durationMs, phaseMs, maskingMs, bytesSent, bytesReceived },
    ...(audit === undefined ? {} : { audit })
  }
}
