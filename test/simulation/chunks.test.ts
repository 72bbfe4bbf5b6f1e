import assert from 'node:assert/strict'
import { CHUNK_ELEMENTS } from '../../src/encoding/packing.ts'
import { decodeMessage, encodeMessage } from '../../src/round/messages.ts'
import type { Body, Message, RoundContext } from '../../src/round/messages.ts'
import type { Frame } from '../../src/round/ports.ts'
import { control } from './adversaries/adversary.ts'
import { answering, namedBy, signedBy } from './answering.ts'
import type { Asked } from './answering.ts'
import { simulatedTask } from './identities.ts'
import { Simulation } from './network.ts'
import { checkNobodyConvicted, checkRound, firstOrder } from './schedule.ts'

/** Seven members, of whom one may lie and one may be missing. */
const threat = { corrupt: 0.15, dropout: 0.15 }
const members = 7
const length = 5 * CHUNK_ELEMENTS + 11

const flipped = (bytes: Uint8Array, at = 0): Uint8Array => bytes.map((byte, place) => (place === at ? byte ^ 1 : byte))

type Frames = AsyncIterable<Frame>

/** Frame by frame; a message comes decoded. */
async function* each(
  frames: Frames,
  message: (chunk: Message<'Chunk'>) => Frame[],
  data: (payload: Uint8Array) => Uint8Array[] = (payload) => [payload]
): AsyncGenerator<Frame> {
  for await (const { kind, payload } of frames) {
    const said = kind === 'control' ? decodeMessage(payload) : undefined
    if (said?.type === 'Chunk') yield* message(said)
    else if (kind === 'control') yield { kind, payload }
    else for (const one of data(payload)) yield { kind, payload: one }
  }
}

const same = ({ encoded }: { encoded: Uint8Array }): Frame[] => [control(encoded)]
const other = (chunk: Message<'Chunk'>, change: Partial<Body<'Chunk'>>, context: Partial<RoundContext> = {}): Frame[] =>
  same(encodeMessage('Chunk', { ...chunk, ...context }, chunk.from, { ...chunk.body, ...change }))

/** What it answers, and whether that is a fault: nobody knows why another gives nothing. */
const lies: Array<[string, (asked: Asked<'ChunkRequest'>) => Frames, 'named' | 'nobody']> = [
  ['an altered chunk', ({ honest }) => each(honest, same, (bytes) => [flipped(bytes, 5)]), 'named'],
  ['a chunk that is cut short', ({ honest }) => each(honest, same, (bytes) => [bytes.slice(1)]), 'named'],
  [
    'a chunk with a byte behind it',
    ({ honest }) => each(honest, same, (bytes) => [new Uint8Array([...bytes, 0])]),
    'named'
  ],
  [
    'another path',
    ({ honest }) => each(honest, (one) => other(one, { path: one.body.path.map((hash) => flipped(hash)) })),
    'named'
  ],
  [
    'a path that is cut short',
    ({ honest }) => each(honest, (one) => other(one, { path: one.body.path.slice(1) })),
    'named'
  ],
  ['another chunk', ({ request, to }) => to({ chunks: request.body.chunks.map((index) => index ^ 1) }), 'named'],
  [
    'another chunk in the place of one',
    ({ request, to }) =>
      each(to({ chunks: request.body.chunks.map((index) => index ^ 1) }), (one) =>
        other(one, { index: one.body.index ^ 1 })
      ),
    'named'
  ],
  ['bytes without a word', ({ honest }) => each(honest, () => []), 'named'],
  ['a word without bytes', ({ honest }) => each(honest, same, () => []), 'named'],
  [
    'a chunk in the name of another',
    ({ honest }) => each(honest, (one) => same(encodeMessage('Chunk', one, (one.from + 1) % members, one.body))),
    'named'
  ],
  ['a chunk of another round', ({ honest }) => each(honest, (one) => other(one, {}, { round: 2 })), 'named'],
  ['another message', ({ request }) => each(frames([control(request.encoded)]), same), 'named'],
  ['garbage', () => frames([control(new Uint8Array(40).fill(7))]), 'named'],
  ['nothing', () => frames([]), 'nobody'],
  ['another root’s chunk', ({ to }) => to({ root: new Uint8Array(32) }), 'nobody']
]

async function* frames(all: Frame[]): AsyncGenerator<Frame> {
  yield* all
}

interface Case {
  terms: { members: number; length: number; threat: typeof threat; audit: number | 'full'; shards?: number }
  /** The place in the order of the one that lies. */
  place: number
  /** Whether this is a request that it lies to: for its own vector, or for the sum. */
  isAsked: (body: Body<'ChunkRequest'>, me: number) => boolean
}

const cases: Array<[string, Case]> = [
  [
    'of its masked vector, by whoever audits',
    { terms: { members, length, threat, audit: 'full' }, place: 2, isAsked: ({ member }, me) => member === me }
  ],
  [
    'of the sum, by those that it passes that on to',
    { terms: { members, length, threat, audit: 0 }, place: 1, isAsked: ({ member }) => member === members }
  ],
  [
    'of a slice of the sum, by those that it passes that on to',
    { terms: { members, length, threat, audit: 0, shards: 3 }, place: 3, isAsked: ({ member }) => member === members }
  ]
]

