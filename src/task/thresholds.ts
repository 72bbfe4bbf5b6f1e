import { TaskError } from '../errors.ts'
import { graphDegrees } from '../membership/graph-parameters.ts'
import type { GraphDegrees } from '../membership/graph-parameters.ts'

/** One, in the ten-thousandths in which threats are counted. */
export const TEN_THOUSANDTHS = 10_000

/** The complete graph serves up to here; beyond it §9 takes over. */
export const LARGEST_COMPLETE_GRAPH = 128

/** A key book and a cut with its headers of so many fit into one Join, and either twice into evidence (`MAX_MESSAGE_BYTES`). */
export const LARGEST_ROSTER = 1200

/** A share slot is one byte, and both 0, where the secret lies, and 255 stay free (§9). */
const LARGEST_SHARE_DEGREE = 254

/** Shares of the roster that may be corrupt (γ) or missing (δ): whole ten-thousandths from 0 to 9999. */
export interface Threat {
  readonly corrupt: number
  readonly dropout: number
}

/** The numbers that every member computes for itself and enforces, whatever the aggregator says (§3). */
export interface Thresholds {
  /** n, the size of the roster. */
  readonly members: number
  /** The most members that may be corrupt. */
  readonly f: number
  /** The most further members that may be missing. */
  readonly D: number
  /** Votes that make a lock or a decision: two quorums share an honest member. */
  readonly quorum: number
  /** The least size of an included set. */
  readonly nMin: number
  /** t, the shares that reconstruct a secret. */
  readonly threshold: number
  /** The least number of holders that acknowledged a contributor's shares, for it to enter the masking set. */
  readonly acknowledgements: number
  /** Of the sparse graphs of more than 128 members (§9); undefined on the complete graph. */
  readonly graph?: GraphDegrees
}

/** A roster's size and its threat; `leastCorrupt` is the f that suspending the absent may not lower (§7). */
interface Asked extends Threat {
  readonly members: number
  readonly leastCorrupt?: number
}

/**
 * The thresholds of a roster, of the complete graph (§3) or a sparse one (§9); floors are exact, in whole numbers.
 * Throws TaskError: TASK_INVALID for a roster or threat out of range, THREAT_INFEASIBLE with what to change.
 */
export function thresholds(asked: Asked): Thresholds {
  const { members } = asked
  checkRange(members, asked)
  const { f, D } = counts(asked)
  if (!isFeasible(members, f, D)) throw infeasible(asked)

  const byTwoThirds = Math.floor((2 * members) / 3) + 1
  const quorum = byTwoThirds <= members - f - D ? byTwoThirds : Math.floor((members + f) / 2) + 1
  const bounds = { members, f, D, quorum, nMin: leastIncluded(members, f, D) }
  if (members > LARGEST_COMPLETE_GRAPH) {
    const graph = graphDegrees(members, f, D)
    if (graph === undefined) throw infeasible(asked)
    return Object.freeze({ ...bounds, threshold: graph.threshold, acknowledgements: graph.acknowledgements, graph })
  }
  const threshold = Math.max(2, f + 1, Math.min(Math.floor((members - D + 1) / 2), members - 2 * f - 2 * D))
  const acknowledgements = Math.max(threshold, Math.min(threshold + f + D - 1, members - 1 - f - D))
  return Object.freeze({ ...bounds, threshold, acknowledgements })
}

/** The thresholds of a task: what one round can carry, so many members in a message, and a byte for a share's slot. @throws as `thresholds` */
export function carriedThresholds(asked: Asked): Thresholds {
  const { members } = asked
  if (members > LARGEST_ROSTER)
    throw new TaskError('TASK_INVALID', `a task has at most ${LARGEST_ROSTER} members, not ${members}; remove members`)
  const bounds = thresholds(asked)
  if (bounds.graph !== undefined && bounds.graph.shareDegree > LARGEST_SHARE_DEGREE) throw infeasible(asked)
  return bounds
}

function counts({ members, corrupt, dropout, leastCorrupt = 0 }: Asked): { f: number; D: number } {
  return { f: Math.max(share(corrupt, members), leastCorrupt), D: share(dropout, members) }
}

function share(tenThousandths: number, members: number): number {
  return Math.floor((tenThousandths * members) / TEN_THOUSANDTHS)
}

function leastIncluded(members: number, f: number, D: number): number {
  return Math.max(members - D, f + 2, 3)
}

