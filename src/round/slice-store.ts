import { MerkleTree, VectorHasher } from '../crypto/merkle.ts'
import { CHUNK_ELEMENTS, packedLength } from '../encoding/packing.ts'
import { MessageError } from '../errors.ts'
import { chunkCount, chunkLength } from './chunks.ts'
import type { ProvenChunk } from './chunks.ts'
import { sameBytes } from './dealing.ts'
import { readEmbedded } from './transcript.ts'
import type { Body, Message } from './messages.ts'
import type { Frame } from './ports.ts'
import type { Round } from './round.ts'
import { isSliceOf, sliceOf, sliceRoots } from './slices.ts'
import type { Slice } from './slices.ts'
import { Slots } from './slots.ts'
import { partFrames, receiveVector } from './vectors.ts'

/** A slice in the store: in which vector it lies, where, and what proves it. */
interface Held {
  name: string
  offset: number
  body: Body<'Slice'>
}

/** Slices of this size are long: a few travel at a time. */
const LONG_SLICE_BYTES = 256 * 1024
const LONG_SLICES_AT_ONCE = 8

/** Whoever was asked has it not, or not yet. */
export class SliceRefused extends Error {
  static override name = 'SliceRefused'
}

const control = ({ encoded }: { encoded: Uint8Array }): Frame => ({ kind: 'control', payload: encoded })

/**
 * The slices that a member has of one attempt (§13): of its own masked vector, and of others' that it sums or keeps. It asks
 * others for them, one request a slice, and answers those that may ask.
 */
export class SliceStore {
  readonly #round: Round
  readonly #attemptId: Uint8Array
  readonly #slices: Slice[]
  readonly #slots: Slots
  readonly #held = new Map<string, Held>()

  constructor(round: Round, attemptId: Uint8Array, slices: Slice[]) {
    this.#round = round
    this.#attemptId = attemptId
    this.#slices = slices
    const { length } = round.rules.roster.members
    const atOnce = slices.some(({ bytes }) => bytes >= LONG_SLICE_BYTES) ? LONG_SLICES_AT_ONCE : length
    this.#slots = new Slots(atOnce, round.views.patience.data / 4, round.ports.clock)
  }

  has(slice: number, member: number): boolean {
    return this.#held.has(keyOf(slice, member))
  }

  /** The members of which this slice is here. */
  membersOf(slice: number, among: Iterable<number>): number[] {
    return [...among].filter((member) => this.has(slice, member))
  }

