import assert from 'node:assert/strict'
import { bytesToHex } from '@noble/hashes/utils.js'
import * as dagCbor from '@ipld/dag-cbor'
import { decodeSet } from '../../src/membership/member-set.ts'
import { contextBytes, cutHash, decodeMessage, signedBytes, valueHash } from '../../src/round/messages.ts'
import type { AnyMessage, Body, Message } from '../../src/round/messages.ts'
import type { Frame } from '../../src/round/ports.ts'
import { fullHeaders } from '../../src/round/short-forms.ts'
import { isSignedBy } from '../../src/round/signatures.ts'
import { headersRoot, maskingSetHash } from '../../src/round/transcript.ts'
import type { Roster } from '../../src/membership/roster.ts'
import type { Thresholds } from '../../src/task/thresholds.ts'
import type { Ledger } from './ledger.ts'

/** One epoch of a run. */
export interface EpochSeen {
  /** What was signed in it. */
  ledger: Ledger
  roster: Roster
  thresholds: Thresholds
  /** Roster indices. */
  adversaries: ReadonlySet<number>
}

/** The cuts and masking sets that any leader of a simulation ever showed to anyone; corrupt leaders too. */
export class ShownCuts {
  readonly #cuts = new Map<string, Message<'Proposal'>>()
  readonly #sets = new Map<string, Body<'MaskingSet'>>()

  see(frame: Frame): void {
    if (frame.kind !== 'control') return
    let message: AnyMessage
    try {
      message = decodeMessage(frame.payload)
    } catch {
      return
    }
    if (message.type === 'MaskingSet') this.#sets.set(bytesToHex(maskingSetHash(message.body)), message.body)
    if (message.type !== 'Proposal' || message.body.cut === null) return
    // Whether the headers belong to the cut, whoever was shown it has checked: a liar's may stand beside an honest one's.
    const key = bytesToHex(valueHash({ kind: 'cut', cutHash: cutHash(message.body.cut) }))
    const before = this.#cuts.get(key)
    if (before === undefined || !belong(before)) this.#cuts.set(key, message)
  }

  /** Every decided cut meets §5, and no honest input is in two of one round. */
  check({ ledger, thresholds, adversaries, roster }: EpochSeen): void {
    const { quorum, nMin, f } = thresholds
    const included = new Map<string, string>()
    for (const [agreement, value] of ledger.decided(quorum, adversaries)) {
      const proposal = this.#cuts.get(value)
      if (proposal === undefined) continue
      const cut = proposal.body.cut!
      const members = decodeSet(cut.included, roster.members.length)
      const set = this.#sets.get(bytesToHex(cut.maskingSetHash))
      assert.ok(set !== undefined, 'a cut was decided under a masking set that nobody was shown')
      const masking = decodeSet(set.members, roster.members.length)
      assert.ok(members.length >= nMin, `a cut of ${members.length} was decided`)
      assert.ok(
        members.every((member) => masking.includes(member)),
        'a cut was decided with members outside of its masking set'
      )
      const honest = members.filter((member) => !adversaries.has(member))
      assert.ok(honest.length >= nMin - f, `a cut with ${honest.length} honest inputs was decided`)
      assert.ok(belong(proposal), 'a cut was decided whose headers are not under its root')
      checkHeaders(proposal, members, honest, { ledger, roster })
      const round = agreement.split('/')[0]
      for (const member of honest) {
        const key = `${round}/${member}`
        assert.equal(included.get(key) ?? value, value, `member ${member} is in two decided cuts of a round`)
        included.set(key, value)
      }
    }
  }
}

function belong(proposal: Message<'Proposal'>): boolean {
  const root = headersRoot(fullHeaders(proposal).map((header) => decodeMessage(header) as Message<'MaskedHeader'>))
  return bytesToHex(root) === bytesToHex(proposal.body.cut!.headersRoot)
}

/** One header each, signed by its owner for this attempt and set; of an honest member the one that it said. */
function checkHeaders(
  proposal: Message<'Proposal'>,
  members: number[],
  honest: number[],
  { ledger, roster }: Pick<EpochSeen, 'ledger' | 'roster'>
): void {
  const { cut } = proposal.body
  const read = fullHeaders(proposal).map((header) => decodeMessage(header) as Message<'MaskedHeader'>)
  assert.deepEqual(
    read.map(({ from }) => from),
    members
  )
  for (const { from, body, signature, ...context } of read) {
    assert.equal(bytesToHex(contextBytes(context)), bytesToHex(contextBytes(proposal)))
    assert.equal(bytesToHex(body.attemptId), bytesToHex(cut!.attemptId))
    assert.equal(bytesToHex(body.maskingSetHash), bytesToHex(cut!.maskingSetHash))
    assert.ok(isSignedBy(roster.members[from].publicKey, signedBytes('MaskedHeader', proposal, body), signature))
    if (honest.includes(from))
      assert.ok(ledger.headersOf(from).has(bytesToHex(dagCbor.encode(body))), `member ${from} never said its header`)
  }
}
