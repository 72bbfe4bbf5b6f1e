/** A fault of one of these classes is something the caller can act on; `code` is stable, the sentence is for people. */
export class SecureAggregationError extends Error {
  static override name = 'SecureAggregationError'
  readonly code: string
  /** The peer id of whoever caused it, where the protocol can tell. */
  readonly culprit?: string

  constructor(code: string, message: string, options: { culprit?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = new.target.name
    this.code = code
    this.culprit = options.culprit
  }
}

/** The task cannot be run as it is written: an infeasible threat, more than 32 bits, a field out of range. */
export class TaskError extends SecureAggregationError {
  static override name = 'TaskError'
  declare readonly code: 'TASK_INVALID' | 'THREAT_INFEASIBLE' | 'BITS_EXCEEDED' | 'TASK_UNKNOWN' | 'NOT_A_MEMBER'
  constructor(code: TaskError['code'], message: string, options?: { cause?: unknown }) {
    super(code, message, options)
  }
}

/** A vector that the application handed over was refused; nothing of it has left this member. */
export class InputError extends SecureAggregationError {
  static override name = 'InputError'
  declare readonly code:
    'INPUT_NOT_FINITE' | 'INPUT_LENGTH' | 'INPUT_RANGE' | 'INPUT_TYPE' | 'INPUT_WEIGHT' | 'INPUT_FILE'
  constructor(code: InputError['code'], message: string, options?: { cause?: unknown }) {
    super(code, message, options)
  }
}

/** A changed roster that is not valid: what it lacks, and whose part of it is at fault (§7). */
export class RosterChangeError extends SecureAggregationError {
  static override name = 'RosterChangeError'
  declare readonly code: 'CHANGE_INVALID'
  constructor(message: string, options?: { culprit?: string; cause?: unknown }) {
    super('CHANGE_INVALID', message, options)
  }
}

/** What is wrong with a message that a peer sent. It costs that peer its place in the round, never the round. */
export type MessageFault =
  | 'OVERSIZED'
  | 'TRUNCATED'
  | 'MALFORMED'
  | 'SIGNATURE'
  | 'STRANGER'
  | 'IMPERSONATION'
  | 'WRONG_TASK'
  | 'WRONG_ROUND'
  | 'WRONG_ATTEMPT'
  | 'WRONG_VIEW'
  | 'OUT_OF_PHASE'
  | 'REPEATED'
  | 'LOW_ORDER_KEY'
  | 'DUPLICATE_KEY'
  | 'INVALID'

export class MessageError extends SecureAggregationError {
  static override name = 'MessageError'
  declare readonly code: MessageFault
  constructor(code: MessageFault, message: string, options?: { culprit?: string; cause?: unknown }) {
    super(code, message, options)
  }
}

/** The ballot refused to sign or reveal, because doing so could expose a member (protocol, rules S1 to S7). */
export class BallotError extends SecureAggregationError {
  static override name = 'BallotError'
  declare readonly code: 'BALLOT_REFUSED'
  constructor(message: string) {
    super('BALLOT_REFUSED', message)
  }
}

/** What became of an input that is in no sum that was delivered. */
export class RoundError extends SecureAggregationError {
  static override name = 'RoundError'
  /**
   * NOT_INCLUDED: never opened, safe to contribute again. BURNED: it may have left, and contributing the same values again
   * can reveal a difference. STOPPED: the node is not running, and nothing of it has left. PRIVACY_BUDGET: what the task allows is
   * spent.
   */
  declare readonly code: 'NOT_INCLUDED' | 'BURNED' | 'NO_QUORUM' | 'STOPPED' | 'PRIVACY_BUDGET'
  readonly round: number
  constructor(code: RoundError['code'], message: string, round: number) {
    super(code, message)
    this.round = round
  }
}
