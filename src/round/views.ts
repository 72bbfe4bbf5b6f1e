import { pipe } from 'it-pipe'
import { MessageError, SecureAggregationError } from '../errors.ts'
import { decodeSet } from '../membership/member-set.ts'
import { dataDeadlineMs } from '../task/task.ts'
import { lead } from './aggregator.ts'
import { checkLock } from './certificates.ts'
import { channelPair } from './channel.ts'
import { contributor } from './contributor.ts'
import { LeaderGaveUp, named } from './faults.ts'
import type { AgreementName, Body, Lock, Message } from './messages.ts'
import type { Channel, Frame } from './ports.ts'
import type { Round } from './round.ts'
import { Table } from './table.ts'

/** From this view on deadlines grow no more (§6). */
const LONGEST_STRETCH = 4
const REDIAL_MS = 200
const evidenceAgainstLeader = 'there is evidence against its leader'

/** Leader after leader, until the closing is decided: a view ends on one's own deadline or when enough others left it (§6). */
export class Views {
  readonly #round: Round
  readonly #why: Uint8Array
  /** The highest ViewChange of each member. */
  readonly #changes = new Map<number, Message<'ViewChange'>>()
  readonly #tables = new Map<number, Table>()
  /** Conversations that came before this member entered the view they are for. */
  readonly #early = new Map<number, { view: number; seat: (table: Table) => void; refuse: (reason: Error) => void }>()
  /** The lock of the highest view that this member was shown, by agreement. */
  readonly #locks = new Map<string, Lock>()
  /** What the members that came to this leader's view have to offer, by view and member. */
  readonly #joins = new Map<number, Map<number, Body<'Join'>>>()
  #turn = new AbortController()
  #due = 0
  /** What the leader of this view has shown so far. */
  readonly #steps = new Set<string>()
  /** When the deadline is looked at next; moved only where it comes earlier. */
  #wakes = 0
  #rescheduled = (): void => {}
  #over = (_why: string): void => {}
  #shownRoot?: Uint8Array
  current: number

  constructor(round: Round, why: Uint8Array) {
    this.#round = round
    this.#why = why
    this.current = round.ballot.changedTo
  }

  /** Ends with the view. */
  get signal(): AbortSignal {
    return this.#turn.signal
  }

  /** What a leader may wait in this view, in milliseconds: half of what the members do, so that they hear of it in time. */
  get patience(): { limit: number; grace: number; data: number } {
    const { control, data } = this.#deadlines()
    return { limit: control / 2, grace: control / 10, data: data / 2 }
  }

