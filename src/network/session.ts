import type { ComponentLogger, Connection, Logger, PeerId, PrivateKey } from '@libp2p/interface'
import { randomBytes } from '../crypto/primitives.ts'
import { createEncoder } from '../encoding/encoder.ts'
import type { Vector } from '../encoding/encoder.ts'
import { unpackAdd } from '../encoding/packing.ts'
import { createLanes } from '../crypto/mask-stream.ts'
import { MessageError, RoundError } from '../errors.ts'
import type { Journal } from '../journal/journal.ts'
import type { VectorStore } from '../journal/vector-store.ts'
import type { Evidence } from '../round/evidence.ts'
import type { Roster } from '../membership/roster.ts'
import type { Member } from '../round/member.ts'
import type { RoundOutcome } from '../round/outcome.ts'
import { Participant } from '../round/participant.ts'
import type { Observer } from '../round/ports.ts'
import type { RoundInput } from '../round/round.ts'
import { CHUNK_ELEMENTS, packedLength } from '../encoding/packing.ts'
import type { Task } from '../task/task.ts'
import { systemClock } from './clock.ts'
import { Announcements } from './gossip.ts'
import type { AnnouncementComponents } from './gossip.ts'
import { Streams } from './streams.ts'
import type { StreamComponents } from './streams.ts'

export interface SessionComponents extends StreamComponents, AnnouncementComponents {
  peerId: PeerId
  privateKey: PrivateKey
  logger: ComponentLogger
}

export interface Input {
  vector: Vector
  /** A whole number from 1 to the task's largest weight; weighted tasks only. */
  weight?: number
}

/** Answers a round as it opens: the input, or undefined to hold shares and vote only. */
export type RoundHandler = (round: {
  round: number
  signal: AbortSignal
}) => Promise<Input | undefined> | Input | undefined

export interface Sum {
  round: number
  /** Float64Array, or BigInt64Array for integer tasks. */
  values: Float64Array | BigInt64Array
  /** `values` over the total weight. */
  mean: Float64Array
  totalWeight: number
  /** Which part of the included elements lay beyond the clip (fixed point only). */
  clippedFraction?: number
  /** Peer ids of the members whose input is in the sum. */
  included: string[]
  /** The signed decision that closed the round. */
  decision: Uint8Array
}

export interface SessionOptions {
  task: Task
  journal: Journal
  vectors: VectorStore
  observer: Observer
  contextHash?: (round: number) => Uint8Array | Promise<Uint8Array>
  opened(round: number): void
  closed(outcome: RoundOutcome): void
  convicted(evidence: Evidence): void
  /** A roster has taken effect. */
  epoch?(roster: Roster): void
}

/** Peers without any standing that may be connected, where members can vouch. */
const MOST_STRANGERS = 32

interface Contribution extends Input {
  settle: PromiseWithResolvers<Sum>
  round?: number
}

/** One task on one libp2p node: the member, its protocols and its gossip, and the inputs that wait for a round. */
export class Session {
  readonly task: Task
  readonly participant: Participant
  readonly #streams: Streams
  readonly #announcements: Announcements
  readonly #options: SessionOptions
  readonly #log: Logger
  readonly #contributions: Contribution[] = []
  readonly #stop = new AbortController()
  #handler?: RoundHandler
  #arrived = Promise.withResolvers<void>()
  readonly #connections: () => Connection[]

