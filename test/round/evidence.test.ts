import assert from 'node:assert/strict'
import * as dagCbor from '@ipld/dag-cbor'
import { ed25519 } from '@noble/curves/ed25519.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import { sha512 } from '@noble/hashes/sha2.js'
import fc from 'fast-check'
import { seedCommitment } from '../../src/crypto/key-agreement.ts'
import { randomBytes, x25519PublicKey } from '../../src/crypto/primitives.ts'
import { Secret } from '../../src/crypto/secret.ts'
import { MessageError } from '../../src/errors.ts'
import { createRoster } from '../../src/membership/roster.ts'
import type { Side } from '../../src/round/ballot.ts'
import { deal, proofOf } from '../../src/round/dealing.ts'
import type { HeldShare } from '../../src/round/dealing.ts'
import {
  decodeEvidence,
  encodeEvidence,
  evidenceId,
  MAX_EVIDENCE_BYTES,
  verifyEvidence
} from '../../src/round/evidence.ts'
import { dealerEvidence, holderEvidence, Witness } from '../../src/round/witness.ts'
import type { Evidence, EvidenceKind } from '../../src/round/evidence.ts'
import { decodeMessage, encodeMessage, MAX_MESSAGE_BYTES, signedBytes, valueHash } from '../../src/round/messages.ts'
import type { AnyMessage, Body, Message, MessageType, ShareProof, Value } from '../../src/round/messages.ts'
import type { Frame } from '../../src/round/ports.ts'
import { keyBookHash, maskingSetHash } from '../../src/round/transcript.ts'
import { chance } from '../simulation/chance.ts'
import { identity, simulatedTask } from '../simulation/identities.ts'
import { Simulation } from '../simulation/network.ts'
import type { Tamper } from '../simulation/network.ts'
import { burned, context, everyone, graph, hashOf, n, quorum, roster, rules, say, setOf, votes } from './fixtures.ts'

const { threshold } = rules.thresholds
const nextRound = { ...context, round: context.round + 1 }
const attemptId = hashOf('attempt')
const [a, b] = [hashOf('a'), hashOf('b')]
const retry: Value = { kind: 'retry' }
const cut = { attemptId, keyBookHash: a, maskingSetHash: a, included: setOf([0, 1, 2, 3]), headersRoot: a }
const advertOf = (seed = a): Body<'KeyAdvert'> => ({
  attemptId,
  contributes: true,
  maskKey: a,
  sealKey: b,
  seedCommitment: seed
})
const plan: Body<'RoundPlan'> = { view: 0, attempt: 0, retries: [], contextHash: a, length: 7, previous: null }
const set: Body<'MaskingSet'> = { view: 0, attemptId, keyBookHash: a, members: setOf(everyone), readyHash: a }
const proposal: Body<'Proposal'> = {
  agreement: 'attempt-0',
  view: 1,
  value: retry,
  lock: null,
  cut: null,
  headers: [],
  change: null,
  reason: ''
}
const sum: Body<'SumHeader'> = { view: 0, cut, root: a, seeds: [{ member: 0, secret: a }], keys: [], again: null }
const vote: Body<'Prepare'> = { agreement: 'closing', view: 0, value: a, root: null }
const header: Body<'MaskedHeader'> = { attemptId, maskingSetHash: a, root: a }
const advertBytes = (from: number) => say('KeyAdvert', from, advertOf()).encoded

/** Of each kind, and each type in it: one statement, another of the same slot, and some that may be said beside the first. */
function offence<T extends MessageType>(
  kind: EvidenceKind,
  type: T,
  first: Body<T>,
  ...[second, ...beside]: Body<T>[]
) {
  const fields = Object.keys(first) as Array<keyof Body<T>>
  const differing = fields.filter((field) => first[field] !== second[field]).join(', ')
  const [one, other, ...more] = [first, second, ...beside].map((body) => say(type, 1, body))
  return { kind, type, two: `two ${type}s that differ in ${differing}`, first: one, second: other, beside: more }
}

const keyBook: Body<'KeyBook'> = { view: 0, attemptId, adverts: [advertBytes(0), advertBytes(1)] }
const offences = [
  offence(
    'equivocation',
    'RoundPlan',
    plan,
    { ...plan, contextHash: b },
    { ...plan, view: 1, contextHash: b },
    { ...plan, attempt: 1, contextHash: b },
    { ...plan, previous: a }
  ),
  offence(
    'equivocation',
    'KeyBook',
    keyBook,
    { ...keyBook, adverts: [advertBytes(0)] },
    { ...keyBook, view: 1, adverts: [] },
    { ...keyBook, attemptId: b, adverts: [] }
  ),
  offence(
    'equivocation',
    'MaskingSet',
    set,
    { ...set, members: setOf([0, 1, 2, 3]) },
    { ...set, view: 1, readyHash: b },
    { ...set, attemptId: b, readyHash: b }
  ),
  offence('equivocation', 'MaskingSet', set, { ...set, readyHash: b }),
  offence(
    'equivocation',
    'Proposal',
    proposal,
    { ...proposal, value: { kind: 'cut', cutHash: a } },
    { ...proposal, view: 2, value: { kind: 'cut', cutHash: a } },
    { ...proposal, agreement: 'closing', value: burned },
    { ...proposal, reason: 'again' },
    { ...proposal, lock: votes('Prepare', vote, [0, 1, 2, 3]) }
  ),
  offence('equivocation', 'SumHeader', sum, { ...sum, root: b }, { ...sum, view: 1, root: b }),
  offence('equivocation', 'SumHeader', sum, { ...sum, cut: { ...cut, headersRoot: b } }),
  offence('equivocation', 'SumHeader', sum, { ...sum, cut: { ...cut, attemptId: b }, root: b }),
  offence('equivocation', 'SumHeader', sum, { ...sum, seeds: [{ member: 0, secret: b }] }),
  offence('double-statement', 'KeyAdvert', advertOf(), advertOf(b), { ...advertOf(b), attemptId: b }),
  offence('double-statement', 'ShareRoot', { attemptId, root: a }, { attemptId, root: b }, { attemptId: b, root: b }),
  offence('double-statement', 'MaskedHeader', header, { ...header, root: b }, { ...header, attemptId: b, root: b }),
  offence('double-statement', 'MaskedHeader', header, { ...header, maskingSetHash: b }),
  offence(
    'double-vote',
    'Prepare',
    vote,
    { ...vote, value: b },
    { ...vote, view: 1, value: b },
    { ...vote, agreement: 'attempt-0', value: b }
  ),
  offence('double-vote', 'Prepare', { ...vote, root: a }, { ...vote, root: b }),
  offence('double-vote', 'Commit', vote, { ...vote, root: b }, { ...vote, view: 1, root: b })
]

