import { MerkleTree, VectorHasher } from '../../../src/crypto/merkle.ts'
import { CHUNK_ELEMENTS, packedLength } from '../../../src/encoding/packing.ts'
import type { AnyMessage, Message } from '../../../src/round/messages.ts'
import { DATA_FRAME_BYTES } from '../../../src/round/vectors.ts'
import type { Frame } from '../../../src/round/ports.ts'
import { Adversary, control, eachFrame, said } from './adversary.ts'
import type { Tamper } from './adversary.ts'

/** Whoever lies in a sum, or in what it takes to check one. */

/** Publishes a sum in which one element is another, under a root that fits. */
export class AltersSum extends Adversary {
  override toMember(member: number): Tamper {
    if (!this.deceives(member)) return (frames) => frames
    let header: Message<'SumHeader'> | undefined
    let vector: Uint8Array[] = []
    const { shape } = this.self
    const expected = packedLength(shape.elements, shape.bits)
    return eachFrame((message, frame) => {
      if (message?.type === 'SumHeader') {
        header = message
        vector = []
        return []
      }
      if (header === undefined || frame.kind === 'control') return [frame]
      vector.push(frame.payload)
      const packed = Buffer.concat(vector)
      if (packed.length < expected) return []
      const lie = this.#lies(header, packed)
      header = undefined
      return lie
    })
  }

  protected deceives(_member: number): boolean {
    return true
  }

  #lies(header: Message<'SumHeader'>, packed: Uint8Array): Frame[] {
    const { me, plot, roster, shape } = this.self
    // The same to all, in the last chunk.
    const bit = (shape.elements - 1) * shape.bits
    packed[Math.floor(bit / 8)] ^= 1 << (bit % 8)
    const { attemptId } = header.body.cut
    const chunkBytes = packedLength(CHUNK_ELEMENTS, shape.bits)
    const hasher = new VectorHasher({ attemptId, member: roster.members.length, chunkBytes })
    hasher.update(packed)
    const { root } = MerkleTree.from(hasher.finish().leaves)
    const frames: Frame[] = [said('SumHeader', header, me, { ...header.body, root }, plot)]
    for (let at = 0; at < packed.length; at += DATA_FRAME_BYTES)
      frames.push({ kind: 'data', payload: packed.slice(at, at + DATA_FRAME_BYTES) })
    return frames
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
