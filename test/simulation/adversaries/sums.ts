import { encodeSet } from '../../../src/membership/member-set.ts'
import type { AnyMessage, MessageType } from '../../../src/round/messages.ts'
import type { Frame } from '../../../src/round/ports.ts'
import { Adversary, control, eachFrame, said, without } from './adversary.ts'
import type { Tamper } from './adversary.ts'

/** Aggregators that misuse what is opened after the cut. */

/** Keeps the sum for itself, or shows it to half of the members. */
export class WithholdsSum extends Adversary {
  readonly #fromAll: boolean = this.self.chance() < 0.5

  override toMember(member: number): Tamper {
    const withheld = this.#fromAll || this.honest.indexOf(member) % 2 === 1
    return without(({ type }) => type === 'SumHeader' && withheld)
  }
}

/**
 * Calls a victim dropped, so that shares of its mask key are revealed, and then asks for shares of everyone's seed: with
 * both, and the vector that it received, it would have the victim's input.
 */
export class AsksBothSides extends Adversary {
  get victim(): number {
    return this.honest[0]
  }

  override fromMember(member: number): Tamper {
    return without(({ type }) => type === 'MaskedHeader' && member === this.victim)
  }

  override toMember(): Tamper {
    const { roster, me, plot } = this.self
    const everyone = encodeSet(
      roster.members.map(({ index }) => index),
      roster.members.length
    )
    let cut: { attemptId: Uint8Array; cutHash: Uint8Array } | undefined
    return eachFrame((message, frame) => {
      if (message?.type === 'Proposal' && message.body.cut !== null && message.body.value.kind === 'cut')
        cut = { attemptId: message.body.cut.attemptId, cutHash: message.body.value.cutHash }
      if (message?.type !== 'Decision' || cut === undefined || message.body.commits.agreement === 'closing')
        return [frame]
      return [frame, said('RevealRequest', message, me, { ...cut, silent: everyone }, plot)]
    })
  }
}

/** Says again in a round what was said in an earlier one, by itself or by the leaders that it heard. */
export class ReplaysOldRound extends Adversary {
  readonly #old = new Map<MessageType, AnyMessage>()

  override fromLeader(): Tamper {
    return eachFrame((message, frame) => {
      if (message !== undefined) this.#note(message)
      return [frame]
    })
  }

  override toMember(): Tamper {
    return this.#replays()
  }

  override toLeader(): Tamper {
    return this.#replays()
  }

  #replays(): Tamper {
    return eachFrame((message, frame): Frame[] => {
      // With an old Join nobody would listen to the rest.
      if (message === undefined || message.type === 'Join') return [frame]
      const old = this.#old.get(message.type)
      this.#note(message)
      return old !== undefined && old.round < message.round ? [control(old.encoded)] : [frame]
    })
  }

  /** The first of each type: from then on it is old. */
  #note(message: AnyMessage): void {
    if (!this.#old.has(message.type)) this.#old.set(message.type, message)
  }
}
