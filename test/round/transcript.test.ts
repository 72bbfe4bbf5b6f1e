import assert from 'node:assert/strict'
import { LowOrderKeyError } from '../../src/crypto/low-order.ts'
import { randomBytes, x25519 } from '../../src/crypto/primitives.ts'
import { MessageError } from '../../src/errors.ts'
import type { MessageFault } from '../../src/errors.ts'
import type { Body, Cut, Message } from '../../src/round/messages.ts'
import {
  checkAdvert,
  headersRoot,
  readCut,
  readKeyBook,
  readMaskingSet,
  refuseDuplicateKeys
} from '../../src/round/transcript.ts'
import { context, everyone, graph, hashOf, roster, rules, say, scene, setOf } from './fixtures.ts'

const one = await scene()
const { book, set, bookMessage, setMessage } = one
const { attemptId } = book
const leader = 2
const adverts = [...book.adverts.values()]

function refused(run: () => unknown, code: MessageFault, sentence: RegExp, member = leader): void {
  assert.throws(run, (error: Error) => {
    assert.ok(error instanceof MessageError, String(error))
    assert.equal(error.code, code)
    assert.match(error.message, sentence)
    assert.equal(error.culprit, roster.members[member].id)
    return true
  })
}

/** RFC 7748 §6.1 and its twist: all encodings of small order, with and without the ignored top bit. */
const lowOrder = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f'
].flatMap((hex) => {
  const key = new Uint8Array(Buffer.from(hex, 'hex'))
  return [key, key.map((byte, at) => (at === 31 ? byte | 0x80 : byte))]
})

describe('a key advert', () => {
  const change = (body: Partial<Body<'KeyAdvert'>>) => say('KeyAdvert', 1, { ...adverts[1].body, ...body })

  it('is for this attempt, and its keys are of high order', () => {
    checkAdvert(adverts[1], attemptId, roster)
    refused(
      () => checkAdvert(change({ attemptId: hashOf('x') }), attemptId, roster),
      'WRONG_ATTEMPT',
      /another attempt/,
      1
    )
    for (const key of lowOrder) {
      assert.throws(() => x25519(randomBytes(32), key), LowOrderKeyError)
      refused(
        () => checkAdvert(change({ maskKey: key }), attemptId, roster),
        'LOW_ORDER_KEY',
        /mask key of member 1/,
        1
      )
      refused(
        () => checkAdvert(change({ sealKey: key }), attemptId, roster),
        'LOW_ORDER_KEY',
        /seal key of member 1/,
        1
      )
    }
  })

  it('has one key for each use, and none that another has', () => {
    const { sealKey } = adverts[1].body
    refused(() => checkAdvert(change({ maskKey: sealKey }), attemptId, roster), 'DUPLICATE_KEY', /both uses/, 1)
    const { maskKey } = adverts[3].body
    for (const copied of [{ maskKey }, { sealKey: maskKey }])
      assert.throws(() => refuseDuplicateKeys([adverts[3], change(copied)]), {
        code: 'DUPLICATE_KEY',
        message: /3 and 1/,
        culprit: undefined
      })
    refuseDuplicateKeys(adverts)
  })
})

