import { safeAmong } from '../membership/graphs.ts'
import { MessageError } from '../errors.ts'
import { decodeSet } from '../membership/member-set.ts'
import { sameBytes } from './dealing.ts'
import { fault, LeaderGaveUp } from './faults.ts'
import { cutHash } from './messages.ts'
import type { Message } from './messages.ts'
import type { Round } from './round.ts'
import { assign, replace } from './slice-plan.ts'
import type { Assignment } from './slice-plan.ts'
import type { Shown, Table } from './table.ts'
import { fetchSlice } from './sum-fetch.ts'
import { checkHeader, tooFew } from './transcript.ts'
import type { CheckedCut, KeyBook, MaskingSet } from './transcript.ts'
import type { Opened } from './unmasking.ts'
import { cutOf } from './uploads.ts'
import type { Uploads } from './uploads.ts'

/** The leader's side of a round that is summed in slices (§13): it says who sums what, and sees nothing but reports. */
export class SliceLead {
  readonly #round: Round
  readonly #table: Table
  readonly #book: KeyBook
  readonly #set: Shown<MaskingSet, 'MaskingSet'>
  readonly #headers = new Map<number, Message<'MaskedHeader'>>()
  /** By slice and member, which masked vectors' slices it says are there: their roots. */
  readonly #reports = new Map<string, ReadonlyMap<number, Uint8Array>>()
  /** By slice, who has signed a sum of it in this view. */
  readonly #sums = new Map<number, Message<'SliceHeader'>>()
  readonly #fetched = new Set<number>()
  readonly #lost = new Set<number>()
  #assignment!: Assignment
  #number = 0
  /** Once it is decided. */
  #cut?: CheckedCut

  constructor(round: Round, table: Table, book: KeyBook, set: Shown<MaskingSet, 'MaskingSet'>) {
    this.#round = round
    this.#table = table
    this.#book = book
    this.#set = set
  }