const pair = (kind: EvidenceKind, statements: Message[], culprit = 1): Evidence => ({
  kind,
  culprit,
  ...context,
  statements: statements.map(({ encoded }) => new Uint8Array(encoded))
})

function provesNothing(evidence: Evidence, why?: RegExp, under = rules): void {
  assert.throws(
    () => verifyEvidence(evidence, under),
    (error) => {
      assert.ok(error instanceof MessageError, String(error))
      assert.equal(error.code, 'INVALID')
      assert.equal(error.culprit, undefined, 'nobody may be blamed for evidence that others made up')
      if (why !== undefined) assert.match(error.message, why)
      return true
    }
  )
}

/** One dealer's secrets, advert and dealing, and what every holder would reveal of it. */
function dealing(
  options: {
    dealer?: number
    seed?: Uint8Array
    maskSecret?: Uint8Array
    degree?: number
    committed?: Uint8Array
    key?: Uint8Array
  } = {}
) {
  const { dealer = 1, seed = randomBytes(32), maskSecret = randomBytes(32), degree = threshold } = options
  const { committed = seed, key = x25519PublicKey(maskSecret) } = options
  const dealt = deal(
    { seed: new Secret(seed), maskSecret: new Secret(maskSecret), attemptId, dealer, graph, threshold: degree },
    randomBytes
  )
  const { signature } = say('ShareRoot', dealer, { attemptId, root: dealt.root })
  const held = (holder: number): HeldShare => ({ ...dealt.of(holder), signature })
  return {
    advert: say('KeyAdvert', dealer, { ...advertOf(seedCommitment(new Secret(committed))), maskKey: key }),
    proof: (side: Side, holder: number) => proofOf(held(holder), dealer, side)
  }
}

function reveal(holder: number, { key = [], seed = [] }: { key?: ShareProof[]; seed?: ShareProof[] }) {
  const own = { attemptId, cutHash: a, seed: hashOf(`seed of ${holder}`) }
  return say('Reveal', holder, { ...own, keyShares: key, seedShares: seed })
}

const holders = [0, 2, 3, 4]
const altered = (proof: ShareProof, field: 'share' | 'sibling' | 'nonce' | 'signature' | 'root'): ShareProof => ({
  ...proof,
  [field]: proof[field].map((byte, at) => (at === 7 ? byte ^ 1 : byte))
})