describe('a key book', () => {
  const bookOf = (encoded: Uint8Array[], id = attemptId) =>
    say('KeyBook', leader, { view: 0, attemptId: id, adverts: encoded })
  const read = (encoded: Uint8Array[]) => () => readKeyBook(bookOf(encoded), { id: attemptId, graph }, rules)
  const all = adverts.map(({ encoded }) => encoded)
  const replace = (place: number, by: Uint8Array) => all.map((advert, at) => (at === place ? by : advert))

  it('holds every advert as its owner signed it, in roster order', () => {
    const { contributors, adverts: found } = readKeyBook(bookMessage, { id: attemptId, graph }, rules)
    assert.deepEqual(contributors, everyone)
    assert.deepEqual([...found.keys()], everyone)
  })

  it('names as contributors only those that have an input', () => {
    const idle = say('KeyAdvert', 4, { ...adverts[4].body, contributes: false })
    assert.deepEqual(
      readKeyBook(bookOf(replace(4, idle.encoded)), { id: attemptId, graph }, rules).contributors,
      [0, 1, 2, 3]
    )
  })

  it('has another hash for other adverts or another attempt, and the same in a later view', () => {
    const hash = (encoded: Uint8Array[]) => read(encoded)().hash
    assert.notDeepEqual(hash(all), hash(all.slice(1)))
    const later = say('KeyBook', leader, { view: 5, attemptId, adverts: all })
    assert.deepEqual(readKeyBook(later, { id: attemptId, graph }, rules).hash, hash(all))
  })

  it('is the leader’s fault where it is invalid, not that of the members in it', () => {
    const twisted = all[1].slice()
    twisted[twisted.length - 1] ^= 1
    refused(read([...all].reverse()), 'INVALID', /roster order/)
    refused(read([...all, all[4]]), 'INVALID', /roster order/)
    refused(read(replace(1, twisted)), 'SIGNATURE', /member 1/)
    refused(read(replace(1, all[1].slice(1))), 'MALFORMED', /CBOR/)
    refused(read(replace(1, say('Want', 1, {}).encoded)), 'INVALID', /a Want stands where a KeyAdvert belongs/)
    refused(
      read(replace(1, say('KeyAdvert', 1, { ...adverts[1].body, attemptId: hashOf('x') }).encoded)),
      'WRONG_ATTEMPT',
      /member 1/
    )
    refused(
      read(replace(1, say('KeyAdvert', 1, adverts[1].body, { ...context, round: 2 }).encoded)),
      'WRONG_ROUND',
      /round 2/
    )
    refused(
      read(replace(1, say('KeyAdvert', 1, { ...adverts[1].body, maskKey: new Uint8Array(32) }).encoded)),
      'LOW_ORDER_KEY',
      /low order/
    )
    const copied = say('KeyAdvert', 1, { ...adverts[1].body, maskKey: adverts[0].body.maskKey })
    refused(read(replace(1, copied.encoded)), 'DUPLICATE_KEY', /members 0 and 1/)
    refused(
      () => readKeyBook(bookOf(all, hashOf('x')), { id: attemptId, graph }, rules),
      'WRONG_ATTEMPT',
      /another attempt/
    )
  })
})

describe('a masking set', () => {
  const idle = say('KeyAdvert', 4, { ...adverts[4].body, contributes: false }).encoded
  const smaller = readKeyBook(
    say('KeyBook', leader, {
      view: 0,
      attemptId,
      adverts: [...adverts.slice(0, 4).map(({ encoded }) => encoded), idle]
    }),
    { id: attemptId, graph },
    rules
  )
  const read =
    (change: Partial<Body<'MaskingSet'>>, of = book) =>
    () =>
      readMaskingSet(say('MaskingSet', leader, { ...setMessage.body, keyBookHash: of.hash, ...change }), of, rules)

  it('holds contributors of this key book, no fewer than this member’s own least', () => {
    assert.equal(rules.thresholds.nMin, 4)
    assert.deepEqual(readMaskingSet(setMessage, book, rules), set)
    assert.deepEqual(read({ members: setOf([0, 1, 2, 3]) }, smaller)().members, [0, 1, 2, 3])
    refused(read({ members: setOf([0, 1, 2]) }), 'INVALID', /3 members, and a sum needs at least 4/)
    refused(read({}, smaller), 'INVALID', /member 4, who contributes nothing/)
  })

  it('belongs to this attempt and book, and names nobody beyond the roster', () => {
    refused(read({ attemptId: hashOf('x') }), 'INVALID', /another key book/)
    refused(read({ keyBookHash: hashOf('x') }), 'INVALID', /another key book/)
    refused(read({ members: Uint8Array.of(0b111111) }), 'MALFORMED', /beyond the last/)
    refused(read({ members: Uint8Array.of(31, 0) }), 'MALFORMED', /2/)
  })

  it('has another hash for other members, books, attempts or acknowledgements', () => {
    const hashes = [{}, { members: setOf([0, 1, 2, 3]) }, { readyHash: hashOf('x') }].map(
      (change) => read(change)().hash
    )
    hashes.push(read({ members: setOf([0, 1, 2, 3]) }, smaller)().hash)
    assert.equal(new Set(hashes.map(String)).size, hashes.length)
  })
})

