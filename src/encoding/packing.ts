import { createLanes, laneBytes } from '../crypto/mask-stream.ts'
import type { Lanes } from '../crypto/mask-stream.ts'
import { MessageError } from '../errors.ts'

/** Elements of a chunk (§10): at every width, a packed chunk ends on a byte. */
export const CHUNK_ELEMENTS = 2 ** 14

// One chunk, packed and not: aligned whatever comes in or goes out, and small enough to stay in cache. They hold masked
// vectors and sums, never an input.
const words = new Int32Array(CHUNK_ELEMENTS + 1)
const wordBytes = new Uint8Array(words.buffer)
const elements = new Int32Array(CHUNK_ELEMENTS)

/** Bytes of `count` elements of `bits` bits. */
export function packedLength(count: number, bits: number): number {
  return Math.ceil((count * bits) / 8)
}

/**
 * The lanes, each reduced to its lowest `bits` bits (1 to 32), as a little-endian bit stream with zero padding (§11).
 * Writes to `out`, of exactly `packedLength(lanes.length, bits)` bytes, where it is given. Throws RangeError on misuse.
 */
export function pack(lanes: Lanes, bits: number, out?: Uint8Array): Uint8Array {
  checkLanes(lanes, bits)
  const bytes = out ?? new Uint8Array(packedLength(lanes.length, bits))
  if (bytes.length !== packedLength(lanes.length, bits)) {
    throw new RangeError(`${lanes.length} elements of ${bits} bits do not fill exactly ${bytes.length} bytes`)
  }
  if (bits === 8 * lanes.BYTES_PER_ELEMENT) {
    bytes.set(new Uint8Array(lanes.buffer, lanes.byteOffset, lanes.byteLength))
    return bytes
  }
  for (let start = 0; start < lanes.length; start += CHUNK_ELEMENTS) {
    const end = Math.min(start + CHUNK_ELEMENTS, lanes.length)
    packChunk(lanes, start, end, bits)
    bytes.set(wordBytes.subarray(0, packedLength(end - start, bits)), packedLength(start, bits))
  }
  return bytes
}

/**
 * `count` elements of `bits` bits; written to `into`, of exactly `count` lanes, where it is given.
 * Throws MessageError: TRUNCATED when bytes are missing, INVALID when there are too many or padding bits are set.
 */
export function unpack(bytes: Uint8Array, count: number, bits: number, into?: Lanes): Lanes {
  checkPacked(bytes, count, bits)
  const lanes = into ?? createLanes(bits, count)
  checkLanes(lanes, bits)
  if (lanes.length !== count) throw new RangeError(`${count} elements do not fill exactly ${lanes.length} lanes`)
  if (into !== undefined) lanes.fill(0)
  addPacked(bytes, bits, lanes, 0, count)
  return lanes
}

/**
 * Adds packed chunks to the lanes from `offset` on, a multiple of CHUNK_ELEMENTS, mod 2^32 (2^16 in 16-bit lanes).
 * `bytes` holds whole chunks, or everything up to the last lane. Nothing is added unless the bytes pass.
 * Throws MessageError as `unpack` does, RangeError on misuse. Returns the number of elements added.
 */
export function unpackAdd(bytes: Uint8Array, bits: number, lanes: Lanes, offset: number): number {
  checkLanes(lanes, bits)
  if (!Number.isInteger(offset / CHUNK_ELEMENTS) || offset < 0 || offset > lanes.length) {
    throw new RangeError(`a chunk begins at a multiple of ${CHUNK_ELEMENTS} up to ${lanes.length}, not at ${offset}`)
  }
  const chunks = bytes.length / packedLength(CHUNK_ELEMENTS, bits)
  const left = lanes.length - offset
  const count = Number.isInteger(chunks) ? Math.min(chunks * CHUNK_ELEMENTS, left) : left
  checkPacked(bytes, count, bits)
  addPacked(bytes, bits, lanes, offset, count)
  return count
}

function checkLanes(lanes: Lanes, bits: number): void {
  if (laneBytes(bits) <= lanes.BYTES_PER_ELEMENT) return
  throw new RangeError(`${bits} bits do not fit lanes of ${8 * lanes.BYTES_PER_ELEMENT}; create lanes for ${bits} bits`)
}

function checkPacked(bytes: Uint8Array, count: number, bits: number): void {
  const wanted = packedLength(count, bits)
  if (bytes.length !== wanted) {
    const code = bytes.length < wanted ? 'TRUNCATED' : 'INVALID'
    const elements = `${count} elements of ${bits} bits`
    throw new MessageError(
      code,
      `${elements} are ${wanted} bytes, not ${bytes.length}; the sender must send exactly these`
    )
  }
  const used = (count * bits) % 8
  if (used !== 0 && bytes[wanted - 1] >>> used !== 0) {
    throw new MessageError('INVALID', `a padding bit after element ${count - 1} is set; the sender must leave it zero`)
  }
}

function packChunk(lanes: Lanes, start: number, end: number, bits: number): void {
  elements.set(signed(lanes).subarray(start, end))
  const count = end - start
  const mask = -1 >>> (32 - bits)
  let word = 0
  let used = 0
  let at = 0
  for (let i = 0; i < count; i++) {
    const element = elements[i] & mask
    word |= element << used
    used += bits
    if (used < 32) continue
    words[at++] = word
    used -= 32
    word = element >>> (bits - used)
  }
  if (used > 0) words[at] = word
}

function addPacked(bytes: Uint8Array, bits: number, lanes: Lanes, offset: number, count: number): void {
  const sums = signed(lanes)
  for (let start = 0; start < count; start += CHUNK_ELEMENTS) {
    const size = Math.min(CHUNK_ELEMENTS, count - start)
    const at = packedLength(start, bits)
    wordBytes.set(bytes.subarray(at, at + packedLength(size, bits)))
    if (sums instanceof Int32Array) addWide(sums, offset + start, size, bits)
    else addNarrow(sums, offset + start, size, bits)
  }
}

// Bits `bit` to `bit + bits` of a packed chunk, reduced by the mask. The second word is shifted in two steps, because
// JavaScript takes a shift by 32 for one by 0, and this one must clear the word. What words beyond the chunk hold (left
// over from an earlier one) never reaches an element.
//
// One function for each width of lanes: a loop that sees both kinds of array runs at half the speed.
function addWide(sums: Int32Array, offset: number, count: number, bits: number): void {
  const mask = -1 >>> (32 - bits)
  for (let i = 0, bit = 0; i < count; i++, bit += bits) {
    const at = bit >>> 5
    const element = (words[at] >>> (bit & 31)) | ((words[at + 1] << 1) << (31 - (bit & 31)))
    sums[offset + i] = (sums[offset + i] + (element & mask)) | 0
  }
}

function addNarrow(sums: Int16Array, offset: number, count: number, bits: number): void {
  const mask = -1 >>> (32 - bits)
  for (let i = 0, bit = 0; i < count; i++, bit += bits) {
    const at = bit >>> 5
    const element = (words[at] >>> (bit & 31)) | ((words[at + 1] << 1) << (31 - (bit & 31)))
    sums[offset + i] += element & mask
  }
}

/** The same lanes as signed numbers, which V8 keeps in registers whatever their highest bit. */
function signed(lanes: Lanes): Int32Array | Int16Array {
  const { buffer, byteOffset, length } = lanes
  return lanes instanceof Uint32Array
    ? new Int32Array(buffer, byteOffset, length)
    : new Int16Array(buffer, byteOffset, length)
}
