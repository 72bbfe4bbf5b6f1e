import { bytesToHex } from '@noble/hashes/utils.js'
import type { Lanes } from '../crypto/mask-stream.ts'
import { packedLength } from '../encoding/packing.ts'
import { MessageError } from '../errors.ts'
import type { Journal } from '../journal/journal.ts'
import type { VectorStore } from '../journal/vector-store.ts'
import { burnedBeacon } from '../membership/beacon.ts'
import { deal, leaderOfView, leaderOrder } from '../membership/deck.ts'
import type { Deck } from '../membership/deck.ts'
import type { Succession } from '../membership/succession.ts'
import { encodeSet } from '../membership/member-set.ts'
import type { Task } from '../task/task.ts'
import { Attempt } from './attempt.ts'
import type { Ballot } from './ballot.ts'
import { authenticate } from './certificates.ts'
import { ChunkServer } from './chunk-server.ts'
import type { Convictions } from './convictions.ts'
import { sameBytes } from './dealing.ts'
import type { Evidence } from './evidence.ts'
import { LeaderGaveUp } from './faults.ts'
import { NextRoster } from './next-roster.ts'
import type { NextRosterOptions } from './next-roster.ts'
import { cutHash, decodeMessage, encodeMessage, inclusionOf, signedBytes, valueHash } from './messages.ts'
import type { AgreementName, AnyMessage, Body, Message, MessageType, Value } from './messages.ts'
import { provisionalSum } from './outcome.ts'
import type { ProvisionalSum } from './outcome.ts'
import { MAX_GOSSIP_BYTES } from './ports.ts'
import type { Clock, Compute, Frame, Network, Observer, Phase, Random, Sign } from './ports.ts'
import { PublishedSums } from './published-sums.ts'
import { readEmbedded, rulesIn, shownBy } from './transcript.ts'
import type { CheckedCut, KeyBook, MaskingSet, RoundRules } from './transcript.ts'
import { receiveVector, sumShapeOf } from './vectors.ts'
import type { VectorShape } from './vectors.ts'
import { transcriptOf } from './record.ts'
import { Sharding } from './sharding.ts'
import { Slots } from './slots.ts'
import { isStatement, Statements } from './statements.ts'
import type { SliceName } from './sum-chunks.ts'
import { Views } from './views.ts'
import { Witness } from './witness.ts'
import { publisherOf } from './wrong-sum.ts'

export interface Ports {
  clock: Clock
  links: Network
  random: Random
  sign: Sign
  journal: Journal
  vectors: VectorStore
  observer: Observer
  compute: Compute
}

/** What a member contributes in one round: the same vector in every attempt. */
export interface RoundInput {
  /** Encodes it, into lanes of their own each time: masks are laid in place. @throws InputError */
  lanes(): Promise<Lanes>
  /** Aborted when the application calls it off. Nothing of it has left before it is masked; then the round keeps it. */
  signal?: AbortSignal
}

export interface RoundOptions {
  task: Task
  rules: RoundRules
  me: number
  beacon: Uint8Array
  deck: Deck
  /** The roster in effect, which is that of the rules, and the one that waits. */
  succession: Succession
  /** How the roster may change with this round. */
  changes: Pick<NextRosterOptions, 'rules' | 'keep' | 'wanted'>
  /** The application's: members that start from different contexts never mask for each other (§2). */
  contextHash: Uint8Array
  /** The encoded decision that closed the previous round; null before the first. */
  previous: Uint8Array | null
  ballot: Ballot
  convictions: Convictions
  ports: Ports
  /** The input, once the application has it; undefined for a member that only holds shares and votes. */
  input: (signal: AbortSignal) => Promise<RoundInput | undefined>
  /** The encoded message that opened the round here, shown to a leader that may not have heard it. */
  why: Uint8Array
  /** A quorum has prepared the sum that this member has audited. */
  locked?: (sum: ProvisionalSum) => void
}

/** Vectors from this size on are long: a few at a time, and they keep the phases that carry them busy. */
const LONG_VECTOR_BYTES = 1024 * 1024

/** One for all: an error made for each wait costs more than the wait. */
const noLongerNeeded = new Error('no longer needed')

/** Long vectors that a leader takes, or sends, at the same time. */
const VECTORS_AT_ONCE = 4

