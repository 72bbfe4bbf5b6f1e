import * as agreement from '../../src/round/agreement.ts'
import type { AgreementState, Choice, Step } from '../../src/round/agreement.ts'

/**
 * What one honest member can do next (§6), by the transitions of the code itself, whatever it is asked and shown. Its
 * states are numbered, and what it can do in each is computed once.
 */

/** What a member holds in memory: its agreements, and the view it has signed a ViewChange to, which counts in all of them. */
export interface Memory {
  readonly agreements: readonly AgreementState[]
  readonly changedTo: number
}

/** What an honest member goes by. A mutant wraps one of these, and never repeats what is in it. */
export interface Rules {
  readonly prepare: typeof agreement.prepare
  readonly commit: typeof agreement.commit
  readonly decide: typeof agreement.decide
  /** What a member finds after a crash, of what it had in memory (S3: everything). */
  readonly journaled: (memory: Memory) => Memory
}

export const rules: Rules = {
  prepare: agreement.prepare,
  commit: agreement.commit,
  decide: agreement.decide,
  journaled: (memory) => memory
}

export interface World {
  readonly members: number
  readonly corrupt: number
  readonly quorum: number
  readonly views: number
  readonly choices?: readonly Choice[]
  /** How many agreements of the same members run side by side. */
  readonly agreements?: number
  /** The mutant that counts a vote of one agreement in another. */
  readonly pooled?: boolean
  /** Members also crash between journal and network: the vote is on disk, and has not left. */
  readonly lostVotes?: boolean
  /** Explores also the steps that change nothing for anyone ({@link withoutIdleSteps}). */
  readonly idleSteps?: boolean
  readonly rules?: Rules
}

/** A vote that may be signed; its lane is its place among all of them, the same in Prepares and Commits. */
export interface Vote {
  readonly agreement: number
  readonly view: number
  readonly choice: Choice
  readonly lane: number
}

const twoValues: readonly Choice[] = [{ value: 'A' }, { value: 'B' }]

/** Every vote of a world. Pooled agreements share their lanes, so that the votes of one are taken for the other's. */
export function votesOf({ views, choices = twoValues, agreements = 1, pooled = false }: World): Vote[] {
  const votes: Vote[] = []
  for (let name = 0; name < agreements; name++)
    for (let view = 0; view < views; view++)
      for (const [place, choice] of choices.entries())
        votes.push({
          agreement: name,
          view,
          choice,
          lane: ((pooled ? 0 : name) * views + view) * choices.length + place
        })
  return votes
}

/** A member's memory, and the lanes of the votes that have left it: what it remembers of them is another matter. */
interface MemberState {
  readonly memory: Memory
  readonly prepared: ReadonlySet<number>
  readonly committed: ReadonlySet<number>
}

/** What a member can do that changes its state, if there is what it has to be shown. */
export interface MemberStep {
  readonly word: string
  readonly to: number
  readonly lock?: number
  readonly decision?: number
}

export class MemberSteps {
  readonly #world: World
  readonly #rules: Rules
  readonly #votes: Vote[]
  readonly #numbers = new Map<string, number>()
  readonly #states: MemberState[] = []
  readonly #steps: MemberStep[][] = []

  /** State 0 is that of a member that has signed nothing. */
  constructor(world: World) {
    this.#world = world
    this.#rules = world.rules ?? rules
    this.#votes = votesOf(world)
    const agreements = Array.from({ length: world.agreements ?? 1 }, () => agreement.nothingSigned)
    this.#number({ memory: { agreements, changedTo: 0 }, prepared: new Set(), committed: new Set() })
  }

  get count(): number {
    return this.#states.length
  }

  state(number: number): MemberState {
    return this.#states[number]
  }

  from(number: number): readonly MemberStep[] {
    return (this.#steps[number] ??= [...this.#different(number)])
  }

  /** The steps that lead to another state, without those that ask for more and lead to the same. */
  *#different(number: number): Iterable<MemberStep> {
    const seen = new Set<string>()
    for (const { after, ...step } of this.#all(this.#states[number])) {
      const to = this.#number(after)
      if (to === number || seen.has(`${to}`)) continue
      const key =
        step.lock === undefined && step.decision === undefined ? `${to}` : `${to}/${step.lock}/${step.decision}`
      if (seen.has(key)) continue
      seen.add(key)
      yield { ...step, to }
    }
  }

