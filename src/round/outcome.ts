import { decodeSet } from '../membership/member-set.ts'
import type { Groups } from '../membership/groups.ts'
import type { Roster } from '../membership/roster.ts'
import type { Task } from '../task/task.ts'
import type { Audited } from './auditor.ts'
import { chunkCount } from './chunks.ts'
import { sameBytes } from './dealing.ts'
import type { Message } from './messages.ts'
import type { Phase } from './ports.ts'
import { sumName } from './round.ts'
import type { Round } from './round.ts'
import { sumShapeOf } from './vectors.ts'

/** What became of a round, as this member tells its application. Members are roster indices. */
export interface RoundOutcome {
  /** Its number, from 1. */
  round: number
  /** Of the roster that the indices are of. */
  epoch: number
  status: 'summed' | 'burned'
  /** Of a burned round: why it has no sum. */
  reason?: string
  /** Who led the view in which the sum was accepted, or the first view of a burned round. */
  aggregator: number
  /** How many leaders it took, 1 where the first one did. */
  views: number
  /** How often fresh keys were made, 1 where the first ones did. */
  attempts: number
  /** Members whose input is in the sum; empty, as the next two, while that is not here. */
  included: number[]
  /** Members that were lost after their shares had been delivered: their masks were removed. */
  dropped: number[]
  /** Members that were out before the masking set. */
  missing: number[]
  /** The group of each member, where sums are per group. */
  groups?: readonly number[]
  /** What became of this member's input, if it had one in the round. */
  input: 'summed' | 'not included' | 'burned' | 'none'
  /** Name of the packed sum in the vector store; undefined while it is not here. */
  sum?: string
  /** How many chunks of the sum this member has recomputed (the aggregator: all), of how many; none where it was away. */
  audit?: Audited
  /** Milliseconds in each phase, at this member. */
  phaseMs: Partial<Record<Phase, number>>
  /** Milliseconds from the opening to the closing, at this member. */
  durationMs: number
  /** What closed it, signed by a quorum (§6), in canonical bytes. */
  decision: Uint8Array
}

/** A sum that this member has audited and a quorum has prepared, before the round is closed with it, or after all burned. */
export type ProvisionalSum = Pick<RoundOutcome, 'round' | 'epoch' | 'included' | 'groups'> &
  Required<Pick<RoundOutcome, 'sum' | 'audit'>> & { root: Uint8Array }

/** What a lock means to this member; undefined where the sum that it names is not here. */
export function provisionalSum({ rules, running, task }: Round, root: Uint8Array): ProvisionalSum | undefined {
  const { context, roster, groups } = rules
  const held = running?.sum
  if (held === undefined || !sameBytes(held.header.body.root, root)) return undefined
  return {
    round: context.round,
    epoch: roster.epoch,
    included: decodeSet(held.header.body.cut.included, roster.members.length),
    ...(groups === undefined ? {} : { groups: groups.of }),
    sum: sumName(task.id, context.round),
    audit: held.audited,
    root
  }
}

/** Whether a vector of this member's in the last attempt may have left; before a restart nobody remembers (S5). */
export function mayHaveMasked(round: Round | undefined): boolean {
  return round !== undefined && (round.running?.header !== undefined || round.ballot.sitsOut(round.attemptNumber))
}

interface Seen {
  /** Of the sum, where it is here. */
  header: Message<'SumHeader'> | undefined
  /** The round, where this member took part in it. */
  round: Round | undefined
  /** Who leads a view of it. */
  leader: (view: number) => number
  roster: Roster
  me: number
  task: Task
  groups?: Groups
  durationMs: number
}

/** What a closing decision means to this member. */
export function outcomeOf(
  { round: number, body, encoded }: Message<'Decision'>,
  { header, round, leader, roster, me, task, groups, durationMs }: Seen
): RoundOutcome {
  const { value, reason, commits } = body
  const summed = value.kind === 'summed'
  const included = header === undefined ? [] : decodeSet(header.body.cut.included, roster.members.length)
  const set = round?.running?.set?.members ?? included
  // Who was in a sum stands in its header alone.
  const isKnown = summed && header !== undefined
  return {
    round: number,
    epoch: roster.epoch,
    status: summed ? 'summed' : 'burned',
    ...(summed ? {} : { reason }),
    aggregator: leader(summed ? commits.view : 0),
    // One that was cut off meanwhile may not have begun the view in which the others decided.
    views: Math.max(round?.views.current ?? 0, commits.view) + 1,
    attempts: (round?.attemptNumber ?? 0) + 1,
    included,
    dropped: isKnown ? set.filter((member) => !included.includes(member)) : [],
    missing: isKnown ? roster.members.map(({ index }) => index).filter((member) => !set.includes(member)) : [],
    ...(groups === undefined ? {} : { groups: groups.of }),
    input: included.includes(me) ? 'summed' : inputOf(round, header),
    sum: header === undefined ? undefined : sumName(task.id, number),
    ...(summed && { audit: auditedOf(round, commits.root!, task) }),
    phaseMs: round?.phaseMs() ?? {},
    durationMs: round === undefined ? 0 : durationMs,
    decision: encoded
  }
}

/** What this member has checked of the sum that was decided. */
function auditedOf(round: Round | undefined, root: Uint8Array, task: Task): Audited {
  const held = round?.running?.sum
  return held !== undefined && sameBytes(held.header.body.root, root)
    ? held.audited
    : { chunks: 0, of: chunkCount(sumShapeOf(task)) }
}

/** Of an input that is in no sum that is here: only a sum that is here tells that it is not in it. */
function inputOf(round: Round | undefined, header: Message<'SumHeader'> | undefined): RoundOutcome['input'] {
  if (round === undefined) return 'none'
  return header === undefined && mayHaveMasked(round) ? 'burned' : 'not included'
}