describe('evidence of two statements where only one may be made', () => {
  for (const { kind, type, two, first, second, beside } of offences) {
    describe(`${two}: ${kind}`, () => {
      const evidence = pair(kind, [first, second])

      it('convicts the signer of both, in either order', () => {
        verifyEvidence(evidence, rules)
        verifyEvidence(pair(kind, [second, first]), rules)
      })

      it('proves nothing with one statement twice, one alone, or one too many', () => {
        provesNothing(pair(kind, [first, first]), /say the same/)
        provesNothing(pair(kind, [first]), /takes two/)
        provesNothing(pair(kind, [first, second, second]), /takes two/)
      })

      it('accuses nobody else', () => {
        for (const culprit of [0, 2, n, 0xffff]) provesNothing(pair(kind, [first, second], culprit))
        const byAnother = say(type, 2, second.body)
        provesNothing(pair(kind, [first, byAnother]))
        provesNothing(pair(kind, [first, byAnother], 2))
      })

      it('proves nothing where one statement is signed by somebody else in the culprit’s name', () => {
        const { signature } = say(type, 2, second.body)
        provesNothing(pair(kind, [first, encodeMessage(type, context, 1, second.body, signature)]), /signature/)
        provesNothing(pair(kind, [first, encodeMessage(type, context, 1, second.body, first.signature)]), /signature/)
      })

      it('proves nothing where a statement is of another round, task or epoch', () => {
        const elsewhere = [nextRound, { ...context, task: a }, { ...context, epoch: 1 }]
        for (const other of elsewhere) {
          provesNothing(pair(kind, [first, say(type, 1, second.body, other)]))
          provesNothing({ ...evidence, ...other }, /another task, epoch or round/)
          // The same statements, presented as if of the round that is asked about.
          const moved = [first, second].map(({ body }) => say(type, 1, body, other))
          provesNothing(pair(kind, moved))
          verifyEvidence({ ...pair(kind, moved), ...other }, { ...rules, context: other })
        }
      })

      it('is of its own kind only', () => {
        for (const other of [
          'equivocation',
          'double-statement',
          'double-vote',
          'lying-holder',
          'lying-dealer'
        ] as const)
          if (other !== kind) provesNothing({ ...evidence, kind: other })
      })

      it('is refused with any bit flipped', () => {
        const encoded = encodeEvidence(evidence)
        for (let bit = 0; bit < 8 * encoded.length; bit += 7) {
          const flipped = encoded.slice()
          flipped[bit >> 3] ^= 1 << (bit & 7)
          assert.throws(() => verifyEvidence(decodeEvidence(flipped), rules), MessageError, `bit ${bit}`)
        }
      })

      if (beside.length > 0)
        it('is no statement of another view, attempt, agreement or cut, nor the same said again with other proofs', () => {
          for (const other of beside) provesNothing(pair(kind, [first, other]), /not two of which|say the same/)
        })
    })
  }

  it('convicts a leader by what its words rest on, so that whoever was shown something else finds it out alone', () => {
    const book = keyBookHash(attemptId, keyBook.adverts)
    const underBook = { ...set, keyBookHash: book }
    const cutOf = { ...cut, keyBookHash: book, maskingSetHash: maskingSetHash(underBook) }
    const value: Value = { kind: 'cut', cutHash: a }
    const proposed = { ...proposal, view: 0, value, cut: cutOf }
    const lockOf = (agreement: string, value: Uint8Array, root: Uint8Array | null = null) => ({
      value: burned,
      certificate: votes('Prepare', { agreement, view: 0, value, root }, [0, 1, 2, 3])
    })
    const summed = { ...sum, cut: cutOf }
    const honest = [
      say('KeyBook', 1, keyBook),
      say('MaskingSet', 1, underBook),
      say('Proposal', 1, proposed),
      say('Lock', 1, lockOf('attempt-0', valueHash(value))),
      say('SumHeader', 1, summed),
      say('Lock', 1, lockOf('closing', a, summed.root))
    ]
    for (const one of honest) for (const other of honest) provesNothing(pair('equivocation', [one, other]))
    const others: Array<[Message, Message]> = [
      [honest[0], say('MaskingSet', 1, { ...underBook, keyBookHash: b })],
      [honest[0], say('Proposal', 1, { ...proposed, cut: { ...cutOf, keyBookHash: b } })],
      [honest[1], say('Proposal', 1, { ...proposed, cut: { ...cutOf, maskingSetHash: b } })],
      [honest[1], say('SumHeader', 1, { ...summed, cut: { ...cutOf, maskingSetHash: b } })],
      [honest[2], say('Lock', 1, lockOf('attempt-0', b))],
      [honest[2], say('SumHeader', 1, { ...summed, cut: { ...cutOf, headersRoot: b } })],
      [honest[4], say('Lock', 1, lockOf('closing', a, b))]
    ]
    for (const [first, second] of others) {
      verifyEvidence(pair('equivocation', [first, second]), rules)
      const witness = new Witness(rules)
      assert.equal(witness.see(first as AnyMessage), undefined)
      assert.deepEqual(witness.see(second as AnyMessage), pair('equivocation', [first, second]))
    }
  })

  it('a Prepare and a Commit, or an advert and a header, are different statements', () => {
    provesNothing(pair('double-vote', [say('Prepare', 1, vote), say('Commit', 1, { ...vote, value: b })]))
    provesNothing(pair('double-statement', [say('KeyAdvert', 1, advertOf()), say('MaskedHeader', 1, header)]))
  })

  it('messages of which a member may say several are no statements', () => {
    const ready = (dealers: number[]) => say('Ready', 1, { attemptId, keyBookHash: a, dealers: setOf(dealers) })
    for (const kind of ['equivocation', 'double-statement', 'double-vote'] as const)
      provesNothing(pair(kind, [ready([0]), ready([0, 2])]))
  })

  it('two signatures of one member under the same words are no offence', async () => {
    const numbers = await Promise.all(everyone.map(async (number) => ({ number, id: (await identity(number)).id })))
    const { number } = numbers.find(({ id }) => id === roster.members[1].id)!
    const once = say('KeyAdvert', 1, advertOf())
    const signed = signedBytes('KeyAdvert', context, once.body)
    const again = { ...once, signature: signAgain(new Uint8Array(32).fill(number + 1), signed) }
    const { encoded } = encodeMessage('KeyAdvert', context, 1, again.body, again.signature)
    assert.ok(ed25519.verify(again.signature, signed, roster.members[1].publicKey))
    assert.notDeepEqual(encoded, once.encoded)
    provesNothing({ ...pair('double-statement', [once]), statements: [once.encoded, encoded] }, /say the same/)
    const witness = new Witness(rules)
    assert.equal(witness.see(once), undefined)
    assert.equal(witness.see(decodeMessage(encoded)), undefined)
  })

  it('convicts by votes exactly where one slot holds two, and the witness agrees', () => {
    const anyVote = fc.record({
      type: fc.constantFrom('Prepare' as const, 'Commit' as const),
      from: fc.constantFrom(1, 2),
      body: fc.record({
        agreement: fc.constantFrom('closing', 'attempt-0', 'attempt-1'),
        view: fc.constantFrom(0, 1),
        value: fc.constantFrom(a, b),
        root: fc.constantFrom(null, a, b)
      })
    })
    const seen = { guilty: 0, innocent: 0 }
    const sameVote = (one: Body<'Prepare'>, other: Body<'Prepare'>) =>
      one.value === other.value && one.root === other.root
    fc.assert(
      fc.property(anyVote, anyVote, (one, other) => {
        const guilty =
          one.type === other.type &&
          one.from === other.from &&
          one.body.agreement === other.body.agreement &&
          one.body.view === other.body.view &&
          !sameVote(one.body, other.body)
        seen[guilty ? 'guilty' : 'innocent']++
        const [first, second] = [one, other].map(({ type, from, body }) => say(type, from, body))
        const evidence = pair('double-vote', [first, second], one.from)
        if (guilty) verifyEvidence(evidence, rules)
        else provesNothing(evidence)
        const witness = new Witness(rules)
        assert.equal(witness.see(first), undefined)
        const found = witness.see(second)
        assert.equal(found !== undefined, guilty)
        if (found !== undefined) assert.deepEqual(found, evidence)
      }),
      { numRuns: 400, seed: 7 }
    )
    assert.ok(seen.guilty > 10 && seen.innocent > 10)
  })
})

