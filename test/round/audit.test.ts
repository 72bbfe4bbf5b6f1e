import assert from 'node:assert/strict'
import * as dagCbor from '@ipld/dag-cbor'
import fc from 'fast-check'
import { randomBytes } from '../../src/crypto/primitives.ts'
import { CHUNK_ELEMENTS, packedLength } from '../../src/encoding/packing.ts'
import { MessageError } from '../../src/errors.ts'
import { chunksToAudit, drawChunks, firstDifference, SumAudit } from '../../src/round/audit.ts'
import type { Attempt } from '../../src/round/attempt.ts'
import { auditSum, WrongSum } from '../../src/round/auditor.ts'
import { checkChunk, chunkCount, chunkLength } from '../../src/round/chunks.ts'
import type { ProvenChunk } from '../../src/round/chunks.ts'
import type { Random } from '../../src/round/ports.ts'
import { encodeTranscript, readTranscript } from '../../src/round/public-transcript.ts'
import type { Round } from '../../src/round/round.ts'
import { systemClock } from '../../src/network/clock.ts'
import { chance } from '../simulation/chance.ts'
import { everyone, n } from './fixtures.ts'
import { altered, sumChunks, summedRound } from './summed-round.ts'
import type { SummedOptions, SummedRound } from './summed-round.ts'

function auditOf({ rules, transcript: { basis, sum } }: SummedRound): SumAudit {
  return new SumAudit({ rules, basis, opened: sum.body, clock: systemClock })
}

/** A chunk of the sum, recomputed from chunks that were checked against their headers. */
async function recomputed(round: SummedRound, index: number, audit = auditOf(round)): Promise<Uint8Array> {
  const chunks = new Map<string, Uint8Array>()
  for (const { member, index: one } of audit.needs(index))
    chunks.set(`${member}/${one}`, (await round.chunk(member, one)).bytes)
  return audit.recompute(index, ({ member, index: one }) => chunks.get(`${member}/${one}`)!)
}

function seeded(seed: number): Random {
  const draw = chance(seed)
  return (length) => Uint8Array.from({ length }, () => Math.floor(draw() * 256))
}

/** So many of these runs found one of the altered chunks: within the 99 % interval of the true rate, and never below the stated one. */
function checkRate(
  { chunks, altered, audited }: { chunks: number; altered: number; audited: number },
  caught: number,
  runs: number
): void {
  // C(M−m, a) / C(M, a)
  let missed = 1
  for (let drawn = 0; drawn < audited; drawn++) missed *= Math.max(0, chunks - altered - drawn) / (chunks - drawn)
  const exact = 1 - missed
  const stated = 1 - (1 - altered / chunks) ** audited
  const margin = (rate: number): number => 2.576 * Math.sqrt((rate * (1 - rate)) / runs)
  const found = caught / runs
  assert.ok(Math.abs(found - exact) <= margin(exact), `${caught} of ${runs}, and the rate is ${exact}`)
  assert.ok(found >= stated - margin(stated), `${caught} of ${runs}, and the stated rate is ${stated}`)
}

/**
 * A member's audit of this sum, as it is made in a round, by a member that holds all masked vectors.
 *
 * @returns makes one, of so many chunks that are drawn anew: whether it found the sum wrong
 */
async function auditsOf(
  summed: SummedRound,
  sum: Uint8Array,
  { audited, random }: { audited: number; random: Random }
): Promise<() => Promise<boolean>> {
  const { rules, transcript, vectors } = summed
  const { basis, contextHash, attempt } = transcript
  const { roster, shape } = rules
  const staged = await vectors.stage('sum')
  await staged.write(sum)
  await staged.commit()
  const known = new Map<string, ProvenChunk>()
  const members = [...basis.cut.included]
  const chunks = sumChunks(summed)
  for (const member of members)
    for (let index = 0; index < chunkCount(shape!); index++)
      known.set(`${member}/${index}`, await summed.chunk(member, index))
  const round = {
    ...{ rules, contextHash, shape, decided: basis },
    // So that each of n members has as many to check.
    task: { audit: (audited * roster.members.length) / chunks, members: roster.members, length: shape!.elements },
    ports: { clock: { ...systemClock, pause: async () => {} }, random, vectors },
    views: { goesOn: () => {} },
    isContested: () => false,
    chunks: { find: (member: number, _: Uint8Array, index: number) => known.get(`${member}/${index}`) }
  } as unknown as Round
  const header = summed.headerOf(sum)
  const of = { number: attempt, id: basis.book.attemptId } as Attempt
  return async () => {
    const { signal } = new AbortController()
    try {
      const done = await auditSum({ round, attempt: of, basis, header, name: 'sum', signal })
      assert.deepEqual(done, { chunks: audited, of: chunks })
      return false
    } catch (error) {
      if (!(error instanceof WrongSum)) throw error
      return true
    }
  }
}