/** What one member knows and holds of a running round; its conversations come and go, this stays. */
export class Round {
  readonly task: Task
  readonly rules: RoundRules
  readonly me: number
  readonly beacon: Uint8Array
  readonly contextHash: Uint8Array
  readonly previous: Uint8Array | null
  readonly ballot: Ballot
  readonly ports: Ports
  /** Who leads: view v is led by place v of the order (§7). */
  readonly order: number[]
  readonly nextDeck: Deck
  /** The roster and deck that follow. */
  readonly next: NextRoster
  /** `burned` with the roster unchanged, as every member computes it. */
  readonly burned: Extract<Value, { kind: 'burned' }>
  /** Of a member's vector, and of the sum: as many behind each other as there are groups. */
  readonly shape: VectorShape
  readonly sumShape: VectorShape
  readonly views: Views
  /** Where the vector is summed in slices (§13). */
  readonly sharding?: Sharding
  readonly chunks: ChunkServer
  readonly sums: PublishedSums
  /** The attempt that this member has been shown. */
  running?: Attempt
  /** Views whose leader proposed to close the round as summed. */
  readonly sumsProposed = new Set<number>()
  /** Why the round is to be burned, for people. */
  reason = ''

  readonly #input: RoundOptions['input']
  #hasInput?: Promise<boolean>
  #offered?: RoundInput
  #lanes?: Lanes
  readonly #reached = new Map<string, Promise<void>>()
  readonly #phaseBegan: Array<{ phase: Phase; at: number }> = []
  readonly #said = new Statements()
  readonly #heard = new Statements()
  readonly #convictions: Convictions
  readonly #witness: Witness
  readonly #locked: RoundOptions['locked']
  /** The root of the sum that the application has provisionally. */
  #told?: Uint8Array
  /** Roots of sums (hex): refuted ones, and by the hash of their cut all that leaders have signed. */
  readonly #refuted = new Set<string>()
  readonly #roots = new Map<string, Set<string>>()
  readonly #decisions = new Map<string, Message<'Decision'>>()
  readonly #closed = Promise.withResolvers<Message<'Decision'>>()
  #sharesChanged = (): void => {}

  constructor(options: RoundOptions) {
    const { task, rules, me, beacon, deck, contextHash, previous, ballot, ports, input, why } = options
    const { roster, context } = rules
    this.task = task
    this.sumShape = sumShapeOf(task)
    this.shape = { ...this.sumShape, elements: task.laneCount }
    this.rules = rulesIn(rules, task, beacon)
    this.me = me
    this.beacon = beacon
    this.contextHash = contextHash
    this.previous = previous
    this.ballot = ballot
    this.ports = ports
    this.order = leaderOrder(deck, roster, beacon, context.round)
    this.nextDeck = deal(deck, this.order, roster.members.length)
    this.next = new NextRoster({
      round: context.round,
      succession: options.succession,
      dealt: this.nextDeck,
      ...options.changes
    })
    this.burned = { kind: 'burned', beacon: burnedBeacon(beacon, context.round), ...this.next.following(false) }
    this.#input = input
    this.#locked = options.locked
    this.#convictions = options.convictions
    this.#witness = new Witness(rules)
    this.views = new Views(this, why)
    this.chunks = new ChunkServer(this)
    this.sums = new PublishedSums(this)
    for (const evidence of options.convictions.all) this.refute(evidence)
    if (task.shards > 1) this.sharding = new Sharding(this)
  }

  /** Resolves with the decision that closes the round. */
  get closed(): Promise<Message<'Decision'>> {
    return this.#closed.promise
  }

  leader(view: number): number {
    return leaderOfView(this.order, view)
  }

  get isLong(): boolean {
    return packedLength(this.shape.elements, this.shape.bits) >= LONG_VECTOR_BYTES
  }

  /** For vectors that travel at the same time, where they are long; the others wait by back-pressure. */
  vectorSlots(): Slots {
    return new Slots(
      this.isLong ? VECTORS_AT_ONCE : this.rules.roster.members.length,
      this.views.patience.data / 4,
      this.ports.clock
    )
  }

