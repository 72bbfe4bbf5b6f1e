import { SecureAggregationError } from '../errors.ts'
import { chunkCount, chunkTree, readChunk } from './chunks.ts'
import type { ProvenChunk } from './chunks.ts'
import { sameBytes } from './dealing.ts'
import { encodeMessage } from './messages.ts'
import type { Message } from './messages.ts'
import type { Frame } from './ports.ts'
import type { Round } from './round.ts'
import type { VectorTree } from './slices.ts'
import { dataFrames } from './vectors.ts'

/**
 * Serves chunks of the masked vectors that this member holds: its own, those in its custody, all of them as the aggregator;
 * and of the sum that it makes or fetches, as far as it is here (§10).
 */

/** A member audits once in a view or two; whoever asks for all of it more often than this wants something else. */
const TIMES = 8

export class ChunkServer {
  readonly #round: Round
  /** By vector: its chunks are hashed once, however many are asked for. */
  readonly #trees = new Map<string, Promise<VectorTree | undefined>>()
  /** Chunks that each member has had, of masked vectors and of sums. */
  readonly #given = new Map<number, number>()
  readonly #givenOfSum = new Map<number, number>()

  constructor(round: Round) {
    this.#round = round
  }

  /**
   * What a member of the roster asks for of a vector in the decided cut, or of its sum, until the round is closed; what is
   * not here, or not to be given, is refused in one word.
   */
  async *answer(asker: number, { body }: Message<'ChunkRequest'>): AsyncGenerator<Frame> {
    const { attemptId, member, root, chunks, owner } = body
    const { rules, decided, shape, sumShape, sums } = this.#round
    const refusal = async (reason: string): Promise<Frame> => control(await this.#round.state('Refusal', { reason }))
    if (decided === undefined || !sameBytes(attemptId, decided.attempt.id))
      return void (yield await refusal('chunks are given of a vector in a decided cut that was shown here'))
    const isSum = member === rules.roster.members.length
    const header = decided.cut.headers.get(member)
    if (!isSum && (header === undefined || !sameBytes(header.body.root, root)))
      return void (yield await refusal(`no vector of member ${member} under that root is in the cut`))
    const most = TIMES * (isSum ? chunkCount(sumShape) : decided.cut.included.size * chunkCount(shape))
    const given = isSum ? this.#givenOfSum : this.#given
    for (const index of chunks) {
      const had = given.get(asker) ?? 0
      if (had >= most) return void (yield await refusal('more chunks were asked for than anybody needs'))
      const chunk = await (isSum ? sums.chunk({ root, owner }, index) : this.find(member, root, index))
      if (chunk === undefined)
        return void (yield await refusal(`chunk ${index} of the vector of member ${member} is not here`))
      given.set(asker, had + 1)
      const { path, bytes } = chunk
      const header = isSum ? sums.headerOf({ root, owner }) : undefined
      yield control(encodeMessage('Chunk', rules.context, this.#round.me, { index, path, ...(header && { header }) }))
      yield* dataFrames(bytes)
    }
  }

  /** A chunk of a member's masked vector, if that vector is here and is the one under the root. */
  async find(member: number, root: Uint8Array, index: number): Promise<ProvenChunk | undefined> {
    const { shape, ports } = this.#round
    if (index >= chunkCount(shape)) return undefined
    for (const name of this.#names(member)) {
      const tree = await this.#tree(name, member)
      if (tree === undefined || !sameBytes(tree.root, root)) continue
      try {
        return { index, bytes: await readChunk(ports.vectors, name, index, shape), path: tree.path(index) }
      } catch (error) {
        if (!isMissing(error)) throw error
      }
    }
    return this.#round.sharding?.store.chunk(member, root, index)
  }

  #names(member: number): string[] {
    const round = this.#round
    const own = member === round.me ? [round.maskedName] : []
    return [...own, round.uploadName(member), round.custodyName(member)]
  }

  /** Undefined where there is no such vector; then it is looked for again the next time. */
  async #tree(name: string, member: number): Promise<VectorTree | undefined> {
    const { ports, shape, decided } = this.#round
    const owner = { attemptId: decided!.attempt.id, member }
    const tree =
      this.#trees.get(name) ??
      chunkTree(ports.vectors, name, owner, shape, ports.clock).catch((error: Error) => {
        this.#trees.delete(name)
        if (isMissing(error)) return undefined
        throw error
      })
    this.#trees.set(name, tree)
    return tree
  }
}

const isMissing = (error: unknown): boolean =>
  error instanceof SecureAggregationError && error.code.startsWith('VECTOR_')

const control = ({ encoded }: { encoded: Uint8Array }): Frame => ({ kind: 'control', payload: encoded })