describe('a cut (§5)', () => {
  const header = (from: number, change: Partial<Body<'MaskedHeader'>> = {}, over = context) =>
    say('MaskedHeader', from, { attemptId, maskingSetHash: set.hash, root: hashOf(`vector ${from}`), ...change }, over)
  const headersOf = (members: number[]) => members.map((from) => header(from))
  const cutOf = (members: number[], headers: Message<'MaskedHeader'>[], change: Partial<Cut> = {}): Cut => ({
    attemptId,
    keyBookHash: book.hash,
    maskingSetHash: set.hash,
    included: setOf(members),
    headersRoot: headersRoot(headers),
    ...change
  })
  const read =
    (cut: Cut, headers: Array<{ encoded: Uint8Array }>, among = set) =>
    () =>
      readCut(
        cut,
        headers.map(({ encoded }) => encoded),
        book,
        among,
        rules,
        leader
      )
  const four = [0, 1, 3, 4]
  const headers = headersOf(four)

  it('includes members of the masking set with one signed header each, and drops the rest', () => {
    const checked = read(cutOf(four, headers), headers)()
    assert.deepEqual([...checked.included], four)
    assert.deepEqual(checked.dropped, [2])
    assert.deepEqual([...checked.headers.keys()], four)
  })

  it('belongs to this attempt, key book and masking set', () => {
    refused(read(cutOf(four, headers, { attemptId: hashOf('x') }), headers), 'WRONG_ATTEMPT', /another attempt/)
    refused(read(cutOf(four, headers, { keyBookHash: hashOf('x') }), headers), 'INVALID', /another key book/)
    refused(read(cutOf(four, headers, { maskingSetHash: hashOf('x') }), headers), 'INVALID', /another masking set/)
  })

  it('includes no invented survivor, and no fewer than this member’s own least', () => {
    const among = { ...set, members: four }
    const all = headersOf(everyone)
    refused(read(cutOf(everyone, all), all, among), 'INVALID', /member 2, who is not in the masking set/)
    const three = headersOf([0, 1, 3])
    refused(read(cutOf([0, 1, 3], three), three), 'INVALID', /includes 3 members, and a sum needs at least 4/)
    refused(read(cutOf([], headers, { included: Uint8Array.of(0xff) }), headers), 'MALFORMED', /beyond the last/)
  })

  it('comes with the header of each included member, in order, under one root', () => {
    refused(read(cutOf(four, headers), headers.slice(1)), 'INVALID', /comes with 3 headers/)
    const reordered = [headers[1], headers[0], headers[2], headers[3]]
    refused(read(cutOf(four, reordered), reordered), 'INVALID', /without the header of member 0/)
    const doubled = [headers[0], headers[0], headers[2], headers[3]]
    refused(read(cutOf(four, doubled), doubled), 'INVALID', /without the header of member 1/)
    refused(read(cutOf(four, headers, { headersRoot: hashOf('x') }), headers), 'INVALID', /root of a cut/)
    const another = [header(0, { root: hashOf('second') }), ...headers.slice(1)]
    refused(read(cutOf(four, headers), another), 'INVALID', /root of a cut/)
  })

  it('is the leader’s fault where a header in it is another’s, forged, or of another attempt, set or round', () => {
    const first = (one: { encoded: Uint8Array }) => [one, ...headers.slice(1)]
    const forged = headers[0].encoded.slice()
    forged[forged.length - 1] ^= 1
    const cut = cutOf(four, headers)
    refused(read(cut, first({ encoded: forged })), 'SIGNATURE', /member 0/)
    refused(read(cut, first({ encoded: new Uint8Array(3) })), 'MALFORMED', /cut/)
    refused(read(cut, first(adverts[0])), 'INVALID', /a KeyAdvert stands where a MaskedHeader belongs/)
    refused(read(cut, first(header(0, { attemptId: hashOf('x') }))), 'WRONG_ATTEMPT', /another attempt/)
    refused(read(cut, first(header(0, { maskingSetHash: hashOf('x') }))), 'INVALID', /another masking set/)
    refused(read(cut, first(header(0, {}, { ...context, round: 2 }))), 'WRONG_ROUND', /round 2/)
  })
})