  *#all(before: MemberState): Iterable<Omit<MemberStep, 'to'> & { after: MemberState }> {
    const { memory } = before
    for (let view = memory.changedTo + 1; view < this.#world.views; view++)
      yield { word: `changes to view ${view}`, after: { ...before, memory: { ...memory, changedTo: view } } }
    for (const vote of this.#votes) {
      yield* this.#prepares(before, vote)
      yield* this.#commits(before, vote)
      const decided = this.#rules.decide(memory.agreements[vote.agreement], vote.choice.value)
      for (const after of this.#taken(before, vote, decided))
        yield { word: `takes note of the decision for ${named(vote)}`, decision: vote.lane, after }
    }
    yield { word: 'crashes', after: this.#crashed(before) }
  }

  /** Whether or not the value passes its checks, shown no lock or any of the agreement's. */
  *#prepares(before: MemberState, vote: Vote) {
    const { changedTo, agreements } = before.memory
    const word = `prepares ${named(vote)}`
    for (const passesChecks of [true, false]) {
      for (const lock of [undefined, ...this.#votes.filter((other) => other.agreement === vote.agreement)]) {
        const shownLock = lock && { view: lock.view, ...lock.choice }
        const request = { view: vote.view, ...vote.choice, passesChecks, shownLock, changedTo }
        const step = this.#rules.prepare(agreements[vote.agreement], request)
        for (const after of this.#taken(before, vote, step, 'prepared'))
          yield { word: lock ? `${word}, shown the lock on ${named(lock)}` : word, lock: lock?.lane, after }
      }
    }
  }

  *#commits(before: MemberState, vote: Vote) {
    const { changedTo, agreements } = before.memory
    const step = this.#rules.commit(agreements[vote.agreement], { view: vote.view, ...vote.choice }, changedTo)
    for (const after of this.#taken(before, vote, step, 'committed'))
      yield { word: `commits to ${named(vote)}`, lock: vote.lane, after }
  }

  /** The state after a step, with the vote that leaves the member, or does not where it crashes in between. */
  *#taken(before: MemberState, vote: Vote, step: Step, leaves?: 'prepared' | 'committed'): Iterable<MemberState> {
    if ('refusal' in step) return
    const agreements = before.memory.agreements.with(vote.agreement, step.state)
    const after = { ...before, memory: { ...before.memory, agreements } }
    if (leaves === undefined) yield after
    else yield { ...after, [leaves]: new Set([...before[leaves], vote.lane]) }
    if (leaves !== undefined && this.#world.lostVotes) yield this.#crashed(after)
  }

  /** A crash leaves what the journal holds, in place of what was in memory. What has left stays with the adversary. */
  #crashed(state: MemberState): MemberState {
    return { ...state, memory: this.#rules.journaled(state.memory) }
  }

  #number(state: MemberState): number {
    const key = canonical(state)
    const known = this.#numbers.get(key)
    if (known !== undefined) return known
    this.#numbers.set(key, this.#states.length)
    return this.#states.push(state) - 1
  }
}

const named = ({ agreement: name, view, choice }: Vote): string =>
  `${choice.value}${choice.root ? ` under root ${choice.root}` : ''} in view ${view} of agreement ${name}`

const texts = new WeakMap<object, string>()

/** The same text for the same state, in whatever order it came about. States share most of their parts. */
function canonical(part: unknown): string {
  if (typeof part !== 'object' || part === null) return JSON.stringify(part) ?? ''
  const known = texts.get(part)
  if (known !== undefined) return known
  const entries: [string, unknown][] =
    part instanceof Set ? [...part].map((lane) => [`${lane}`, 1]) : Object.entries(part)
  const text = entries.filter(([, inner]) => inner !== undefined).map(([name, inner]) => `${name}:${canonical(inner)}`)
  const sorted = `{${text.sort().join()}}`
  texts.set(part, sorted)
  return sorted
}
