import { MessageError } from '../errors.ts'
import { checkOpened } from './attempt.ts'
import { chunkCount } from './chunks.ts'
import { sameBytes } from './dealing.ts'
import { cutHash } from './messages.ts'
import type { Body, Message } from './messages.ts'
import type { Frame } from './ports.ts'
import type { SliceProofs } from './record.ts'
import type { Round } from './round.ts'
import { ownSlice, keepSlice } from './slice-owner.ts'
import { SliceRefused, SliceStore } from './slice-store.ts'
import { sliceOf, slicesOf } from './slices.ts'
import type { Slice } from './slices.ts'
import { readEmbedded } from './transcript.ts'
import type { CheckedCut, KeyBook, MaskingSet } from './transcript.ts'
import { Revealed } from './unmasking.ts'
import type { Opened } from './unmasking.ts'

/** Who sums which slice and who keeps what its owner has of itself, as the leader of a view says. */
export interface Plan extends Pick<Body<'SlicePlan'>, 'view' | 'number' | 'owners' | 'keepers'> {
  book: KeyBook
  set: MaskingSet
}

/** What a member has and says of one attempt's slices. */
interface OfAttempt {
  id: Uint8Array
  store: SliceStore
  plan?: Plan
  /** What it tells whoever leads: reports by slice, and headers of the slices it has summed. */
  words: Map<string, Message>
  /** By slice: everybody that was ever named to sum or keep it, and so may ask for it. */
  helpers: Array<Set<number>>
  /** By member, the first Reveal and the last, until they are read. */
  reveals: Map<number, Message<'Reveal'>[]>
  revealed?: Revealed
  opened?: Opened
}

const RETRY_MS = 100

/**
 * A member's side of a round that is summed in slices (§13): what it holds of them, what it answers others, and, for those
 * that it owns, the work of `slice-owner.ts`. It outlives conversations and views, as the round does.
 */
export class Sharding {
  readonly slices: Slice[]
  readonly round: Round
  #attempt?: OfAttempt
  #work = new AbortController()
  #over = false
  #wake: Array<() => void> = []

  constructor(round: Round) {
    this.round = round
    this.slices = slicesOf(round.sumShape)
  }