  /** @throws MessageError */
  read(frame: Frame, sender: number): AnyMessage {
    const culprit = this.rules.roster.members[sender].id
    try {
      if (frame.kind !== 'control')
        throw new MessageError('OUT_OF_PHASE', `member ${sender} sent a piece of a vector where a message belongs`)
      const message = decodeMessage(frame.payload)
      const { context, roster } = this.rules
      // A share comes in its dealer's name, also where the leader relays it; nobody has signed it but its seal.
      if (message.type === 'ShareDelivery')
        shownBy(culprit, `a share that member ${sender} relays`, () => authenticate(message, context, roster))
      else authenticate(message, context, roster, sender)
      this.saw(message)
      return message
    } catch (error) {
      if (error instanceof MessageError && error.culprit === undefined)
        throw new MessageError(error.code, error.message, { culprit, cause: error })
      throw error
    }
  }

  /** Looks for evidence in a message, before anything else becomes of it. */
  saw(message: AnyMessage): void {
    if (message.type === 'SumHeader' && message.from === this.leader(message.body.view)) this.#noteRoot(message.body)
    const before = this.#witness.found.length
    if (this.#witness.see(message) !== undefined)
      for (const found of this.#witness.found.slice(before)) this.accuse(found)
  }

  /** A sum that evidence has refuted is voted for no more, and not shown again. */
  refute({ kind, culprit, epoch, round, statements }: Evidence): void {
    const { context } = this.rules
    if (kind !== 'wrong-sum' || epoch !== context.epoch || round !== context.round) return
    const { body } = decodeMessage(statements[0]) as Message<'SumHeader'>
    this.#refuted.add(bytesToHex(body.root))
    const ofSlice = statements.at(3)
    this.sums.forget(ofSlice === undefined ? body : wrongSlice(ofSlice))
    const held = this.running?.sum
    // Of a liar's other sum no more is believed than this member has recomputed.
    const isProven = held?.audited.chunks === held?.audited.of
    const isOfLiar = held !== undefined && publisherOf(held.header).from === culprit && !isProven
    if (held !== undefined && (isOfLiar || this.isRefuted(held.header.body.root))) this.running!.sum = undefined
    this.views.leaveRefuted()
  }

  /** Whether evidence shows that this is the root of a wrong sum. */
  isRefuted(root: Uint8Array | null): boolean {
    return root !== null && this.#refuted.has(bytesToHex(root))
  }

  /** Whether another root of the same cut was signed by a leader as well: one of the two is wrong. */
  isContested({ body }: Message<'SumHeader'>): boolean {
    const roots = this.#roots.get(bytesToHex(cutHash(body.cut))) ?? new Set<string>()
    return [...roots].some((root) => root !== bytesToHex(body.root) && !this.#refuted.has(root))
  }

  #noteRoot({ cut, root }: Body<'SumHeader'>): void {
    const key = bytesToHex(cutHash(cut))
    this.#roots.set(key, (this.#roots.get(key) ?? new Set<string>()).add(bytesToHex(root)))
  }

  /** Notes evidence, which must be verified, and leaves the view of whoever it convicts (§6). */
  accuse(evidence: Evidence): void {
    this.refute(evidence)
    this.#convictions.note(evidence).catch((error: Error) => this.ports.observer.refused?.(error))
  }

  /** Whether evidence is held here against a member, of this epoch. */
  isConvicted(member: number): boolean {
    return this.#convictions.isConvicted(this.rules.context.epoch, member)
  }

  /** Whether this member holds evidence against the leader of a view: it takes no part in it. */
  isBarred(view: number): boolean {
    const convicted = (member: number) => this.#convictions.isConvicted(this.rules.context.epoch, member)
    // Were everybody convicted, far more than f would be corrupt; then views take their time as ever.
    return convicted(this.leader(view)) && !this.order.every(convicted)
  }

  /** Refuses a leader's second, different word in one view, or more than it has to say. @throws MessageError REPEATED, the leader being the culprit */
  heardOnce(message: AnyMessage): void {
    if (isStatement(message) && !this.#heard.admits(message))
      throw new MessageError(
        'REPEATED',
        `member ${message.from} showed two different ${message.type}s in one view, or too many`,
        {
          culprit: this.culprit(message)
        }
      )
  }

  /**
   * What this member refuses of its leader's words is shown to all: whoever was shown another has evidence with it, and
   * two roots of one sum come to light (§6).
   */
  showRefused(message: AnyMessage): void {
    if (!isStatement(message)) return
    this.running?.keep(message.type, `refused in view ${message.body.view}`, message)
    if (message.encoded.length <= MAX_GOSSIP_BYTES) this.ports.links.announce(message.encoded)
  }

  /** The sum under this root is locked: the application may have it, provisionally, once (§6). */
  lockedSum(root: Uint8Array): void {
    const sum = provisionalSum(this, root)
    if (sum === undefined || (this.#told !== undefined && sameBytes(this.#told, root))) return
    this.#told = root
    this.#locked?.(sum)
  }

  culprit({ from }: { from: number }): string {
    return this.rules.roster.members[from].id
  }

  /** Signs what is neither a vote nor said once an attempt: those are the ballot's. */
  async state<
    T extends Exclude<MessageType, 'Prepare' | 'Commit' | 'ViewChange' | 'KeyAdvert' | 'ShareRoot' | 'MaskedHeader'>
  >(type: T, body: Body<T>): Promise<Message<T>> {
    const { context } = this.rules
    const message = encodeMessage(type, context, this.me, body, await this.ports.sign(signedBytes(type, context, body)))
    if (isStatement(message) && !this.#said.admits(message))
      throw new LeaderGaveUp(`another ${type} was said in this view, and there is one a view`)
    return message
  }

  /** The one message that its seal proves instead of a signature. */
  sealed(body: Body<'ShareDelivery'>): Message<'ShareDelivery'> {
    return encodeMessage('ShareDelivery', this.rules.context, this.me, body)
  }

  /** The attempt that follows the decisions to retry those before it. */
  get attemptNumber(): number {
    let number = 0
    while (this.ballot.decision(inclusionOf(number))?.value.kind === 'retry') number++
    return number
  }

  /** The view that the present attempt began in: the one that decided to retry the last, or the first. */
  get firstView(): number {
    const number = this.attemptNumber
    return number === 0 ? 0 : this.ballot.decision(inclusionOf(number - 1))!.commits.view
  }

  /** The present attempt, its keys and all; what is left of the one before is erased. */
  attempt(): Attempt {
    const number = this.attemptNumber
    if (this.running?.number !== number) {
      this.running?.wipe()
      this.running = new Attempt(number, this.contextHash, this.rules, this.me, this.ports.random)
    }
    return this.running
  }

  /** The decided cut, if it was shown to this member and passed its checks. */
  get decided(): { attempt: Attempt; cut: CheckedCut; book: KeyBook; set: MaskingSet } | undefined {
    const attempt = this.running
    const value = attempt && this.ballot.decision(inclusionOf(attempt.number))?.value
    const cut = value?.kind === 'cut' ? attempt?.cuts.get(bytesToHex(value.cutHash)) : undefined
    const under = cut && attempt?.sets.get(bytesToHex(cut.cut.maskingSetHash))
    return attempt && cut && under && { attempt, cut, ...under }
  }

  /**
   * Whether the application has an input for this round; it is given a quarter of a phase to come with it. It is encoded
   * here and now, so that a bad one is refused before anything is said of it.
   */
  hasInput(): Promise<boolean> {
    this.#hasInput ??= this.#offeredInput().then(async (offered) => {
      this.#offered = offered
      this.#lanes = await offered?.lanes()
      return offered !== undefined
    })
    return this.#hasInput.then(
      (has) => has && !this.isCalledOff,
      (error: Error) => {
        this.ports.observer.refused?.(error)
        return false
      }
    )
  }

  /** The application has called its input off, and what is not masked yet stays here. */
  get isCalledOff(): boolean {
    return this.#offered?.signal?.aborted === true
  }

  /** The input's lanes, to be masked in place: they are the round's now. */
  async takeInput(): Promise<Lanes> {
    const lanes = this.#lanes ?? (await this.#offered?.lanes())
    this.#lanes = undefined
    if (lanes === undefined) throw new MessageError('OUT_OF_PHASE', 'this member has no input in this round')
    return lanes
  }

  async #offeredInput(): Promise<RoundInput | undefined> {
    const late = new AbortController()
    const given = new AbortController()
    const tooLate = this.ports.clock.sleep(this.views.patience.limit / 2, given.signal).then(
      () => late.abort(noLongerNeeded),
      () => {}
    )
    return Promise.race([this.#input(late.signal), tooLate.then(() => undefined)]).finally(() =>
      given.abort(noLongerNeeded)
    )
  }

  /** Reports a phase before its first message leaves; whoever watches may hold the round there. */
  reach(phase: Phase): Promise<void> {
    const key = `${this.views.current}/${this.attemptNumber}/${phase}`
    const before = this.#reached.get(key)
    if (before !== undefined) return before
    this.#phaseBegan.push({ phase, at: this.ports.clock.now() })
    const leading = this.leader(this.views.current) === this.me
    const reached = Promise.resolve(this.ports.observer.phase?.(phase, this.rules.context.round, leading))
    this.#reached.set(key, reached)
    return reached
  }

  /** How long each phase took here, in milliseconds; the last one until now. */
  phaseMs(): Partial<Record<Phase, number>> {
    const ends = [...this.#phaseBegan.slice(1).map(({ at }) => at), this.ports.clock.now()]
    const total: Partial<Record<Phase, number>> = {}
    for (const [place, { phase, at }] of this.#phaseBegan.entries())
      total[phase] = (total[phase] ?? 0) + ends[place] - at
    return total
  }

  /** A decision that this member knows, as a leader signed it. */
  decision(name: AgreementName): Message<'Decision'> | undefined {
    return this.#decisions.get(name)
  }

  /** Takes a share in that came directly or through the leader; a bad one costs its dealer this holder's acknowledgement. */
  deliver(message: Message<'ShareDelivery'>): void {
    try {
      authenticate(message, this.rules.context, this.rules.roster)
      if (this.running === undefined)
        throw new MessageError('OUT_OF_PHASE', `a share of member ${message.body.dealer} came before the RoundPlan`)
      // S5: it was sealed for the keys that this member had before it was restarted, and holds for nothing now.
      if (this.ballot.sitsOut(this.running.number)) return
      this.running.receive(message.body)
      this.#sharesChanged()
    } catch (error) {
      this.ports.observer.refused?.(error as Error, message)
    }
  }

  /** What a member reveals to the owner of a slice comes directly (§13). */
  hearReveal(reveal: Message<'Reveal'>): void {
    this.saw(reveal)
    this.sharding?.takeReveal(reveal)
  }

  /** Directly, or not at all: rejects where there is no way there within a moment. */
  async deliverTo(holder: number, message: Message): Promise<void> {
    const late = new AbortController()
    const delivered = new AbortController()
    void this.ports.clock.sleep(this.views.patience.limit / 4, delivered.signal).then(
      () => late.abort(new Error(`member ${holder} cannot be reached directly`)),
      () => {}
    )
    try {
      await this.ports.links.deliver(holder, message.encoded, AbortSignal.any([this.views.signal, late.signal]))
    } finally {
      delivered.abort(noLongerNeeded)
    }
  }

  /** Resolves when all shares are held, or when it has been waited long enough for them. */
  async sharesHeld(): Promise<void> {
    const { clock } = this.ports
    const until = clock.now() + this.views.patience.limit / 2
    while (this.running !== undefined && !this.running.holdsAll && clock.now() < until) {
      const enough = new AbortController()
      await Promise.race([
        new Promise<void>((resolve) => (this.#sharesChanged = resolve)),
        clock.sleep(until - clock.now(), enough.signal).catch(() => {})
      ])
      enough.abort(noLongerNeeded)
    }
  }

  /** Learns a decision from whoever brought it. @throws MessageError where it is none */
  async learn(message: Message<'Decision'>): Promise<void> {
    this.saw(message)
    const closes = message.body.commits.agreement === 'closing'
    // The others may have closed the round without this member's votes.
    if (closes && this.#phaseBegan.every(({ phase }) => phase !== 'close')) await this.reach('close')
    await this.ballot.decide(message.body)
    this.#decisions.set(message.body.commits.agreement, message)
    this.sharding?.touch()
    if (closes) this.#closed.resolve(message)
  }

  /** What its journal knows to be decided, in this member's own words after a restart (S3). */
  async restore(): Promise<void> {
    for (const body of this.ballot.decisions()) await this.learn(await this.state('Decision', body))
  }

  /** The decisions of this round's agreements that this member knows, as leaders signed them. */
  get decisions(): Uint8Array[] {
    return [...this.#decisions.values()].map(({ encoded }) => encoded)
  }

  async learnEmbedded(encoded: Uint8Array): Promise<void> {
    try {
      await this.learn(readEmbedded('Decision', encoded, this.rules))
    } catch (error) {
      this.ports.observer.refused?.(error as Error)
    }
  }

  /** Keeps the frames of a sum that match the header's root, with the header, on disk. */
  async storeSum(header: Message<'SumHeader'>, frames: AsyncIterator<Frame>, name = this.sumName): Promise<void> {
    const { cut, root } = header.body
    const owner = { attemptId: cut.attemptId, member: this.rules.roster.members.length, root }
    const sync = name === this.sumName
    await receiveVector(frames, this.ports.vectors, name, owner, this.sumShape, { sync })
    if (this.sums.areSpread) this.sums.putAway(header.body, name)
    if (sync) await this.keepSum(header)
  }

  /** The header of a sum that is on disk, and with it what else is public of the round, once its cut is decided. */
  async keepSum(header: Message<'SumHeader'>): Promise<void> {
    const sum = { type: 'put' as const, key: this.sumKey, value: header.encoded }
    await this.ports.journal.batch([sum, ...transcriptOf(this, header)])
  }

  /** Reads a vector that nobody needs to its end, so that the conversation can go on. */
  async drainVector(frames: AsyncIterator<Frame>, { elements, bits } = this.shape): Promise<void> {
    const expected = packedLength(elements, bits)
    for (let received = 0; received < expected;) {
      const next = await frames.next()
      if (next.done === true || next.value.kind !== 'data' || next.value.payload.length === 0)
        throw new MessageError('TRUNCATED', `a vector breaks off after ${received} of ${expected} bytes`)
      received += next.value.payload.length
    }
  }

  sameValue(a: Value, b: Value): boolean {
    return sameBytes(valueHash(a), valueHash(b))
  }

  setOf(members: number[]): Uint8Array {
    return encodeSet(members, this.rules.roster.members.length)
  }

  hex(bytes: Uint8Array): string {
    return bytesToHex(bytes)
  }

  /** S7: when the round is closed, what was never opened of seeds, keys and shares is erased at once. */
  wipe(): void {
    this.sharding?.end()
    this.sums.end()
    this.running?.wipe()
  }

  /** S7: so are masked vectors, once members that still listened have been told. Sums stay. */
  async erase(): Promise<void> {
    await this.ports.vectors.remove(`${this.#folder}/`)
  }

  get maskedName(): string {
    return `${this.#attemptFolder}/masked`
  }

  get publishedName(): string {
    return `${this.#attemptFolder}/sum-${this.views.current}`
  }

  uploadName(member: number): string {
    return `${this.#attemptFolder}/upload-${member}`
  }

  custodyName(member: number): string {
    return `${this.#attemptFolder}/custody-${member}`
  }

  /** A slice of a member's masked vector, or of member n of the sum (§13). */
  sliceName(slice: number, member: number): string {
    return `${this.#attemptFolder}/slice-${slice}-${member}`
  }

  get sumName(): string {
    return sumName(this.task.id, this.rules.context.round)
  }

  get sumKey(): string {
    return sumKey(this.task.id, this.rules.context.round)
  }

  /** Where a second sum of one cut is kept while it is compared with the first. */
  get rivalName(): string {
    return `${this.#attemptFolder}/rival-${this.views.current}`
  }

  get #attemptFolder(): string {
    return `${this.#folder}/attempt-${this.attemptNumber}`
  }

  get #folder(): string {
    return `${folderOf(this.task.id)}/round-${this.rules.context.round}`
  }
}

/** What evidence refutes where a sum is of slices: the one that its owner has signed. */
function wrongSlice(sliceHeader: Uint8Array): SliceName {
  const { body, from } = decodeMessage(sliceHeader) as Message<'SliceHeader'>
  return { root: body.root, owner: from }
}

/** A task's folder in the vector store. */
export function folderOf(taskId: string): string {
  return taskId.slice(0, 16)
}

/** Where a sum's packed vector lies in the vector store; no name is the beginning of another, so that one can be removed. */
export function sumName(taskId: string, round: number): string {
  return `${folderOf(taskId)}/sums/${String(round).padStart(15, '0')}`
}

/** Where a sum's header lies in the journal. */
export function sumKey(taskId: string, round: number): string {
  return `${taskId}/sum/${String(round).padStart(15, '0')}`
}
