import { z } from 'zod'
import { MessageError } from '../../src/errors.ts'
import { systemClock } from '../../src/network/clock.ts'
import type { HeldRound } from '../../src/round/record.ts'
import { recheckRound } from '../../src/round/recheck.ts'

/** What the check of a round from scratch found, as it is told to users. Members are peer ids. */
export const auditReportSchema = z.discriminatedUnion('passed', [
  z.object({
    passed: z.literal(true),
    task: z.string(),
    taskId: z.string(),
    round: z.int(),
    epoch: z.int(),
    aggregator: z.string().describe('who signed the sum'),
    included: z.array(z.string()),
    dropped: z.array(z.string()),
    closed: z.boolean().describe('false where the round was still running'),
    sum: z.boolean().describe('whether the sum itself is held, and matches its root'),
    masked: z.array(z.string()).describe('of whom whole masked vectors are held, and match their headers'),
    slices: z.int().describe('how many slices of others’ masked vectors are held, and match their headers'),
    chunks: z.object({ checked: z.int(), of: z.int() }).describe('chunks of the sum recomputed from masked vectors')
  }),
  z.object({
    passed: z.literal(false),
    task: z.string(),
    taskId: z.string(),
    round: z.int(),
    code: z.string(),
    reason: z.string(),
    culprit: z.string().optional().describe('whose own signature shows that it lied, where one does')
  })
])
export type AuditReport = z.infer<typeof auditReportSchema>

/** Checks a round from scratch; what does not hold is no error here, but what was found. */
export async function reportOf(held: HeldRound): Promise<AuditReport> {
  const of = { task: held.task.name, taskId: held.task.id, round: held.round }
  try {
    return { passed: true, ...of, ...(await recheckRound(held, { clock: systemClock })) }
  } catch (error) {
    if (!(error instanceof MessageError)) throw error
    const { code, message: reason, culprit } = error
    return { passed: false, ...of, code, reason, ...(culprit === undefined ? {} : { culprit }) }
  }
}
