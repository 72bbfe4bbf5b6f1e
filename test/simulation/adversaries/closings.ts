import type { Body } from '../../../src/round/messages.ts'
import { pick } from '../chance.ts'
import { Adversary, insteadOf } from './adversary.ts'
import type { Tamper } from './adversary.ts'

/** Aggregators that lie about how the round ends. */

type Closing = Body<'Proposal'>

const another = new Uint8Array(32).fill(7)
const lies: Array<(closing: Closing) => Partial<Closing>> = [
  ({ value }) => ({ value: { ...value, beacon: another } as Closing['value'] }),
  ({ value }) => ({ value: { ...value, deckHash: another } as Closing['value'] }),
  ({ value }) => ({ value: { ...value, rosterHash: another } as Closing['value'] }),
  ({ value }) => ({ value: { ...value, cutHash: another } as Closing['value'] }),
  ({ value }) => {
    if (value.kind !== 'summed') return {}
    const { cutHash: _, ...next } = value
    return { value: { ...next, kind: 'burned' }, lock: null, reason: 'so' }
  },
  () => ({ lock: null }),
  ({ lock }) => ({ lock: lock && { ...lock, value: another } })
]

/** Proposes to close the round with what does not follow from it, to all members or to half of them, who would then disagree. */
export class ClosesWrongly extends Adversary {
  readonly #lie = pick(lies, this.self.chance)
  readonly #toAll: boolean = this.self.chance() < 0.5

  override toMember(member: number): Tamper {
    if (!this.#toAll && this.honest.indexOf(member) % 2 === 0) return (frames) => frames
    return insteadOf('Proposal', (proposal, frame) =>
      proposal.body.agreement === 'closing' && proposal.body.value.kind !== 'retry'
        ? [this.resaid(proposal, this.#lie(proposal.body))]
        : [frame]
    )
  }
}
