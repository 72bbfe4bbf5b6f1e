import { bytesToHex } from '@noble/hashes/utils.js'
import { MessageError } from '../errors.ts'
import { deckHash } from '../membership/deck.ts'
import type { Deck } from '../membership/deck.ts'
import { applyChange, decodeChange, encodeChange } from '../membership/roster-change.ts'
import type { ChangeRules, RosterChange } from '../membership/roster-change.ts'
import type { Roster } from '../membership/roster.ts'
import { deckAfter, succeed, unchanged } from '../membership/succession.ts'
import type { Succession } from '../membership/succession.ts'
import { sameBytes } from './dealing.ts'
import type { Body } from './messages.ts'

export interface NextRosterOptions {
  round: number
  succession: Succession
  /** The deck after this round, in the indices of its roster. */
  dealt: Deck
  rules: ChangeRules
  /** On disk before any vote for it leaves. */
  keep(roster: Roster): Promise<void>
  /** What this member, as the leader, would change; `isHere` says who has a conversation with it. */
  wanted(isHere: (member: number) => boolean): Promise<RosterChange | undefined>
}

/** Which roster and deck a closing of this round may name, and which this member would (§7): the one place for it. */
export class NextRoster {
  readonly #options: NextRosterOptions
  /** Changes that were proposed in this round and hold, by the hash (hex) of the roster that they make. */
  readonly #changed = new Map<string, { roster: Roster; change: Uint8Array }>()
  #proposedIn = Infinity

  constructor(options: NextRosterOptions) {
    this.#options = options
  }

  /** The hashes that a closing names, where the roster named is this one; the roster unchanged if left out. */
  following(summed: boolean, named: Roster = this.#unchanged): { rosterHash: Uint8Array; deckHash: Uint8Array } {
    const { succession, round, dealt } = this.#options
    const after = succeed(succession, { round, summed, named })
    return { rosterHash: named.hash, deckHash: deckHash(deckAfter(succession, after, dealt)) }
  }

  /**
   * The roster that a proposal names: unchanged, or what the change makes of it that comes with the proposal, checked from
   * the proposal alone. Throws RosterChangeError, MessageError.
   */
  async read({ view, value, change }: Body<'Proposal'>): Promise<Roster> {
    this.#proposedIn = Math.min(this.#proposedIn, view)
    const { rosterHash } = value as { rosterHash: Uint8Array }
    if (sameBytes(rosterHash, this.#unchanged.hash)) return this.#unchanged
    if (change === null) throw new MessageError('INVALID', 'a closing names another roster and shows no reason for it')
    if (this.#options.succession.pending !== undefined)
      throw new MessageError('INVALID', 'a closing changes the roster while another one waits to take effect')
    const roster = this.#apply(decodeChange(change))
    if (!sameBytes(roster.hash, rosterHash))
      throw new MessageError('INVALID', 'a closing names another roster than its change makes')
    await this.#options.keep(roster)
    this.#changed.set(bytesToHex(roster.hash), { roster, change })
    return roster
  }

  /** What this member proposes as a leader. A change that failed in an earlier view is not proposed again. */
  async propose(
    view: number,
    isHere: (member: number) => boolean
  ): Promise<{ roster: Roster; change: Uint8Array | null }> {
    const same = { roster: this.#unchanged, change: null }
    if (this.#options.succession.pending !== undefined || this.#proposedIn < view) return same
    const wanted = await this.#options.wanted(isHere)
    return wanted === undefined ? same : { roster: this.#apply(wanted), change: encodeChange(wanted) }
  }

  /** The change behind a value that is locked, for whoever was not shown it. */
  changeFor(rosterHash: Uint8Array): Uint8Array | null {
    return this.#changed.get(bytesToHex(rosterHash))?.change ?? null
  }

  get #unchanged(): Roster {
    return unchanged(this.#options.succession)
  }

  #apply(change: RosterChange): Roster {
    return applyChange(this.#options.succession.roster, change, this.#options.rules)
  }
}
