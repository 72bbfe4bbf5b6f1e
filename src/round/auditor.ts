import { CHUNK_ELEMENTS, packedLength } from '../encoding/packing.ts'
import { auditOf } from '../task/task.ts'
import type { Attempt, CheckedSum } from './attempt.ts'
import { chunksToAudit, drawChunks, firstDifference, SumAudit } from './audit.ts'
import type { SumBasis } from './audit.ts'
import { fetchChunks } from './chunk-fetch.ts'
import { chunkLength, chunkTree, readChunk } from './chunks.ts'
import type { ProvenChunk } from './chunks.ts'
import { sameBytes } from './dealing.ts'
import type { Evidence } from './evidence.ts'
import type { Message } from './messages.ts'
import type { Round } from './round.ts'
import { publisherOf, wrongElement } from './wrong-sum.ts'

/** A member's own audit of a sum that it has stored, before it votes for it (§10). */

/** Chunks are fetched as many at a time as fit in here, of all included vectors together. */
const BATCH_BYTES = 16 * 2 ** 20

/** How many chunks of a sum a member recomputed, of how many there are. */
export interface Audited {
  chunks: number
  of: number
}

/** The sum is not what the vectors and the opened secrets give; whoever signed its root first is proven to have lied. */
export class WrongSum extends Error {
  static override name = 'WrongSum'
  readonly evidence: Evidence

  constructor(evidence: Evidence) {
    super(`the sum that member ${evidence.culprit} published is wrong`)
    this.evidence = evidence
  }
}

interface Audit {
  round: Round
  attempt: Attempt
  basis: SumBasis
  header: Message<'SumHeader'>
  /** Of the stored sum, in the vector store. */
  name: string
  signal: AbortSignal
}

/** As many chunks as the task asks of each member; all where two roots of this cut were signed, one of which is wrong. */
export function dueChunks(round: Round, header: Message<'SumHeader'>, chunks: number): number {
  const { task, rules, ports } = round
  const most = round.isContested(header) ? 'full' : auditOf(task)
  return chunksToAudit(most, chunks, rules.roster.members.length, ports.random)
}

/**
 * Recomputes chunks that are drawn now, when the root is known, and compares.
 *
 * @throws WrongSum; ChunkMissing where a chunk cannot be had, which proves nothing; the signal's reason
 */
export async function auditSum(audit: Audit, full = false): Promise<Audited> {
  const { round, basis, header, name, signal } = audit
  const { rules, ports } = round
  const sum = new SumAudit({ rules, basis, opened: header.body, clock: ports.clock, compute: ports.compute })
  const count = full ? sum.chunks : dueChunks(round, header, sum.chunks)
  const drawn = drawChunks(count, sum.chunks, ports.random)
  const chunkBytes = packedLength(Math.min(CHUNK_ELEMENTS, sum.shape.elements), sum.shape.bits)
  const batch = Math.max(1, Math.floor(BATCH_BYTES / (chunkBytes * basis.cut.included.size)))
  for (let from = 0; from < drawn.length; from += batch) {
    const some = drawn.slice(from, from + batch)
    const fetched = await fetchChunks(round, wanted(sum, some), signal)
    const chunkOf = (member: number, index: number): ProvenChunk => fetched.get(member)!.get(index)!
    for (const index of some) {
      const right = await sum.recompute(index, (needed) => chunkOf(needed.member, needed.index).bytes)
      const claimed = await readChunk(ports.vectors, name, index, sum.sumShape)
      if (!sameBytes(right, claimed)) throw await wrong(audit, sum, { index, right, claimed }, chunkOf)
      signal.throwIfAborted()
      round.views.goesOn('data')
      await ports.clock.pause()
    }
  }
  return { chunks: drawn.length, of: sum.chunks }
}

function wanted(sum: SumAudit, chunks: number[]): Map<number, number[]> {
  const byMember = new Map<number, Set<number>>()
  for (const { member, index } of chunks.flatMap((chunk) => sum.needs(chunk)))
    byMember.set(member, (byMember.get(member) ?? new Set<number>()).add(index))
  return new Map([...byMember].map(([member, indices]) => [member, [...indices]]))
}

async function wrong(
  { round, attempt, basis, header, name }: Audit,
  sum: SumAudit,
  { index, right, claimed }: { index: number; right: Uint8Array; claimed: Uint8Array },
  chunkOf: (member: number, index: number) => ProvenChunk
): Promise<WrongSum> {
  const { ports, rules, contextHash } = round
  const { clock, vectors } = ports
  const n = rules.roster.members.length
  const tree = await chunkTree(vectors, name, { attemptId: attempt.id, member: n }, sum.sumShape, clock)
  const ofSum: ProvenChunk = { index, bytes: claimed, path: tree.path(index) }
  const within = firstDifference(right, claimed, chunkLength(index, sum.sumShape), sum.shape.bits)!
  const evidence = wrongElement(
    { ...rules.context, header: publisherOf(header) },
    { contextHash, attempt: attempt.number },
    basis,
    sum,
    index * CHUNK_ELEMENTS + within,
    (member, place) => (member === n ? ofSum : chunkOf(member, place)),
    n,
    round.sharding?.sliceHeader(index, header)
  )
  return new WrongSum(evidence)
}

/** A sum that this member has audited in part is audited whole, once another root of the same cut was signed. */
export async function auditAgain(round: Round, held: CheckedSum): Promise<void> {
  const { decided } = round
  if (decided === undefined || !round.isContested(held.header) || held.audited.chunks === held.audited.of) return
  const { attempt, ...basis } = decided
  const signal = round.views.signal
  held.audited = await auditSum({ round, attempt, basis, header: held.header, name: round.sumName, signal }, true)
}