/** Ed25519 (RFC 8032 §5.1.6) with another nonce than the one it prescribes. */
function signAgain(seed: Uint8Array, message: Uint8Array): Uint8Array {
  const { scalar, pointBytes } = ed25519.utils.getExtendedPublicKey(seed)
  const { BASE, Fn } = ed25519.Point
  const R = BASE.multiply(12345n).toBytes()
  const littleEndian = (bytes: Uint8Array) => BigInt(`0x${bytesToHex(bytes.toReversed())}`)
  const k = Fn.create(littleEndian(sha512(Uint8Array.of(...R, ...pointBytes, ...message))))
  return Uint8Array.of(...R, ...Fn.toBytes(Fn.add(12345n, Fn.mul(k, Fn.create(scalar)))))
}

describe('evidence against a lying holder', () => {
  const honest = dealing()
  const sides = ['seed', 'key'] as const

  it('is its own Reveal with a share that is not in the dealer’s tree at its place', () => {
    for (const side of sides) {
      for (const field of ['share', 'sibling', 'nonce', 'signature', 'root'] as const) {
        const lie = reveal(3, { [side]: [altered(honest.proof(side, 3), field)] })
        const evidence = holderEvidence(lie, rules)
        assert.ok(evidence, `${field} of a ${side} share`)
        assert.deepEqual(evidence, pair('lying-holder', [lie], 3))
        verifyEvidence(evidence, rules)
        for (const culprit of [0, 1, 2, 4]) provesNothing({ ...evidence, culprit })
      }
    }
  })

  it('is another holder’s true share, one of the other side, of another attempt, with a longer path, or of nobody', () => {
    const truth = honest.proof('seed', 3)
    const lies: Array<{ key?: ShareProof[]; seed?: ShareProof[] }> = [
      { seed: [honest.proof('seed', 2)] },
      { key: [truth] },
      { seed: [{ ...truth, path: [...truth.path, a] }] },
      { seed: [{ ...truth, dealer: 0 }] },
      { seed: [{ ...truth, dealer: n }] },
      { seed: [{ ...truth, dealer: 3 }] },
      { seed: [truth], key: [altered(honest.proof('key', 3), 'share')] }
    ]
    for (const lie of lies) verifyEvidence(holderEvidence(reveal(3, lie), rules)!, rules)
    const elsewhere = say('Reveal', 3, { ...reveal(3, { seed: [truth] }).body, attemptId: b })
    verifyEvidence(holderEvidence(elsewhere, rules)!, rules)
  })

  it('is not made where it would be over the limit', () => {
    const lie = altered(honest.proof('seed', 3), 'share')
    const { length } = dagCbor.encode(lie)
    const lies = (bytes: number) => reveal(3, { seed: Array.from({ length: Math.floor(bytes / length) }, () => lie) })
    assert.ok(holderEvidence(lies(MAX_MESSAGE_BYTES - 500), rules) === undefined)
    assert.ok(holderEvidence(lies(MAX_EVIDENCE_BYTES - 1000), rules))
  })

  it('is never an honest holder’s Reveal, whatever else the dealer did', () => {
    const dealers = [
      honest,
      dealing({ committed: a }),
      dealing({ degree: threshold + 1 }),
      dealing({ key: x25519PublicKey(a) })
    ]
    for (const dealer of dealers) {
      for (const holder of holders) {
        const truth = reveal(holder, { seed: [dealer.proof('seed', holder)], key: [dealer.proof('key', holder)] })
        assert.equal(holderEvidence(truth, rules), undefined)
        provesNothing(pair('lying-holder', [truth], holder), /the one that its dealer signed/)
      }
    }
    provesNothing(pair('lying-holder', [reveal(3, {})], 3))
  })

  it('proves nothing where somebody else changed the share, put it into another’s mouth, or showed another message', () => {
    const truth = reveal(3, { seed: [honest.proof('seed', 3)] })
    const lie = reveal(3, { seed: [altered(honest.proof('seed', 3), 'share')] })
    const forged = encodeMessage('Reveal', context, 3, lie.body, truth.signature)
    provesNothing(pair('lying-holder', [forged], 3), /signature/)
    assert.equal(holderEvidence(forged, rules), undefined)
    provesNothing(pair('lying-holder', [encodeMessage('Reveal', context, 2, lie.body, lie.signature)], 2))
    provesNothing(pair('lying-holder', [say('Reveal', 3, lie.body, nextRound)], 3))
    provesNothing(pair('lying-holder', [lie, lie], 3), /takes one/)
    provesNothing(pair('lying-holder', [say('MaskedHeader', 3, header)], 3))
  })

  it('is refused with any bit flipped', () => {
    const lie = reveal(3, { seed: [altered(honest.proof('seed', 3), 'share')] })
    const encoded = encodeEvidence(pair('lying-holder', [lie], 3))
    for (let bit = 0; bit < 8 * encoded.length; bit += 7) {
      const flipped = encoded.slice()
      flipped[bit >> 3] ^= 1 << (bit & 7)
      assert.throws(() => verifyEvidence(decodeEvidence(flipped), rules), MessageError, `bit ${bit}`)
    }
  })
})

