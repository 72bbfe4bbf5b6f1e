import { MessageError } from '../errors.ts'
import { checkDecision } from './certificates.ts'
import { sameBytes } from './dealing.ts'
import { decodeMessage, valueHash } from './messages.ts'
import type { Message } from './messages.ts'
import type { Round } from './round.ts'
import { readEmbedded, shownBy } from './transcript.ts'

/** A member's checks of a leader's first word (§4 phase 0). */

/**
 * Learns the decisions to retry that a plan comes with, and checks that it is for this view, for the attempt that is due,
 * and starts from what this member starts from.
 *
 * @throws MessageError, the leader being the culprit
 */
export async function checkPlan(plan: Message<'RoundPlan'>, round: Round, view: number): Promise<void> {
  const { body } = plan
  const culprit = round.culprit(plan)
  const fault = (code: 'WRONG_VIEW' | 'WRONG_ATTEMPT' | 'INVALID', sentence: string) =>
    new MessageError(code, sentence, { culprit })
  if (body.view !== view) throw fault('WRONG_VIEW', `a RoundPlan is for view ${body.view}, not ${view}`)
  if (body.retries.length !== body.attempt)
    throw fault(
      'INVALID',
      `a RoundPlan for attempt ${body.attempt} comes with ${body.retries.length} decisions to retry`
    )
  for (const retry of body.retries) await round.learn(readEmbedded('Decision', retry, round.rules))
  if (body.attempt !== round.attemptNumber)
    throw fault(
      'WRONG_ATTEMPT',
      `a RoundPlan is for attempt ${body.attempt}, and attempt ${round.attemptNumber} is due`
    )
  if (body.length !== round.task.length)
    throw fault('INVALID', `a RoundPlan asks for vectors of ${body.length}, not ${round.task.length}`)
  if (!sameBytes(body.contextHash, round.contextHash))
    throw fault('INVALID', 'a RoundPlan starts from another context than this member holds')
  shownBy(culprit, 'the proof in a RoundPlan of how the last round was closed', () =>
    checkPrevious(body.previous, round)
  )
}

/** The decision that closed the round before, as any leader signed it: its value is the one that this member knows. */
function checkPrevious(shown: Uint8Array | null, { previous, rules, task }: Round): void {
  if (shown === null && previous === null) return
  if (shown === null) throw new MessageError('INVALID', 'there is none')
  if (previous === null) throw new MessageError('INVALID', 'there is one, and this is the first round')
  if (sameBytes(shown, previous)) return
  const message = decodeMessage(shown)
  const known = decodeMessage(previous) as Message<'Decision'>
  const { context, roster, thresholds } = rules
  const closesIt =
    message.type === 'Decision' &&
    message.body.commits.agreement === 'closing' &&
    sameBytes(message.task, task.idBytes) &&
    message.epoch === known.epoch &&
    message.round === known.round &&
    sameBytes(valueHash(message.body.value), valueHash(known.body.value))
  if (!closesIt) throw new MessageError('INVALID', `it is no decision that closed round ${context.round - 1}`)
  // The quorum of an epoch that is over was checked when that decision was learned; the value is the same.
  if (message.epoch === context.epoch) checkDecision(message.body, message, { roster, quorum: thresholds.quorum })
}