function isFeasible(members: number, f: number, D: number): boolean {
  return 3 * f + 2 * D < members && leastIncluded(members, f, D) <= members
}

function checkRange(members: number, threat: Threat): void {
  if (!Number.isInteger(members) || members < 3) {
    throw new TaskError('TASK_INVALID', `a task needs at least 3 members, not ${members}; add members`)
  }
  for (const key of ['corrupt', 'dropout'] as const) {
    const value = threat[key]
    if (!Number.isInteger(value) || value < 0 || value >= TEN_THOUSANDTHS) {
      throw new TaskError(
        'TASK_INVALID',
        `threat.${key} is a whole number of ten-thousandths from 0 to ${TEN_THOUSANDTHS - 1}, not ${value}; change it`
      )
    }
  }
}

/** What so many corrupt and missing ask for that cannot be had; undefined where a round carries it. */
function excess(members: number, f: number, D: number): string | undefined {
  if (!isFeasible(members, f, D)) return `3·${f} + 2·${D} < ${members}, but it is ${3 * f + 2 * D}`
  if (members <= LARGEST_COMPLETE_GRAPH) return undefined
  const graph = graphDegrees(members, f, D)
  if (graph === undefined) return 'masks or shares of everyone with everyone'
  if (graph.shareDegree <= LARGEST_SHARE_DEGREE) return undefined
  return `${graph.shareDegree} holders of each member’s shares, more than ${LARGEST_SHARE_DEGREE}`
}

/** The sentence for people, in fractions as they wrote them: what is too much, and each single change that mends it. */
function infeasible(asked: Asked): TaskError {
  const { members, corrupt, dropout } = asked
  const { f, D } = counts(asked)
  const threat = `a threat of ${fraction(corrupt)} corrupt (${f}) and ${fraction(dropout)} dropout (${D})`
  const needs = `${threat} needs ${excess(members, f, D)}`
  const sentence =
    f > share(corrupt, members)
      ? `with ${members} members left of a roster that allowed for ${f} corrupt, ${needs}; let suspended members return first`
      : `with ${members} members, ${needs}; ${remedies(asked).join(' or ')}`
  return new TaskError('THREAT_INFEASIBLE', sentence)
}

function remedies(asked: Asked): string[] {
  const passes = (changed: Partial<Asked>): boolean => {
    const { members, ...threat } = { ...asked, ...changed }
    const { f, D } = counts({ members, ...threat })
    return excess(members, f, D) === undefined
  }
  const { members, corrupt, dropout } = asked
  const changes: string[] = []
  const lessDropout = largestBelow(dropout, (value) => passes({ dropout: value }))
  if (lessDropout !== undefined) changes.push(`lower dropout to ${fraction(lessDropout)}`)
  const lessCorrupt = largestBelow(corrupt, (value) => passes({ corrupt: value }))
  if (lessCorrupt !== undefined) changes.push(`lower corrupt to ${fraction(lessCorrupt)}`)
  const most = members <= LARGEST_COMPLETE_GRAPH ? LARGEST_COMPLETE_GRAPH : Math.min(members + 10, LARGEST_ROSTER)
  for (let n = members + 1; n <= most; n++) {
    if (!passes({ members: n })) continue
    changes.push(`take ${n} members`)
    break
  }
  return changes.length === 0 ? ['lower both, for example to 0.125 and 0.25'] : changes
}

/**
 * The largest number of ten-thousandths below one that is too large; undefined where none passes. What passes is downward
 * closed but for roundings of the sparse graphs, and whatever is found has passed.
 */
function largestBelow(tooLarge: number, passes: (tenThousandths: number) => boolean): number | undefined {
  if (tooLarge === 0 || !passes(0)) return undefined
  let least = 0
  let beyond = tooLarge
  while (beyond - least > 1) {
    const middle = Math.floor((least + beyond) / 2)
    if (passes(middle)) least = middle
    else beyond = middle
  }
  return least
}

function fraction(tenThousandths: number): string {
  return String(tenThousandths / TEN_THOUSANDTHS)
}

/**
 * Fewest of a group that are ever summed: as of a whole roster, so that colluders in it learn no more than a sum of two. A
 * task is feasible only where a group keeps as many when all D that may be missing are of it.
 */
export function leastOfGroup(f: number): number {
  return Math.max(f + 2, 3)
}
