import { hexToBytes } from '@noble/hashes/utils.js'
import { MessageError } from '../errors.ts'
import { genesisBeacon } from '../membership/beacon.ts'
import { decodeRoster, rosterHeadOf } from '../membership/roster-bytes.ts'
import { taskOf } from '../membership/roster-change.ts'
import type { Roster } from '../membership/roster.ts'
import { succeed } from '../membership/succession.ts'
import type { Succession } from '../membership/succession.ts'
import type { Task } from '../task/task.ts'
import { authenticate, checkDecision } from './certificates.ts'
import { sameBytes } from './dealing.ts'
import { decodeMessage } from './messages.ts'
import type { Body, Message, Value } from './messages.ts'

/** The chain of rosters (§7, catching up): verified step by step, from the task alone. */

/** A roster with the decision that made it and the one that put it into effect, encoded. */
export interface EpochLink {
  roster: Uint8Array
  made: Uint8Array
  effective: Uint8Array
}

export interface Reached {
  /** The last closing. */
  decision: Message<'Decision'>
  succession: Succession
  /** The epochs that began on the way. */
  links: EpochLink[]
  /** The decision that named the roster that waits, where one does. */
  made?: Uint8Array
}

type ClosingValue = Extract<Value, { kind: 'summed' | 'burned' }>

const fault = (sentence: string) => new MessageError('INVALID', `a chain of closings ${sentence}`)

/** What a closing decision decided. Throws MessageError where it closes nothing. */
export function closingValue({ body }: Message<'Decision'>): { value: ClosingValue } {
  const { value } = body
  if (value.kind !== 'summed' && value.kind !== 'burned')
    throw new MessageError('INVALID', 'a round is closed as summed or burned')
  return { value }
}

/** A closing decision by a quorum of this roster. Throws MessageError where it is none. */
export function readClosing(encoded: Uint8Array, task: Task, roster: Roster): Message<'Decision'> {
  const message = decodeMessage(encoded)
  const { round } = message
  if (message.type !== 'Decision') throw fault(`has a ${message.type} where a Decision belongs`)
  const context = { task: task.idBytes, epoch: roster.epoch, round }
  authenticate(message, context, roster)
  closingValue(message)
  checkDecision(message.body, context, { roster, quorum: taskOf(task, roster).thresholds.quorum })
  return message
}

/**
 * B of a round (§7): of the task, or of the decision that closed the round before, by a quorum of a roster that is known.
 *
 * @param round with what closed the one before; null for the first
 * @throws MessageError INVALID, or what the decision itself is refused with
 */
export function beaconOf(
  { task, round, before }: { task: Task; round: number; before: Uint8Array | null },
  rosterOf: (epoch: number) => Roster | undefined
): Uint8Array {
  const nowhere = (sentence: string) => new MessageError('INVALID', `what closed round ${sentence}`)
  if (round === 1) {
    const randomness = task.randomness === undefined ? undefined : hexToBytes(task.randomness)
    return genesisBeacon(task.idBytes, rosterOf(0)!.hash, randomness)
  }
  if (before === null) throw nowhere(`${round - 1} is missing, and with it the beacon of round ${round}`)
  const roster = rosterOf(decodeMessage(before).epoch)
  if (roster === undefined) throw nowhere(`${round - 1} is of an epoch that is not shown`)
  const closing = readClosing(before, task, roster)
  if (closing.round !== round - 1) throw nowhere(`${closing.round} stands for the round before ${round}`)
  return closingValue(closing).value.beacon
}

/** From this roster to where a member is that answered. Throws MessageError at the first step that does not hold. */
export function followChain(task: Task, from: Roster, { chain, decision, pending }: Body<'Closed'>): Reached {
  const { rosters, links, last } = followLinks(task, from, chain)
  const roster = rosters.at(-1)!
  if (decision === null) throw fault('ends with no closing')
  if (last !== undefined && sameBytes(last.encoded, decision)) return { decision: last, succession: { roster }, links }
  const closing = readClosing(decision, task, roster)
  if (last !== undefined && closing.round <= last.round) throw fault('ends before its last roster began')
  const { rosterHash } = closingValue(closing).value
  if (sameBytes(rosterHash, roster.hash)) return { decision: closing, succession: { roster }, links }
  if (pending === null) throw fault('ends with a closing that names a roster which is not shown')
  const made = readClosing(pending.made, task, roster)
  const succession = step({ roster }, made, readNamed(task, pending.roster, rosterHash))
  if (succession.pending === undefined || made.round > closing.round)
    throw fault('shows a roster that waits for nothing')
  return { decision: closing, succession, links, made: pending.made }
}

/**
 * From this roster through the links of later epochs. Throws MessageError at the first that does not hold.
 *
 * @returns all rosters, this one first; the links that led on; the decision that put the last of them into effect
 */
export function followLinks(
  task: Task,
  from: Roster,
  chain: readonly EpochLink[]
): { rosters: Roster[]; links: EpochLink[]; last?: Message<'Decision'> } {
  const rosters = [from]
  const links: EpochLink[] = []
  let last: Message<'Decision'> | undefined
  for (const link of chain) {
    const before = rosters.at(-1)!
    if (rosterHeadOf(link.roster).epoch <= before.epoch) continue
    const { next, effective } = checkLink(task, before, link)
    last = effective
    links.push(link)
    rosters.push(next)
  }
  return { rosters, links, last }
}

/** One epoch to the next; returns its roster and the decision that put it into effect. */
function checkLink(task: Task, before: Roster, link: EpochLink): { next: Roster; effective: Message<'Decision'> } {
  const made = readClosing(link.made, task, before)
  const effective = readClosing(link.effective, task, before)
  const next = readNamed(task, link.roster, closingValue(effective).value.rosterHash)
  let state = step({ roster: before }, made, next)
  if (state.roster === before) {
    if (effective.round <= made.round) throw fault('puts a roster into effect before it was decided')
    state = step(state, effective, next)
  } else if (effective.round !== made.round) throw fault('puts a roster into effect in another round than it began')
  if (state.roster === before) throw fault(`puts the roster of epoch ${next.epoch} into effect too early`)
  return { next, effective }
}

function step(state: Succession, decision: Message<'Decision'>, named: Roster): Succession {
  const { value } = closingValue(decision)
  if (!sameBytes(value.rosterHash, named.hash)) throw fault('shows a roster that its decision does not name')
  try {
    return succeed(state, { round: decision.round, summed: value.kind === 'summed', named })
  } catch (cause) {
    throw new MessageError('INVALID', `a chain of closings does not hold: ${(cause as Error).message}`, { cause })
  }
}

/** A roster that can be run, of the hash that was decided; of another one no more is read. */
function readNamed(task: Task, encoded: Uint8Array, hash: Uint8Array): Roster {
  if (!sameBytes(rosterHeadOf(encoded).hash, hash)) throw fault('shows a roster that its decision does not name')
  const roster = decodeRoster(encoded)
  try {
    taskOf(task, roster)
  } catch (cause) {
    throw new MessageError(
      'INVALID',
      `a chain of closings names a roster that cannot run: ${(cause as Error).message}`,
      {
        cause
      }
    )
  }
  return roster
}
