import { compareBytes } from '../crypto/key-agreement.ts'
import { RosterChangeError } from '../errors.ts'
import { LARGEST_COMPLETE_GRAPH } from '../task/thresholds.ts'
import { carryOver } from './deck.ts'
import type { Deck } from './deck.ts'
import type { Roster } from './roster.ts'

/** One roster after the other (§7): the one in effect, and the one that was decided and waits. */
export interface Succession {
  readonly roster: Roster
  readonly pending?: {
    readonly roster: Roster
    /** The round whose closing named it first. */
    readonly decidedIn: number
  }
}

/** How a round was closed, as far as rosters go. */
export interface Closing {
  round: number
  summed: boolean
  /** The roster that its value names. */
  named: Roster
}

/** The roster that a closing names which changes nothing: it is always valid. */
export function unchanged({ roster, pending }: Succession): Roster {
  return pending?.roster ?? roster
}

/**
 * What is in effect, and what waits, after a round was closed. A roster takes effect after a summed round that opened
 * after it was decided: nobody can fit ids to a beacon that is known. One that only suspends does so at once.
 *
 * Throws RosterChangeError where the closing names a roster that cannot follow.
 */
export function succeed(state: Succession, { round, summed, named }: Closing): Succession {
  const pending = waiting(state, round, named)
  if (pending === undefined) return state
  const ripe = summed && round > pending.decidedIn
  return ripe || onlySuspends(state.roster, pending.roster)
    ? { roster: pending.roster }
    : { roster: state.roster, pending }
}

function waiting(state: Succession, decidedIn: number, named: Roster): Succession['pending'] {
  const { roster, pending } = state
  if (compareBytes(named.hash, unchanged(state).hash) === 0) return pending
  if (pending !== undefined)
    throw new RosterChangeError('a roster is named while another one waits to take effect; one follows the other')
  if (
    named.epoch !== roster.epoch + 1 ||
    named.previousHash === undefined ||
    compareBytes(named.previousHash, roster.hash) !== 0
  )
    throw new RosterChangeError(`a roster of epoch ${named.epoch} is named that does not follow the present one`)
  return { roster: named, decidedIn }
}

/** Nobody comes who could have ground an id; for large rosters the graph depends on everybody's place. */
export function onlySuspends(from: Roster, to: Roster): boolean {
  if (Math.max(from.members.length, to.members.length) > LARGEST_COMPLETE_GRAPH) return false
  const comes = to.members.some(({ id }) => from.indexOf(id) < 0)
  const leaves = [...from.members, ...from.suspended].some(({ id }) => to.indexOf(id) < 0 && !to.isSuspended(id))
  return !comes && !leaves
}

/** The deck of the round after, in the indices of the roster that is in effect then. */
export function deckAfter(before: Succession, after: Succession, dealt: Deck): Deck {
  return before.roster === after.roster ? dealt : carryOver(dealt, before.roster, after.roster)
}
