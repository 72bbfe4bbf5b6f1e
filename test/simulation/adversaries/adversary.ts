import type { Chance } from '../chance.ts'
import { decodeMessage, encodeMessage, isSigned, signedBytes } from '../../../src/round/messages.ts'
import type { AnyMessage, Body, Message, MessageType, RoundContext } from '../../../src/round/messages.ts'
import type { Clock, Frame } from '../../../src/round/ports.ts'
import type { Roster } from '../../../src/membership/roster.ts'
import type { VectorShape } from '../../../src/round/vectors.ts'
import type { Thresholds } from '../../../src/task/thresholds.ts'

/** What a corrupt member makes of the frames that go one way in a conversation; where it ends, it hangs up. */
export type Tamper = (frames: AsyncIterable<Frame>, to: number) => AsyncIterable<Frame>

/** All corrupt members of a run: they know of each other, and each may sign for all. */
export interface Plot {
  members: number[]
  sign(member: number, bytes: Uint8Array): Uint8Array
  /** Votes for what only a few were shown, by view and value: see SplitsTheVote. */
  votes: Map<string, Map<number, Uint8Array>>
}

/** What a corrupt member knows. It runs the real code, and lies in what goes in and out of it. */
export interface Corrupt {
  me: number
  roster: Roster
  thresholds: Thresholds
  /** Of a sum. */
  shape: VectorShape
  clock: Clock
  chance: Chance
  plot: Plot
  /** The packed sum that its own code publishes with a header, for it to change. */
  published: (header: Message<'SumHeader'>) => Promise<Uint8Array>
}

/** A class of behaviour that a simulation can hand to any member. Whatever it does not override is honest. */
export abstract class Adversary {
  protected readonly self: Corrupt

  constructor(self: Corrupt) {
    this.self = self
  }

  /** It ends no conversation, whatever its own code thinks of it: the others do, or a tamper that is done. */
  readonly holdsOn: boolean = false

  /** As a member: what it says to a leader, and what it hears of one. */
  toLeader?(leader: number): Tamper
  fromLeader?(leader: number): Tamper

  /** As a leader: what it says to a member, and what it hears of one. */
  toMember?(member: number): Tamper
  fromMember?(member: number): Tamper

  /** In the place of what it would answer to a request. */
  answers?(frames: AsyncIterable<Frame>, request: AnyMessage): AsyncIterable<Frame>

  /** In the place of a share that it would deliver directly. */
  deliveries?(message: Uint8Array, to: number): Uint8Array[]

  /** In the place of what it would gossip. */
  announcements?(message: Uint8Array): Uint8Array[]

  /** Honest members, as far as it knows. */
  protected get honest(): number[] {
    const { roster, plot } = this.self
    return roster.members.map(({ index }) => index).filter((member) => !plot.members.includes(member))
  }

  /** One of its own messages with another body, signed anew. */
  protected resaid<T extends MessageType>(original: Message<T>, change: Partial<Body<T>>): Frame {
    return said(original.type, original, this.self.me, { ...original.body, ...change }, this.self.plot)
  }
}

export const control = (payload: Uint8Array): Frame => ({ kind: 'control', payload })

/** A message as corrupt member `from` signs it. */
export function said<T extends MessageType>(
  type: T,
  context: RoundContext,
  from: number,
  body: Body<T>,
  plot: Pick<Plot, 'sign'>
): Frame {
  const signature = isSigned(type) ? plot.sign(from, signedBytes(type, context, body)) : undefined
  return control(encodeMessage(type, context, from, body, signature).encoded)
}

/** Frame by frame; a message comes decoded. What is given in its place may be nothing, or more. */
export function eachFrame(
  say: (message: AnyMessage | undefined, frame: Frame) => Iterable<Frame> | AsyncIterable<Frame>
): Tamper {
  return async function* (frames) {
    for await (const frame of frames) yield* say(messageIn(frame), frame)
  }
}

/** Says all that an honest member would, but something else in the place of one type of message. */
export function insteadOf<T extends MessageType>(type: T, say: (message: Message<T>, frame: Frame) => Frame[]): Tamper {
  return eachFrame((message, frame) => (message?.type === type ? say(message as Message<T>, frame) : [frame]))
}

/** Neither these messages nor the vectors behind them. */
export function without(isUnwanted: (message: AnyMessage) => boolean): Tamper {
  return (frames, to) => {
    let dropping = false
    return eachFrame((message, frame) => {
      if (message !== undefined) dropping = isUnwanted(message)
      return dropping ? [] : [frame]
    })(frames, to)
  }
}

/** What is heard may be garbage as well. */
function messageIn(frame: Frame): AnyMessage | undefined {
  if (frame.kind !== 'control') return undefined
  try {
    return decodeMessage(frame.payload)
  } catch {
    return undefined
  }
}