describe('evidence against a lying dealer', () => {
  const honest = dealing()
  const wrongSeed = dealing({ committed: a })
  const wrongKey = dealing({ key: x25519PublicKey(a) })
  const crooked = dealing({ degree: threshold + 1 })
  const revealed = (side: Side, { proof }: ReturnType<typeof dealing>, who = holders) =>
    who.map((holder) => reveal(holder, { [side]: [proof(side, holder)] }))

  it('is its advert and the Reveals of t holders, whose shares under its root open something else', () => {
    for (const [side, dealer] of [
      ['seed', wrongSeed],
      ['key', wrongKey],
      ['seed', crooked],
      ['key', crooked]
    ] as const) {
      const reveals = revealed(side, dealer)
      const evidence = dealerEvidence(dealer.advert, reveals.toReversed(), rules)
      assert.ok(evidence)
      assert.deepEqual(evidence, pair('lying-dealer', [dealer.advert, ...reveals.slice(0, threshold)]))
      verifyEvidence(evidence, rules)
      verifyEvidence(pair('lying-dealer', [dealer.advert, ...reveals]), rules)
    }
  })

  it('is none where the shares open what was committed to, on the side that was dealt rightly', () => {
    for (const [side, dealer] of [
      ['seed', honest],
      ['key', honest],
      ['key', wrongSeed],
      ['seed', wrongKey]
    ] as const) {
      const reveals = revealed(side, dealer)
      assert.equal(dealerEvidence(dealer.advert, reveals, rules), undefined)
      provesNothing(pair('lying-dealer', [dealer.advert, ...reveals]), /open what was committed to/)
    }
  })

  it('is none with fewer than t shares, or one holder’s share counted twice', () => {
    const reveals = revealed('seed', wrongSeed)
    const few = reveals.slice(0, threshold - 1)
    assert.equal(dealerEvidence(wrongSeed.advert, few, rules), undefined)
    provesNothing(pair('lying-dealer', [wrongSeed.advert, ...few]), /fewer than the threshold/)
    provesNothing(pair('lying-dealer', [wrongSeed.advert, ...few, few[0]]), /different holders/)
    provesNothing(pair('lying-dealer', [wrongSeed.advert, reveals[1], reveals[0]]), /roster order/)
    provesNothing(pair('lying-dealer', [wrongSeed.advert]))
    provesNothing(pair('lying-dealer', reveals))
  })

  it('is none where a lying holder’s share is among those of an honest dealer: the holder is convicted', () => {
    for (const side of ['seed', 'key'] as const) {
      const lie = reveal(0, { [side]: [altered(honest.proof(side, 0), 'share')] })
      const others = revealed(side, honest, [2, 3, 4])
      for (const mixed of [
        [lie, ...others],
        [lie, ...others.slice(0, threshold - 1)]
      ]) {
        assert.equal(dealerEvidence(honest.advert, mixed, rules), undefined)
        provesNothing(pair('lying-dealer', [honest.advert, ...mixed]))
      }
      assert.equal(holderEvidence(lie, rules)?.culprit, 0)
    }
  })

  it('is found beside lying holders, who cannot shield it', () => {
    const lie = reveal(0, { seed: [altered(wrongSeed.proof('seed', 0), 'share')] })
    const reveals = revealed('seed', wrongSeed, [2, 3, 4])
    const evidence = dealerEvidence(wrongSeed.advert, [lie, ...reveals], rules)
    assert.deepEqual(evidence, pair('lying-dealer', [wrongSeed.advert, ...reveals.slice(0, threshold)]))
  })

  it('is none with shares of another dealer, side, attempt or round', () => {
    const other = dealing({ dealer: 2 })
    provesNothing(pair('lying-dealer', [honest.advert, ...revealed('seed', other, [0, 3, 4])]))
    provesNothing(pair('lying-dealer', [other.advert, ...revealed('seed', wrongSeed)], 2))
    provesNothing(pair('lying-dealer', [wrongSeed.advert, ...revealed('seed', wrongSeed)], 2))
    const [seedSide, keySide] = (['seed', 'key'] as const).map((side) => revealed(side, crooked))
    provesNothing(pair('lying-dealer', [crooked.advert, seedSide[0], keySide[1], seedSide[2], keySide[3]]))
    const laterAdvert = say('KeyAdvert', 1, { ...wrongSeed.advert.body, attemptId: b })
    assert.equal(dealerEvidence(laterAdvert, revealed('seed', wrongSeed), rules), undefined)
    provesNothing(pair('lying-dealer', [laterAdvert, ...revealed('seed', wrongSeed)]))
    const laterReveals = revealed('seed', wrongSeed).map(({ from, body }) => say('Reveal', from, body, nextRound))
    provesNothing(pair('lying-dealer', [wrongSeed.advert, ...laterReveals]))
  })

  it('is none with an advert or a Reveal that its signer did not sign so', () => {
    const reveals = revealed('seed', honest)
    const false_ = encodeMessage('KeyAdvert', context, 1, wrongSeed.advert.body, honest.advert.signature)
    provesNothing(pair('lying-dealer', [false_, ...reveals]), /signature/)
    const inAnothersName = encodeMessage(
      'KeyAdvert',
      context,
      1,
      wrongSeed.advert.body,
      say('KeyAdvert', 2, wrongSeed.advert.body).signature
    )
    provesNothing(pair('lying-dealer', [inAnothersName, ...reveals]), /signature/)
    const bad = revealed('seed', wrongSeed)
    const forged = encodeMessage('Reveal', context, 0, bad[0].body, bad[1].signature)
    provesNothing(pair('lying-dealer', [wrongSeed.advert, forged, bad[1]]), /signature/)
  })

  it('is the two roots themselves where it signed two in one attempt', () => {
    const secrets = { seed: randomBytes(32), maskSecret: randomBytes(32) }
    const [one, other] = [dealing(secrets), dealing(secrets)]
    const mixed = [...revealed('seed', one, [0, 3]), ...revealed('seed', other, [2, 4])].sort((x, y) => x.from - y.from)
    provesNothing(pair('lying-dealer', [one.advert, ...mixed]))
    const evidence = dealerEvidence(one.advert, mixed, rules)
    assert.equal(evidence?.kind, 'double-statement')
    assert.equal(evidence.culprit, 1)
    verifyEvidence(evidence, rules)
    for (const encoded of evidence.statements) assert.equal(decodeMessage(encoded).type, 'ShareRoot')
  })

  it('names no dealer for a root that a holder made up', () => {
    const made = honest.proof('seed', 2)
    const mixed = [...revealed('seed', honest, [0]), reveal(2, { seed: [{ ...made, root: a }] })]
    assert.equal(dealerEvidence(honest.advert, mixed, rules), undefined)
  })

  it('is refused with a bit flipped anywhere', () => {
    const encoded = encodeEvidence(dealerEvidence(wrongSeed.advert, revealed('seed', wrongSeed), rules)!)
    for (let bit = 0; bit < 8 * encoded.length; bit += 7) {
      const flipped = encoded.slice()
      flipped[bit >> 3] ^= 1 << (bit & 7)
      assert.throws(() => verifyEvidence(decodeEvidence(flipped), rules), MessageError, `bit ${bit}`)
    }
  })
})

