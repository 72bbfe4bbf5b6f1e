import * as dagCbor from '@ipld/dag-cbor'
import { z } from 'zod'
import { epsilonOf, releaseCost, renyiOrders, sensitivity } from '../encoding/noise/accounting.ts'
import { leastContributors, noiseDeviation, taskSensitivity } from '../encoding/noise/private-encoding.ts'
import type { PrivateTask } from '../encoding/noise/private-encoding.ts'
import { RoundError } from '../errors.ts'
import type { Journal } from '../journal/journal.ts'
import type { Task } from '../task/task.ts'
import type { RoundOutcome } from './outcome.ts'

/** What a member's vectors in all rounds so far may have given away (§12). */
export interface PrivacySpent {
  epsilon: number
  delta: number
  /** Rounds that count. */
  releases: number
}

/** One release, with what its cost follows from beside the task. */
const releaseSchema = z.strictObject({
  members: z.int().positive(),
  /** For how many contributors the noise was calibrated. */
  calibrated: z.int().positive(),
  /** How many honest contributors' noise was in the sum at least. */
  contributors: z.int().positive()
})
type Release = z.output<typeof releaseSchema>

type Settled = Pick<RoundOutcome, 'round' | 'input' | 'included' | 'groups'>

/** The task as the members of one roster run it, where it has privacy. */
export function privateTerms(task: Task): PrivateTask | undefined {
  const { encoding } = task
  return encoding.type === 'skellam' ? { ...task, encoding } : undefined
}

/**
 * A member's account of its own releases, on disk before the masked vector of a round leaves: as if the round burned, so
 * that a crash never makes it cheaper than it was.
 */
export class PrivacyLedger {
  readonly #task: PrivateTask
  readonly #journal: Journal
  #releases?: Map<number, Release>

  /** `task` as it began: clip, bits and padding are the same in every epoch. */
  constructor(task: PrivateTask, journal: Journal) {
    this.#task = task
    this.#journal = journal
  }

  /**
   * Enters a round before this member masks in it. `terms` are those of the epoch.
   *
   * @throws RoundError PRIVACY_BUDGET where the task has a budget and this round may go beyond it
   */
  async enter(round: number, terms: PrivateTask): Promise<void> {
    const releases = await this.#load()
    const contributors = leastContributors(terms)
    const release = { members: terms.members.length, calibrated: contributors, contributors }
    const { budget, delta } = this.#task.encoding
    if (budget !== undefined) {
      const epsilon = this.#epsilon([...[...releases].filter(([at]) => at !== round).map(([, one]) => one), release])
      if (epsilon > budget) {
        const sentence = `round ${round} would bring this member to ε = ${epsilon.toFixed(3)} at δ = ${delta}, beyond the budget of ${budget}; it contributes no more to this task`
        throw new RoundError('PRIVACY_BUDGET', sentence, round)
      }
    }
    await this.#write(round, release)
  }

  /** What the round has cost, now that it is closed: less than feared where it was summed, nothing where it was not opened. */
  async settle({ round, input, included, groups }: Settled, terms: PrivateTask, me: number): Promise<void> {
    const releases = await this.#load()
    const release = releases.get(round)
    if (release === undefined) return
    if (input === 'summed') {
      const together = groups === undefined ? included : included.filter((member) => groups[member] === groups[me])
      await this.#write(round, { ...release, contributors: together.length - terms.thresholds.f })
    }
    if (input !== 'not included') return
    releases.delete(round)
    await this.#journal.delete(this.#key(round))
  }

  async spent(): Promise<PrivacySpent> {
    const releases = [...(await this.#load()).values()]
    return { epsilon: this.#epsilon(releases), delta: this.#task.encoding.delta, releases: releases.length }
  }

  /** Of one round alone, with so many included, at the task's δ. */
  static epsilonOfRound(terms: PrivateTask, included: number): number {
    return PrivacyLedger.epsilonOfRounds(terms, [included])
  }

  /** The same of several rounds of one roster, with so many included in each. */
  static epsilonOfRounds(terms: PrivateTask, included: number[]): number {
    const costs = included.map((count) =>
      releaseCost(taskSensitivity(terms), noiseDeviation(terms), count - terms.thresholds.f)
    )
    return epsilonOf(together(costs), terms.encoding.delta)
  }

  #epsilon(releases: Release[]): number {
    if (releases.length === 0) return 0
    const costs = releases.map((release) => this.#cost(release))
    return epsilonOf(together(costs), this.#task.encoding.delta)
  }

  #cost({ members, calibrated, contributors }: Release): Float64Array {
    const { encoding, bits, laneCount } = this.#task
    const deviation = (encoding.noiseMultiplier * encoding.clip) / Math.sqrt(calibrated)
    const shape = { members, bits, dimension: laneCount, clip: encoding.clip, deviation }
    return releaseCost(sensitivity(shape), deviation, contributors)
  }

  async #load(): Promise<Map<number, Release>> {
    if (this.#releases !== undefined) return this.#releases
    const releases = new Map<number, Release>()
    const prefix = this.#key()
    for await (const [key, value] of this.#journal.entries(prefix))
      releases.set(Number(key.slice(prefix.length)), releaseSchema.parse(dagCbor.decode(value)))
    return (this.#releases ??= releases)
  }

  async #write(round: number, release: Release): Promise<void> {
    await this.#journal.put(this.#key(round), dagCbor.encode(release))
    this.#releases!.set(round, release)
  }

  #key(round?: number): string {
    return `privacy/${this.#task.id}/${round ?? ''}`
  }
}

/** Costs add up, at each order. */
function together(costs: Float64Array[]): Float64Array {
  return Float64Array.from(renyiOrders, (_, at) => costs.reduce((sum, cost) => sum + cost[at], 0))
}
