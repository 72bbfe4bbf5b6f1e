import assert from 'node:assert/strict'
import * as dagCbor from '@ipld/dag-cbor'
import fc from 'fast-check'
import { MerkleTree, vectorLeaf } from '../../src/crypto/merkle.ts'
import { CHUNK_ELEMENTS } from '../../src/encoding/packing.ts'
import { MessageError } from '../../src/errors.ts'
import type { MessageFault } from '../../src/errors.ts'
import { authenticate } from '../../src/round/certificates.ts'
import { checkChunk } from '../../src/round/chunks.ts'
import { randomBytes } from '../../src/crypto/primitives.ts'
import { decodeMessage, encodeMessage, isSigned, MAX_MESSAGE_BYTES, signedBytes } from '../../src/round/messages.ts'
import type { AnyMessage, Body, Message, MessageType } from '../../src/round/messages.ts'
import { burned, context, decisionFor, hashOf, identities, lockFor, roster, say, scene, setOf } from './fixtures.ts'

const { attempts, ballots, book } = await scene()
const attemptId = book.attemptId
const hash = hashOf('any')
const cut = { attemptId, keyBookHash: hash, maskingSetHash: hash, included: setOf([0, 1, 2]), headersRoot: hash }
const lock = lockFor('closing', 0, burned)
const proof = {
  slot: 2,
  dealer: 1,
  share: hash,
  sibling: hash,
  nonce: hash,
  path: [hash],
  root: hash,
  signature: new Uint8Array(64)
}
const vote = { agreement: 'closing', view: 1, value: hash, root: hash }
const [delivery] = await attempts[1].deliveries(ballots[1], randomBytes)

/** A masked vector of two chunks, of whose second a member was asked. */
const shape = { elements: 2 * CHUNK_ELEMENTS, bits: 1, shards: 1 }
const chunkBytes = new Uint8Array(CHUNK_ELEMENTS / 8)
const owner = { attemptId, member: 2 }
const tree = MerkleTree.from([0, 1].map((chunk) => vectorLeaf({ ...owner, chunk, bytes: chunkBytes })))
const asked = 1

/** One of each, from member 1; a type without a sample does not compile. */
const samples: { [T in MessageType]: Body<T> } = {
  Want: {},
  ViewChange: { view: 1, locks: [{ agreement: 'closing', view: 0, value: hash }] },
  Decision: { ...decisionFor('closing', burned), reason: 'why' },
  Evidence: { evidence: new Uint8Array(9) },
  Join: {
    view: 1,
    why: new Uint8Array(9),
    locks: [lock],
    decisions: [new Uint8Array(9)],
    shown: [new Uint8Array(9)],
    masked: new Uint8Array(9),
    sitsOut: false,
    custody: [new Uint8Array(9)],
    uploads: setOf([2])
  },
  RoundPlan: {
    view: 0,
    attempt: 0,
    retries: [new Uint8Array(9)],
    contextHash: hash,
    length: 7,
    previous: new Uint8Array(9)
  },
  KeyAdvert: attempts[1].advert(true),
  KeyBook: { view: 0, attemptId, adverts: [new Uint8Array(9)] },
  ShareRoot: { attemptId, root: hash },
  ShareDelivery: delivery,
  Ready: { attemptId, keyBookHash: hash, dealers: setOf([0, 2]) },
  MaskingSet: { view: 0, attemptId, keyBookHash: hash, members: setOf([0, 1, 2]), readyHash: hash },
  MaskedHeader: { attemptId, maskingSetHash: hash, root: hash },
  Custody: { header: new Uint8Array(9) },
  CustodyReceipt: { attemptId, member: 2, root: hash },
  VectorRequest: { attemptId, member: 2, root: hash },
  Vector: { attemptId, member: 2 },
  Proposal: {
    agreement: 'attempt-0',
    view: 0,
    value: { kind: 'retry' },
    lock: null,
    cut,
    headers: [new Uint8Array(9)],
    change: new Uint8Array(9),
    reason: 'why'
  },
  Prepare: vote,
  Lock: lock,
  Commit: vote,
  Reveal: { attemptId, cutHash: hash, seed: hash, keyShares: [proof], seedShares: [] },
  RevealRequest: { attemptId, cutHash: hash, silent: setOf([4]) },
  SlicePlan: { view: 0, attemptId, maskingSetHash: hash, number: 1, owners: [0, 2], keepers: [2, 0] },
  SliceReport: { attemptId, maskingSetHash: hash, slice: 1, members: setOf([0, 2]), roots: [hash, attemptId] },
  SliceRequest: { attemptId, slice: 1, member: 2 },
  Slice: { attemptId, slice: 1, member: 2, root: hash, header: new Uint8Array(9), path: [hash] },
  Opened: { attemptId, cutHash: hash, seeds: [{ member: 1, secret: hash }], keys: [] },
  SliceHeader: { attemptId, cutHash: hash, slice: 1, root: hash },
  SumHeader: { view: 0, cut, root: hash, seeds: [{ member: 1, secret: hash }], keys: [], again: new Uint8Array(7) },
  ChunkRequest: { attemptId, member: 2, root: hash, chunks: [0, 7] },
  Chunk: { index: asked, path: tree.path(asked) },
  CatchUp: {},
  Closed: {
    decision: new Uint8Array(9),
    deck: new Uint8Array(3),
    announcements: [new Uint8Array(2)],
    chain: [{ roster: new Uint8Array(9), made: new Uint8Array(9), effective: new Uint8Array(9) }],
    pending: null
  },
  RosterRequest: { action: 'join', peer: new Uint8Array(38), signature: new Uint8Array(64) },
  RosterVouch: { voucher: new Uint8Array(38), peer: new Uint8Array(38), signature: new Uint8Array(64) },
  SumRequest: {},
  EvidenceNotice: { culprit: 2, hash, bytes: 9 },
  EvidenceRequest: { hash },
  RecordRequest: {},
  Record: { closing: new Uint8Array(9), transcriptBytes: 9 },
  Refusal: { reason: 'none here' }
}
const types = Object.keys(samples) as MessageType[]
const sampleOf = (type: MessageType): Message => say(type, 1, samples[type])