describe('encoded evidence', () => {
  const evidence = pair('equivocation', [offences[0].first, offences[0].second])
  const refused = (encoded: Uint8Array, code: string) =>
    assert.throws(
      () => decodeEvidence(encoded),
      (error) => error instanceof MessageError && error.code === code
    )

  it('decodes to what was encoded, and encodes to the same bytes', () => {
    for (const { kind, first, second } of offences) {
      const encoded = encodeEvidence(pair(kind, [first, second]))
      assert.deepEqual(decodeEvidence(encoded), pair(kind, [first, second]))
      assert.deepEqual(encodeEvidence(decodeEvidence(encoded)), encoded)
    }
  })

  it('is refused truncated, with a byte behind it, or with a field unknown, missing or out of its range', () => {
    const encoded = encodeEvidence(evidence)
    for (let length = 0; length < encoded.length; length += 5) refused(encoded.subarray(0, length), 'MALFORMED')
    refused(Uint8Array.of(...encoded, 0), 'MALFORMED')
    for (const field of Object.keys(evidence)) {
      const { [field as 'kind']: _, ...without } = evidence
      refused(dagCbor.encode(without), 'MALFORMED')
    }
    const bad = [
      { surplus: 1 },
      { kind: 'rudeness' },
      { culprit: -1 },
      { culprit: 0x10000 },
      { task: a.subarray(1) },
      { epoch: 1.5 },
      { round: 2 ** 41 },
      { statements: [] },
      { statements: ['text'] },
      { statements: Array.from({ length: 257 }, () => a) }
    ]
    for (const change of bad) refused(dagCbor.encode({ ...evidence, ...change }), 'MALFORMED')
  })

  it('is refused with its keys in another order', () => {
    const encoded = encodeEvidence({ ...evidence, statements: [new Uint8Array(0)] })
    const text = (word: string) => [0x60 + word.length, ...new TextEncoder().encode(word)]
    const kind = [...text('kind'), ...text('equivocation')]
    const at = Buffer.from(encoded).indexOf(Buffer.from(kind))
    const moved = [encoded[0], ...encoded.subarray(1, at), ...encoded.subarray(at + kind.length), ...kind]
    assert.deepEqual(dagCbor.decode(Uint8Array.from(moved)), dagCbor.decode(encoded))
    refused(Uint8Array.from(moved), 'MALFORMED')
  })

  it('is refused over the limit, and never made', () => {
    const large = { ...evidence, statements: [new Uint8Array(MAX_EVIDENCE_BYTES)] }
    refused(dagCbor.encode(large), 'OVERSIZED')
    assert.throws(() => encodeEvidence(large), MessageError)
  })

  it('has one id for an offence of one member in one round, whatever statements show it', () => {
    const id = (change: Partial<Evidence>) => bytesToHex(evidenceId({ ...evidence, ...change }))
    assert.equal(id({ statements: evidence.statements.toReversed() }), id({}))
    const others = [{ kind: 'double-vote' as const }, { culprit: 2 }, { round: 4 }, { epoch: 1 }, { task: a }]
    assert.equal(new Set([{}, ...others].map(id)).size, 6)
  })
})

