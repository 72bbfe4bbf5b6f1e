import { decodeMessage } from '../../../src/round/messages.ts'
import type { AnyMessage, MessageType, RoundContext } from '../../../src/round/messages.ts'
import type { Frame } from '../../../src/round/ports.ts'
import { below, pick } from '../chance.ts'
import { Adversary, eachFrame, said, without } from './adversary.ts'
import type { Tamper } from './adversary.ts'

/** Members, or aggregators, that wear the others out. */

/** Sends its vector byte by byte, and all else as late as it may. */
export class StallsByteByByte extends Adversary {
  override toLeader(): Tamper {
    return this.#stalled(300)
  }

  /** As a leader it keeps just within each deadline that it knows of. */
  override toMember(): Tamper {
    return this.#stalled(2000)
  }

  #stalled(ms: number): Tamper {
    const { clock } = this.self
    return async function* (frames) {
      for await (const frame of frames) {
        if (frame.kind === 'control') {
          await clock.sleep(ms)
          yield frame
          continue
        }
        for (const byte of frame.payload) {
          await clock.sleep(ms)
          yield { kind: 'data', payload: Uint8Array.of(byte) }
        }
      }
    }
  }
}

/** Takes every request, answers none, and hangs up on nobody that waits. */
export class AnswersNothing extends Adversary {
  override answers(): AsyncIterable<Frame> {
    return { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => {}) }) }
  }
}

/** Leads to some point and no further, and says its last word there again and again, as if the next would come. */
export class Lingers extends Adversary {
  override readonly holdsOn = true
  last: MessageType = pick(
    ['RoundPlan', 'KeyBook', 'MaskingSet', 'VectorRequest', 'Proposal', 'Lock', 'Decision'],
    this.self.chance
  )

  override toMember(): Tamper {
    const { clock } = this.self
    return eachFrame(
      async function* (this: Lingers, message: AnyMessage | undefined, frame: Frame) {
        yield frame
        while (message?.type === this.last) {
          await clock.sleep(1000)
          yield frame
        }
      }.bind(this)
    )
  }

  /** Its own code gives up, and would say so to all and to whoever leads next. */
  override toLeader(): Tamper {
    return without(({ type, body }) => type === 'Join' && body.view > 0)
  }

  override announcements(message: Uint8Array): Uint8Array[] {
    return decodeMessage(message).type === 'ViewChange' ? [] : [message]
  }
}

/** Says everything many times, to everyone, with changes to views and wants of rounds that nobody is in. */
export class Floods extends Adversary {
  override toLeader(): Tamper {
    // What comes right behind a Vector is its pieces: said twice, it breaks its own stream.
    return eachFrame((message, frame) =>
      message === undefined || message.type === 'Vector' ? [frame] : Array<Frame>(5).fill(frame)
    )
  }

  override deliveries(message: Uint8Array): Uint8Array[] {
    return [...Array<Uint8Array>(5).fill(message), ...this.#changes(decodeMessage(message))]
  }

  override announcements(encoded: Uint8Array): Uint8Array[] {
    const { me, plot, chance } = this.self
    const message = decodeMessage(encoded)
    const later = { ...message, round: message.round + 1 + below(5, chance) }
    return [encoded, encoded, said('Want', later, me, {}, plot).payload, ...this.#changes(message)]
  }

  /** To views that nobody is in. */
  #changes(context: RoundContext): Uint8Array[] {
    const { me, plot, chance } = this.self
    return Array.from(
      { length: 4 },
      () => said('ViewChange', context, me, { view: 1 + below(60_000, chance), locks: [] }, plot).payload
    )
  }
}
