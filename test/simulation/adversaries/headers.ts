import { VectorHasher } from '../../../src/crypto/merkle.ts'
import { CHUNK_ELEMENTS, packedLength } from '../../../src/encoding/packing.ts'
import { sameBytes } from '../../../src/round/dealing.ts'
import { decodeMessage, encodeMessage, signedBytes } from '../../../src/round/messages.ts'
import type { AnyMessage, Message } from '../../../src/round/messages.ts'
import type { Frame } from '../../../src/round/ports.ts'
import { slicesOf, vectorTree } from '../../../src/round/slices.ts'
import type { VectorTree } from '../../../src/round/slices.ts'
import { Adversary, control, said } from './adversary.ts'
import type { Tamper } from './adversary.ts'

/** The other vector, whole, with the header that it signed of it. */
interface Second {
  header: Message<'MaskedHeader'>
  packed: Uint8Array
  tree: VectorTree
}

/** After which it gives up waiting for its slices to be asked for. */
const PATIENCE_MS = 1000

/**
 * Has two vectors that differ in one slice (§13), and signs a header of each: the owner of that slice is given the one, and
 * everybody else shown the other, chunks for the audit included. Then whoever summed the slice seems to have lied.
 */
export class TwoHeaders extends Adversary {
  readonly #slices = slicesOf(this.self.shape)
  readonly #deceived = this.#slices.length - 1
  /** Of the vector that its own code masked, as far as it was asked for. */
  readonly #given = new Map<number, Uint8Array>()
  readonly #all = Promise.withResolvers<void>()
  #first?: Message<'MaskedHeader'>
  #second?: Second

  override toLeader(): Tamper {
    const { clock, shape } = this.self
    if (shape.shards === undefined) return (frames) => frames
    const take = (header: Message<'MaskedHeader'>) => (this.#first ??= header)
    const second = () => this.#second?.header
    const all = this.#all.promise
    return async function* (frames) {
      const said = frames[Symbol.asyncIterator]()
      // The header waits until its slices were asked for, and what comes behind it does not.
      let header: Message<'MaskedHeader'> | undefined
      let isDue: Promise<'due'> | undefined
      // A conversation may break while something is being said: then nobody waits for the next frame any more.
      const nextOne = () => {
        const one = said.next()
        one.catch(() => {})
        return one
      }
      for (let next = nextOne(); ;) {
        const came = await (isDue === undefined ? next : Promise.race([isDue, next]))
        if (came === 'due') {
          yield control((second() ?? header!).encoded)
          isDue = undefined
          continue
        }
        if (came.done === true) return
        const message = came.value.kind === 'control' ? decodeMessage(came.value.payload) : undefined
        next = nextOne()
        if (message?.type === 'MaskedHeader') {
          header = take(message)
          isDue = Promise.race([all, clock.sleep(PATIENCE_MS)]).then(() => 'due')
        } else yield came.value
      }
    }
  }

  override answers(frames: AsyncIterable<Frame>, request: AnyMessage): AsyncIterable<Frame> {
    const { me } = this.self
    if (request.type === 'SliceRequest' && request.body.member === me) return this.#slice(frames, request)
    const isOfSecond = request.type === 'ChunkRequest' && request.body.member === me && this.#second !== undefined
    return isOfSecond ? this.#chunks(request, this.#second!) : frames
  }

  async *#slice(frames: AsyncIterable<Frame>, request: Message<'SliceRequest'>): AsyncGenerator<Frame> {
    const answer: Frame[] = []
    for await (const frame of frames) answer.push(frame)
    const [first, ...data] = answer
    const message = decodeMessage(first.payload)
    const { clock, me, plot } = this.self
    if (message.type !== 'Slice') return void (yield first)
    const { slice } = message.body
    this.#first ??= decodeMessage(message.body.header) as Message<'MaskedHeader'>
    this.#given.set(slice, new Uint8Array(Buffer.concat(data.map(({ payload }) => payload))))
    if (this.#given.size === this.#slices.length) this.#make()
    await Promise.race([this.#all.promise, clock.sleep(PATIENCE_MS)])
    if (slice === this.#deceived || this.#second === undefined) {
      yield first
    } else {
      const { header, tree } = this.#second
      // One chunk a slice: the way to a chunk is that to its slice.
      const body = { ...message.body, header: header.encoded, path: tree.path(this.#slices[slice].firstChunk) }
      yield said('Slice', request, me, body, plot)
    }
    yield* data
  }

  #make(): void {
    if (this.#second !== undefined) return
    const { me, shape, plot } = this.self
    const packed = new Uint8Array(Buffer.concat(this.#slices.map(({ number }) => this.#given.get(number)!)))
    packed[this.#slices[this.#deceived].offset] ^= 1
    const first = this.#first!
    const { attemptId } = first.body
    const hasher = new VectorHasher({ attemptId, member: me, chunkBytes: packedLength(CHUNK_ELEMENTS, shape.bits) })
    hasher.update(packed)
    const tree = vectorTree(hasher.finish().leaves, shape.shards)
    const body = { ...first.body, root: tree.root }
    const signature = plot.sign(me, signedBytes('MaskedHeader', first, body))
    this.#second = { header: encodeMessage('MaskedHeader', first, me, body, signature), packed, tree }
    this.#all.resolve()
  }

  async *#chunks(request: Message<'ChunkRequest'>, { header, packed, tree }: Second): AsyncGenerator<Frame> {
    if (!sameBytes(request.body.root, header.body.root)) return
    const { me, plot, shape } = this.self
    const chunkBytes = packedLength(CHUNK_ELEMENTS, shape.bits)
    for (const index of request.body.chunks) {
      yield said('Chunk', request, me, { index, path: tree.path(index) }, plot)
      yield { kind: 'data', payload: packed.slice(index * chunkBytes, (index + 1) * chunkBytes) }
    }
  }
}
