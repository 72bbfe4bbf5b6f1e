import { MessageError } from '../errors.ts'
import type { Round } from './round.ts'

/** Why a leader cannot go on; the round is left to the next one. */
export class LeaderGaveUp extends Error {
  static override name = 'LeaderGaveUp'
}

export function fault(
  round: Round,
  { type, from }: { type: string; from: number },
  code: 'INVALID' | 'WRONG_ATTEMPT',
  why: string
): MessageError {
  return new MessageError(code, `a ${type} of member ${from} ${why}`, { culprit: round.rules.roster.members[from].id })
}

/** The same fault, with the member whose it is. */
export function named(round: Round, { from }: { from: number }, error: Error): Error {
  if (!(error instanceof MessageError)) return error
  return new MessageError(error.code, `member ${from}: ${error.message}`, {
    culprit: round.rules.roster.members[from].id,
    cause: error
  })
}
