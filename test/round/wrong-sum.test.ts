import assert from 'node:assert/strict'
import * as dagCbor from '@ipld/dag-cbor'
import { randomBytes } from '../../src/crypto/primitives.ts'
import { CHUNK_ELEMENTS } from '../../src/encoding/packing.ts'
import { MessageError } from '../../src/errors.ts'
import { SumAudit } from '../../src/round/audit.ts'
import type { ProvenChunk } from '../../src/round/chunks.ts'
import { decodeEvidence, encodeEvidence, verifyEvidence } from '../../src/round/evidence.ts'
import type { Evidence } from '../../src/round/evidence.ts'
import { falselyOpened, wrongElement } from '../../src/round/wrong-sum.ts'
import { systemClock } from '../../src/network/clock.ts'
import { context, hashOf, n } from './fixtures.ts'
import { altered, summedRound } from './summed-round.ts'
import type { SummedOptions, SummedRound } from './summed-round.ts'

/** What an auditor makes of one element of a sum: evidence, where that is another than the vectors give. */
async function evidenceOf(round: SummedRound, sum: Uint8Array, element: number): Promise<Evidence> {
  const { rules, transcript } = round
  const audit = new SumAudit({ rules, basis: transcript.basis, opened: transcript.sum.body, clock: systemClock })
  const source = audit.source(element)
  const chunks = new Map<string, ProvenChunk>()
  const have = async (member: number, at: number): Promise<void> => {
    const index = Math.floor(at / CHUNK_ELEMENTS)
    chunks.set(`${member}/${index}`, await round.chunk(member, index, sum))
  }
  for (const member of audit.members(source.group)) await have(member, source.element)
  await have(n, element)
  const found = { ...context, header: round.headerOf(sum) }
  const chunkOf = (member: number, index: number): ProvenChunk => chunks.get(`${member}/${index}`)!
  return wrongElement(found, transcript, transcript.basis, audit, element, chunkOf, n)
}

const readAgain = (evidence: Evidence): Evidence => decodeEvidence(encodeEvidence(evidence))

const provesNothing = (evidence: Evidence, { rules }: SummedRound, why: RegExp) =>
  assert.throws(
    () => verifyEvidence(readAgain(evidence), rules),
    (error) => error instanceof MessageError && error.culprit === undefined && why.test(error.message)
  )

