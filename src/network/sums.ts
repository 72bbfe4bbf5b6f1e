import { createLanes } from '../crypto/mask-stream.ts'
import type { Lanes } from '../crypto/mask-stream.ts'
import { createEncoder } from '../encoding/encoder.ts'
import type { Decoded } from '../encoding/encoder.ts'
import { decodeGroups, total, trimmedMean } from '../encoding/groups.ts'
import { CHUNK_ELEMENTS, packedLength, unpackAdd } from '../encoding/packing.ts'
import { RoundError } from '../errors.ts'
import type { VectorStore } from '../journal/vector-store.ts'
import { chunkCount } from '../round/chunks.ts'
import type { ProvisionalSum, RoundOutcome } from '../round/outcome.ts'
import { PrivacyLedger, privateTerms } from '../round/privacy-ledger.ts'
import { sumShapeOf } from '../round/vectors.ts'
import type { VectorShape } from '../round/vectors.ts'
import type { Task } from '../task/task.ts'
import type { Sum } from './contributions.ts'

/** A sum as the application has it, from the packed one on disk. @throws RoundError where there is none */
export async function readSum(
  outcome: RoundOutcome | ProvisionalSum,
  terms: Task,
  vectors: VectorStore,
  ledger: PrivacyLedger | undefined
): Promise<Sum> {
  const { round, sum, included, groups, audit = { chunks: 0, of: chunkCount(sumShapeOf(terms)) } } = outcome
  const decision = 'decision' in outcome ? outcome.decision : new Uint8Array(0)
  if (sum === undefined) throw new RoundError('NOT_INCLUDED', `there is no sum of round ${round} here`, round)
  const decoded = await decodeSum({ round, included, groups }, sum, terms, vectors)
  const privacy = ledger === undefined ? {} : await privacyOf(terms, { included, groups }, ledger)
  return Object.defineProperties({ audit, decision, ...privacy } as Sum, Object.getOwnPropertyDescriptors(decoded))
}

/** What is in a stored sum: `name` in the vector store. `terms` are those of the round's epoch. */
export async function decodeSum(
  { round, included, groups }: Pick<RoundOutcome, 'round' | 'included' | 'groups'>,
  name: string,
  terms: Task,
  vectors: VectorStore
): Promise<Omit<Sum, 'audit' | 'decision' | 'privacy'>> {
  const lanes = await readLanes(vectors, name, sumShapeOf(terms))
  const peers = (members: number[]): string[] => members.map((index) => terms.members[index])
  const named = { round, included: peers(included) }
  if (terms.groups === undefined || groups === undefined)
    return withMean(named, await createEncoder(terms, round).decode(lanes, included.length))
  const decoded = await decodeGroups(terms, round, lanes, included, groups)
  const means = () => decoded.map(({ mean }) => mean)
  const { trim } = terms.groups
  let robust: Float64Array | undefined
  const told = decoded.map((group) => withMean({ included: peers(group.members) }, group))
  return Object.defineProperty(withMean({ ...named, groups: told }, total(decoded)), 'trimmedMean', {
    enumerable: true,
    get: () => (robust ??= trimmedMean(means(), trim))
  })
}

/** Adds the figures of a sum; the mean is computed only when it is read. */
function withMean<T extends object>(
  named: T,
  decoded: Decoded
): T & Pick<Decoded, 'values' | 'mean' | 'totalWeight' | 'clippedFraction'> {
  const { values, totalWeight, clippedFraction } = decoded
  const figures = { values, totalWeight, ...(clippedFraction === undefined ? {} : { clippedFraction }) }
  const mean = { enumerable: true, get: () => decoded.mean }
  return Object.defineProperty({ ...named, ...figures }, 'mean', mean) as T & Decoded
}

async function readLanes(vectors: VectorStore, name: string, { elements, bits }: VectorShape): Promise<Lanes> {
  const lanes = createLanes(bits, elements)
  let offset = 0
  const chunkBytes = 8 * packedLength(CHUNK_ELEMENTS, bits)
  for await (const chunk of vectors.read(name, { chunkBytes, reuse: true }))
    offset += unpackAdd(chunk, bits, lanes, offset)
  return lanes
}

/** How many members the smallest sum is of. */
function leastTogether(included: number[], groups: readonly number[] | undefined): number {
  if (groups === undefined) return included.length
  const sizes = new Map<number, number>()
  for (const member of included) sizes.set(groups[member], (sizes.get(groups[member]) ?? 0) + 1)
  return Math.min(...sizes.values())
}

/** Where the task has privacy: what this member has given away so far, and in this round alone (§12). */
export async function privacyOf(
  terms: Task,
  { included, groups }: Pick<RoundOutcome, 'included' | 'groups'>,
  ledger: PrivacyLedger
): Promise<Pick<Sum, 'privacy'>> {
  const privately = privateTerms(terms)
  if (privately === undefined) return {}
  const epsilonOfRound = PrivacyLedger.epsilonOfRound(privately, leastTogether(included, groups))
  return { privacy: { ...(await ledger.spent()), epsilonOfRound } }
}
