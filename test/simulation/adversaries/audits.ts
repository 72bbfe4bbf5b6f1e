import { bytesToHex } from '@noble/hashes/utils.js'
import { MerkleTree, VectorHasher } from '../../../src/crypto/merkle.ts'
import { CHUNK_ELEMENTS, packedLength } from '../../../src/encoding/packing.ts'
import type { AnyMessage, Message } from '../../../src/round/messages.ts'
import type { Frame } from '../../../src/round/ports.ts'
import { Adversary, control, eachFrame, said } from './adversary.ts'
import type { Tamper } from './adversary.ts'

/** Whoever lies in a sum, or in what it takes to check one. */

/** Publishes a sum in which one element is another, under a root that fits, and serves the chunks of it. */
export class AltersSum extends Adversary {
  /** By root (hex). */
  readonly #lies = new Map<string, { packed: Uint8Array; tree: MerkleTree }>()

  override toMember(member: number): Tamper {
    if (!this.deceives(member)) return (frames) => frames
    const { me, plot } = this.self
    // A short sum comes behind its header.
    let behind: Uint8Array = new Uint8Array(0)
    const lie = (header: Message<'SumHeader'>) => this.#lie(header)
    return eachFrame(async function* (message, { kind, payload }) {
      if (message?.type === 'SumHeader') {
        const { packed, tree } = await lie(message)
        behind = packed
        // Of an earlier leader's sum, too, it says that it is its own.
        yield said('SumHeader', message, me, { ...message.body, root: tree.root, again: null }, plot)
      } else if (kind === 'data' && behind.length > 0) {
        yield { kind, payload: behind.slice(0, payload.length) }
        behind = behind.slice(payload.length)
      } else yield { kind, payload }
    })
  }

  override answers(frames: AsyncIterable<Frame>, request: AnyMessage): AsyncIterable<Frame> {
    const lie = request.type === 'ChunkRequest' ? this.#lies.get(bytesToHex(request.body.root)) : undefined
    return lie === undefined ? frames : this.#serve(lie, request as Message<'ChunkRequest'>)
  }

  protected deceives(_member: number): boolean {
    return true
  }

  /** The same to all: one bit of one element, another in each attempt. */
  async #lie(header: Message<'SumHeader'>): Promise<{ packed: Uint8Array; tree: MerkleTree }> {
    const { roster, shape, published } = this.self
    const packed = await published(header)
    const { attemptId } = header.body.cut
    const bit = new DataView(attemptId.buffer, attemptId.byteOffset).getUint32(0) % (shape.elements * shape.bits)
    packed[Math.floor(bit / 8)] ^= 1 << (bit % 8)
    const chunkBytes = packedLength(CHUNK_ELEMENTS, shape.bits)
    const hasher = new VectorHasher({ attemptId, member: roster.members.length, chunkBytes })
    hasher.update(packed)
    const lie = { packed, tree: MerkleTree.from(hasher.finish().leaves) }
    this.#lies.set(bytesToHex(lie.tree.root), lie)
    return lie
  }

  async *#serve(
    { packed, tree }: { packed: Uint8Array; tree: MerkleTree },
    request: Message<'ChunkRequest'>
  ): AsyncGenerator<Frame> {
    const { me, plot, shape } = this.self
    const chunkBytes = packedLength(CHUNK_ELEMENTS, shape.bits)
    for (const index of request.body.chunks) {
      yield said('Chunk', request, me, { index, path: tree.path(index) }, plot)
      yield { kind: 'data', payload: packed.slice(index * chunkBytes, (index + 1) * chunkBytes) }
    }
  }
}

/** Publishes the true sum to some, and another to the rest. */
export class PublishesTwoSums extends AltersSum {
  protected override deceives(member: number): boolean {
    return this.honest.indexOf(member) % 2 === 0
  }
}

/** Answers no audit. */
export class WithholdsChunks extends Adversary {
  override answers(frames: AsyncIterable<Frame>, { type }: AnyMessage): AsyncIterable<Frame> {
    return type === 'ChunkRequest' ? nothing() : frames
  }
}

async function* nothing(): AsyncGenerator<Frame> {}

/** Serves other chunks than it has signed. */
export class BadChunks extends Adversary {
  override answers(frames: AsyncIterable<Frame>, { type }: AnyMessage): AsyncIterable<Frame> {
    return type === 'ChunkRequest' ? altered(frames) : frames
  }
}

async function* altered(frames: AsyncIterable<Frame>): AsyncGenerator<Frame> {
  for await (const { kind, payload } of frames) {
    const other = payload.slice()
    if (kind === 'data') other[0] ^= 1
    yield kind === 'data' ? { kind, payload: other } : control(other)
  }
}