  /** Of the attempt that runs; what belongs to an earlier one is forgotten. */
  get #now(): OfAttempt | undefined {
    const { running } = this.round
    if (running === undefined) return undefined
    if (this.#attempt === undefined || !sameBytes(this.#attempt.id, running.id)) {
      this.#stopWork()
      this.#attempt = {
        id: running.id,
        store: new SliceStore(this.round, running.id, this.slices),
        words: new Map(),
        helpers: this.slices.map(() => new Set()),
        reveals: new Map()
      }
    }
    return this.#attempt
  }

  get store(): SliceStore {
    return this.#now!.store
  }

  /** The decided cut of the attempt, once this member knows it. */
  get decided(): { cut: CheckedCut; book: KeyBook; set: MaskingSet } | undefined {
    const { decided } = this.round
    return decided !== undefined && !this.round.ballot.sitsOut(decided.attempt.number) ? decided : undefined
  }

  /** Something changed that somebody may wait for. */
  touch(): void {
    for (const wake of this.#wake.splice(0)) wake()
  }

  changed(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve))
  }

  /** Resolves when it holds, or after so many milliseconds. @throws the signal's reason */
  async until(holds: () => boolean, ms: number, signal?: AbortSignal): Promise<void> {
    const { clock } = this.round.ports
    const enough = new AbortController()
    let isLate = false
    const late =
      ms === Infinity
        ? undefined
        : clock.sleep(ms, enough.signal).then(
            () => void (isLate = true),
            () => {}
          )
    const stop = (): void => this.touch()
    signal?.addEventListener('abort', stop, { once: true })
    try {
      while (!holds() && !isLate && !this.#over) {
        signal?.throwIfAborted()
        await (late === undefined ? this.changed() : Promise.race([this.changed(), late]))
      }
      signal?.throwIfAborted()
    } finally {
      enough.abort()
      signal?.removeEventListener('abort', stop)
    }
  }

  /** This member's own vector is masked, and its slices can be asked for. */
  masked(header: Message<'MaskedHeader'>, leaves: Uint8Array[]): void {
    this.#now?.store.keepMasked(header, leaves)
    this.touch()
  }

  /** The leader says who sums what; a later word replaces an earlier one. @throws MessageError, the leader being the culprit */
  planned({ body, from }: Message<'SlicePlan'>, view: number): void {
    const now = this.#now
    const fault = (sentence: string) =>
      new MessageError('INVALID', `a SlicePlan ${sentence}`, { culprit: this.round.culprit({ from }) })
    const { f, D, members } = this.round.rules.thresholds
    if (body.view !== view) throw fault(`is for view ${body.view}, not ${view}`)
    if (body.number > f + D + 1) throw fault('comes more often than members may go missing')
    for (const named of [body.owners, body.keepers]) {
      if (named.length !== this.slices.length) throw fault(`is for ${named.length} slices, not ${this.slices.length}`)
      if (named.some((member) => member >= members)) throw fault('names somebody who is no member')
    }
    const under = this.round.running?.sets.get(this.round.hex(body.maskingSetHash))
    const { plan } = now ?? {}
    // Of an attempt or set that this member was not shown, or said again after a broken conversation.
    if (now === undefined || under === undefined || !sameBytes(body.attemptId, now.id)) return
    if (plan !== undefined && plan.view === view && body.number <= plan.number) return
    this.round.views.shown(`SlicePlan ${body.number}`, 'data')
    const { owners, keepers, number } = body
    now.plan = { view, number, owners, keepers, ...under }
    for (const slice of this.slices.keys()) for (const who of [owners, keepers]) now.helpers[slice].add(who[slice])
    this.#begin(now.plan)
    this.touch()
  }

  /** What this member has to tell the leader of a view, once that has said who sums what. */
  words(view: number): Message[] {
    const { plan, words } = this.#attempt ?? {}
    return plan?.view === view ? [...words!.values()] : []
  }

  /** Resolves when there is something to tell the leader of a view that it was not told. */
  async news(told: ReadonlySet<Message>, view: number): Promise<'news'> {
    while (this.words(view).every((word) => told.has(word)) && !this.#over) await this.changed()
    return this.#over ? new Promise(() => {}) : 'news'
  }

  hasSaid(about: string): boolean {
    return this.#now?.words.has(about) === true
  }

  say(about: string, word: Message): void {
    this.#now?.words.set(about, word)
    this.touch()
  }

  /** What the owner of the slice with a chunk has signed of it, as it came with that slice of this sum. */
  sliceHeader(chunk: number, { body }: Message<'SumHeader'>): Message<'SliceHeader'> | undefined {
    const { shape, task, rules, sums } = this.round
    const slice = sliceOf(chunk, chunkCount(shape), task.shards)
    const encoded = sums.headerOf(body.slices![slice])
    return encoded && readEmbedded('SliceHeader', encoded, rules)
  }

  /** What proves the slices that are here of a sum and, but for this member's own vector, of those that it is made of. */
  proofs({ body }: Message<'SumHeader'>, { headers }: CheckedCut): SliceProofs {
    const { me, sums } = this.round
    const ofSum = (body.slices ?? []).flatMap((name) => sums.headerOf(name) ?? [])
    const masked = this.slices.flatMap(({ number: slice }) =>
      [...headers].flatMap(([member, header]) => {
        const path = member === me ? undefined : this.store.pathTo(slice, member, header.body.root)
        return path === undefined ? [] : [{ member, slice, path }]
      })
    )
    return { headers: ofSum, masked }
  }

  /** Whether a member may have a chunk of another's masked vector. */
  mayHave(member: number, chunk: number): boolean {
    const { shape, task } = this.round
    return this.#attempt?.helpers[sliceOf(chunk, chunkCount(shape), task.shards)].has(member) === true
  }

  /** Everybody that was ever named to sum or keep a slice. */
  get everyHelper(): number[] {
    return [...new Set(this.#attempt?.helpers.flatMap((named) => [...named]))]
  }

  /** Others that were named for a slice, and so may have it. */
  helpers(slice: number): number[] {
    return [...(this.#attempt?.helpers[slice] ?? [])].filter((member) => member !== this.round.me)
  }

  /** What this member reveals goes to all owners, too (§13); where there is no way there, they have it from the leader. */
  tellOwners(reveal: Message<'Reveal'>): void {
    this.takeReveal(reveal)
    const owners = new Set(this.#attempt?.plan?.owners ?? [])
    owners.delete(this.round.me)
    for (const owner of owners) void this.round.deliverTo(owner, reveal as Message).catch(() => {})
  }

  /** Kept until the decision is known here, and read then. */
  takeReveal(reveal: Message<'Reveal'>): void {
    const now = this.#now
    if (now === undefined || !sameBytes(reveal.body.attemptId, now.id)) return
    const before = now.reveals.get(reveal.from) ?? []
    now.reveals.set(reveal.from, [...before.slice(0, 1), reveal])
    this.touch()
  }

  /** @throws MessageError, the leader being the culprit */
  takeOpened({ body, from }: Message<'Opened'>): void {
    const { decided } = this
    const now = this.#now
    if (decided === undefined || now === undefined || !sameBytes(body.attemptId, now.id)) return
    const culprit = this.round.culprit({ from })
    if (!sameBytes(body.cutHash, cutHash(decided.cut.cut)))
      throw new MessageError('INVALID', 'secrets are opened for another cut than was decided', { culprit })
    checkOpened(body, decided.book, decided.cut, culprit)
    now.opened = { seeds: body.seeds, keys: body.keys }
    this.touch()
  }

  /** What the decided cut opens, once enough was revealed to this member, or the leader has told. */
  get opened(): Opened | undefined {
    const now = this.#now
    const { decided } = this
    if (now === undefined || decided === undefined) return undefined
    now.revealed ??= new Revealed(this.round.rules, decided.book, decided.cut)
    const { revealed, reveals } = now
    for (const reveal of [...reveals.values()].flat()) this.#refusing(() => revealed.take(reveal))
    reveals.clear()
    if (now.opened === undefined && revealed.isComplete())
      // A lying dealer: the leader finds out as well, and nobody can open the cut (§8).
      this.#refusing(() => (now.opened = revealed.open()))
    return now.opened
  }

  /** Answers a member that may have a slice; whoever owns one may ask before it is masked, and waits. */
  async *answer(from: number, request: Message<'SliceRequest'>): AsyncGenerator<Frame> {
    const { attemptId, slice, member } = request.body
    if (slice >= this.slices.length || member >= this.round.rules.roster.members.length)
      throw new MessageError('INVALID', `member ${from} asks for a slice that there is not`, {
        culprit: this.round.culprit({ from })
      })
    const isHere = () => {
      const now = this.#now
      if (now === undefined || !sameBytes(attemptId, now.id)) return false
      return now.store.has(slice, member) && now.helpers[slice].has(from)
    }
    if (member === this.round.me) await this.until(isHere, this.round.views.patience.limit)
    if (isHere()) {
      yield* this.#now!.store.answer(request)
      return
    }
    const refusal = await this.round.state('Refusal', { reason: `member ${this.round.me} gives no such slice now` })
    yield { kind: 'control', payload: refusal.encoded }
  }

  async pause(signal: AbortSignal): Promise<void> {
    await this.round.ports.clock.sleep(RETRY_MS, signal)
  }

  /** The round is over here. */
  end(): void {
    this.#over = true
    this.#stopWork()
    this.touch()
  }

  #stopWork(): void {
    this.#work.abort(new SliceRefused('another plan, or none, is in effect'))
  }

  #begin(plan: Plan): void {
    this.#stopWork()
    this.#work = new AbortController()
    const { signal } = this.#work
    const { me } = this.round
    for (const slice of this.slices) {
      const owner = plan.owners[slice.number]
      const work = owner === me ? ownSlice : plan.keepers[slice.number] === me ? keepSlice : undefined
      void work?.(this, slice, plan, signal).catch((error: Error) => {
        if (!signal.aborted) this.round.ports.observer.refused?.(error)
      })
    }
  }

  #refusing(read: () => void): void {
    try {
      read()
    } catch (error) {
      this.round.ports.observer.refused?.(error as Error)
    }
  }
}