describe('a witness', () => {
  for (const { kind, two, first, second, beside } of offences) {
    it(`has evidence of ${kind} once it saw ${two}`, () => {
      const witness = new Witness(rules)
      for (const message of [first, ...beside, first]) assert.equal(witness.see(message as AnyMessage), undefined)
      const evidence = witness.see(second)
      assert.deepEqual(evidence, pair(kind, [first, second]))
      verifyEvidence(evidence, rules)
      assert.equal(witness.see(second as AnyMessage), undefined)
      assert.deepEqual(witness.found, [evidence])
    })
  }

  it('looks into what a Join shows, and what is shown there', () => {
    const join = (from: number, change: Partial<Body<'Join'>>) =>
      say('Join', from, {
        view: 1,
        why: a,
        locks: [],
        decisions: [],
        shown: [],
        masked: null,
        sitsOut: false,
        custody: [],
        uploads: new Uint8Array(1),
        ...change
      })
    const shows = (from: number, message: Message) => join(from, { shown: [message.encoded] })
    const plans = [say('RoundPlan', 1, plan), say('RoundPlan', 1, { ...plan, contextHash: b })]
    const books = adverts.map((advert, view) => bookWith(view, advert.encoded))
    const decisions = [a, b].map((value) => {
      const commits = votes('Commit', { ...vote, value }, [0, 1, 2, 3])
      return say('Decision', 0, { value: burned, commits, reason: '' })
    })
    const cases: Array<[AnyMessage, AnyMessage, number]> = [
      [shows(2, plans[0]), shows(3, plans[1]), 1],
      [shows(3, books[0]), shows(4, books[1]), 2],
      [join(2, { custody: [headers[0].encoded] }), join(3, { masked: headers[1].encoded }), 3],
      [join(2, { decisions: [decisions[0].encoded] }), join(3, { decisions: [decisions[1].encoded] }), 0]
    ]
    for (const [first, second, culprit] of cases) {
      const witness = new Witness(rules)
      assert.equal(witness.see(first), undefined)
      const evidence = witness.see(second)
      assert.equal(evidence?.culprit, culprit)
      verifyEvidence(evidence, rules)
    }
  })

  const adverts = [say('KeyAdvert', 2, advertOf()), say('KeyAdvert', 2, advertOf(b))]
  const headers = [say('MaskedHeader', 3, header), say('MaskedHeader', 3, { ...header, root: b })]
  const bookWith = (view: number, ...shown: Uint8Array[]) => say('KeyBook', 0, { view, attemptId, adverts: shown })
  const cutWith = (view: number, ...shown: Uint8Array[]) => say('Proposal', 0, { ...proposal, view, headers: shown })

  it('looks into key books, proposals and custody, and blames who signed, not who shows', () => {
    const shown: Array<[AnyMessage, AnyMessage, number]> = [
      [adverts[0], bookWith(0, advertBytes(0), adverts[1].encoded), 2],
      [bookWith(0, adverts[0].encoded), bookWith(1, adverts[1].encoded), 2],
      [headers[0], cutWith(1, headers[1].encoded), 3],
      [say('Custody', 0, { header: headers[0].encoded }), cutWith(1, headers[1].encoded), 3]
    ]
    for (const [first, second, culprit] of shown) {
      const witness = new Witness(rules)
      assert.equal(witness.see(first), undefined)
      const evidence = witness.see(second)
      assert.equal(evidence?.kind, 'double-statement')
      assert.equal(evidence.culprit, culprit)
      verifyEvidence(evidence, rules)
      assert.equal(witness.found.length, 1)
    }
  })

  it('finds every double vote in two certificates of one view', () => {
    const value = { ...burned, beacon: b } as Value
    const [signers, others] = [everyone.slice(0, quorum), everyone.slice(-quorum)]
    const certificate = (type: 'Prepare' | 'Commit', of: Value, who: number[]) =>
      votes(type, { agreement: 'closing', view: 3, value: valueHash(of), root: null }, who)
    const lock = { value: burned, certificate: certificate('Prepare', burned, signers) }
    const rival = certificate('Prepare', value, others)
    const rivals: AnyMessage[] = [
      say('Lock', 4, { value, certificate: rival }),
      say('Join', 0, {
        view: 4,
        why: a,
        locks: [{ value, certificate: rival }],
        decisions: [],
        shown: [],
        masked: null,
        sitsOut: false,
        custody: [],
        uploads: new Uint8Array(1)
      }),
      say('Proposal', 0, { ...proposal, lock: rival })
    ]
    const commits: AnyMessage[] = [burned, value].map((of) =>
      say('Decision', 0, {
        value: of,
        commits: certificate('Commit', of, of === burned ? signers : others),
        reason: ''
      })
    )
    const runs = [...rivals.map((message) => [say('Lock', 0, lock), message] as AnyMessage[]), commits]
    for (const [first, second] of runs) {
      const witness = new Witness(rules)
      assert.equal(witness.see(first), undefined)
      assert.ok(witness.see(second))
      assert.deepEqual(
        witness.found.map(({ kind, culprit }) => [kind, culprit]),
        signers.filter((signer) => others.includes(signer)).map((signer) => ['double-vote', signer])
      )
      for (const evidence of witness.found) verifyEvidence(evidence, rules)
    }
    const alone = new Witness(rules)
    assert.equal(alone.see(say('Lock', 0, lock)), undefined)
    assert.equal(alone.see(say('Prepare', 1, { agreement: 'closing', view: 3, value: a, root: null }))?.culprit, 1)
  })

  it('sees a holder’s lie and a dealer’s second root in Reveals', () => {
    const secrets = { seed: randomBytes(32), maskSecret: randomBytes(32) }
    const [one, other] = [dealing(secrets), dealing(secrets)]
    const witness = new Witness(rules)
    assert.equal(witness.see(reveal(0, { seed: [one.proof('seed', 0)] })), undefined)
    const lie = witness.see(reveal(2, { seed: [altered(one.proof('seed', 2), 'share')] }))
    assert.deepEqual([lie?.kind, lie?.culprit], ['lying-holder', 2])
    assert.equal(witness.see(reveal(2, { key: [altered(one.proof('key', 2), 'share')] })), undefined)
    assert.deepEqual(witness.found, [lie])
    const roots = witness.see(reveal(3, { key: [other.proof('key', 3)] }))
    assert.deepEqual([roots?.kind, roots?.culprit], ['double-statement', 1])
    for (const evidence of witness.found) verifyEvidence(evidence, rules)
  })

  it('is not deceived by words put into another’s mouth, nor do they hide the true ones', () => {
    const forgedAdvert = (body: Body<'KeyAdvert'>) =>
      encodeMessage('KeyAdvert', context, 2, body, say('KeyAdvert', 0, body).signature)
    const forgedVotes = (value: Uint8Array, from: number) => {
      const certificate = votes('Prepare', { ...vote, value }, [0, 1, 2, 3])
      return say('Lock', from, { value: burned, certificate: { ...certificate, signers: setOf([1, 2, 3, 4]) } })
    }
    const forgeries: AnyMessage[] = [
      bookWith(0, forgedAdvert(advertOf(hashOf('x'))).encoded),
      bookWith(1, forgedAdvert(advertOf(hashOf('y'))).encoded),
      forgedAdvert(advertOf(b)),
      bookWith(2, new Uint8Array(9), adverts[0].encoded),
      forgedVotes(a, 0),
      forgedVotes(b, 3),
      say('Lock', 0, { value: burned, certificate: { ...votes('Prepare', vote, [0, 1]), signers: setOf([0]) } }),
      say('Lock', 0, { value: burned, certificate: { ...votes('Prepare', vote, [0, 1]), signers: a } }),
      encodeMessage('RoundPlan', context, 4, plan, say('RoundPlan', 0, plan).signature),
      encodeMessage('RoundPlan', context, 0xff, plan, say('RoundPlan', 0, plan).signature)
    ]
    const witness = new Witness(rules)
    for (const message of [...forgeries, ...forgeries]) assert.equal(witness.see(message), undefined)
    assert.equal(witness.see(forgedAdvert(advertOf(b))), undefined)
    assert.equal(witness.see(adverts[1])?.culprit, 2)
    assert.equal(witness.see(say('Prepare', 2, vote)), undefined)
    assert.equal(witness.see(say('Prepare', 2, { ...vote, value: b }))?.culprit, 2)
  })

  it('keeps rounds apart', () => {
    const witness = new Witness(rules)
    for (const { first, second, type } of offences) {
      assert.equal(witness.see(say(type, 1, first.body, nextRound) as AnyMessage), undefined)
      assert.equal(witness.see(say(type, 1, second.body, nextRound) as AnyMessage), undefined)
    }
    assert.deepEqual(witness.found, [])
    assert.equal(witness.see(bookWith(0, say('KeyAdvert', 2, advertOf(), nextRound).encoded)), undefined)
    assert.equal(witness.see(bookWith(1, adverts[0].encoded)), undefined)
    assert.equal(witness.see(adverts[1])?.culprit, 2)
  })

  it('forgets what a flooding member said long ago, and nobody else’s words', () => {
    const witness = new Witness(rules)
    const padded = (view: number, contextHash = a) =>
      say('RoundPlan', 1, { ...plan, view, contextHash, previous: new Uint8Array(100_000) })
    witness.see(adverts[0])
    for (let view = 0; view < 50; view++) assert.equal(witness.see(padded(view)), undefined)
    assert.equal(witness.see(padded(0, b)), undefined)
    assert.equal(witness.see(adverts[1])?.culprit, 2)
    assert.equal(witness.see(padded(49, b))?.culprit, 1)
  })

  it('is not made to keep a statement that would not fit into evidence', () => {
    const witness = new Witness(rules)
    const padded = { ...plan, previous: new Uint8Array(MAX_EVIDENCE_BYTES - 500) }
    assert.equal(witness.see(say('RoundPlan', 1, padded)), undefined)
    assert.equal(witness.see(say('RoundPlan', 1, plan)), undefined)
    const evidence = witness.see(say('RoundPlan', 1, { ...plan, contextHash: b }))
    assert.ok(evidence)
    assert.ok(encodeEvidence(evidence).length <= MAX_EVIDENCE_BYTES)
  })
})

