import * as dagCbor from '@ipld/dag-cbor'
import * as z from 'zod'
import type { Journal, JournalOperation } from '../journal/journal.ts'
import type { VectorStore } from '../journal/vector-store.ts'
import type { Task } from '../task/task.ts'
import type { EpochLink } from './chain.ts'
import type { Chronicle } from './chronicle.ts'
import { sameBytes } from './dealing.ts'
import { decodeMessage, inclusionOf } from './messages.ts'
import type { Message } from './messages.ts'
import { encodeTranscript } from './public-transcript.ts'
import { folderOf, sumName } from './round.ts'
import type { Round } from './round.ts'

/** What is kept of a round, so that anyone can check it again: what is public of it, its sum, for a while the masked vectors. */

/** A packed vector that is held somewhere. */
export interface HeldVector {
  /** In bytes. */
  size: number
  read: (offset: number, length: number) => Promise<Uint8Array>
}

/** All that is held of one round, with what its check starts from: the task alone. */
export interface HeldRound {
  /** As it began. */
  task: Task
  round: number
  /** From the roster of the task to that of the round. */
  chain: EpochLink[]
  /** What closed the round before, which named the beacon of this one; null for the first. */
  before: Uint8Array | null
  /** As `encodeTranscript` gives it. */
  transcript: Uint8Array
  sum?: HeldVector
  /** Masked vectors by roster index. */
  masked: ReadonlyMap<number, HeldVector>
  /** Of a round that is summed in slices (§13), while it is not closed. */
  slices?: HeldSlices
}

/** What proves slices: the SliceHeaders of the sum's, and of masked vectors the way from each to the root of its vector. */
export type SliceProofs = z.infer<typeof sliceProofs>

export interface HeldSlices {
  headers: Uint8Array[]
  masked: HeldSlice[]
}

/** A slice of a member's masked vector. */
export type HeldSlice = HeldVector & SliceProofs['masked'][number]

const bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array, 'not bytes')

export const sliceProofs = z.strictObject({
  headers: z.array(bytes),
  masked: z.array(z.strictObject({ member: z.int().min(0), slice: z.int().min(0), path: z.array(bytes) }))
})

/** Where what is public of a round lies in the journal. */
export function transcriptKey(taskId: string, round: number): string {
  return `${taskId}/transcript/${String(round).padStart(15, '0')}`
}

/** Where what proves the slices that a member has of a round lies in its journal, until the round is closed. */
export function slicesKey(taskId: string, round: number): string {
  return `${taskId}/slices/${String(round).padStart(15, '0')}`
}

/**
 * What is public of a running round, once a sum was published of its decided cut, and what proves the slices that are here;
 * nothing where this member has not seen it all.
 */
export function transcriptOf(round: Round, sum: Message<'SumHeader'>): JournalOperation[] {
  const { decided, contextHash } = round
  if (decided === undefined) return []
  const { attempt, cut, book, set } = decided
  const decision = round.decision(inclusionOf(attempt.number))
  if (decision === undefined) return []
  const basis = { book, set, cut }
  const value = encodeTranscript({ contextHash, attempt: attempt.number, basis, sum, decision })
  const of = [round.task.id, round.rules.context.round] as const
  const slices = round.sharding?.proofs(sum, cut)
  return [
    { type: 'put', key: transcriptKey(...of), value },
    ...(slices === undefined ? [] : [{ type: 'put' as const, key: slicesKey(...of), value: dagCbor.encode(slices) }])
  ]
}

const parts = z.strictObject({ basis: bytes, sum: bytes, decision: bytes, closing: bytes.nullable() })

/** With a round its transcript is closed, and what proves slices that are erased now goes; a transcript of a sum that was not accepted, or of a round without one, goes. */
export async function closeTranscript(
  journal: Journal,
  taskId: string,
  closing: Message<'Decision'>
): Promise<JournalOperation[]> {
  const key = transcriptKey(taskId, closing.round)
  const encoded = await journal.get(key)
  if (encoded === undefined) return []
  const transcript = parts.parse(dagCbor.decode(encoded))
  const { body } = decodeMessage(transcript.sum) as Message<'SumHeader'>
  const { root } = closing.body.commits
  const slices = { type: 'del' as const, key: slicesKey(taskId, closing.round) }
  if (root === null || !sameBytes(root, body.root)) return [{ type: 'del', key }, slices]
  return [{ type: 'put', key, value: dagCbor.encode({ ...transcript, closing: closing.encoded }) }, slices]
}

/** What closed a round, as its transcript has it; undefined where that is not kept. */
export async function closingIn(journal: Journal, taskId: string, round: number): Promise<Uint8Array | undefined> {
  const encoded = await journal.get(transcriptKey(taskId, round))
  return encoded && (parts.parse(dagCbor.decode(encoded)).closing ?? undefined)
}

interface Kept {
  task: Task
  chronicle: Chronicle
  journal: Journal
  vectors: VectorStore
  /** The peer id of the member that keeps it. */
  id: string
}

/** What a member holds of a round; undefined where it has no transcript of it. */
export async function heldRound(
  { task, chronicle, journal, vectors, id }: Kept,
  round: number
): Promise<HeldRound | undefined> {
  const transcript = await journal.get(transcriptKey(task.id, round))
  if (transcript === undefined) return undefined
  const roster = chronicle.rosterIn(round)
  const before = round === 1 ? null : (await chronicle.closing(round - 1))?.encoded
  if (before === undefined) return undefined
  const masked = new Map<number, HeldVector>()
  const folder = `${folderOf(task.id)}/round-${round}/attempt-${attemptOf(transcript)}`
  for (const { index } of roster.members) {
    const names = [`upload-${index}`, `custody-${index}`, ...(index === roster.indexOf(id) ? ['masked'] : [])]
    for (const name of names) {
      const vector = await stored(vectors, `${folder}/${name}`)
      if (vector !== undefined) masked.set(index, vector)
    }
  }
  const chain = await chronicle.chainTo(roster.epoch)
  const sum = await stored(vectors, sumName(task.id, round))
  const proofs = await journal.get(slicesKey(task.id, round))
  const slices = proofs && (await heldSlices(sliceProofs.parse(dagCbor.decode(proofs)), vectors, folder))
  return { task, round, chain, before, transcript, sum, masked, ...(slices && { slices }) }
}

async function heldSlices({ headers, masked }: SliceProofs, vectors: VectorStore, folder: string): Promise<HeldSlices> {
  const here: HeldSlice[] = []
  for (const proof of masked) {
    const vector = await stored(vectors, `${folder}/slice-${proof.slice}-${proof.member}`)
    if (vector !== undefined) here.push({ ...proof, ...vector })
  }
  return { headers, masked: here }
}

function attemptOf(transcript: Uint8Array): number {
  const { decision } = parts.parse(dagCbor.decode(transcript))
  const { commits } = (decodeMessage(decision) as Message<'Decision'>).body
  return Number(/^attempt-(\d+)$/.exec(commits.agreement)?.[1])
}

async function stored(vectors: VectorStore, name: string): Promise<HeldVector | undefined> {
  const size = await vectors.size(name)
  return size === undefined ? undefined : { size, read: (offset, length) => vectors.readRange(name, offset, length) }
}