describe('any chunk of a sum', function () {
  this.timeout(60_000)

  const cases: Array<[string, SummedOptions]> = [
    ['of a vector of one chunk', {}],
    ['at each width', { elements: 3 * CHUNK_ELEMENTS + 5, bits: 17 }],
    ['in narrow lanes', { elements: CHUNK_ELEMENTS + 1, bits: 13 }],
    ['where nobody dropped', { elements: 2 * CHUNK_ELEMENTS, bits: 32, included: [0, 1, 2, 3, 4] }],
    ['where the first dropped', { elements: CHUNK_ELEMENTS + 900, bits: 25, included: [1, 2, 3, 4] }],
    [
      'where sums are per group, one behind the other',
      { elements: CHUNK_ELEMENTS + 900, bits: 19, groups: { count: 2, of: [0, 1, 0, 1, 0] } }
    ]
  ]
  for (const [what, options] of cases) {
    it(`is recomputed alone, bit for bit, from the public transcript and the masked chunks: ${what}`, async () => {
      const round = await summedRound({ included: [0, 1, 2, 3], ...options })
      const audit = auditOf(round)
      const length = packedLength(CHUNK_ELEMENTS, audit.shape.bits)
      assert.equal(audit.chunks, sumChunks(round))
      for (let index = 0; index < audit.chunks; index++)
        assert.deepEqual(
          await recomputed(round, index, audit),
          round.sum.slice(index * length, (index + 1) * length),
          `chunk ${index}`
        )
    })
  }

  it('shows a single element that is another, and where', async () => {
    const round = await summedRound({ elements: CHUNK_ELEMENTS + 30, bits: 21 })
    const lie = await altered(round, CHUNK_ELEMENTS + 13)
    const { bytes } = await round.chunk(n, 1, lie)
    assert.equal(firstDifference(await recomputed(round, 1), bytes, 30, 21), 13)
    assert.equal(firstDifference(await recomputed(round, 1), (await round.chunk(n, 1)).bytes, 30, 21), undefined)
  })
})

describe('a chunk of a masked vector', () => {
  it('is the one under the root of its header, or refused: altered, swapped, cut short, of another member or attempt', async () => {
    const round = await summedRound({ elements: 2 * CHUNK_ELEMENTS + 9, bits: 20 })
    const { basis } = round.transcript
    const { attemptId } = basis.book
    const root = basis.cut.headers.get(2)!.body.root
    const owner = { attemptId, member: 2, root }
    const shape = round.rules.shape!
    const [first, second] = [await round.chunk(2, 0), await round.chunk(2, 1)]
    checkChunk(first, owner, shape)
    const flipped = first.bytes.slice()
    flipped[100] ^= 1
    const lies = [
      [{ ...first, bytes: flipped }, owner],
      [{ ...second, index: 0 }, owner],
      [{ ...first, path: second.path }, owner],
      [{ ...first, path: first.path.slice(1) }, owner],
      [{ ...first, bytes: first.bytes.slice(1) }, owner],
      [{ ...first, index: 3 }, owner],
      [first, { ...owner, member: 1 }],
      [first, { ...owner, attemptId: new Uint8Array(32) }],
      [await round.chunk(1, 0), owner]
    ] as const
    for (const [lie, of] of lies) assert.throws(() => checkChunk(lie, of, shape), MessageError)
  })
})