  /** The root of the masked vector that a slice is of which is here. */
  vectorRoot(slice: number, member: number): Uint8Array {
    return readEmbedded('MaskedHeader', this.#held.get(keyOf(slice, member))!.body.header, this.#round.rules).body.root
  }

  /** In which stored vector a slice lies that is here, and where. */
  placeOf(slice: number, member: number): { name: string; offset: number } {
    return this.#held.get(keyOf(slice, member))!
  }

  /** A chunk of a member's masked vector, from the slice that it lies in. */
  async chunk(member: number, root: Uint8Array, index: number): Promise<ProvenChunk | undefined> {
    const { ports, shape, task } = this.#round
    const slice = this.#slices[sliceOf(index, chunkCount(shape), task.shards)]
    const held = this.#held.get(keyOf(slice.number, member))
    if (held === undefined || !sameBytes(this.vectorRoot(slice.number, member), root)) return undefined
    const packed = await ports.vectors.readRange(held.name, held.offset, slice.bytes)
    const { firstChunk } = slice
    const hasher = new VectorHasher({
      attemptId: this.#attemptId,
      member,
      firstChunk,
      chunkBytes: packedLength(CHUNK_ELEMENTS, shape.bits)
    })
    hasher.update(packed)
    const at = (index - firstChunk) * packedLength(CHUNK_ELEMENTS, shape.bits)
    const bytes = packed.slice(at, at + packedLength(chunkLength(index, shape), shape.bits))
    const within = MerkleTree.from(hasher.finish().leaves).path(index - firstChunk)
    return { index, bytes, path: [...within, ...held.body.path] }
  }

  /** The way from a slice that is here to the root of this vector; undefined where it is not here or of another vector. */
  pathTo(slice: number, member: number, root: Uint8Array): Uint8Array[] | undefined {
    const held = this.#held.get(keyOf(slice, member))
    return held && sameBytes(this.vectorRoot(slice, member), root) ? held.body.path : undefined
  }

  /** This member has masked: from now on each slice of its vector can be asked for, the same bytes every time (S2). */
  keepMasked(header: Message<'MaskedHeader'>, leaves: Uint8Array[]): void {
    const roots = sliceRoots(leaves, this.#round.task.shards)
    const tree = MerkleTree.from(roots)
    for (const { number, offset } of this.#slices)
      this.#keep(
        { slice: number, member: this.#round.me, root: roots[number], header: header.encoded, path: tree.path(number) },
        { name: this.#round.maskedName, offset }
      )
  }

  /** Answers a member that may have it with a slice that is here, another with a refusal. */
  async *answer({ body }: Message<'SliceRequest'>): AsyncGenerator<Frame> {
    const { slice, member } = body
    const held = this.#held.get(keyOf(slice, member))
    if (held === undefined) {
      const reason = `member ${this.#round.me} does not have slice ${slice} of member ${member}`
      yield control(await this.#round.state('Refusal', { reason }))
      return
    }
    yield control(await this.#round.state('Slice', held.body))
    const { bytes } = this.#slices[slice]
    yield* partFrames(this.#round.ports.vectors, held.name, { offset: held.offset, bytes })
  }

  /**
   * A slice of a member's masked vector, from it or from whoever has it: it proves itself under the header's root.
   *
   * @throws SliceRefused, MessageError (whoever was asked being the culprit), or what broke the stream
   */
  async fetchMasked(
    slice: Slice,
    member: number,
    from: number,
    check: (header: Message<'MaskedHeader'>) => void,
    signal: AbortSignal
  ): Promise<void> {
    const { number } = slice
    const over = new AbortController()
    const frames = await this.#ask(from, { slice: number, member }, AbortSignal.any([signal, over.signal]))
    try {
      const body = await this.#proof(frames, from, number, member)
      blaming(this.#round, from, () => {
        const header = readEmbedded('MaskedHeader', body.header, this.#round.rules)
        if (header.from !== member) throw new MessageError('INVALID', 'its header is of another member')
        check(header)
        const { root: sliceRoot, path } = body
        const proven = isSliceOf(header.body.root, { number, count: this.#slices.length, sliceRoot, path })
        if (!proven) throw new MessageError('INVALID', 'its path does not lead to the root in its header')
      })
      const release = await this.#slots.take()
      const name = this.#round.sliceName(number, member)
      try {
        const { attemptId, root } = body
        const { firstChunk, elements } = slice
        const shape = { elements, bits: this.#round.shape.bits }
        await receiveVector(frames, this.#round.ports.vectors, name, { attemptId, member, firstChunk, root }, shape)
      } catch (error) {
        throw error instanceof MessageError && error.culprit === undefined ? blamed(this.#round, from, error) : error
      } finally {
        release()
      }
      this.#keep(body, { name, offset: 0 })
      await frames.next()
    } finally {
      over.abort(new Error('the slice is here, or not to be had'))
    }
  }

  async #ask(
    from: number,
    body: { slice: number; member: number },
    signal: AbortSignal
  ): Promise<AsyncIterator<Frame>> {
    const { rules, me, ports } = this.#round
    const request = await this.#round.state('SliceRequest', { attemptId: this.#attemptId, ...body })
    const answer =
      from === me ? this.answer(request) : await ports.links.ask(rules.roster.members[from].id, request.encoded, signal)
    return answer[Symbol.asyncIterator]()
  }

  async #proof(frames: AsyncIterator<Frame>, from: number, slice: number, member: number): Promise<Body<'Slice'>> {
    const first = await frames.next()
    if (first.done === true) throw new SliceRefused(`member ${from} was asked for a slice and hung up`)
    const message = this.#round.read(first.value, from)
    if (message.type === 'Refusal') throw new SliceRefused(message.body.reason)
    const { body } = message as Message<'Slice'>
    const isAsked =
      message.type === 'Slice' &&
      body.slice === slice &&
      body.member === member &&
      sameBytes(body.attemptId, this.#attemptId)
    if (isAsked) return body
    throw blamed(
      this.#round,
      from,
      new MessageError('INVALID', `it answers with another ${message.type} than was asked for`)
    )
  }

  #keep(body: Omit<Body<'Slice'>, 'attemptId'>, where: { name: string; offset: number }): void {
    const { slice, member } = body
    this.#held.set(keyOf(slice, member), { ...where, body: { ...body, attemptId: this.#attemptId } })
  }
}

const keyOf = (slice: number, member: number): string => `${slice}/${member}`

function blamed(round: Round, from: number, cause: MessageError): MessageError {
  const culprit = round.rules.roster.members[from].id
  return new MessageError(cause.code, `a slice that member ${from} sent is invalid: ${cause.message}`, {
    culprit,
    cause
  })
}

function blaming(round: Round, from: number, check: () => void): void {
  try {
    check()
  } catch (error) {
    throw error instanceof MessageError ? blamed(round, from, error) : error
  }
}
