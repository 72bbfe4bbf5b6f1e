import { bytesToHex } from '@noble/hashes/utils.js'
import { MessageError } from '../errors.ts'
import type { Message, MessageType } from './messages.ts'
import type { Channel, Clock, Frame } from './ports.ts'
import type { Round } from './round.ts'
import { Seat } from './seat.ts'

/** What a leader's phase does with the messages that it expects. Throwing a MessageError costs the sender its place. */
export type Hearers = {
  [T in MessageType]?: (message: Message<T>, frames: AsyncIterator<Frame>) => void | Promise<void>
}

/** One for all: an error made for each wait costs more than the wait. */
const noLongerNeeded = new Error('no longer needed')

/** What a leader shows next, with the message that shows it: said when the answers to it can be taken. */
export type Shown<What, T extends MessageType> = What & { message: Message<T> }

/** A quorum does not wait for the last: these are expected to come when nobody waits for them any more. */
const comesLate: ReadonlySet<MessageType> = new Set<MessageType>([
  'KeyAdvert',
  'Prepare',
  'Commit',
  'Reveal',
  'Vector',
  'SliceReport',
  'SliceHeader'
])

/** Messages that one member may send several of in a phase: votes in views, reveals in waves, vectors it keeps for others. */
const severalTimes: ReadonlySet<MessageType> = new Set<MessageType>([
  'Prepare',
  'Commit',
  'Reveal',
  'Custody',
  'CustodyReceipt',
  'Vector',
  'SliceReport',
  'SliceHeader'
])

/** What members answer to what, also where a leader that carries the round on shows it again and waits for nothing. */
const answers: Partial<Record<MessageType, MessageType>> = {
  KeyAdvert: 'RoundPlan',
  Ready: 'KeyBook',
  MaskedHeader: 'MaskingSet',
  Custody: 'MaskingSet',
  Prepare: 'Proposal',
  Commit: 'Lock',
  Reveal: 'Decision'
}

/** The leader's side of all its conversations: one seat a member, one phase at a time. */
export class Table {
  readonly #round: Round
  readonly #seats: Seat[]
  #hearers: Hearers = {}
  #standing: Hearers = {}
  /** The types of all that anybody was ever asked for here, or shown. */
  readonly #asked = new Set<string>()
  #changed: Array<() => void> = []
  readonly #answered = new Map<string, Uint8Array>()
  readonly #relayed = new Set<string>()

  constructor(round: Round) {
    this.#round = round
    const slots = round.vectorSlots()
    this.#seats = round.rules.roster.members.map(({ index }) => new Seat(index, round.ports.vectors, slots))
  }

  /** Members that have not lost their place by a fault. */
  isWelcome(member: number): boolean {
    return this.#seats[member].fault === undefined
  }

  isConnected(member: number): boolean {
    return this.#seats[member].connected
  }

  /** Runs one member's conversation to its end. */
  async join(member: number, channel: Channel): Promise<void> {
    const seat = this.#seats[member]
    if (seat.fault !== undefined) return channel.abort(seat.fault)
    const leave = seat.attach(channel)
    this.touch()
    const speaking = channel.sink(seat.speech(channel)).catch(() => {})
    try {
      const frames = channel.source[Symbol.asyncIterator]()
      for (let next = await frames.next(); next.done !== true; next = await frames.next())
        await this.#hear(member, next.value, frames)
    } catch (error) {
      if (error instanceof MessageError) this.exclude(member, error)
      channel.abort(error as Error)
    } finally {
      leave()
      this.touch()
      await speaking
    }
  }

  /** A bad message costs its sender its place in the round, never the round. */
  exclude(member: number, error: MessageError): void {
    this.#seats[member].fault ??= error
    this.#round.ports.observer.refused?.(error)
    this.#seats[member].abort(error)
    this.touch()
  }

