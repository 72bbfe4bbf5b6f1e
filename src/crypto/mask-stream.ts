import { blockBytes, type LaneKernel, type Lanes, type SignedBytes, scalarKernel, simdKernel } from './lane-kernel.ts'
import { aesCtrBytes, aesCtrKeystream, type Keystream } from './primitives.ts'
import { Secret } from './secret.ts'
import { nextTurn } from '../next-turn.ts'

export type { Lanes } from './lane-kernel.ts'

/** A mask: the seed of its key stream (32 bytes), and whether it is added or subtracted. */
export interface Mask {
  seed: Secret | Uint8Array
  sign: 1 | -1
}

export interface MaskOptions {
  /** Place of the first lane in the whole vector, so that any part can be computed alone (0). */
  offset?: number
  signal?: AbortSignal
  /** Awaited about every 10 ms of work; by default it lets the event loop turn once. */
  pause?: () => Promise<void>
}

const masksAtOnce = 16
const workMs = 10

if (new Uint8Array(new Uint16Array([1]).buffer)[0] !== 1) {
  throw new Error('masks are little-endian and this machine is big-endian: secagg does not run here')
}

const kernel: LaneKernel = simdKernel() ?? scalarKernel

/** Bytes of a lane for sums of `bits` bits (1 to 32; protocol, §11). */
export function laneBytes(bits: number): 2 | 4 {
  if (!Number.isInteger(bits) || bits < 1 || bits > 32) throw new RangeError(`a lane holds 1 to 32 bits, not ${bits}`)
  return bits <= 16 ? 2 : 4
}

/** Zeros: `length` lanes for sums of `bits` bits. */
export function createLanes(bits: number, length: number): Lanes {
  return laneBytes(bits) === 2 ? new Uint16Array(length) : new Uint32Array(length)
}

/** Gives the memory of an array back at once, instead of at a collection that may be far: nothing can be read of it any more. */
export function release({ buffer }: { buffer: ArrayBufferLike }): void {
  if (buffer instanceof ArrayBuffer) buffer.transfer(0)
}

/** What one mask adds to one element of a vector of `bits` bits: a number mod 2^32 (mod 2^16 in narrow lanes). */
export function maskElement({ seed, sign }: Mask, element: number, bits: number): number {
  const size = laneBytes(bits)
  const bytes = aesCtrBytes(seed instanceof Secret ? seed.expose() : seed, element * size, size)
  const value = bytes.reduceRight((sum, byte) => sum * 256 + byte, 0)
  return sign === 1 ? value : -value
}

interface SignedStream {
  stream: Keystream
  sign: 1 | -1
}

function openStream({ seed, sign }: Mask, byteOffset: number): SignedStream {
  return { stream: aesCtrKeystream(seed instanceof Secret ? seed.expose() : seed, byteOffset), sign }
}

/** One after the other, so that each gets the memory of the last. */
function* readAll(streams: SignedStream[], length: number): Iterable<SignedBytes> {
  for (const { stream, sign } of streams) {
    const bytes = stream.next(length)
    yield { bytes, sign }
    stream.release(bytes)
  }
}

/** Lets others have the thread when `workMs` have gone by since they last had it. */
function breather({ signal, pause = nextTurn }: MaskOptions): () => Promise<void> | undefined {
  let since = performance.now()
  return () => {
    if (performance.now() - since < workMs) return undefined
    return pause().then(() => {
      signal?.throwIfAborted()
      since = performance.now()
    })
  }
}

/**
 * Adds or subtracts every mask, mod 2^32 (mod 2^16 for 16-bit lanes), in place. Element i of a mask is bytes
 * [i·laneBytes, (i+1)·laneBytes) of its key stream, little-endian (protocol, §11).
 *
 * One pass over the lanes: a block stays in cache while all masks are laid on it. After an abort the lanes are useless.
 */
export async function addMasks(lanes: Lanes, masks: Mask[], options: MaskOptions = {}): Promise<void> {
  const { offset = 0, signal } = options
  if (!Number.isSafeInteger(offset) || offset < 0)
    throw new RangeError(`an offset is whole and not negative, not ${offset}`)
  signal?.throwIfAborted()
  const breathe = breather(options)
  const streams = masks.map((mask) => openStream(mask, offset * lanes.BYTES_PER_ELEMENT))
  const blockLength = blockBytes / lanes.BYTES_PER_ELEMENT
  for (let start = 0; start < lanes.length; start += blockLength) {
    const block = lanes.subarray(start, start + blockLength)
    for (let first = 0; first < streams.length; first += masksAtOnce) {
      const group = streams.slice(first, first + masksAtOnce)
      const preparing = group.flatMap(({ stream }) => stream.prepare?.(block.byteLength) ?? [])
      if (preparing.length > 0) await Promise.all(preparing)
      kernel(block, readAll(group, block.byteLength))
      const pausing = breathe()
      if (pausing !== undefined) await pausing
    }
  }
}

/** Adds other lanes, as many and as wide, in place. */
export function addLanes(lanes: Lanes, others: Lanes): void {
  const length = blockBytes / lanes.BYTES_PER_ELEMENT
  for (let start = 0; start < lanes.length; start += length) {
    const { buffer, byteOffset, byteLength } = others.subarray(start, start + length)
    kernel(lanes.subarray(start, start + length), [{ bytes: new Uint8Array(buffer, byteOffset, byteLength), sign: 1 }])
  }
}
