import { decodeSet, encodeSet } from '../../../src/membership/member-set.ts'
import { certify } from '../../../src/round/certificates.ts'
import type { VoteType } from '../../../src/round/certificates.ts'
import { cutHash, decodeMessage, valueHash } from '../../../src/round/messages.ts'
import type { Body, Certificate, Message } from '../../../src/round/messages.ts'
import type { Frame } from '../../../src/round/ports.ts'
import { fullHeaders } from '../../../src/round/short-forms.ts'
import { headersRoot } from '../../../src/round/transcript.ts'
import { signedBytes } from '../../../src/round/messages.ts'
import { Adversary, eachFrame, insteadOf, said, without } from './adversary.ts'
import type { Tamper } from './adversary.ts'

/** Aggregators that lie about the cut. */

/** Takes no vector of a victim, and says that it survived: its seed and its masks would both be opened. */
export class InventsSurvivors extends Adversary {
  get victim(): number {
    return this.honest[0]
  }

  override fromMember(member: number): Tamper {
    return without(({ type }) => type === 'MaskedHeader' && member === this.victim)
  }

  override toMember(): Tamper {
    return insteadOf('Proposal', (proposal, frame) =>
      proposal.body.cut === null ? [frame] : [this.#invented(proposal)]
    )
  }

  #invented(proposal: Message<'Proposal'>): Frame {
    const n = this.self.roster.members.length
    const cut = proposal.body.cut!
    const included = new Set(decodeSet(cut.included, n))
    const { attemptId, maskingSetHash } = cut
    const body = { attemptId, maskingSetHash, root: new Uint8Array(32) }
    // In the victim's name, and signed by whom it can.
    const { self } = this
    const forged = said('MaskedHeader', proposal, this.victim, body, {
      sign: (_, bytes) => self.plot.sign(self.me, bytes)
    })
    const full = fullHeaders(proposal)
    const headers = included.has(this.victim)
      ? full
      : [...full, forged.payload].sort((a, b) => decodeMessage(a).from - decodeMessage(b).from)
    const members = [...included.add(this.victim)].sort((a, b) => a - b)
    const root = headersRoot(headers.map((header) => decodeMessage(header) as Message<'MaskedHeader'>))
    const invented = { ...cut, included: encodeSet(members, n), headersRoot: root }
    return this.resaid(proposal, { cut: invented, value: { kind: 'cut', cutHash: cutHash(invented) }, headers })
  }
}

/**
 * Proposes one cut to half of the members and another to the rest, and has its accomplices vote for both. Where both have
 * a quorum, it shows each half its lock and its decision: then there would be two sums over the same inputs.
 */
export class SplitsTheVote extends Adversary {
  #other?: Message<'Proposal'>

  override toMember(member: number): Tamper {
    if (this.honest.indexOf(member) % 2 === 0) return (frames) => frames
    return eachFrame((message, frame) => {
      if (message?.type === 'Proposal' && message.body.cut !== null) return [this.#propose(message)]
      if (message?.type === 'Lock' && this.#isSplit(message.body.certificate)) return [this.#lock(message, frame)]
      if (message?.type === 'Decision' && this.#isSplit(message.body.commits)) return [this.#decision(message, frame)]
      return [frame]
    })
  }

  override fromMember(member: number): Tamper {
    return without((message) => {
      if (message.type !== 'Prepare' && message.type !== 'Commit') return false
      const value = this.#other?.body.value
      if (value === undefined || !same(message.body.value, valueHash(value))) return false
      this.#votes(message.type).set(member, message.signature)
      return true
    })
  }

  #isSplit({ agreement, view }: Certificate): boolean {
    return this.#other?.body.agreement === agreement && this.#other.body.view === view
  }

  #propose(proposal: Message<'Proposal'>): Frame {
    const { roster, thresholds, me } = this.self
    const n = roster.members.length
    const { headers, cut } = proposal.body
    const included = decodeSet(cut!.included, n)
    // The victim of a second sum is whoever is only in the first.
    const left = included.find((member) => member !== me && this.honest.includes(member))
    if (included.length <= thresholds.nMin || left === undefined) return { kind: 'control', payload: proposal.encoded }
    const fewer = headers
      .map((header) => decodeMessage(header) as Message<'MaskedHeader'>)
      .filter(({ from }) => from !== left)
    const other = {
      ...cut!,
      included: encodeSet(
        fewer.map(({ from }) => from),
        n
      ),
      headersRoot: headersRoot(fewer)
    }
    const frame = this.resaid(proposal, {
      cut: other,
      value: { kind: 'cut', cutHash: cutHash(other) },
      headers: fewer.map(({ encoded }) => encoded),
      lock: null
    })
    this.#other = decodeMessage(frame.payload) as Message<'Proposal'>
    return frame
  }

  #lock(lock: Message<'Lock'>, frame: Frame): Frame {
    const certificate = this.#certificate('Prepare')
    return certificate === undefined ? frame : this.resaid(lock, { value: this.#other!.body.value, certificate })
  }

  #decision(decision: Message<'Decision'>, frame: Frame): Frame {
    const commits = this.#certificate('Commit')
    return commits === undefined ? frame : this.resaid(decision, { value: this.#other!.body.value, commits })
  }

  #votes(type: VoteType): Map<number, Uint8Array> {
    const { agreement, view, value } = this.#other!.body
    const key = [type, this.#other!.round, agreement, view, String(valueHash(value))].join('/')
    const votes = this.self.plot.votes.get(key) ?? new Map<number, Uint8Array>()
    this.self.plot.votes.set(key, votes)
    return votes
  }

  #certificate(type: VoteType): Certificate | undefined {
    const { plot, roster, thresholds } = this.self
    const other = this.#other!
    const { agreement, view, value } = other.body
    const vote: Body<VoteType> = { agreement, view, value: valueHash(value), root: null }
    const votes = new Map(this.#votes(type))
    for (const member of plot.members) votes.set(member, plot.sign(member, signedBytes(type, other, vote)))
    return votes.size < thresholds.quorum ? undefined : certify(votes, vote, roster.members.length)
  }
}

const same = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((byte, at) => byte === b[at])