  broadcast(message: Message): void {
    this.#asked.add(message.type)
    for (const seat of this.#seats) seat.say(message)
  }

  broadcastVector(name: string): void {
    for (const seat of this.#seats) seat.sayVector(name)
  }

  say(member: number, message: Message): void {
    this.#asked.add(message.type)
    this.#seats[member].say(message)
  }

  sayVector(member: number, name: string): void {
    this.#seats[member].sayVector(name)
  }

  /** Says something to everyone; from now on the answers to it are taken, others come out of their phase and are dropped. */
  ask(question: Message, hearers: Hearers): void {
    this.#hearers = hearers
    this.#expect(hearers)
    this.broadcast(question)
  }

  /** What is taken in every phase from now on. */
  listen(hearers: Hearers): void {
    this.#standing = hearers
    this.#expect(hearers)
  }

  #expect(hearers: Hearers): void {
    for (const type of Object.keys(hearers)) this.#asked.add(type)
  }

  /**
   * Waits until nobody is missing any more. Members without a conversation, or that only vote, are waited for until `grace`, slow ones until
   * `limit` (milliseconds from now); returns who is missing then.
   */
  async gather(
    missing: () => number[],
    { limit, grace, signal }: { limit: number; grace: number; signal: AbortSignal }
  ): Promise<number[]> {
    const { clock } = this.#round.ports
    const began = clock.now()
    let timer: Timer | undefined
    try {
      for (;;) {
        signal.throwIfAborted()
        const left = missing().filter((member) => this.isWelcome(member))
        const until = began + (left.some((member) => this.mayAnswer(member)) ? limit : Math.min(grace, limit))
        if (left.length === 0 || clock.now() >= until) return left
        if (timer?.until !== until) {
          timer?.stop()
          timer = startTimer(clock, until, signal)
        }
        await Promise.race([new Promise<void>((resolve) => this.#changed.push(resolve)), timer.over])
      }
    } finally {
      timer?.stop()
    }
  }

  /** A member that was restarted in this attempt votes, and nothing else (S5): a vote is waited for to its limit anyway. */
  mayAnswer(member: number): boolean {
    return this.isConnected(member) && this.#round.views.joins().get(member)?.sitsOut !== true
  }

  /** Something happened that a gathering may wait for. */
  touch(): void {
    for (const wake of this.#changed.splice(0)) wake()
  }

  close(): void {
    for (const seat of this.#seats) seat.close()
  }

  abort(reason: Error): void {
    for (const seat of this.#seats) seat.abort(reason)
    this.touch()
  }

  async #hear(member: number, frame: Frame, frames: AsyncIterator<Frame>): Promise<void> {
    const message = this.#round.read(frame, member)
    // The leader's own; of the others it came before their conversation was seated.
    if (message.type === 'Join') return this.#round.views.takeJoin(member, message.body)
    const key = `${message.type}/${member}/${attemptOf(message)}`
    if (message.type === 'ShareDelivery') return this.#relay(member, message)
    const before = this.#answered.get(key)
    const hear = (this.#hearers[message.type] ?? this.#standing[message.type]) as
      ((message: Message, frames: AsyncIterator<Frame>) => void | Promise<void>) | undefined
    const once = !severalTimes.has(message.type)
    if (once && before !== undefined && !sameMessage(before, message.encoded))
      throw this.#fault(member, 'REPEATED', `member ${member} sent a second, different ${message.type}`)
    if (!this.#asked.has(message.type) && !this.#asked.has(answers[message.type] ?? ''))
      throw this.#fault(member, 'OUT_OF_PHASE', `member ${member} sent a ${message.type} that nobody has asked it for`)
    if (hear === undefined) {
      // Late, or a re-send after a new conversation; a vector behind it is dropped by whoever expects vectors.
      if (message.type === 'Vector') await this.#round.drainVector(frames)
      if (before === undefined && !comesLate.has(message.type))
        this.#round.ports.observer.refused?.(
          this.#fault(member, 'OUT_OF_PHASE', `a ${message.type} of member ${member} is out of its phase`),
          message
        )
      return
    }
    if (once) this.#answered.set(key, message.encoded)
    await hear(message, frames)
    this.touch()
  }

  /** Shares go directly between members; where they cannot, through here, sealed end to end. */
  #relay(member: number, message: Message<'ShareDelivery'>): void {
    const { dealer, holder } = message.body
    if (dealer !== member || this.#seats[holder] === undefined)
      throw this.#fault(member, 'IMPERSONATION', `member ${member} delivers a share in the name of member ${dealer}`)
    const key = `${dealer}/${holder}`
    if (this.#relayed.has(key)) return
    this.#relayed.add(key)
    this.#seats[holder].say(message)
  }

  #fault(member: number, code: 'OUT_OF_PHASE' | 'REPEATED' | 'IMPERSONATION', sentence: string): MessageError {
    return new MessageError(code, sentence, { culprit: this.#round.rules.roster.members[member].id })
  }
}

interface Timer {
  until: number
  /** Resolves at `until`, or when the signal is aborted. */
  over: Promise<void>
  stop(): void
}

function startTimer(clock: Clock, until: number, signal: AbortSignal): Timer {
  const stopped = new AbortController()
  const over = clock.sleep(until - clock.now(), AbortSignal.any([signal, stopped.signal])).catch(() => {})
  return { until, over, stop: () => stopped.abort(noLongerNeeded) }
}

/** What is said once is said once an attempt; retries happen within one view. */
function attemptOf({ body }: Message): string {
  return 'attemptId' in body ? bytesToHex(body.attemptId) : ''
}

function sameMessage(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index])
}