  constructor(components: SessionComponents, options: SessionOptions) {
    const { task } = options
    this.task = task
    this.#options = options
    this.#connections = () => components.connectionManager.getConnections()
    this.#log = components.logger.forComponent(`secagg:${task.name}`)
    const refused = (error: Error): void => {
      this.#log('refused: %s', error.message)
      options.observer.refused?.(error)
    }
    this.#streams = new Streams(components, task.id, {
      converse: (from, channel) => this.participant.converse(from, channel),
      deliver: async (from, message) => {
        try {
          await this.participant.hear(from, message)
        } catch (error) {
          refused(error as Error)
          if (error instanceof MessageError) throw error
        }
      },
      answer: (from, request) => this.participant.answer(from, request)
    })
    this.#announcements = new Announcements(components, task.idBytes, {
      isMember: (peer) => this.expects(peer),
      validate: (from, bytes) => {
        try {
          if (this.participant.check(bytes)) return 'accept'
          // Of an epoch that began without this peer: it has to catch up before it can judge.
          void this.participant.hear(from, bytes).catch(refused)
          return 'ignore'
        } catch (error) {
          refused(error as Error)
          return 'reject'
        }
      },
      deliver: (from, bytes) => {
        void this.participant.hear(from, bytes).catch(refused)
      }
    })
    const links = {
      converse: (leader: string, signal: AbortSignal) => this.#streams.converse(leader, signal),
      deliver: (to: string, message: Uint8Array, signal: AbortSignal) => this.#streams.deliver(to, message, signal),
      ask: (to: string, request: Uint8Array, signal: AbortSignal) => this.#streams.ask(to, request, signal),
      announce: (message: Uint8Array) => void this.#announcements.publish(message).catch(refused)
    }
    const { journal, vectors, observer, contextHash } = options
    this.participant = new Participant({
      task,
      id: components.peerId.toString(),
      ports: {
        clock: systemClock,
        random: randomBytes,
        sign: (bytes) => components.privateKey.sign(bytes),
        journal,
        vectors,
        observer: { ...observer, refused }
      },
      links,
      input: (round, signal, terms) => this.#input(round, signal, terms),
      contextHash,
      opened: (round) => options.opened(round),
      closed: (outcome) => {
        options.closed(outcome)
        void this.#settle(outcome)
      },
      convicted: (evidence) => options.convicted(evidence),
      epoch: (roster) => {
        options.epoch?.(roster)
        // An input that waited outside is due with the first round inside.
        if (this.#contributions.length > 0) void this.member.want().catch(refused)
      }
    })
  }

  async start(): Promise<void> {
    await this.#streams.start()
    this.#announcements.start()
    await this.participant.start()
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error('the service has stopped'))
    await this.participant.stop()
    this.#announcements.stop()
    await this.#streams.stop()
    for (const { settle } of this.#contributions.splice(0))
      settle.reject(
        new RoundError('STOPPED', 'the service was stopped before the vector was in a sum', this.member.closedRound + 1)
      )
  }

  /** What this peer is in the epoch in effect; outside the roster it only follows. */
  get member(): Member {
    return this.participant.member
  }

  /** Whether this peer has a reason to be connected: it is a member, now or soon, or may ask to become one. */
  expects(peer: string): boolean {
    if (this.participant.expects(peer)) return true
    if (!this.participant.isOpen) return false
    // Anybody may come to be vouched for, a few at a time.
    const connected = new Set(this.#connections().map(({ remotePeer }) => remotePeer.toString()))
    const strangers = [...connected].filter((id) => id !== peer && !this.participant.expects(id))
    return strangers.length < MOST_STRANGERS
  }

  get traffic(): { sent: number; received: number } {
    return this.#streams.traffic
  }

  /** Peer ids of the connected members that listen to this task. */
  subscribers(): string[] {
    return this.#announcements.subscribers()
  }

  onRound(handler: RoundHandler): void {
    this.#handler = handler
  }

  /**
   * Hands a vector over for the next round that takes it; asks for a round if none is running.
   *
   * @throws InputError at once; RoundError BURNED where the round ended without a sum after the vector had been masked
   */
  async contribute(input: Input, signal?: AbortSignal): Promise<Sum> {
    signal?.throwIfAborted()
    // Refused at the border; the round encodes it, because masks are laid in place.
    await createEncoder(this.member.task, 0).check(input.vector, { weight: input.weight })
    const contribution: Contribution = { ...input, settle: Promise.withResolvers<Sum>() }
    const abandon = (): void => {
      const place = this.#contributions.indexOf(contribution)
      if (place >= 0 && contribution.round === undefined) this.#contributions.splice(place, 1)
      contribution.settle.reject(signal!.reason as Error)
    }
    signal?.addEventListener('abort', abandon, { once: true })
    this.#contributions.push(contribution)
    this.#arrived.resolve()
    this.#arrived = Promise.withResolvers<void>()
    await this.member.want()
    return contribution.settle.promise.finally(() => signal?.removeEventListener('abort', abandon))
  }

  /** The sum of a round that this member has. @throws RoundError where it has none */
  async sum({ round, epoch, sum, included, decision }: RoundOutcome): Promise<Sum> {
    if (sum === undefined) throw new RoundError('NOT_INCLUDED', `there is no sum of round ${round} here`, round)
    const terms = this.participant.terms(epoch)
    const { laneCount, bits } = terms
    const lanes = createLanes(bits, laneCount)
    let offset = 0
    const chunkBytes = 8 * packedLength(CHUNK_ELEMENTS, bits)
    for await (const chunk of this.#options.vectors.read(sum, { chunkBytes }))
      offset += unpackAdd(chunk, bits, lanes, offset)
    const decoded = await createEncoder(terms, round).decode(lanes, included.length)
    const { values, totalWeight, clippedFraction } = decoded
    return {
      round,
      values,
      get mean() {
        return decoded.mean
      },
      totalWeight,
      clippedFraction,
      included: included.map((index) => terms.members[index]),
      decision
    }
  }

  async #input(round: number, signal: AbortSignal, terms: Task): Promise<RoundInput | undefined> {
    const input = await this.#chosen(round, signal)
    if (input === undefined) return undefined
    return { lanes: async () => (await createEncoder(terms, round).encode(input.vector, { weight: input.weight })).lanes }
  }

  async #chosen(round: number, signal: AbortSignal): Promise<Input | undefined> {
    if (this.#handler !== undefined) return this.#handler({ round, signal })
    const late = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
    for (;;) {
      const waiting = this.#contributions.find((contribution) => contribution.round === undefined)
      if (waiting !== undefined) {
        waiting.round = round
        return waiting
      }
      if (signal.aborted) return undefined
      await Promise.race([this.#arrived.promise, late])
    }
  }

  /** Tells whoever contributed what became of it; what was never opened stays for the next round. */
  async #settle(outcome: RoundOutcome): Promise<void> {
    const place = this.#contributions.findIndex(({ round }) => round === outcome.round)
    const contribution = this.#contributions[place]
    if (contribution !== undefined) {
      if (outcome.input === 'summed') {
        this.#contributions.splice(place, 1)
        await this.sum(outcome).then(contribution.settle.resolve, contribution.settle.reject)
      } else if (outcome.input === 'burned') {
        this.#contributions.splice(place, 1)
        const why =
          outcome.status === 'summed'
            ? 'was summed, and its sum cannot be had'
            : `was burned (${outcome.reason ?? 'no reason given'})`
        const sentence = `round ${outcome.round} ${why}; contributing the same values again can reveal a difference`
        contribution.settle.reject(new RoundError('BURNED', sentence, outcome.round))
      } else {
        contribution.round = undefined
      }
    }
    if (this.#contributions.length > 0 && !this.#stop.signal.aborted) await this.member.want()
  }
}