function fault(run: () => unknown): MessageError {
  try {
    run()
  } catch (error) {
    if (error instanceof MessageError) return error
    throw error
  }
  throw new assert.AssertionError({ message: 'it was not refused' })
}

/** Everything that stands between the network and a message's meaning. */
function accept(encoded: Uint8Array): AnyMessage {
  const message = decodeMessage(encoded)
  authenticate(message, context, roster)
  // What a seal covers instead of a signature shows when it is opened, by the holder that it is for.
  if (message.type === 'ShareDelivery') attempts[message.body.holder === 0 ? 0 : 2].receive(message.body)
  if (message.type === 'Chunk') takeChunk(message)
  return message
}

/** As whoever asked member 1 for a chunk takes the answer: the root proves it. */
function takeChunk(message: Message<'Chunk'>): void {
  authenticate(message, context, roster, 1)
  const { index, path } = message.body
  if (index !== asked) throw new MessageError('INVALID', 'another chunk than was asked for')
  checkChunk({ index, path, bytes: chunkBytes }, { ...owner, root: tree.root }, shape)
}

describe('messages', () => {
  for (const type of types) {
    it(`${type} decodes to what was encoded, and encodes to the same bytes`, () => {
      const message = sampleOf(type)
      const decoded = decodeMessage(message.encoded)
      assert.deepEqual(decoded, message)
      assert.deepEqual(
        encodeMessage(type, decoded, decoded.from, decoded.body, decoded.signature).encoded,
        message.encoded
      )
      authenticate(decoded, context, roster, 1)
    })

    // What peers ask about the roster is signed within: who passes it on, and in which round, says nothing.
    const within = type === 'RosterRequest' || type === 'RosterVouch'
    if (!within)
      it(`${type} is refused with any bit flipped`, () => {
        const { encoded } = sampleOf(type)
        for (let bit = 0; bit < 8 * encoded.length; bit++) {
          const flipped = encoded.slice()
          flipped[bit >> 3] ^= 1 << (bit & 7)
          assert.throws(() => accept(flipped), MessageError, `bit ${bit} of a ${type} does not matter`)
        }
      })

    it(`${type} is refused when truncated anywhere, or with a byte behind it`, () => {
      const { encoded } = sampleOf(type)
      for (let length = 0; length < encoded.length; length++)
        assert.equal(fault(() => decodeMessage(encoded.subarray(0, length))).code, 'MALFORMED')
      assert.equal(fault(() => decodeMessage(Uint8Array.of(...encoded, 0))).code, 'MALFORMED')
    })

    it(`${type} with a field too many or too few is refused, and the field named`, () => {
      const { encoded } = sampleOf(type)
      const outer = dagCbor.decode<Record<string, unknown>>(encoded)
      const named = (value: unknown) => fault(() => decodeMessage(dagCbor.encode(value))).message
      assert.match(named({ ...outer, surplus: 1 }), /surplus/)
      assert.match(named({ ...outer, body: { ...(outer.body as object), surplus: 1 } }), /surplus/)
      for (const field of Object.keys(outer)) {
        const { [field]: _, ...rest } = outer
        assert.match(named(rest), new RegExp(field))
      }
      for (const field of Object.keys(outer.body as object)) {
        const { [field]: _, ...rest } = outer.body as Record<string, unknown>
        assert.match(named({ ...outer, body: rest }), new RegExp(field))
      }
    })
  }

  it('keys in another order than the canonical one are refused', () => {
    const outer = dagCbor.decode<Record<string, unknown>>(sampleOf('Want').encoded)
    const parts = Object.entries(outer).flatMap(([key, value]) => [dagCbor.encode(key), dagCbor.encode(value)])
    const swapped = [...parts.slice(2, 4), ...parts.slice(0, 2), ...parts.slice(4)]
    const bytes = Uint8Array.from([0xa0 + parts.length / 2, ...swapped.flatMap((part) => [...part])])
    assert.deepEqual(Object.keys(dagCbor.decode<object>(bytes)).length, 7)
    assert.match(fault(() => decodeMessage(bytes)).message, /canonical/)
  })

  it('one over the limit is refused before it is parsed, and never encoded', () => {
    assert.equal(fault(() => decodeMessage(new Uint8Array(MAX_MESSAGE_BYTES + 1))).code, 'OVERSIZED')
    const header = new Uint8Array(MAX_MESSAGE_BYTES)
    assert.equal(fault(() => encodeMessage('Custody', context, 1, { header }, new Uint8Array(64))).code, 'OVERSIZED')
  })

  it('any body comes back as it was said, in the same bytes', () => {
    const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 })
    const view = fc.nat(0xffff)
    const any = fc.oneof(
      fc
        .record({ attemptId: bytes32, maskingSetHash: bytes32, root: bytes32 })
        .map((body) => say('MaskedHeader', 1, body)),
      fc.record({ attemptId: bytes32, member: fc.nat(4), root: bytes32 }).map((body) => say('CustodyReceipt', 1, body)),
      fc
        .record({ view, value: bytes32, root: fc.option(bytes32) })
        .map((body) => say('Prepare', 1, { agreement: 'closing', ...body })),
      fc
        .record({ attemptId: bytes32, keyBookHash: bytes32, dealers: fc.subarray([0, 1, 2, 3, 4]).map(setOf) })
        .map((body) => say('Ready', 1, body)),
      fc.record({ reason: fc.string({ unit: 'grapheme', maxLength: 40 }) }).map((body) => say('Refusal', 1, body))
    )
    fc.assert(
      fc.property(any, (message) => {
        const { type, from, body, encoded } = decodeMessage(message.encoded)
        assert.deepEqual({ type, from, body }, { type: message.type, from: 1, body: { ...message.body } })
        assert.deepEqual(encoded, message.encoded)
      })
    )
  })

  it('random bytes are refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        assert.equal(fault(() => decodeMessage(bytes)).code, 'MALFORMED')
      })
    )
  })

  it('a signature of one type never verifies as another, whatever the body', () => {
    for (const type of types.filter(isSigned)) {
      const body = samples[type]
      const signature = identities[1].sign(signedBytes(type, context, body))
      for (const other of types.filter((other) => isSigned(other) && other !== type)) {
        const forged = { ...context, type: other, from: 1, body, signature, encoded: new Uint8Array(0) } as AnyMessage
        assert.equal(fault(() => authenticate(forged, context, roster)).code, 'SIGNATURE')
      }
    }
    const prepare = say('Prepare', 1, vote)
    const commit = decodeMessage(encodeMessage('Commit', context, 1, vote, prepare.signature).encoded)
    assert.equal(fault(() => authenticate(commit, context, roster)).code, 'SIGNATURE')
  })

  it('each is signed but a share, which is sealed, a chunk, which a root proves, and what is signed within for a roster', () => {
    assert.deepEqual(
      types.filter((type) => !isSigned(type)),
      ['ShareDelivery', 'Chunk', 'RosterRequest', 'RosterVouch']
    )
    const unsigned = encodeMessage('Want', context, 1, {})
    assert.match(fault(() => decodeMessage(unsigned.encoded)).message, /signature of 0 bytes/)
  })

  const wrong: Array<[string, MessageFault, () => AnyMessage, number]> = [
    ['another task', 'WRONG_TASK', () => say('Want', 1, {}, { ...context, task: hash }), 1],
    ['another round', 'WRONG_ROUND', () => say('Want', 1, {}, { ...context, round: 4 }), 1],
    ['another epoch', 'WRONG_ROUND', () => say('Want', 1, {}, { ...context, epoch: 1 }), 1],
    ['another member’s name', 'IMPERSONATION', () => say('Want', 2, {}), 1],
    ['a stranger’s name', 'STRANGER', () => encodeMessage('Want', context, 5, {}, new Uint8Array(64)), 1],
    ['a signature of another', 'SIGNATURE', () => ({ ...say('Want', 2, {}), from: 1 }), 1]
  ]
  for (const [what, code, make, sender] of wrong) {
    it(`one with ${what} is refused, and whoever sent it is named`, () => {
      const { code: found, culprit } = fault(() => authenticate(make(), context, roster, sender))
      assert.deepEqual({ found, culprit }, { found: code, culprit: roster.members[sender].id })
    })
  }

  it('a share under another dealer’s name is refused', () => {
    const stolen = encodeMessage('ShareDelivery', context, 2, { ...delivery, dealer: 1 })
    assert.equal(fault(() => authenticate(stolen, context, roster)).code, 'IMPERSONATION')
  })
})
