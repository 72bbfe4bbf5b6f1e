import { SecureAggregationError } from '../../src/errors.ts'
import type { Phase } from '../../src/round/ports.ts'
import type { ReportedOutcome } from '../daemon/launcher-messages.ts'

/** How a round ended, as the members that lived through it agree. Members are numbered as in peer-N. */
export interface ClosedRound {
  round: number
  status: 'summed' | 'burned' | 'no quorum'
  reason?: string
  /** Who published the accepted sum, or led view 0 of a burned round; unknown where no round was opened. */
  aggregator?: number
  views: number
  attempts: number
  included: number[]
  dropped: number[]
  missing: number[]
  killed: number[]
  /** From the moment the round was wanted until every living member had closed it. */
  durationMs: number
  phaseMs: Partial<Record<Phase, number>>
  /** What each member reported of itself. */
  outcomes: Map<number, ReportedOutcome>
  /** Those at hand that hold the sum. */
  holders: number[]
}

/** What most of them say: a member that was away for part of a round may not know who led it. */
function commonest(values: number[]): number {
  const count = (value: number): number => values.filter((other) => other === value).length
  return values.toSorted((a, b) => count(b) - count(a))[0]
}

const rising = (a: number, b: number): number => a - b

/** Gathers what the members report of one round. */
export class RunningRound {
  readonly round: number
  readonly #numbers: number[]
  readonly #outcomes = new Map<number, ReportedOutcome>()
  readonly #killed = new Set<number>()
  readonly #lost = new Set<number>()
  readonly #done = Promise.withResolvers<void>()
  readonly #lostOne: () => void
  #members: number[] = []
  #began = 0
  #leader?: number
  #furthest: Phase = 'keys'
  #noQuorum = false

  /** `numbers` maps roster indices to numbers; `lostOne` is called when a member is killed or suspended. */
  constructor(round: number, numbers: number[], lostOne: () => void) {
    this.round = round
    this.#numbers = numbers
    this.#lostOne = lostOne
  }

  get doing(): string {
    return `round ${this.round}: ${this.#furthest}, closed by ${this.#outcomes.size} of ${this.#members.length} members`
  }

  begin(members: number[]): void {
    this.#members = members
  }

  wanted(): void {
    this.#began = performance.now()
  }

  reached(number: number, { phase, leading }: { phase: Phase; leading: boolean }): void {
    this.#furthest = phase
    if (leading) this.#leader ??= number
  }

  outcome(number: number, outcome: ReportedOutcome): void {
    this.#outcomes.set(number, outcome)
    this.#check()
  }

  killed(number: number): void {
    this.#killed.add(number)
    this.lost(number)
  }

  /** It may not live to see the end of the round, which does not wait for it. */
  lost(number: number): void {
    this.#lost.add(number)
    this.#lostOne()
    this.#check()
  }

  /** Too few members are left for any decision. */
  giveUp(): void {
    // Where one has heard the decision, it tells the others.
    if (this.#outcomes.size > 0) return
    this.#noQuorum = true
    this.#done.resolve()
  }

  /** A round that cannot be opened. */
  withoutQuorum(): ClosedRound {
    this.#noQuorum = true
    return { ...this.#summary(), durationMs: 0 }
  }

  /** Throws where it takes longer than `limitMs`, or members report different outcomes. */
  async closed(limitMs: number): Promise<ClosedRound> {
    let late: NodeJS.Timeout | undefined
    const tooLate = new Promise<never>((_, reject) => {
      late = setTimeout(() => reject(this.#lateness(limitMs)), limitMs)
    })
    try {
      await Promise.race([this.#done.promise, tooLate])
    } finally {
      clearTimeout(late)
    }
    return this.#summary()
  }

  /** Those whose word counts: they lived through the round, or if nobody did, everyone. */
  get #witnesses(): number[] {
    const living = this.#members.filter((number) => !this.#lost.has(number))
    return living.length > 0 ? living : this.#members
  }

  #check(): void {
    if (this.#members.length > 0 && this.#witnesses.every((number) => this.#outcomes.has(number))) this.#done.resolve()
  }

  #lateness(limitMs: number): SecureAggregationError {
    const open = this.#witnesses.filter((number) => !this.#outcomes.has(number)).map((number) => `peer-${number}`)
    const sentence = `round ${this.round} was not closed by ${open.join(', ')} within ${Math.round(limitMs / 1000)} s`
    return new SecureAggregationError(
      'ROUND_OPEN',
      `${sentence}; run again with --data DIR and read the members’ log.jsonl`
    )
  }

  #summary(): ClosedRound {
    const durationMs = Math.round(performance.now() - this.#began)
    const killed = [...this.#killed].sort(rising)
    const common = { round: this.round, killed, durationMs, outcomes: this.#outcomes }
    if (this.#noQuorum) {
      const none = { views: 0, attempts: 0, included: [], dropped: [], missing: [], holders: [], phaseMs: {} }
      return { ...common, ...none, status: 'no quorum', reason: 'no quorum', aggregator: this.#leader }
    }
    const witnesses = this.#witnesses
    this.#checkAgreement(witnesses)
    const reports = witnesses.map((number) => this.#outcomes.get(number)!)
    const aggregator = this.#numbers[commonest(reports.map((report) => report.aggregator))]
    const numbered = (members: number[]): number[] => members.map((index) => this.#numbers[index]).sort(rising)
    const told = this.#fullest(reports, witnesses.includes(aggregator) ? this.#outcomes.get(aggregator) : undefined)
    return {
      ...common,
      status: told.status,
      reason: this.#inNumbers(told.reason),
      aggregator,
      views: Math.max(...reports.map(({ views }) => views)),
      attempts: Math.max(...reports.map(({ attempts }) => attempts)),
      included: numbered(told.included),
      dropped: numbered(told.dropped),
      missing: numbered(told.missing),
      phaseMs: told.phaseMs,
      holders: witnesses.filter((number) => this.#outcomes.get(number)!.hasSum)
    }
  }

  /** Reasons name members by roster index, and people here know them by number. */
  #inNumbers(reason: string | undefined): string | undefined {
    return reason?.replaceAll(/\bmember (\d+)/g, (_, index: string) => `peer-${this.#numbers[Number(index)]}`)
  }

  /** The aggregator's report if it has seen the whole round, else that of a member that has. */
  #fullest(reports: ReportedOutcome[], aggregators: ReportedOutcome | undefined): ReportedOutcome {
    const ordered = aggregators === undefined ? reports : [aggregators, ...reports]
    const saw = ({ phaseMs }: ReportedOutcome): boolean => Object.keys(phaseMs).length > 0
    const holding = ordered.filter(({ hasSum }) => hasSum)
    return holding.find(saw) ?? holding[0] ?? ordered.find(saw) ?? ordered[0]
  }

  /** All honest members agree on what became of a round (§1): anything else is a defect, and said loudly. */
  #checkAgreement(witnesses: number[]): void {
    const [first, ...others] = witnesses
    const word = (number: number): string => {
      const { decided, status } = this.#outcomes.get(number)!
      return `${status} ${decided}`
    }
    const other = others.find((number) => word(number) !== word(first))
    if (other === undefined) return
    const sentence = `peer-${first} and peer-${other} disagree on round ${this.round}: ${word(first)} against ${word(other)}`
    throw new SecureAggregationError('DISAGREEMENT', `${sentence}; this must never happen, please report it`)
  }
}
