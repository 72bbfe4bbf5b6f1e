import { decodeSet, encodeSet } from '../../../src/membership/member-set.ts'
import { H } from '../../../src/crypto/hash.ts'
import { Adversary, insteadOf, without } from './adversary.ts'
import type { Corrupt, Tamper } from './adversary.ts'

/** Aggregators that play with who is in a sum. */

/** Shows one masking set to half of the members and another to the rest: masks that do not cancel may tell something. */
export class EquivocatingSets extends Adversary {
  override toMember(member: number): Tamper {
    if (this.honest.indexOf(member) % 2 === 0) return (frames) => frames
    return insteadOf('MaskingSet', (set) => [this.resaid(set, this.#another(set.body.members))])
  }

  #another(encoded: Uint8Array): { members?: Uint8Array; readyHash?: Uint8Array } {
    const { roster, thresholds, me } = this.self
    const members = decodeSet(encoded, roster.members.length)
    if (members.length <= thresholds.nMin) return { readyHash: H('another') }
    const left = members.find((member) => member !== me)
    return {
      members: encodeSet(
        members.filter((member) => member !== left),
        roster.members.length
      )
    }
  }
}

/** The corrupt members, and no more of the honest than it must: the fewer the inputs, the more a sum tells. */
function fewest({ roster, thresholds, plot, me }: Corrupt, wanted: number[] = []): number[] {
  const all = roster.members.map(({ index }) => index)
  const ranked = new Set([...wanted, me, ...plot.members, ...all])
  return [...ranked].slice(0, thresholds.nMin)
}

/** Hears the vectors of no more members than a sum has to have. */
export class SmallestSet extends Adversary {
  override fromMember(member: number): Tamper {
    const chosen = fewest(this.self).includes(member)
    return without(({ type }) => type === 'MaskedHeader' && !chosen)
  }
}

/** Leaves a victim with as few neighbours as it can: some before the masks are laid, and the rest after. */
export class DropsNeighbours extends Adversary {
  get victim(): number {
    return this.honest[0]
  }

  override fromMember(member: number): Tamper {
    const kept = fewest(this.self, [this.victim])
    const unwanted = this.self.roster.members.map(({ index }) => index).filter((index) => !kept.includes(index))
    const early = unwanted.slice(0, unwanted.length >> 1)
    return without(
      ({ type }) =>
        (type === 'Ready' && early.includes(member)) || (type === 'MaskedHeader' && unwanted.includes(member))
    )
  }
}
