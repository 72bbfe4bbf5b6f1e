import { agreeAll } from '../crypto/key-agreement.ts'
import type { Agreements } from '../crypto/key-agreement.ts'
import { addMasks } from '../crypto/mask-stream.ts'
import type { Lanes, Mask, MaskOptions } from '../crypto/mask-stream.ts'
import type { Secret } from '../crypto/secret.ts'
import type { AnyMessage } from './messages.ts'

/** What a round needs of the world. Nothing in this layer knows sockets, files or timers: they come in through here. */

export interface Clock {
  /** Milliseconds of a clock that never goes back. */
  now(): number
  /** Rejects with the signal's reason when it is aborted first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /** Lets everything else run that is due; called between slices of long computations. */
  pause(): Promise<void>
}

export type Random = (length: number) => Uint8Array

/** Signs with this member's libp2p identity key (Ed25519). */
export type Sign = (bytes: Uint8Array) => Uint8Array | Promise<Uint8Array>

/** Where keys are agreed on and masks are laid on vectors: here, or in other threads. */
export interface Compute {
  /**
   * As `addMasks` of the mask stream, bit for bit. Where it fails, the lanes are useless and nothing of them has left.
   * @internal
   */
  addMasks(lanes: Lanes, masks: Mask[], options?: MaskOptions): Promise<void>
  /**
   * As `agreeAll` of the key agreement.
   * @internal
   */
  agree(members: Agreements[], pause?: () => Promise<void>): Promise<Secret[][]>
  /** Ends the threads, where there are any; what comes later starts them again. */
  close?(): Promise<void>
}

/** On the thread that asks, in slices. */
export const onThisThread: Compute = { addMasks, agree: agreeAll }

/** One frame of a conversation: a control message, or a piece of a vector. */
export interface Frame {
  kind: 'control' | 'data'
  payload: Uint8Array
}

/** Both ends of one long-lived stream between a member and a leader. Back-pressure works both ways. */
export interface Channel {
  source: AsyncIterable<Frame>
  sink(source: AsyncIterable<Frame>): Promise<void>
  abort(reason: Error): void
}

/** Largest message that is gossiped; a larger one goes by stream (§4). */
export const MAX_GOSSIP_BYTES = 64 * 1024

/** How this member reaches the others; members are named by roster index. */
export interface Network {
  /** Opens the conversation with a leader; rejects where it cannot be reached now. */
  converse(leader: number, signal: AbortSignal): Promise<Channel>
  /** One small message to one member, directly; rejects where no direct connection can be made. */
  deliver(to: number, message: Uint8Array, signal: AbortSignal): Promise<void>
  /** One request to one peer, by its id, answered by frames; both end with the signal. */
  ask(peer: string, request: Uint8Array, signal: AbortSignal): Promise<AsyncIterable<Frame>>
  /** Gossip: reaches everyone in the end, or nobody. At most {@link MAX_GOSSIP_BYTES}. */
  announce(message: Uint8Array): void
}

/**
 * The phases of a round in their order (§4): keys are advertised, shares of them delivered, vectors masked and sent, the
 * members agree on whose are summed, masks are opened, the sum is published, and the round is closed.
 */
export type Phase = 'keys' | 'shares' | 'mask' | 'agree' | 'unmask' | 'sum' | 'close'

/** What an observer of this member's rounds may see; none of it is secret from this member, none of it leaves by itself. */
export interface Observer {
  /** Called before the first message of a phase leaves (or, sending none, is acted upon); the round waits for it. */
  phase?(phase: Phase, round: number, leading: boolean): Promise<void> | void
  /** A message was refused, and whose fault it is. */
  refused?(error: Error, message?: AnyMessage): void
  /** As the aggregator: a masked vector arrived whole and matches its header. */
  received?(round: number, member: number, name: string): void
  /** This member's vector has been masked: encoded lanes in, packed vector and root out, in so many milliseconds. */
  masked?(round: number, elapsedMs: number): void
  /** A new view has begun, and why the last one ended. */
  view?(round: number, view: number, why: string): void
}
