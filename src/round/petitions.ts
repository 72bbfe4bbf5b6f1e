import { MessageError } from '../errors.ts'
import { requesterOf, voucherOf } from '../membership/requests.ts'
import type { Request, Vouch } from '../membership/requests.ts'
import { peerFromBytes } from '../membership/roster-bytes.ts'
import { applyChange, encodeChange } from '../membership/roster-change.ts'
import type { ChangeRules, RosterChange } from '../membership/roster-change.ts'
import type { Peer, Roster } from '../membership/roster.ts'
import type { Task } from '../task/task.ts'

/** Requests of strangers, and vouches of one member, that are kept at the same time: they cannot fill the memory. */
const MOST_STRANGERS = 256
const MOST_VOUCHES = 32
/** A change of this size goes round within a phase. */
const MOST_BYTES = 512 * 1024

/** What peers have asked of the roster in effect (§7). With that roster all of it expires. */
export class Petitions {
  readonly #task: Task
  readonly #roster: Roster
  readonly #requests = new Map<string, Request>()
  /** By the peer vouched for, then by the voucher. */
  readonly #vouches = new Map<string, Map<string, Vouch>>()

  constructor(task: Task, roster: Roster) {
    this.#task = task
    this.#roster = roster
  }

  /** Whether it was not known before. Throws MessageError where nobody asked this, or nothing can come of it. */
  takeRequest(request: Request): boolean {
    const { action } = request
    const peer = this.#signer(requesterOf(request, this.#to), `a request to ${action}`)
    const { id } = peer
    const inside = this.#roster.indexOf(id) >= 0
    const out = this.#roster.isSuspended(id)
    const removed = this.#roster.isRemoved(id)
    const possible = { join: !inside && !out && !removed && this.#admissible(id), leave: inside || out, return: out }[
      action
    ]
    if (!possible) throw new MessageError('INVALID', `${id} asks to ${action}, which it cannot`, { culprit: id })
    const before = this.#requests.get(id)
    if (before?.action === action || (before === undefined && !this.#hasRoom(id))) return false
    this.#requests.set(id, request)
    return true
  }

  /** However many strangers ask, those that the roster or the task names are heard, and so is whom a member vouches for. */
  #hasRoom(id: string): boolean {
    if (!this.#isStranger(id)) return true
    const strangers = [...this.#requests.keys()].filter((one) => this.#isStranger(one))
    if (strangers.length < MOST_STRANGERS) return true
    const alone = strangers.find((one) => !this.#vouches.has(one))
    if (!this.#vouches.has(id) || alone === undefined) return false
    return this.#requests.delete(alone)
  }

  #isStranger(id: string): boolean {
    const isNamed = this.#roster.indexOf(id) >= 0 || this.#roster.isSuspended(id)
    return !isNamed && this.#task.admission?.allow?.includes(id) !== true
  }

  /** Whether it was not known before. Throws MessageError where no member vouches. */
  takeVouch(vouch: Vouch): boolean {
    const voucher = this.#signer(voucherOf(vouch, this.#to), 'a vouch')
    const peer = peerFromBytes(vouch.peer)
    if (this.#roster.indexOf(voucher.id) < 0 || peer === undefined)
      throw new MessageError('INVALID', `${voucher.id} vouches, and is no member`, { culprit: voucher.id })
    const given = [...this.#vouches.values()].filter((vouchers) => vouchers.has(voucher.id)).length
    const known = this.#vouches.get(peer.id) ?? new Map<string, Vouch>()
    if (known.has(voucher.id) || given >= MOST_VOUCHES) return false
    this.#vouches.set(peer.id, known.set(voucher.id, vouch))
    return true
  }

  /**
   * The largest change that may be granted: whoever broke the protocol first, then what was asked for, in that order;
   * undefined where nothing may.
   */
  change(
    { removals, ...away }: Pick<RosterChange, 'suspensions' | 'absences' | 'removals'>,
    rules: ChangeRules
  ): RosterChange | undefined {
    const possible = (change: RosterChange): boolean => {
      try {
        applyChange(this.#roster, change, rules)
        return encodeChange(change).length <= MOST_BYTES
      } catch {
        return false
      }
    }
    let change: RosterChange = { joins: [], leaves: [], returns: [], suspensions: [], absences: [], removals: [] }
    let any = false
    const add = (more: Partial<RosterChange>): void => {
      const larger = { ...change, ...more }
      if (!possible(larger)) return
      change = larger
      any = true
    }
    for (const evidence of removals) add({ removals: [...change.removals, evidence] })
    for (const request of this.#requests.values()) {
      if (request.action === 'leave') add({ leaves: [...change.leaves, request] })
      else if (request.action === 'return') add({ returns: [...change.returns, request] })
      else add({ joins: [...change.joins, { request, vouches: this.#vouchesFor(request) }] })
    }
    for (const peer of away.suspensions) add({ suspensions: [...change.suspensions, peer], absences: away.absences })
    return any ? change : undefined
  }

  get #to() {
    return { taskId: this.#task.idBytes, rosterHash: this.#roster.hash }
  }

  #vouchesFor({ peer }: Request): Vouch[] {
    return [...(this.#vouches.get(peerFromBytes(peer)!.id)?.values() ?? [])]
  }

  #admissible(id: string): boolean {
    const { admission } = this.#task
    return admission?.vouches !== undefined || admission?.allow?.includes(id) === true
  }

  #signer(peer: Peer | undefined, what: string): Peer {
    if (peer === undefined) throw new MessageError('SIGNATURE', `${what} is not signed by its peer to this roster`)
    return peer
  }
}