describe('the chunks that a member audits', function () {
  this.timeout(240_000)

  it('are all where the task says so, else each member’s part of c times all', () => {
    assert.equal(chunksToAudit('full', 64, 100, randomBytes), 64)
    assert.equal(chunksToAudit(2, 64, 8, randomBytes), 16)
    assert.equal(chunksToAudit(9, 64, 8, randomBytes), 64)
    assert.equal(chunksToAudit(0, 64, 8, randomBytes), 0)
    // 128 hundredths of a chunk: one, and with a chance of 28 % another.
    const random = seeded(99)
    const counts = Array.from({ length: 4000 }, () => chunksToAudit(2, 64, 100, random))
    assert.deepEqual([...new Set(counts)].sort(), [1, 2])
    const mean = counts.reduce((sum, count) => sum + count, 0) / counts.length
    assert.ok(Math.abs(mean - 1.28) < 2.576 * Math.sqrt((0.28 * 0.72) / counts.length), String(mean))
  })

  it('are different ones, in order, and within the vector', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 0, max: 320 }), (chunks, count) => {
        const drawn = drawChunks(count, chunks, randomBytes)
        assert.equal(drawn.length, Math.min(count, chunks))
        assert.ok(
          drawn.every((index, place) => index >= 0 && index < chunks && (place === 0 || index > drawn[place - 1]))
        )
      })
    )
  })

  it('hit m altered chunks of M at the rate 1 − C(M−m, a) / C(M, a), in thousands of draws', () => {
    const random = seeded(4711)
    const runs = 6000
    for (const [chunks, altered, audited] of [
      [5, 1, 2],
      [62, 1, 15],
      [62, 7, 15],
      [1024, 1, 32],
      [1024, 8, 32],
      [4096, 40, 64]
    ]) {
      let caught = 0
      for (let run = 0; run < runs; run++) {
        // Which ones are altered is the liar's choice, and makes no difference.
        const lies = new Set(drawChunks(altered, chunks, random))
        if (drawChunks(audited, chunks, random).some((index) => lies.has(index))) caught++
      }
      checkRate({ chunks, altered, audited }, caught, runs)
    }
  })

  it('are those that a whole audit checks: one altered element of 62 chunks is found at that rate', async () => {
    const chunks = 62
    const audited = 15
    // Two groups, whose sums lie one behind the other: a chunk is made of the vectors of two members or three.
    const groups = { count: 2, of: [0, 1, 0, 1, 0] }
    const elements = (chunks / 2) * CHUNK_ELEMENTS
    const round = await summedRound({ elements, bits: 16, included: everyone, groups })
    const random = seeded(62)
    // Each is a whole audit: a developer's run takes fewer.
    const runs = process.env.TEST_RUNS === 'all' ? 2000 : 300
    let caught = 0
    for (const element of [3, 2 * elements - 1]) {
      const audit = await auditsOf(round, await altered(round, element), { audited, random })
      for (let run = 0; run < runs / 2; run++) if (await audit()) caught++
    }
    checkRate({ chunks, altered: 1, audited }, caught, runs)
    const right = await auditsOf(round, round.sum, { audited, random })
    for (let run = 0; run < 20; run++) assert.equal(await right(), false)
  })
})

describe('a public transcript', function () {
  this.timeout(60_000)

  it('is read as it was written, with what a sum follows from', async () => {
    const round = await summedRound()
    const encoded = encodeTranscript(round.transcript)
    const read = readTranscript(encoded, round.rules)
    assert.deepEqual(encodeTranscript(read), encoded)
    const audit = new SumAudit({ rules: round.rules, basis: read.basis, opened: read.sum.body, clock: systemClock })
    assert.deepEqual(await recomputed(round, 0, audit), round.sum)
    assert.equal(chunkLength(0, audit.sumShape), 7)
    const open = { ...round.transcript, closing: undefined }
    assert.equal(readTranscript(encodeTranscript(open), round.rules).closing, undefined)
  })

  it('is refused when any bit of it is another', async () => {
    const round = await summedRound()
    const encoded = encodeTranscript(round.transcript)
    for (let bit = 0; bit < encoded.length * 8; bit += 61) {
      const flipped = encoded.slice()
      flipped[bit >> 3] ^= 1 << (bit & 7)
      assert.throws(() => readTranscript(flipped, round.rules), MessageError, `bit ${bit}`)
    }
    assert.throws(() => readTranscript(dagCbor.encode({}), round.rules), MessageError)
  })

  it('names whoever published a sum that opens other secrets than were committed to', async () => {
    const round = await summedRound()
    const { seeds, keys } = round.transcript.sum.body
    const lies = [
      { seeds: [{ ...seeds[0], secret: new Uint8Array(32) }, ...seeds.slice(1)] },
      { seeds: [seeds[1], seeds[0], ...seeds.slice(2)] },
      { seeds: seeds.slice(1) },
      { keys: keys.map(({ member }) => ({ member, secret: new Uint8Array(32).fill(9) })) },
      { keys: [] }
    ]
    for (const lie of lies) {
      const sum = round.headerOf(round.sum, lie)
      const encoded = encodeTranscript({ ...round.transcript, sum, closing: undefined })
      assert.throws(
        () => readTranscript(encoded, round.rules),
        (error) => error instanceof MessageError && error.culprit === round.rules.roster.members[0].id
      )
    }
  })
})
