import { createHash, randomFillSync } from 'node:crypto'
import { createLanes } from '../../src/crypto/mask-stream.ts'
import { MerkleTree, VectorHasher } from '../../src/crypto/merkle.ts'
import { randomBytes } from '../../src/crypto/primitives.ts'
import { CHUNK_ELEMENTS, pack, packedLength } from '../../src/encoding/packing.ts'
import { systemClock as clock } from '../../src/network/clock.ts'
import { chunksToAudit, drawChunks, SumAudit } from '../../src/round/audit.ts'
import { checkChunk, chunkCount, chunkLength } from '../../src/round/chunks.ts'
import type { ProvenChunk } from '../../src/round/chunks.ts'
import type { CheckedCut } from '../../src/round/transcript.ts'
import { groupOf } from './group.ts'
import { medians, report } from './measure.ts'

const elements = 1_000_000
const audit = 2

/** What a member does to check its part of a sum (§10), of 8, 32 and 100 members, one in ten of which dropped out. */
export async function benchAudit(): Promise<void> {
  for (const members of [8, 32, 100]) await auditOf(members)
}

/** Chunks come as they do from their owners, with their paths; that takes the bytes that are told, and a link. */
async function auditOf(members: number): Promise<void> {
  const { task, rules, attempt, book, set, keys, seeds } = await groupOf(members, {}, elements)
  const shape = { elements: task.laneCount, bits: task.bits }
  const gone = Math.floor(members / 10)
  const included = set.members.slice(gone)
  const dropped = set.members.slice(0, gone)
  const cut: CheckedCut = { cut: undefined as never, included: new Set(included), dropped, headers: new Map() }
  const opened = {
    seeds: included.map((member) => ({ member, secret: seeds[member].expose() })),
    keys: dropped.map((member) => ({ member, secret: keys[member].secret.expose() }))
  }
  const count = chunksToAudit(audit, chunkCount(shape), members, randomBytes)
  const drawn = drawChunks(count, chunkCount(shape), randomBytes)
  const vectors = new Map(included.map((member) => [member, vectorOf(attempt.id, member, drawn, shape)]))
  const sum = () => new SumAudit({ rules: { ...rules, shape }, basis: { book, set, cut }, opened, clock })
  const chunksOf = [...vectors.values()].flatMap(({ chunks }) => [...chunks.values()])
  const [floor, ms] = await medians(9, [
    () => {
      for (const { bytes } of chunksOf) createHash('sha256').update(bytes).digest()
    },
    async () => {
      for (const [member, { root, chunks }] of vectors)
        for (const chunk of chunks.values()) checkChunk(chunk, { attemptId: attempt.id, member, root }, shape)
      const whole = sum()
      for (const index of drawn)
        await whole.recompute(index, ({ member, index: at }) => vectors.get(member)!.chunks.get(at)!.bytes)
    }
  ])
  const bytes = chunksOf.reduce((all, chunk) => all + chunk.bytes.length + 32 * chunk.path.length, 0)
  const vectorBytes = packedLength(shape.elements, shape.bits)
  report('audit', ms, { members, elements, audit, chunks: count, bytes, vectorBytes, floor: 'sha256', floorMs: floor })
}

/** Uniform elements, as masked vectors are: their root, and the chunks that are audited. */
function vectorOf(attemptId: Uint8Array, member: number, drawn: number[], shape: { elements: number; bits: number }) {
  const { elements, bits } = shape
  const lanes = createLanes(bits, elements)
  for (const [at, word] of randomFillSync(new Uint32Array(elements)).entries()) lanes[at] = word >>> (32 - bits)
  const packed = pack(lanes, bits)
  const chunkBytes = packedLength(CHUNK_ELEMENTS, bits)
  const hasher = new VectorHasher({ attemptId, member, chunkBytes })
  hasher.update(packed)
  const tree = MerkleTree.from(hasher.finish().leaves)
  const chunks = new Map<number, ProvenChunk>()
  for (const index of drawn) {
    const start = index * chunkBytes
    const bytes = packed.slice(start, start + packedLength(chunkLength(index, shape), bits))
    chunks.set(index, { index, bytes, path: tree.path(index) })
  }
  return { root: tree.root, chunks }
}
