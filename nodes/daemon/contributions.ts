import { randomUUID } from 'node:crypto'
import { RoundError, SecureAggregationError } from '../../src/errors.ts'
import type { Input } from '../../src/network/contributions.ts'
import type { RoundOutcome } from '../../src/round/outcome.ts'

/** Ended contributions whose fate can still be asked for. */
const REMEMBERED = 64

/** A vector that was handed over through the API, as its owner may ask for it: never with its values. */
export interface Contribution {
  readonly id: string
  /** The round that it is for, or was in; one that was not included goes on to the next, unless its round was named. */
  readonly round: number
  readonly status: 'waiting' | 'taken' | 'withdrawn' | 'summed' | 'not included' | 'burned'
}

interface Held {
  id: string
  round: number
  status: Contribution['status']
  /** Where the round was named, the vector goes into that one or none. */
  named: boolean
  input?: Input
  ended: PromiseWithResolvers<number>
}

/** Where the rounds stand. */
export interface Standing {
  closedRound: number
  runningRound?: number
}

/** The vectors that wait for a round or are in one: at most one a round. */
export class Contributions {
  readonly #standing: () => Standing
  readonly #held = new Map<number, Held>()
  readonly #all = new Map<string, Held>()
  /** The round that has been answered with no input: it takes none any more. */
  #passed = 0
  #arrived = Promise.withResolvers<void>()

  constructor(standing: () => Standing) {
    this.#standing = standing
  }

  get waiting(): boolean {
    return [...this.#held.values()].some(({ status }) => status === 'waiting')
  }

  get(id: string): Contribution | undefined {
    const held = this.#all.get(id)
    return held && told(held)
  }

  /**
   * The round that a contribution made now would be for: the running one if it still takes an input, else the next.
   * Throws SecureAggregationError ALREADY_CONTRIBUTED, ROUND_OVER, ROUND_NOT_OPEN.
   */
  roundFor(named?: number): number {
    this.#carryMissed()
    const { closedRound, runningRound } = this.#standing()
    const next = (runningRound ?? closedRound) + 1
    const first = runningRound !== undefined && runningRound > this.#passed ? runningRound : next
    const round = named ?? first
    const held = this.#held.get(round)
    if (held !== undefined) {
      const sentence = `round ${round} already has a contribution of this node (${held.id}); wait until it is closed`
      throw new SecureAggregationError('ALREADY_CONTRIBUTED', sentence)
    }
    if (round <= closedRound) throw new SecureAggregationError('ROUND_OVER', `round ${round} is over; take ${first}`)
    if (round < first)
      throw new SecureAggregationError('ROUND_OVER', `round ${round} takes no more inputs; take ${first}`)
    if (round > next) throw new SecureAggregationError('ROUND_NOT_OPEN', `round ${round} is not next; take ${next}`)
    return round
  }

  /**
   * Holds an input for a round. `ended` resolves with the round that summed it, and rejects with RoundError BURNED or
   * NOT_INCLUDED, or with the signal's reason; a vector that no round has taken is forgotten then.
   */
  add(input: Input, named?: number, signal?: AbortSignal): { contribution: Contribution; ended: Promise<number> } {
    signal?.throwIfAborted()
    const round = this.roundFor(named)
    const ended = Promise.withResolvers<number>()
    const held: Held = { id: randomUUID(), round, status: 'waiting', named: named !== undefined, input, ended }
    // Whoever does not wait for the end asks for it by id.
    ended.promise.catch(() => {})
    this.#held.set(round, held)
    this.#all.set(held.id, held)
    const abandon = (): void => this.#withdraw(held, signal!.reason)
    signal?.addEventListener('abort', abandon, { once: true })
    this.#arrived.resolve()
    this.#arrived = Promise.withResolvers<void>()
    return {
      contribution: told(held),
      ended: ended.promise.finally(() => signal?.removeEventListener('abort', abandon))
    }
  }

  /** The input for a round that has opened; waits for one as long as the signal lets it. */
  async take(round: number, signal: AbortSignal): Promise<Input | undefined> {
    this.#carryMissed()
    const late = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
    for (;;) {
      const held = this.#held.get(round)
      if (held !== undefined) {
        held.status = 'taken'
        return held.input
      }
      if (signal.aborted) {
        this.#passed = round
        return undefined
      }
      await Promise.race([this.#arrived.promise, late])
    }
  }

  /** Tells what became of the inputs of a round; one that was never opened waits for a later round. */
  closed(outcome: RoundOutcome): void {
    const due = [...this.#held.values()].filter(({ round }) => round <= outcome.round)
    for (const held of due) {
      this.#held.delete(held.round)
      const fate = held.status === 'taken' && held.round === outcome.round ? outcome.input : 'not included'
      if (fate === 'summed') {
        this.#end(held, fate)
        held.ended.resolve(outcome.round)
      } else if (fate === 'not included') this.#carryOver(held)
      else {
        this.#end(held, 'burned')
        held.ended.reject(burned(outcome))
      }
    }
  }

  /** Nothing more will become of what waits. */
  stop(): void {
    for (const held of this.#held.values()) {
      const sentence = 'the node was stopped before the round of the vector was closed'
      held.ended.reject(new RoundError('STOPPED', sentence, held.round))
      held.input = undefined
    }
    this.#held.clear()
  }

  /** Rounds that were closed while this node was away are not told one by one. */
  #carryMissed(): void {
    const { closedRound } = this.#standing()
    for (const held of [...this.#held.values()]) {
      if (held.status !== 'waiting' || held.round > closedRound) continue
      this.#held.delete(held.round)
      this.#carryOver(held)
    }
  }

  #carryOver(held: Held): void {
    if (held.named) {
      this.#end(held, 'not included')
      const sentence = `the vector was not included in round ${held.round}, and nothing of it was opened; contribute it again`
      return held.ended.reject(new RoundError('NOT_INCLUDED', sentence, held.round))
    }
    held.status = 'waiting'
    do held.round++
    while (held.round <= this.#standing().closedRound || this.#held.has(held.round))
    this.#held.set(held.round, held)
  }

  #withdraw(held: Held, reason: unknown): void {
    if (held.status === 'waiting') {
      this.#held.delete(held.round)
      this.#end(held, 'withdrawn')
    }
    held.ended.reject(reason)
  }

  #end(held: Held, status: Contribution['status']): void {
    held.status = status
    held.input = undefined
    const ended = [...this.#all.values()].filter(({ input }) => input === undefined)
    for (const { id } of ended.slice(0, -REMEMBERED)) this.#all.delete(id)
  }
}

const told = ({ id, round, status }: Held): Contribution => ({ id, round, status })

function burned({ round, status, reason }: RoundOutcome): RoundError {
  const why =
    status === 'summed' ? 'was summed, and its sum cannot be had' : `was burned (${reason ?? 'no reason given'})`
  const sentence = `round ${round} ${why}; contributing the same values again can reveal a difference`
  return new RoundError('BURNED', sentence, round)
}
