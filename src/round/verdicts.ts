import { MessageError } from '../errors.ts'
import { nextBeacon } from '../membership/beacon.ts'
import type { Roster } from '../membership/roster.ts'
import { auditAgain, WrongSum } from './auditor.ts'
import { sameBytes } from './dealing.ts'
import { cutHash, inclusionOf } from './messages.ts'
import type { AgreementName, Message } from './messages.ts'
import type { Round } from './round.ts'
import { readCut } from './transcript.ts'

/** Whether what a leader proposes passes this member's own checks: a cut by §5, closing by its own audit and beacon (§6). */

/** A member names the root that it audited itself, else that of the lock it is shown; never one that is refuted (§6). */
export function unfitRoot(round: Round, root?: Uint8Array, locked?: Uint8Array): Error | undefined {
  if (root === undefined) return undefined
  if (round.isRefuted(root))
    return new MessageError('INVALID', 'the root of the sum to close with is refuted by evidence')
  return locked === undefined || sameBytes(root, locked) || round.isRefuted(locked)
    ? undefined
    : new MessageError('INVALID', 'the sum that is locked is another than this member has audited')
}

export interface Verdict {
  passes: boolean
  root?: Uint8Array
  why?: Error
}

/** The checks of a cut (§5). */
export function checkInclusion(message: Message<'Proposal'>, round: Round): Verdict {
  const { agreement, value, cut, headers, view } = message.body
  const culprit = round.culprit(message)
  try {
    if (agreement !== inclusionOf(round.attemptNumber)) {
      // After a broken conversation a leader says everything again, what has led to this attempt included.
      const isOver = round.ballot.decision(agreement as AgreementName) !== undefined
      throw new MessageError('WRONG_ATTEMPT', `a Proposal is for ${agreement}, which is not the present attempt`, {
        culprit: isOver ? undefined : culprit
      })
    }
    if (value.kind === 'retry') {
      if (view <= round.firstView)
        throw new MessageError('INVALID', 'an attempt cannot be given up in its first view', { culprit })
      return { passes: true }
    }
    if (value.kind !== 'cut' || cut === null)
      throw new MessageError('INVALID', `a Proposal of ${value.kind} is out of its phase`, { culprit })
    if (!sameBytes(value.cutHash, cutHash(cut)))
      throw new MessageError('INVALID', 'a Proposal is not for the cut it comes with', { culprit })
    const attempt = round.running
    const under = attempt?.sets.get(round.hex(cut.maskingSetHash))
    if (attempt === undefined || under === undefined)
      throw new MessageError('OUT_OF_PHASE', 'this member was not shown the key book and masking set of a cut')
    const checked = readCut(cut, headers, under.book, under.set, round.rules, message.from)
    const mine = checked.headers.get(round.me)
    if (mine !== undefined && round.ballot.sitsOut(attempt.number))
      throw new MessageError(
        'OUT_OF_PHASE',
        'a cut includes a vector that this member sent, or not, before its restart'
      )
    if (mine !== undefined && (attempt.header === undefined || !sameBytes(mine.encoded, attempt.header.encoded))) {
      // S5: what it sent before it was restarted it does not know any more.
      const forgotten = round.ballot.sitsOut(attempt.number)
      throw new MessageError('INVALID', 'a cut includes a vector of this member that it did not send', {
        culprit: forgotten ? undefined : culprit
      })
    }
    attempt.cuts.set(round.hex(value.cutHash), checked)
    attempt.keep('Proposal', round.hex(value.cutHash), message)
    return { passes: true }
  } catch (error) {
    return { passes: false, why: error as Error }
  }
}

/** `summed` by one's own check of the sum and one's own beacon; `burned` once an honest leader that was there has had its turn. */
export async function checkClosing(message: Message<'Proposal'>, round: Round): Promise<Verdict> {
  const proposal = message.body
  const { value, reason, view } = proposal
  const refuse = (sentence: string, culprit?: string): Verdict => ({
    passes: false,
    why: new MessageError('INVALID', sentence, { culprit })
  })
  let named: Roster
  try {
    named = await round.next.read(proposal)
  } catch (error) {
    return { passes: false, why: error as Error }
  }
  if (value.kind === 'burned') {
    const { f, D } = round.rules.thresholds
    if (view <= f + D)
      return refuse(
        `a round cannot be burned in view ${view}, before f + D + 1 leaders have had their turn`,
        round.culprit(message)
      )
    round.reason = reason
    return { passes: round.sameValue(value, { ...round.burned, ...round.next.following(false, named) }) }
  }
  try {
    if (round.running?.sum !== undefined) await auditAgain(round, round.running.sum)
  } catch (error) {
    if (error instanceof WrongSum) round.accuse(error.evidence)
    return { passes: false, why: error as Error }
  }
  const sum = round.running?.sum
  if (value.kind !== 'summed' || sum === undefined)
    return refuse(`this member has checked no sum to close the round as ${value.kind}`)
  const hash = cutHash(sum.header.body.cut)
  const beacon = nextBeacon({
    beacon: round.beacon,
    round: round.rules.context.round,
    cutHash: hash,
    contributions: sum.contributions
  })
  if (!round.sameValue(value, { kind: 'summed', cutHash: hash, beacon, ...round.next.following(true, named) }))
    return refuse('a closing value differs from what this member computed')
  return { passes: true, root: sum.header.body.root }
}
