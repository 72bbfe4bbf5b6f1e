import type { AbortOptions } from '@libp2p/interface'
import { CustomProgressEvent } from 'progress-events'
import type { ProgressEvent, ProgressOptions } from 'progress-events'
import type { Vector } from '../encoding/encoder.ts'
import type { RoundError } from '../errors.ts'
import type { Phase } from '../round/ports.ts'

/** What an application adds to the sum of a round. */
export interface Input {
  /** `task.length` elements: finite numbers for fixed point, whole numbers from `min` to `max` for integer tasks. */
  vector: Vector
  /** A whole number from 1 to the task's largest weight; weighted tasks only. */
  weight?: number
  /** Of an answer to a round: told when it cannot go into a sum after all (PRIVACY_BUDGET). Nothing of it has left. */
  refused?: (error: RoundError) => void
}

/** An input whose vector may lie elsewhere until it is needed. */
export interface LazyInput extends Omit<Input, 'vector'> {
  /** The vector, or what reads it anew each time: then its memory is taken, and given back as soon as it is encoded. */
  vector: Vector | (() => Promise<Exclude<Vector, readonly number[]>>)
}

/** The sum of a round, as a member has it: what the masks leave, decoded. */
export interface Sum {
  /** The number of the round, from 1. */
  round: number
  /** `task.length` elements, in units of the inputs: a Float64Array, or a BigInt64Array for integer tasks. */
  values: Float64Array | BigInt64Array
  /** `values` over the total weight. */
  mean: Float64Array
  /** The sum of the included weights; without weights the number of included members. */
  totalWeight: number
  /** Which part of the included elements lay beyond the clip, from 0 to 1 (fixed point only). */
  clippedFraction?: number
  /** Peer ids of the members whose input is in the sum. */
  included: string[]
  /** Where the task has groups: the sum of each, which together are this one. */
  groups?: Array<Pick<Sum, 'values' | 'mean' | 'totalWeight' | 'clippedFraction' | 'included'>>
  /** Where the task has groups: the mean over the groups' means that leaves the largest and smallest out, by element. */
  trimmedMean?: Float64Array
  /** Where the task has privacy: what this member's vectors may have given away in all rounds so far, and in this one alone. */
  privacy?: { epsilon: number; delta: number; releases: number; epsilonOfRound: number }
  /** How many of the sum's chunks this node recomputed itself, of how many; the aggregator all, as it made the sum. */
  audit: { chunks: number; of: number }
  /** The decision that closed the round, signed by a quorum (protocol, §6); empty while the sum is provisional. */
  decision: Uint8Array
}

/** What becomes of a vector while its promise is pending. */
export type ContributeProgress =
  /** A round has taken it. */
  | ProgressEvent<'secagg:taken', { round: number }>
  /** That round has come to a phase. From `mask` on the vector may be in the sum, whatever is called off. */
  | ProgressEvent<'secagg:phase', { round: number; phase: Phase }>
  /** That round has ended without it, and nothing of it was opened: it waits for the next one. */
  | ProgressEvent<'secagg:again', { round: number }>

/** Of `contribute`. There is no deadline of its own: rounds come when members ask for them. */
export interface ContributeOptions extends AbortOptions, ProgressOptions<ContributeProgress> {
  /** A whole number from 1 to the task's largest weight; weighted tasks only. */
  weight?: number
}

/** One vector that was handed over, and who waits for what becomes of it. */
export interface Contribution extends Input {
  /** The round that has taken it. */
  round?: number
  /** That round has come to where it may leave. */
  masked?: boolean
  signal?: AbortSignal
  tell: (type: ContributeProgress['type'], detail: ContributeProgress['detail']) => void
  resolve: (sum: Sum) => void
  reject: (error: Error) => void
}

/** The vectors of one task that wait for a round, or for the end of theirs; first come, first served. */
export class Contributions {
  readonly #all: Contribution[] = []
  readonly #arrivals = new EventTarget()

  get size(): number {
    return this.#all.length
  }

  /** Resolves or rejects once `resolve` or `reject` is called; aborted before, it is taken back. */
  add(input: Input, { signal, onProgress }: ContributeOptions): Promise<Sum> {
    const { promise, resolve, reject } = Promise.withResolvers<Sum>()
    const tell: Contribution['tell'] = (type, detail) =>
      onProgress?.(new CustomProgressEvent(type, detail) as unknown as ContributeProgress)
    const one: Contribution = { ...input, signal, tell, resolve, reject }
    const takeBack = (): void => {
      this.remove(one)
      reject(signal!.reason as Error)
    }
    signal?.addEventListener('abort', takeBack, { once: true })
    this.#all.push(one)
    this.#arrivals.dispatchEvent(new Event('arrival'))
    return promise.finally(() => signal?.removeEventListener('abort', takeBack))
  }

  /** Gives the first that waits to a round. */
  take(round: number): Contribution | undefined {
    const one = this.#all.find((waiting) => waiting.round === undefined)
    if (one !== undefined) one.round = round
    return one
  }

  /** The same, and waits for one as long as the signal lets it. */
  async takeNext(round: number, signal: AbortSignal): Promise<Contribution | undefined> {
    for (;;) {
      const one = this.take(round)
      if (one !== undefined || signal.aborted) return one
      await new Promise<void>((resolve) => {
        const go = (): void => {
          this.#arrivals.removeEventListener('arrival', go)
          signal.removeEventListener('abort', go)
          resolve()
        }
        this.#arrivals.addEventListener('arrival', go)
        signal.addEventListener('abort', go)
      })
    }
  }

  of(round: number): Contribution | undefined {
    return this.#all.find((one) => one.round === round)
  }

  remove(one: Contribution): void {
    const place = this.#all.indexOf(one)
    if (place >= 0) this.#all.splice(place, 1)
  }

  /** No round will take what waits. */
  rejectWaiting(error: Error): void {
    for (const one of this.#all.filter(({ round }) => round === undefined)) {
      this.remove(one)
      one.reject(error)
    }
  }

  /** Nothing more will be known of any vector. */
  rejectAll(why: (one: Contribution) => Error): void {
    for (const one of this.#all.splice(0)) one.reject(why(one))
  }
}
