import { decodeMessage } from '../../../src/round/messages.ts'
import type { RoundContext } from '../../../src/round/messages.ts'
import type { Frame } from '../../../src/round/ports.ts'
import { below } from '../chance.ts'
import { Adversary, eachFrame, said } from './adversary.ts'
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
