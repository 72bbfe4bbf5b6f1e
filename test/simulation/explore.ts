import { withoutIdleSteps } from './idle-steps.ts'
import { MemberSteps, votesOf } from './member-steps.ts'
import type { MemberStep, Vote, World } from './member-steps.ts'

/**
 * Every schedule of a few members (§6). The f corrupt ones, leaders among them, sign anything at any time, so that a lock
 * or a decision is there as soon as honest votes and f reach the quorum; what was signed stays with the adversary for
 * ever, and it asks any honest member anything at any time. Honest members are interchangeable, so that a state of the
 * whole is the sorted list of theirs.
 */

export interface Exploration {
  /** How many states of the whole were seen. */
  readonly states: number
  /** In how many of them something is decided. */
  readonly decided: number
  /** Whether there was ever a lock on two choices in one view. */
  readonly twoLocks: boolean
  /** The shortest schedule to two decided values of one agreement, where there is one: it ends the exploration. */
  readonly twoDecisions?: readonly string[]
}

/**
 * Breadth first, until all is seen or something is decided twice.
 *
 * @throws RangeError where the world is too large for its states to be packed into numbers
 */
export function explore(world: World): Exploration {
  const honest = world.members - world.corrupt
  const members = new MemberSteps(world)
  const steps = world.idleSteps ? (state: number) => members.from(state) : withoutIdleSteps(members)
  const tally = new Tally(world, members)
  const votes = votesOf(world)
  const ofView = rivals(
    votes,
    ({ agreement, view }) => `${agreement}/${view}`,
    ({ lane }) => `${lane}`
  )
  const ofAgreement = rivals(
    votes,
    ({ agreement }) => `${agreement}`,
    ({ choice }) => choice.value
  )
  const start = new Array<number>(honest).fill(0)
  const schedule = new Schedule()
  const found = [pack(start)]
  const seen = new Set(found)
  let decided = 0
  let twoLocks = false
  for (let at = 0; at < found.length; at++) {
    const state = unpack(found[at], honest)
    const locks = tally.quorums('prepared', state)
    const decisions = tally.quorums('committed', state)
    if (decisions !== 0) decided++
    twoLocks ||= conflict(locks, ofView)
    if (conflict(decisions, ofAgreement))
      return { states: found.length, decided, twoLocks, twoDecisions: schedule.to(at) }
    for (let member = 0; member < honest; member++) {
      if (state[member] === state[member - 1]) continue
      for (const step of steps(state[member])) {
        if (!isShown(locks, step.lock) || !isShown(decisions, step.decision)) continue
        const next = pack(state.with(member, step.to).sort((a, b) => a - b))
        if (seen.has(next)) continue
        seen.add(next)
        found.push(next)
        schedule.add(at, step)
      }
    }
  }
  return { states: found.length, decided, twoLocks }
}

/** Which step led from which state to each that was found. */
class Schedule {
  readonly #before = [0]
  readonly #words = ['']

  add(before: number, { word }: MemberStep): void {
    this.#before.push(before)
    this.#words.push(word)
  }

  to(state: number): string[] {
    const words: string[] = []
    for (let at = state; at !== 0; at = this.#before[at]) words.push(`a member ${this.#words[at]}`)
    return words.reverse()
  }
}

/**
 * Counts the votes of all members at once. A lane has four bits: a member's votes are ones in their lanes, a sum over the
 * members counts each vote, and adding what is missing from the needed number to eight sets the lane's high bit where
 * there are enough.
 */
class Tally {
  readonly #members: MemberSteps
  readonly #missing: number
  readonly #ones = { prepared: [] as number[], committed: [] as number[] }

  constructor(world: World, members: MemberSteps) {
    const lanes = 1 + Math.max(...votesOf(world).map(({ lane }) => lane))
    const needed = world.quorum - world.corrupt
    const honest = world.members - world.corrupt
    if (lanes > 8 || needed < 1 || honest - needed > 7) throw new RangeError('these votes do not fit into the lanes')
    this.#members = members
    this.#missing = sum(Array.from({ length: lanes }, (_, lane) => (8 - needed) * 16 ** lane))
  }

  /** The votes that, with those of the corrupt members, a quorum has signed: the high bits of their lanes. */
  quorums(which: 'prepared' | 'committed', state: readonly number[]): number {
    const known = this.#ones[which]
    let count = this.#missing
    for (const number of state)
      count += known[number] ??= sum([...this.#members.state(number)[which]].map((lane) => 16 ** lane))
    return count & 0x88888888
  }
}

const sum = (terms: readonly number[]): number => terms.reduce((total, term) => total + term, 0)
const highBit = (lane: number): number => 8 << (4 * lane)
const isShown = (quorums: number, lane: number | undefined): boolean =>
  lane === undefined || (quorums & highBit(lane)) !== 0

/** Votes of which no two may have a quorum: groups of alternatives, each the high bits of the lanes that are for it. */
function rivals(votes: readonly Vote[], group: (vote: Vote) => string, alternative: (vote: Vote) => string) {
  const groups = new Map<string, Map<string, number>>()
  for (const vote of votes) {
    const alternatives = groups.get(group(vote)) ?? new Map<string, number>()
    const bits = alternatives.get(alternative(vote)) ?? 0
    groups.set(group(vote), alternatives.set(alternative(vote), bits | highBit(vote.lane)))
  }
  return [...groups.values()].map((alternatives) => [...alternatives.values()])
}

const conflict = (quorums: number, groups: readonly (readonly number[])[]): boolean =>
  groups.some((alternatives) => alternatives.filter((bits) => (quorums & bits) !== 0).length > 1)

/** A sorted list of small numbers as one number, exactly. */
function pack(state: readonly number[]): number {
  const base = baseFor(state.length)
  let packed = 0
  for (const number of state) {
    if (number >= base) throw new RangeError(`a world of ${base} states of one of ${state.length} members is too large`)
    packed = packed * base + number
  }
  return packed
}

function unpack(packed: number, length: number): number[] {
  const base = baseFor(length)
  const state = new Array<number>(length)
  for (let place = length - 1; place >= 0; place--) {
    state[place] = packed % base
    packed = Math.floor(packed / base)
  }
  return state
}

const baseFor = (length: number): number => 2 ** Math.floor(53 / length)