  /**
   * Phase 3: headers come here, slices go to their owners. The cut is of those whose slices are complete everywhere; one
   * that is locked or decided already stays what it is.
   *
   * @throws LeaderGaveUp where too few are
   */
  async gather(fixed: CheckedCut | undefined, signal: AbortSignal): Promise<Omit<Uploads, 'accumulator'>> {
    const { rules, order, sharding, task } = this.#round
    this.#table.listen({
      SliceReport: (report) => this.#takeReport(report),
      SliceHeader: (header) => this.#takeSum(header, signal)
    })
    this.#table.ask(this.#set.message, {
      MaskedHeader: (header) => {
        checkHeader(header, this.#book, this.#set, rules.roster)
        if (!this.#set.members.includes(header.from))
          throw fault(this.#round, header, 'INVALID', 'comes from outside the masking set')
        this.#headers.set(header.from, header)
      }
    })
    const assignment = assign(order, sharding!.slices.length, task.shards, this.#isAble)
    if (assignment === undefined) throw new LeaderGaveUp('fewer than two of the members that came can add slices up')
    this.#assignment = assignment
    await this.#say()
    if (fixed !== undefined) return { headers: new Map(fixed.headers), cut: fixed.cut }
    const { data: limit, grace } = this.#round.views.patience
    for (;;) {
      await this.#table.gather(() => this.#missing(), { limit, grace, signal })
      if (!(await this.#replace(this.#useless()))) break
    }
    const complete = this.#set.members.filter((member) => this.#headers.has(member) && this.#isEverywhere(member))
    const safe = safeAmong(this.#book.graph, complete)
    const headers = new Map(
      complete.filter((member) => safe.has(member)).map((member) => [member, this.#headers.get(member)!])
    )
    return { headers, cut: cutOf(this.#round, this.#book, this.#set, headers) }
  }

  /**
   * Phase 6: every owner has signed the sum of its slice, and this leader has it, so that members can have it from here
   * if its owner dies. Who stays away is replaced, and summed again from the same bytes.
   *
   * @throws LeaderGaveUp where a slice cannot be summed any more
   */
  async sums(
    decided: CheckedCut,
    opened: Opened,
    signal: AbortSignal
  ): Promise<Array<{ owner: number; root: Uint8Array }>> {
    const { data: limit, grace } = this.#round.views.patience
    this.#cut = decided
    for (const header of this.#sums.values()) this.#fetch(header, signal)
    const { attemptId } = decided.cut
    const message = await this.#round.state('Opened', { attemptId, cutHash: cutHash(decided.cut), ...opened })
    const told = new Set<number>()
    const slices = this.#round.sharding!.slices.map(({ number }) => number)
    const awaited = () => slices.filter((slice) => !this.#fetched.has(slice))
    const owners = () => [...new Set(awaited().map((slice) => this.#assignment.owners[slice]))]
    await this.#table.gather(owners, { limit: grace / 2, grace: grace / 2, signal })
    for (;;) {
      // What members reveal they send to owners directly; it may not have come, and a new owner was not there.
      for (const owner of owners()) if (!told.has(owner)) this.#table.say(owner, message)
      for (const owner of owners()) told.add(owner)
      await this.#table.gather(owners, { limit, grace, signal })
      if (awaited().length === 0) break
      if (!(await this.#replace(new Set(owners()))))
        throw new LeaderGaveUp(
          `the slices of members ${this.#unheld(awaited()).join(', ')} are lost, and they are in the cut`
        )
    }
    return slices.map((slice) => ({ owner: this.#sums.get(slice)!.from, root: this.#sums.get(slice)!.body.root }))
  }

  readonly #isAble = (member: number): boolean =>
    this.#table.isWelcome(member) &&
    this.#table.isConnected(member) &&
    this.#book.adverts.has(member) &&
    this.#round.views.joins().get(member)?.sitsOut !== true &&
    !this.#lost.has(member) &&
    !this.#round.isConvicted(member)

  #takeReport(report: Message<'SliceReport'>): void {
    const { body, from } = report
    const n = this.#round.rules.roster.members.length
    if (!sameBytes(body.maskingSetHash, this.#set.hash)) return
    if (body.slice >= this.#round.sharding!.slices.length)
      throw fault(this.#round, report, 'INVALID', 'is of a slice that there is not')
    const members = decodeSet(body.members, n)
    if (body.roots.length !== members.length)
      throw fault(this.#round, report, 'INVALID', 'does not name the root of each vector that it has a slice of')
    this.#reports.set(`${body.slice}/${from}`, new Map(members.map((member, place) => [member, body.roots[place]])))
  }

  #takeSum(header: Message<'SliceHeader'>, signal: AbortSignal): void {
    const { slice } = header.body
    // One that was replaced, or of another attempt.
    if (this.#assignment.owners[slice] !== header.from || this.#sums.has(slice)) return
    if (!sameBytes(header.body.attemptId, this.#book.attemptId)) return
    this.#sums.set(slice, header)
    if (this.#cut !== undefined) this.#fetch(header, signal)
  }

  /** From its owner, under the root that it has signed; who gives something else is replaced at once. */
  #fetch(header: Message<'SliceHeader'>, signal: AbortSignal): void {
    const { body, from } = header
    const { sums, sharding } = this.#round
    const over = AbortSignal.any([signal, this.#assignment.ends[body.slice].signal])
    const slice = sums.slice(sharding!.slices[body.slice], { owner: from, root: body.root })
    fetchSlice(this.#round, slice, header, this.#cut!.cut, over).then(
      () => {
        this.#fetched.add(body.slice)
        this.#table.touch()
      },
      (error: Error) => {
        if (!over.aborted && error instanceof MessageError) this.#table.exclude(from, error)
      }
    )
  }

  /** Of the vector whose header is here, or in the cut. */
  #says(slice: number, member: number, of: number): boolean {
    const header = (this.#cut?.headers ?? this.#headers).get(of)
    const root = this.#reports.get(`${slice}/${member}`)?.get(of)
    return header !== undefined && root !== undefined && sameBytes(root, header.body.root)
  }

  /** What an owner has of itself counts only when another member has it, too: it may die next. */
  #isComplete(slice: number, member: number): boolean {
    const { owners, keepers } = this.#assignment
    return this.#says(slice, member === owners[slice] ? keepers[slice] : owners[slice], member)
  }

  #isEverywhere(member: number): boolean {
    return this.#assignment.owners.every((_, slice) => this.#isComplete(slice, member))
  }

  /** Who is waited for: members for their headers and slices, owners and keepers for their reports. */
  #missing(): number[] {
    const missing = new Set<number>()
    const { owners, keepers } = this.#assignment
    for (const member of this.#set.members) {
      if (!this.#headers.has(member)) missing.add(member)
      for (const [slice, owner] of owners.entries()) {
        if (this.#isComplete(slice, member)) continue
        const holder = member === owner ? keepers[slice] : owner
        missing.add(this.#table.isConnected(member) ? holder : member)
      }
    }
    return [...missing]
  }

  /** Owners and keepers that are gone, and owners whose reports leave fewer than `nMin`, the shortest first. */
  #useless(): Set<number> {
    const { owners, keepers } = this.#assignment
    const useless = new Set([...owners, ...keepers].filter((member) => !this.#isAble(member)))
    const offered = [...this.#headers.keys()]
    const complete = owners.map((owner, slice) => ({
      owner,
      members: offered.filter((member) => member === owner || this.#isComplete(slice, member))
    }))
    complete.sort((a, b) => b.members.length - a.members.length)
    let left = offered
    for (const { owner, members } of complete) {
      const both = left.filter((member) => members.includes(member))
      if (tooFew(this.#round.rules, both) === undefined) left = both
      else useless.add(owner)
    }
    for (const [slice, owner] of owners.entries())
      if (left.includes(owner) && !this.#isComplete(slice, owner)) useless.add(keepers[slice])
    // Too few have masked: that is no owner's fault.
    return tooFew(this.#round.rules, offered) === undefined ? useless : new Set()
  }

  /** Others take the places of those that are lost; false where nobody is lost, or nobody is left. */
  async #replace(lost: ReadonlySet<number>): Promise<boolean> {
    const { f, D } = this.#round.rules.thresholds
    if (lost.size === 0 || this.#number > f + D) return false
    for (const member of lost) this.#lost.add(member)
    const next = replace(this.#assignment, lost, this.#isAble)
    if (next === undefined) return false
    for (const [slice, owner] of next.owners.entries()) {
      if (owner === this.#assignment.owners[slice]) continue
      this.#assignment.ends[slice].abort()
      this.#sums.delete(slice)
      this.#fetched.delete(slice)
    }
    this.#assignment = next
    this.#number++
    await this.#say()
    return true
  }

  async #say(): Promise<void> {
    const { owners, keepers } = this.#assignment
    const { attemptId } = this.#book
    this.#table.broadcast(
      await this.#round.state('SlicePlan', {
        view: this.#round.views.current,
        attemptId,
        maskingSetHash: this.#set.hash,
        number: this.#number,
        owners,
        keepers
      })
    )
  }

  #unheld(slices: number[]): number[] {
    const { owners } = this.#assignment
    return [...this.#cut!.included].filter((member) =>
      slices.some((slice) => !this.#says(slice, owners[slice], member))
    )
  }
}
