import { MemoryVectorStore } from '../../src/journal/vector-store.ts'
import { createLanes } from '../../src/crypto/mask-stream.ts'
import type { Lanes } from '../../src/crypto/mask-stream.ts'
import { CHUNK_ELEMENTS, pack, packedLength } from '../../src/encoding/packing.ts'
import { MerkleTree, VectorHasher } from '../../src/crypto/merkle.ts'
import { nextBeacon } from '../../src/membership/beacon.ts'
import type { Groups } from '../../src/membership/groups.ts'
import { checkOpened } from '../../src/round/attempt.ts'
import type { SumBasis } from '../../src/round/audit.ts'
import { checkChunk, chunkCount, readChunk } from '../../src/round/chunks.ts'
import type { ProvenChunk } from '../../src/round/chunks.ts'
import { cutHash } from '../../src/round/messages.ts'
import type { Body, Message, Value } from '../../src/round/messages.ts'
import type { PublicTranscript } from '../../src/round/public-transcript.ts'
import { headersRoot, readCut } from '../../src/round/transcript.ts'
import type { RoundRules } from '../../src/round/transcript.ts'
import { maskInto } from '../../src/round/vectors.ts'
import { systemClock } from '../../src/network/clock.ts'
import { decisionFor, everyone, hashOf, n, roster, rules, say, scene, setOf, task } from './fixtures.ts'

/** A whole round that member 0 has summed, with vectors of any length. */
export interface SummedRound {
  rules: RoundRules
  transcript: PublicTranscript
  /** By member: packed and masked. */
  vectors: MemoryVectorStore
  trees: MerkleTree[]
  /** Packed, without masks: the plain sum of the included. */
  sum: Uint8Array
  /** The header of another sum, as member 0 would sign it. */
  headerOf(sum: Uint8Array, change?: Partial<Body<'SumHeader'>>): Message<'SumHeader'>
  /** A chunk of a member's masked vector; of the given sum where the member is n. */
  chunk(member: number, index: number, sum?: Uint8Array): Promise<ProvenChunk>
}

export interface SummedOptions {
  elements?: number
  bits?: number
  included?: number[]
  groups?: Groups
}

export const vectorName = (member: number): string => `masked/member-${member}`

/** The tree over the chunks of a packed vector. */
export function treeOf(packed: Uint8Array, attemptId: Uint8Array, member: number, bits: number): MerkleTree {
  const hasher = new VectorHasher({ attemptId, member, chunkBytes: packedLength(CHUNK_ELEMENTS, bits) })
  hasher.update(packed)
  return MerkleTree.from(hasher.finish().leaves)
}

export async function summedRound({
  elements = 7,
  bits = task.bits,
  included = [0, 1, 2, 4],
  groups
}: SummedOptions = {}): Promise<SummedRound> {
  const under: RoundRules = { ...rules, shape: { elements, bits }, ...(groups && { groups }) }
  const contextHash = hashOf('context')
  const { attempts, drawn, book, set } = await scene({ contextHash, rules: under })
  const { attemptId } = book
  const shape = { elements, bits }
  const sumShape = { elements: elements * (groups?.count ?? 1), bits }
  const vectors = new MemoryVectorStore()
  const plain = createLanes(bits, sumShape.elements)
  const headers = await Promise.all(
    included.map(async (member) => {
      const lanes = inputOf(member, elements, bits)
      const start = (groups?.of[member] ?? 0) * elements
      lanes.forEach((lane, at) => (plain[start + at] += lane))
      const masks = attempts[member].masks(book, set)
      const owner = { attemptId, member }
      const root = await maskInto(vectors, vectorName(member), lanes, masks, owner, shape, { clock: systemClock })
      return say('MaskedHeader', member, { attemptId, maskingSetHash: set.hash, root })
    })
  )
  const body = {
    attemptId,
    keyBookHash: book.hash,
    maskingSetHash: set.hash,
    included: setOf(included),
    headersRoot: headersRoot(headers)
  }
  const cut = readCut(
    body,
    headers.map(({ encoded }) => encoded),
    book,
    set,
    under,
    0
  )
  const basis: SumBasis = { book, set, cut }
  const seeds = included.map((member) => ({ member, secret: drawn[member][2] }))
  const keys = cut.dropped.map((member) => ({ member, secret: drawn[member][0] }))
  const headerOf: SummedRound['headerOf'] = (packed, change = {}) =>
    say('SumHeader', 0, {
      view: 0,
      cut: body,
      root: treeOf(packed, attemptId, n, bits).root,
      seeds,
      keys,
      again: null,
      ...change
    })
  const sum = pack(plain, bits)
  const header = headerOf(sum)
  const hash = cutHash(body)
  const decision = say('Decision', 1, decisionFor('attempt-0', { kind: 'cut', cutHash: hash }))
  const contributions = checkOpened(header.body, book, cut, 'leader')
  const beacon = nextBeacon({ beacon: hashOf('beacon'), round: rules.context.round, cutHash: hash, contributions })
  const value: Value = { kind: 'summed', cutHash: hash, beacon, rosterHash: roster.hash, deckHash: hashOf('deck') }
  const closing = say('Decision', 1, decisionFor('closing', value, header.body.root))
  const trees = await Promise.all(
    everyone.map(async (member) => {
      if (!included.includes(member)) return MerkleTree.from([hashOf('no vector')])
      const packed = await vectors.readRange(vectorName(member), 0, packedLength(elements, bits))
      return treeOf(packed, attemptId, member, bits)
    })
  )
  return {
    rules: under,
    transcript: { contextHash, attempt: 0, basis, sum: header, decision, closing },
    vectors,
    trees,
    sum,
    headerOf,
    async chunk(member, index, packed = sum) {
      if (member < n) {
        const bytes = await readChunk(vectors, vectorName(member), index, shape)
        const proven = { index, bytes, path: trees[member].path(index) }
        checkChunk(proven, { attemptId, member, root: cut.headers.get(member)!.body.root }, shape)
        return proven
      }
      const length = packedLength(CHUNK_ELEMENTS, bits)
      const bytes = packed.slice(index * length, (index + 1) * length)
      return { index, bytes, path: treeOf(packed, attemptId, n, bits).path(index) }
    }
  }
}

/** Some input of a member, the same each time, in as many bits as leave room for the sum. */
function inputOf(member: number, elements: number, bits: number): Lanes {
  const lanes = createLanes(bits, elements)
  const limit = Math.floor(2 ** bits / n)
  for (let at = 0; at < elements; at++) lanes[at] = (at * 2_654_435 + member * 97_654_321) % limit
  return lanes
}

/** Another sum, of which one element is another. */
export async function altered({ sum, rules: { shape } }: SummedRound, element: number): Promise<Uint8Array> {
  const { bits } = shape!
  const packed = sum.slice()
  const bit = element * bits
  packed[Math.floor(bit / 8)] ^= 1 << (bit % 8)
  return packed
}

export const sumChunks = ({ sum, rules: { shape } }: SummedRound): number =>
  chunkCount({ elements: Math.floor((sum.length * 8) / shape!.bits), bits: shape!.bits })
