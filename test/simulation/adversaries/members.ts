import { encodeEvidence } from '../../../src/round/evidence.ts'
import { decodeMessage, encodeMessage, signedBytes } from '../../../src/round/messages.ts'
import type { AnyMessage, MessageType } from '../../../src/round/messages.ts'
import type { Frame } from '../../../src/round/ports.ts'
import { below, pick } from '../chance.ts'
import { Adversary, control, eachFrame, insteadOf, said } from './adversary.ts'
import type { Tamper } from './adversary.ts'

/** Members that break their part. */

/** Deals shares that cannot be opened, to all or to a few; or commits to another seed than it deals. */
export class BadShares extends Adversary {
  readonly #how = pick(['all', 'some', 'commitment'] as const, this.self.chance)

  /** Whether the shares that it deals can be opened, and open another seed than it committed to. */
  get dealsAnother(): boolean {
    return this.#how === 'commitment'
  }

  override deliveries(message: Uint8Array, to: number): Uint8Array[] {
    if (this.#how === 'commitment' || (this.#how === 'some' && to !== this.honest[0])) return [message]
    return [this.#spoilt(message)]
  }

  override toLeader(): Tamper {
    return eachFrame((message, frame) => {
      if (message?.type === 'ShareDelivery' && this.#how === 'all') return [control(this.#spoilt(frame.payload))]
      if (message?.type !== 'KeyAdvert' || this.#how !== 'commitment') return [frame]
      return [this.resaid(message, { seedCommitment: new Uint8Array(32).fill(7) })]
    })
  }

  #spoilt(encoded: Uint8Array): Uint8Array {
    const delivery = decodeMessage(encoded)
    if (delivery.type !== 'ShareDelivery') return encoded
    const sealed = delivery.body.sealed.map((byte, at) => (at === 40 ? byte ^ 1 : byte))
    return this.resaid(delivery, { sealed }).payload
  }
}

/** Never says one kind of thing: an advert, an acknowledgement, a vector, a vote, a reveal, or shares. */
export class Withholds extends Adversary {
  readonly #what: MessageType = pick(
    ['KeyAdvert', 'Ready', 'MaskedHeader', 'Vector', 'Prepare', 'Commit', 'Reveal', 'ShareDelivery', 'CustodyReceipt'],
    this.self.chance
  )

  override toLeader(): Tamper {
    let dropping = false
    return eachFrame((message, frame) => {
      if (message !== undefined) dropping = message.type === this.#what
      return dropping ? [] : [frame]
    })
  }

  override deliveries(message: Uint8Array): Uint8Array[] {
    return this.#what === 'ShareDelivery' ? [] : [message]
  }
}

/** Says something broken in the place of one kind of message. */
export class SendsGarbage extends Adversary {
  readonly #what: MessageType = pick(
    ['KeyAdvert', 'Ready', 'MaskedHeader', 'Vector', 'Prepare', 'Commit', 'Reveal', 'Join'],
    this.self.chance
  )

  override toLeader(): Tamper {
    return eachFrame((message, frame) => (message?.type === this.#what ? [this.#garbage(message, frame)] : [frame]))
  }

  override deliveries(message: Uint8Array): Uint8Array[] {
    return this.self.chance() < 0.5 ? [message] : [message.slice(0, -1)]
  }

  #garbage(message: AnyMessage, { payload }: Frame): Frame {
    const { chance } = this.self
    const flipped = () => {
      const at = below(payload.length, chance)
      return payload.with(at, payload[at] ^ (1 << below(8, chance)))
    }
    return pick<() => Frame>(
      [
        () => control(flipped()),
        () => control(payload.slice(0, below(payload.length, chance))),
        () => ({ kind: 'data', payload }),
        () => control(Uint8Array.from({ length: 100 }, () => below(256, chance))),
        () => control(message.encoded.slice(1))
      ],
      chance
    )()
  }
}

/** Votes twice in a view, for two values. */
export class DoubleVotes extends Adversary {
  override toLeader(): Tamper {
    const twice = insteadOf('Prepare', (vote, frame) => [frame, this.resaid(vote, { value: new Uint8Array(32) })])
    const again = insteadOf('Commit', (vote, frame) => [this.resaid(vote, { value: new Uint8Array(32) }), frame])
    return (frames, to) => again(twice(frames, to), to)
  }
}

/** Brings evidence against honest members: statements that they never made, or made and do not contradict each other. */
export class Slanders extends Adversary {
  override deliveries(message: Uint8Array): Uint8Array[] {
    return [message, this.#slander(decodeMessage(message))]
  }

  override announcements(encoded: Uint8Array): Uint8Array[] {
    const message = decodeMessage(encoded)
    const own = message.from === this.self.me
    return [encoded, this.#slander(message), ...(own ? [] : [this.#slander(message, [encoded, encoded])])]
  }

  #slander(context: AnyMessage, heard?: Uint8Array[]): Uint8Array {
    const { me, plot, chance } = this.self
    const culprit = heard === undefined ? pick(this.honest, chance) : context.from
    const { task, epoch, round } = context
    const advert = (byte: number): Uint8Array => {
      const key = new Uint8Array(32).fill(byte)
      const body = { attemptId: key, contributes: true, maskKey: key, sealKey: key, seedCommitment: key }
      const signature = plot.sign(me, signedBytes('KeyAdvert', context, body))
      return encodeMessage('KeyAdvert', context, culprit, body, signature).encoded
    }
    const statements = heard ?? [advert(1 + below(100, chance)), advert(101 + below(100, chance))]
    const evidence = encodeEvidence({ kind: 'double-statement', culprit, task, epoch, round, statements })
    return said('Evidence', context, me, { evidence }, plot).payload
  }
}
