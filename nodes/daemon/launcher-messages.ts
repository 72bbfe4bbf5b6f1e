import { z } from 'zod'
import type { Feed } from './feed.ts'

/** What a launcher and the nodes it started say to each other over Node's IPC channel: plain JSON, checked on both sides. */

export const phases = ['keys', 'shares', 'mask', 'agree', 'unmask', 'sum', 'close'] as const

const phase = z.enum(phases)
const round = z.int().min(1)
/** A roster index. */
const member = z.int().min(0)
const hold = z.strictObject({ phase, round })
const milliseconds = z.number().min(0)

export const toNodeSchema = z.discriminatedUnion('type', [
  /** Phases in which the node waits for `go`. The first message of all: a node starts when it has it. */
  z.strictObject({ type: z.literal('hold'), holds: z.array(hold) }),
  z.strictObject({ type: z.literal('go'), phase, round }),
  /** Whether the node is cut off from all others. */
  z.strictObject({ type: z.literal('isolate'), isolated: z.boolean() }),
  z.strictObject({ type: z.literal('input'), round, file: z.string(), weight: z.int().min(1).optional() }),
  z.strictObject({ type: z.literal('want') }),
  z.strictObject({ type: z.literal('status') }),
  z.strictObject({ type: z.literal('export'), round, file: z.string() }),
  z.strictObject({ type: z.literal('glimpse'), member, indices: z.array(z.int().min(0)) }),
  /** To tell from now on what happens in rounds, for a page. */
  z.strictObject({ type: z.literal('feed') }),
  z.strictObject({ type: z.literal('stop') })
])

const outcome = z.object({
  round,
  status: z.enum(['summed', 'burned']),
  reason: z.string().optional(),
  aggregator: member,
  views: z.int().min(1),
  attempts: z.int().min(1),
  included: z.array(member),
  dropped: z.array(member),
  missing: z.array(member),
  /** What the application was told of its input. */
  input: z.enum(['summed', 'not included', 'burned', 'none']),
  /** How many chunks of the sum it recomputed, of how many. */
  audit: z.object({ chunks: z.int().min(0), of: z.int().min(0) }).optional(),
  /** Whether the sum is at hand. */
  hasSum: z.boolean(),
  /** The value that was decided, in hex: the same for all members. */
  decided: z.string().regex(/^[0-9a-f]+$/),
  phaseMs: z.partialRecord(phase, milliseconds),
  durationMs: milliseconds,
  bytesSent: z.int().min(0),
  bytesReceived: z.int().min(0),
  maxRssBytes: z.number().min(0),
  eventLoopMaxMs: milliseconds,
  eventLoopP99Ms: milliseconds
})

const status = z.object({
  connected: z.array(z.string()),
  subscribed: z.array(z.string()),
  closedRound: z.int().min(0),
  runningRound: round.optional()
})

/** Of the feed (feed.ts) what a launcher does not know by itself. */
const happening = z.discriminatedUnion('name', [
  z.strictObject({ name: z.literal('round:open'), data: z.object({ round, order: z.array(member) }) }),
  z.strictObject({
    name: z.literal('round:phase'),
    data: z.object({ round, phase, view: z.int().min(0), leader: member, leading: z.boolean(), atMs: milliseconds })
  }),
  z.strictObject({
    name: z.literal('audit'),
    data: z.object({
      round,
      passed: z.boolean(),
      chunks: z.int().min(0).optional(),
      of: z.int().min(0).optional(),
      reason: z.string().optional()
    })
  }),
  z.strictObject({
    name: z.literal('vector'),
    data: z.object({ round, member, bytes: z.int().min(0), preview: z.base64() })
  }),
  z.strictObject({
    name: z.literal('progress'),
    data: z.object({ round, received: z.array(member), of: z.int().min(0), preview: z.base64() })
  }),
  z.strictObject({
    name: z.literal('evidence'),
    data: z.object({ round, kind: z.string(), culprit: z.string() })
  })
])

export const toLauncherSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('ready'), id: z.string(), addresses: z.array(z.string()).min(1) }),
  z.strictObject({ type: z.literal('staged'), round }),
  z.strictObject({ type: z.literal('refused'), round, message: z.string() }),
  z.strictObject({ type: z.literal('phase'), phase, round, leading: z.boolean() }),
  z.strictObject({ type: z.literal('outcome'), outcome }),
  z.strictObject({ type: z.literal('status'), status }),
  z.strictObject({ type: z.literal('exported'), round, clippedFraction: z.number().optional() }),
  z.strictObject({ type: z.literal('glimpse'), round, member, values: z.array(z.number()) }),
  z.strictObject({ type: z.literal('feed'), event: happening }),
  z.strictObject({ type: z.literal('failed'), message: z.string() })
])

export type ToNode = z.infer<typeof toNodeSchema>
export type ToLauncher = z.infer<typeof toLauncherSchema>
export type ReportedOutcome = z.infer<typeof outcome>
export type ReportedStatus = z.infer<typeof status>
export type Happening = z.infer<typeof happening>
/** What a sum tells beside its elements. */
export type Exported = Pick<Extract<ToLauncher, { type: 'exported' }>, 'clippedFraction'>
export type Hold = z.infer<typeof hold>

/** Calls back with what of a feed is told to launchers. */
export function happenings(feed: Feed, tell: (event: Happening) => void): void {
  feed.listen((event) => {
    switch (event.name) {
      case 'round:open':
      case 'round:phase':
      case 'vector':
      case 'progress':
      case 'evidence':
      case 'audit':
        return tell({ name: event.name, data: event.data } as Happening)
      case 'members':
      case 'sum:provisional':
      case 'sum:withdrawn':
      case 'round:closed':
      case 'sum':
      case 'input':
    }
  })
}