describe('a member that is asked for chunks', function () {
  this.timeout(0)

  for (const [what, { terms, place, isAsked }] of cases)
    for (const [given, lie, fault] of lies)
      it(`${what}, and gives ${given}: ${fault === 'named' ? 'it is named, and nobody else' : 'nobody is named'}, and they come from others`, async () => {
        const liar = firstOrder((await simulatedTask(terms)).task)[place]
        const simulation = await Simulation.create({ ...terms, seed: 5 })
        let lied = 0
        answering(simulation, liar, 'ChunkRequest', (asked) => {
          if (!isAsked(asked.request.body, liar)) return asked.honest
          lied++
          return lie(asked)
        })
        await simulation.round(1, 600_000)
        await checkRound(simulation, 1)
        checkNobodyConvicted(simulation)
        const [{ status, views, included }] = simulation.peers[0].outcomes
        assert.deepEqual([status, views, included.length], ['summed', 1, members])
        assert.ok(lied > 0, 'it was never asked')
        assert.deepEqual(namedBy(simulation, [liar]), fault === 'named' ? [liar] : [])
      })
})

/** Of a contributor that answers an owner with a slice of its masked vector; its first data frame is the whole slice. */
const slices: Array<[string, (asked: Asked<'SliceRequest'>, simulation: Simulation) => Frames, 'named' | 'nobody']> = [
  [
    'an altered slice',
    ({ honest }) =>
      eachSlice(
        honest,
        (one) => [control(one.encoded)],
        (bytes) => [flipped(bytes, 9)]
      ),
    'named'
  ],
  [
    'a slice that is cut short',
    ({ honest }) =>
      eachSlice(
        honest,
        (one) => [control(one.encoded)],
        () => []
      ),
    'named'
  ],
  [
    'a slice with a byte behind it',
    ({ honest }) =>
      eachSlice(
        honest,
        (one) => [control(one.encoded)],
        (bytes) => [new Uint8Array([...bytes, 0])]
      ),
    'named'
  ],
  [
    'a slice of another place',
    ({ honest }, simulation) =>
      eachSlice(honest, (one) => [signedBy(simulation, one.from, one, { slice: (one.body.slice + 1) % 3 })]),
    'named'
  ],
  [
    'a slice of another member',
    ({ honest }, simulation) =>
      eachSlice(honest, (one) => [signedBy(simulation, one.from, one, { member: (one.from + 1) % members })]),
    'named'
  ],
  [
    'a slice of another attempt',
    ({ honest }, simulation) =>
      eachSlice(honest, (one) => [signedBy(simulation, one.from, one, { attemptId: new Uint8Array(32) })]),
    'named'
  ],
  [
    'a slice with another root',
    ({ honest }, simulation) =>
      eachSlice(honest, (one) => [signedBy(simulation, one.from, one, { root: flipped(one.body.root) })]),
    'named'
  ],
  [
    'a slice with another path',
    ({ honest }, simulation) =>
      eachSlice(honest, (one) => [
        signedBy(simulation, one.from, one, { path: one.body.path.map((hash) => flipped(hash)) })
      ]),
    'named'
  ],
  [
    'a slice under a header that nobody has signed',
    ({ honest }, simulation) =>
      eachSlice(honest, (one) => {
        const { type, from, body, signature, ...context } = decodeMessage(one.body.header) as Message<'MaskedHeader'>
        const { encoded } = encodeMessage(type, context, from, body, flipped(signature))
        return [signedBy(simulation, one.from, one, { header: encoded })]
      }),
    'named'
  ],
  [
    'a slice in a word that is not its own',
    ({ honest }, simulation) => eachSlice(honest, (one) => [signedBy(simulation, (one.from + 1) % members, one, {})]),
    'named'
  ],
  ['nothing', () => frames([]), 'nobody']
]

async function* eachSlice(
  frames: Frames,
  message: (slice: Message<'Slice'>) => Frame[],
  data: (payload: Uint8Array) => Uint8Array[] = (payload) => [payload]
): AsyncGenerator<Frame> {
  for await (const { kind, payload } of frames) {
    if (kind === 'data') for (const one of data(payload)) yield { kind, payload: one }
    else yield* message(decodeMessage(payload) as Message<'Slice'>)
  }
}

describe('a contributor that is asked for slices of its masked vector', function () {
  this.timeout(0)
  const terms = { members, length, threat, audit: 0, shards: 3 }

  for (const [given, lie, fault] of slices)
    it(`and gives ${given}: ${fault === 'named' ? 'owners name it, and nobody else' : 'nobody is named'}, and the others are summed`, async () => {
      const liar = firstOrder((await simulatedTask(terms)).task)[4]
      const simulation = await Simulation.create({ ...terms, seed: 5 })
      answering(simulation, liar, 'SliceRequest', (asked) => lie(asked, simulation))
      await simulation.round(1, 600_000)
      await checkRound(simulation, 1)
      checkNobodyConvicted(simulation)
      const [{ status, views, included }] = simulation.peers[0].outcomes
      assert.deepEqual([status, views, included.includes(liar), included.length], ['summed', 1, false, members - 1])
      assert.deepEqual(namedBy(simulation, [liar]), fault === 'named' ? [liar] : [])
    })
})