describe('an honest network', function () {
  this.timeout(60_000)

  /** Everything that is said in some rounds with deaths, restarts, broken conversations and relayed shares. */
  async function overhear(seed: number): Promise<Map<string, AnyMessage>> {
    const draw = chance(seed)
    const members = 4 + (seed % 3)
    const heard = new Map<string, AnyMessage>()
    const take = (encoded: Uint8Array) => {
      if (!heard.has(bytesToHex(encoded))) heard.set(bytesToHex(encoded), decodeMessage(encoded))
      return encoded
    }
    const tap: Tamper = async function* (frames: AsyncIterable<Frame>) {
      for await (const frame of frames) {
        if (frame.kind === 'control') take(frame.payload)
        yield frame
      }
    }
    const all = <T>(what: T) => new Map(Array.from({ length: members }, (_, index) => [index, what]))
    const phases = ['keys', 'shares', 'mask', 'agree', 'unmask', 'sum', 'close'] as const
    const simulation = await Simulation.create({
      members,
      seed,
      threat: { corrupt: 0, dropout: 0.34 },
      direct: seed % 2 === 0 ? 1 : 0.5,
      tamper: all(tap),
      tamperAsLeader: all(tap),
      tamperDelivery: all(take),
      kills: [{ who: seed % 4 === 0 ? 'aggregator' : seed % members, phase: phases[seed % 7], round: 1 }],
      restart: seed % 3 === 0 ? undefined : { afterMs: 50 + 2000 * draw(), vectors: true }
    })
    for (let breaks = 0; breaks < 3; breaks++)
      void simulation.clock.sleep(400 * draw()).then(() => simulation.breakConversation())
    for (const round of [1, 2]) await simulation.round(round, 600_000)
    return heard
  }

  it('gives no evidence, in whatever order its messages are seen, again and again', async () => {
    const types = new Map<MessageType, number>()
    let sharesRevealed = 0
    for (let seed = 1; seed <= 24; seed++) {
      const messages = [...(await overhear(seed)).values()]
      const roster = createRoster({ epoch: 0, members: [...(await taskOf(seed)).members] })
      for (const round of [1, 2]) {
        const rulesOfRound = {
          context: { task: messages[0].task, epoch: 0, round },
          roster,
          thresholds: (await taskOf(seed)).thresholds
        }
        const witness = new Witness(rulesOfRound)
        for (const message of [...messages, ...messages.toReversed()]) {
          assert.equal(witness.see(message), undefined, `seed ${seed}: a ${message.type} of member ${message.from}`)
          types.set(message.type, (types.get(message.type) ?? 0) + 1)
        }
        const reveals = messages.filter((message) => message.type === 'Reveal')
        sharesRevealed += reveals.flatMap(({ body }) => [...body.keyShares, ...body.seedShares]).length
        for (const message of messages)
          if (message.type === 'KeyAdvert' && message.round === round)
            assert.equal(
              dealerEvidence(
                message,
                reveals.filter((one) => one.round === round),
                rulesOfRound
              ),
              undefined
            )
      }
    }
    const wanted = [
      'RoundPlan',
      'KeyAdvert',
      'KeyBook',
      'MaskingSet',
      'MaskedHeader',
      'Proposal',
      'Prepare',
      'Lock'
    ] as const
    for (const type of [...wanted, 'Commit', 'Decision', 'Join', 'Reveal', 'SumHeader', 'Custody'] as const)
      assert.ok((types.get(type) ?? 0) > 50, `hardly any ${type} was overheard`)
    assert.ok(sharesRevealed > 20, `${sharesRevealed} shares were revealed`)
  })
})

async function taskOf(seed: number) {
  return (await simulatedTask({ members: 4 + (seed % 3), length: 7, threat: { corrupt: 0, dropout: 0.34 } })).task
}