  /**
   * The leader has shown the next phase's message: the deadline runs anew. Once for each step of an attempt: whoever
   * repeats itself is left like one that is silent.
   */
  shown(step: string, what: 'control' | 'data'): void {
    const ofAttempt = `${this.#round.attemptNumber}/${step}`
    if (this.#steps.has(ofAttempt)) return
    this.#steps.add(ofAttempt)
    this.goesOn(what)
  }

  /** This member's own work goes on, which takes as long as it takes: the deadline runs anew. */
  goesOn(what: 'control' | 'data'): void {
    this.#due = this.#round.ports.clock.now() + this.#deadlines()[what]
    if (this.#due < this.#wakes) this.#rescheduled()
  }

  /** Takes part in view after view; resolves when the round is closed here. */
  async run(signal: AbortSignal): Promise<void> {
    const { ballot, closed, ports, rules } = this.#round
    // After a restart: whoever crashed between its change of view and the word of it would be missed by the next leader.
    if (this.current > 0) this.#tell(await ballot.changeView(this.current))
    let isClosed = false
    const done = closed.then(() => (isClosed = true))
    while (!isClosed && !signal.aborted) {
      const turn = new AbortController()
      this.#turn = turn
      const why = await this.#takeTurn(AbortSignal.any([signal, turn.signal]), done)
      // Whoever still listens to this leader hears the decision; the others are gone.
      const table = this.#tables.get(this.current)
      if (isClosed) table?.close()
      else table?.abort(new Error(why))
      turn.abort(new Error(why))
      if (isClosed || signal.aborted) return
      this.#round.reason = `the leader of view ${this.current}, member ${this.#round.leader(this.current)}, was left: ${why}`
      const next = this.#unbarred(Math.max(this.current + 1, this.#followed()))
      const change = await ballot.changeView(next)
      this.current = next
      this.#tell(change)
      ports.observer.view?.(rules.context.round, next, why)
    }
  }

  /** There is evidence that was not there before: a view of whom it convicts is left at once, whatever its deadline (§6). */
  leaveBarred(): void {
    if (this.#round.isBarred(this.current)) this.#over(evidenceAgainstLeader)
  }

  /** The sum of this view is refuted: its leader has said its one sum, and the next publishes the right one. */
  leaveRefuted(): void {
    if (this.#shownRoot !== undefined && this.#round.isRefuted(this.#shownRoot)) this.#over('its sum is refuted')
  }

  /** The root that the leader of this view has published. */
  shownRoot(root: Uint8Array): void {
    this.#shownRoot = root
  }

  /** The first view from this one on that this member would not leave at once. */
  #unbarred(view: number): number {
    return this.#round.isBarred(view) ? this.#unbarred(view + 1) : view
  }

  #tell(change: Message<'ViewChange'>): void {
    this.takeChange(change)
    this.#round.ports.links.announce(change.encoded)
  }

  /** Another member has changed its view; f+D+1 of them take this one along. */
  takeChange(message: Message<'ViewChange'>): void {
    const before = this.#changes.get(message.from)
    if (before === undefined || before.body.view < message.body.view) this.#changes.set(message.from, message)
    this.#tables.get(this.current)?.touch()
    const followed = this.#followed()
    if (followed > this.current) this.#over(`f + D + 1 members have gone on to view ${followed}`)
    else if (message.body.view > this.current && message.from === this.#round.leader(this.current))
      this.#over('its leader gave up')
  }

  /** All changes of view so far, for a member that missed them. */
  get changes(): Uint8Array[] {
    return [...this.#changes.values()].map(({ encoded }) => encoded)
  }

  /** Who has signed a change to this view or a later one. */
  changedTo(view: number): number[] {
    return [...this.#changes.values()].filter(({ body }) => body.view >= view).map(({ from }) => from)
  }

  /** The lock of the highest view for an agreement that this member holds or was shown. */
  highestLock(name: AgreementName): Lock | undefined {
    const own = this.#round.ballot.lock(name)
    const shown = this.#locks.get(name)
    if (own === undefined || shown === undefined) return own ?? shown
    return own.certificate.view >= shown.certificate.view ? own : shown
  }

  /** What this member says first to the leader of a view: why it comes, its locks, and what the round can be carried on from. */
  join(view: number): Message<'Join'> | Promise<Message<'Join'>> {
    const { ballot, running } = this.#round
    const own = this.#changes.get(this.#round.me)
    const later = view > 0
    return this.#round.state('Join', {
      view,
      why: later && own !== undefined ? own.encoded : this.#why,
      locks: ballot.locks(),
      decisions: later ? this.#round.decisions : [],
      shown: later ? (running?.shown ?? []) : [],
      sitsOut: ballot.sitsOut(this.#round.attemptNumber),
      masked: later ? (running?.header?.encoded ?? null) : null,
      custody: later ? [...(running?.custody.values() ?? [])].map(({ encoded }) => encoded) : [],
      uploads: this.#round.setOf(later ? [...(running?.uploads.keys() ?? [])] : [])
    })
  }

  /** What the members offer that came to this view, this leader among them. */
  joins(): ReadonlyMap<number, Body<'Join'>> {
    return this.#joins.get(this.current) ?? new Map<number, Body<'Join'>>()
  }

  async takeJoin(member: number, join: Body<'Join'>): Promise<void> {
    decodeSet(join.uploads, this.#round.rules.roster.members.length)
    for (const lock of join.locks) this.#takeLock(lock)
    for (const decision of join.decisions) await this.#round.learnEmbedded(decision)
    // A member is in one view at a time: were all that it speaks of kept, it could fill the memory with them.
    for (const ofView of this.#joins.values()) ofView.delete(member)
    for (const [view, { size }] of this.#joins) if (size === 0 && view !== this.current) this.#joins.delete(view)
    const ofView = this.#joins.get(join.view) ?? new Map<number, Body<'Join'>>()
    this.#joins.set(join.view, ofView.set(member, join))
    this.#tables.get(join.view)?.touch()
  }

  /** A member opens a conversation with this one as the leader of a view; `channel.source` is past its Join. */
  async seat(member: number, join: Body<'Join'>, channel: Channel): Promise<void> {
    const { view } = join
    if (this.#round.leader(view) !== this.#round.me || view < this.current) {
      return channel.abort(new MessageError('WRONG_VIEW', `member ${this.#round.me} leads no view ${view} now`))
    }
    await this.takeJoin(member, join)
    const table = this.#tables.get(view)
    if (table !== undefined) return void table.join(member, channel)
    this.#early.get(member)?.refuse(new Error('the member opened another conversation'))
    this.#early.set(member, {
      view,
      seat: (table) => void table.join(member, channel),
      refuse: (reason) => channel.abort(reason)
    })
  }

  /** The round is closed and told: nothing of it stays open. */
  end(reason: Error): void {
    for (const table of this.#tables.values()) table.abort(reason)
    for (const { refuse } of this.#early.values()) refuse(reason)
    this.#early.clear()
    this.#round.sharding?.end()
  }

  /** Members that have no conversation with this leader yet are told directly that the round is wanted. */
  remind(members: number[]): void {
    const { links } = this.#round.ports
    for (const member of members)
      if (member !== this.#round.me) void links.deliver(member, this.#why, this.signal).catch(() => {})
  }

  #deadlines(): { control: number; data: number } {
    const stretch = Math.min(1 + this.current, LONGEST_STRETCH)
    const { task } = this.#round
    return { control: task.deadlineMs * stretch, data: dataDeadlineMs(task) * stretch }
  }

  /** The highest view that f+D+1 members have gone to: at least one of them is honest and was there. */
  #followed(): number {
    const { f, D } = this.#round.rules.thresholds
    const views = [...this.#changes.values()].map(({ body }) => body.view).sort((a, b) => b - a)
    return views[f + D] ?? 0
  }

  #takeLock(lock: Lock): void {
    const { rules, ports } = this.#round
    const { agreement, view } = lock.certificate
    const known = this.#locks.get(agreement)
    if (known !== undefined && known.certificate.view >= view) return
    try {
      checkLock(lock, rules.context, { roster: rules.roster, quorum: rules.thresholds.quorum })
      this.#locks.set(agreement, lock)
    } catch (error) {
      ports.observer.refused?.(error as Error)
    }
  }

  /** One view, from its first word to its end; resolves with why it is over. */
  async #takeTurn(signal: AbortSignal, closed: Promise<unknown>): Promise<string> {
    const view = this.current
    if (this.#round.isBarred(view)) return evidenceAgainstLeader
    const over = Promise.withResolvers<string>()
    this.#over = over.resolve
    this.#shownRoot = undefined
    this.#steps.clear()
    this.goesOn('control')
    const leading = this.#round.leader(view) === this.#round.me
    const ended = this.#turn
    if (leading && this.#round.ballot.mayLead(view)) this.#lead(view, signal, over.resolve)
    else if (!leading) void this.#follow(view, signal)
    const late = this.#deadline(AbortSignal.any([signal, ended.signal]))
    return Promise.race([over.promise, late, closed.then(() => 'the round is closed'), aborted(signal)])
  }

  #lead(view: number, signal: AbortSignal, giveUp: (why: string) => void): void {
    const table = new Table(this.#round)
    this.#tables.set(view, table)
    this.#joins.set(view, this.#joins.get(view) ?? new Map<number, Body<'Join'>>())
    const [leaderEnd, memberEnd] = channelPair()
    void table.join(this.#round.me, leaderEnd)
    void this.#converse(view, memberEnd)
    for (const [member, { view: wanted, seat, refuse }] of this.#early) {
      if (wanted > view) continue
      if (wanted === view) seat(table)
      else refuse(new Error('that view is over'))
      this.#early.delete(member)
    }
    lead(this.#round, table, signal).catch((error: Error) => {
      if (signal.aborted) return
      if (!(error instanceof LeaderGaveUp)) this.#round.ports.observer.refused?.(error)
      giveUp(error.message)
    })
  }

  /** Speaks with the leader of the view, again and again while the stream breaks, until the view is over. */
  async #follow(view: number, signal: AbortSignal): Promise<void> {
    const { links, clock } = this.#round.ports
    const leader = this.#round.leader(view)
    while (!signal.aborted) {
      try {
        const channel = await links.converse(leader, signal)
        if (!(await this.#converse(view, channel))) return
      } catch {
        // Not reachable now: again, until the deadline ends the view.
      }
      await clock.sleep(REDIAL_MS, signal).catch(() => {})
    }
  }

  /** One conversation, to its end. False where the leader is at fault: there is no use in speaking to it again. */
  async #converse(view: number, channel: Channel): Promise<boolean> {
    const stop = () => channel.abort(new Error('the view is over'))
    const turn = this.#turn.signal
    turn.addEventListener('abort', stop, { once: true })
    try {
      await pipe(contributor(channel.source, this.#round, view), (source: AsyncIterable<Frame>) => channel.sink(source))
      return true
    } catch (error) {
      channel.abort(error as Error)
      if (turn.aborted) return false
      if (!(error instanceof MessageError)) {
        // This member's own: a thread that died, a full disk. The next conversation tries again.
        if (error instanceof SecureAggregationError) this.#round.ports.observer.refused?.(error)
        return true
      }
      const leader = { from: this.#round.leader(view) }
      this.#round.ports.observer.refused?.(error.culprit === undefined ? named(this.#round, leader, error) : error)
      return false
    } finally {
      turn.removeEventListener('abort', stop)
    }
  }

  async #deadline(signal: AbortSignal): Promise<string> {
    const { clock } = this.#round.ports
    for (;;) {
      const left = this.#due - clock.now()
      if (left <= 0) return 'its deadline ran out'
      const earlier = new AbortController()
      this.#wakes = this.#due
      this.#rescheduled = () => earlier.abort()
      const slept = await clock.sleep(left, AbortSignal.any([signal, earlier.signal])).then(
        () => true,
        () => false
      )
      if (!slept && signal.aborted) return new Promise(() => {})
    }
  }
}

function aborted(signal: AbortSignal): Promise<string> {
  if (signal.aborted) return Promise.resolve('stopped')
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve('stopped'), { once: true }))
}