describe('evidence of a wrong sum', function () {
  this.timeout(60_000)

  const cases: Array<[string, number, SummedOptions]> = [
    ['of a short vector', 3, {}],
    ['in the last chunk', 2 * CHUNK_ELEMENTS + 8, { elements: 2 * CHUNK_ELEMENTS + 9, bits: 20 }],
    // Bits 16,384 · 8 − 7 and on: element 6898 of 19 bits lies across two sub-leaves.
    ['across two sub-leaves', CHUNK_ELEMENTS + 6898, { elements: 2 * CHUNK_ELEMENTS, bits: 19 }],
    ['where nobody dropped', 5, { included: [0, 1, 2, 3, 4] }],
    [
      'of the second group',
      CHUNK_ELEMENTS + 900 + 12,
      { elements: CHUNK_ELEMENTS + 900, bits: 19, included: [0, 1, 2, 3], groups: { count: 2, of: [0, 1, 0, 1, 0] } }
    ]
  ]
  for (const [what, element, options] of cases) {
    it(`convicts its publisher before any third party, and is small: an element ${what}`, async () => {
      const round = await summedRound(options)
      const evidence = await evidenceOf(round, await altered(round, element), element)
      assert.equal(evidence.culprit, 0)
      verifyEvidence(readAgain(evidence), round.rules)
      const pieces = round.transcript.basis.cut.included.size + 1
      assert.ok(encodeEvidence(evidence).length < pieces * (2 * 16_384 + 1024) + 4096)
    })
  }

  it('proves nothing against an honest aggregator, whichever element it is made of', async () => {
    const round = await summedRound({ elements: CHUNK_ELEMENTS + 40, bits: 21 })
    for (const element of [0, 7000, CHUNK_ELEMENTS - 1, CHUNK_ELEMENTS, CHUNK_ELEMENTS + 39])
      provesNothing(await evidenceOf(round, round.sum, element), round, /is what the vectors give/)
    // One element of a wrong sum is wrong; of the others nothing is shown.
    provesNothing(await evidenceOf(round, await altered(round, 9), 10), round, /is what the vectors give/)
  })

  it('is refused with anything in it altered, dropped or swapped', async () => {
    const round = await summedRound()
    const honest = await evidenceOf(round, round.sum, 3)
    const lie = await evidenceOf(round, await altered(round, 3), 3)
    const [header, basis, encoded] = honest.statements
    type Proof = { element: number; sum: ProvenChunk; vectors: Array<Record<string, unknown> & { bytes: Uint8Array }> }
    const proof = dagCbor.decode<Proof>(encoded)
    const [first, second, ...rest] = proof.vectors
    const flipped = first.bytes.slice()
    flipped[0] ^= 1
    const forgeries: Array<[Partial<Proof>, RegExp]> = [
      [{ vectors: [{ ...first, bytes: flipped }, second, ...rest] }, /not under its root/],
      [{ vectors: [second, first, ...rest] }, /not under its root/],
      [{ vectors: [first, ...rest] }, /a piece of each vector/],
      [{ vectors: [{ ...first, path: [hashOf('x')] }, second, ...rest] }, /not under its root/],
      [{ vectors: [{ ...first, bytes: first.bytes.slice(1) }, second, ...rest] }, /another size/],
      [{ vectors: [{ ...first, hashes: [hashOf('x')] }, second, ...rest] }, /not under its root/],
      [{ element: 7 }, /has no element 7/],
      [{ sum: dagCbor.decode<Proof>(lie.statements[2]).sum }, /not under its root/]
    ]
    for (const [change, why] of forgeries) {
      const forged = { ...honest, statements: [header, basis, dagCbor.encode({ ...proof, ...change })] }
      provesNothing(forged, round, why)
    }
    const other = await summedRound()
    const otherBasis = (await evidenceOf(other, other.sum, 3)).statements[1]
    provesNothing({ ...lie, statements: [lie.statements[0], otherBasis, lie.statements[2]] }, round, /does not hold/)
    provesNothing({ ...lie, culprit: 1 }, round, /is of member 0/)
    provesNothing({ ...lie, statements: [header, basis] }, round, /opens what the members committed to/)
    provesNothing({ ...lie, round: 4 }, round, /another task, epoch or round/)
    const again = round.headerOf(await altered(round, 3), { view: 1, again: lie.statements[0] })
    provesNothing({ ...lie, statements: [again.encoded, ...lie.statements.slice(1)] }, round, /of an earlier leader/)
    const { shape: _, ...without } = round.rules
    assert.throws(() => verifyEvidence(lie, without), /are not known here/)
  })

  it('is none when any bit of it is another', async () => {
    const round = await summedRound()
    const encoded = encodeEvidence(await evidenceOf(round, await altered(round, 3), 3))
    for (let bit = 0; bit < encoded.length * 8; bit += 97) {
      const flipped = encoded.slice()
      flipped[bit >> 3] ^= 1 << (bit & 7)
      assert.throws(() => verifyEvidence(decodeEvidence(flipped), round.rules), MessageError, `bit ${bit}`)
    }
  })

  it('is also that a sum opens other secrets than were committed to', async () => {
    const round = await summedRound()
    const { basis, sum } = round.transcript
    const [{ member }, ...others] = sum.body.seeds
    const seeds = [{ member, secret: randomBytes(32) }, ...others]
    const lie = falselyOpened({ ...context, header: round.headerOf(round.sum, { seeds }) }, round.transcript, basis)
    verifyEvidence(readAgain(lie), round.rules)
    provesNothing(
      falselyOpened({ ...context, header: sum }, round.transcript, basis),
      round,
      /what the members committed/
    )
  })
})
