/** Lanes of a vector in the ring: 16 bits wide where 16 bits hold the sum, else 32. */
export type Lanes = Uint32Array | Uint16Array

/** Bytes of lanes that a kernel takes at most in one call. */
export const blockBytes = 65_536

/** Bytes of a mask, and whether they are added or subtracted. */
export interface SignedBytes {
  bytes: Uint8Array
  sign: 1 | -1
}

/**
 * Adds or subtracts each part, little-endian, mod 2^32 or 2^16. `lanes` has at most `blockBytes` bytes, every part as
 * many as the lanes. The next part is asked for when the last has been used. Fastest where parts of one sign follow
 * each other.
 */
export type LaneKernel = (lanes: Lanes, parts: Iterable<SignedBytes>) => void

// Opcodes of WebAssembly SIMD (WebAssembly 2.0, §5.4.8), behind the prefix 0xfd.
const simd = { load: [0xfd, 0x00], store: [0xfd, 0x0b], add16: [0xfd, 0x8e, 1], sub16: [0xfd, 0x91, 1] }
const simd32 = { add: [0xfd, 0xae, 1], sub: [0xfd, 0xb1, 1] }
const unroll = 4
/** Parts that are combined in one pass over the lanes. */
const ways = 4
const step = 16 * unroll

function leb128(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...leb128(value >>> 7)]
}

function section(id: number, content: number[]): number[] {
  return [id, ...leb128(content.length), ...content]
}

function named(name: string, kind: number, index: number): number[] {
  return [name.length, ...new TextEncoder().encode(name), kind, index]
}

/**
 * (lanes, stream, end): for (; lanes < end; lanes += step, stream += step) combine 64 bytes with one lane operation, of as
 * many streams as `count`, each `blockBytes` behind the other.
 */
function combineLoop(operation: number[], count: number): number[] {
  const get = (local: number): number[] => [0x20, local]
  const load = (local: number, offset: number): number[] => [...get(local), ...simd.load, 4, ...leb128(offset)]
  const combine = Array.from({ length: unroll }, (_, k) => {
    const streams = Array.from({ length: count }, (_, way) => [...load(1, 16 * k + way * blockBytes), ...operation])
    return [...get(0), ...load(0, 16 * k), ...streams.flat(), ...simd.store, 4, ...leb128(16 * k)]
  }).flat()
  const advance = (local: number): number[] => [...get(local), 0x41, step | 128, 0, 0x6a, 0x21, local]
  const again = [...get(0), ...get(2), 0x49, 0x0d, 0]
  const code = [0, 0x03, 0x40, ...combine, ...advance(0), ...advance(1), ...again, 0x0b, 0x0b]
  return [...leb128(code.length), ...code]
}

function moduleBytes(): Uint8Array<ArrayBuffer> {
  const kinds = Object.entries({ add32: simd32.add, sub32: simd32.sub, add16: simd.add16, sub16: simd.sub16 })
  const operations = kinds.flatMap(([name, operation]) => [
    { name, operation, count: 1 },
    { name: `${name}x${ways}`, operation, count: ways }
  ])
  const exported = operations.flatMap(({ name }, index) => named(name, 0, index))
  return new Uint8Array([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 3, 0x7f, 0x7f, 0x7f, 0]),
    ...section(3, [operations.length, ...operations.map(() => 0)]),
    ...section(5, [1, 0, ((1 + ways) * blockBytes) / 65_536]),
    ...section(7, [operations.length + 1, ...exported, ...named('memory', 2, 0)]),
    ...section(10, [operations.length, ...operations.flatMap(({ operation, count }) => combineLoop(operation, count))])
  ])
}

type Combine = (lanes: number, stream: number, end: number) => void

/**
 * Sixteen bytes an instruction. Undefined where WebAssembly is missing or a page forbids it. What it computed on is
 * zeroed before it returns: the lanes may be an input that is not masked yet.
 */
export function simdKernel(): LaneKernel | undefined {
  let exports: Record<string, unknown>
  try {
    exports = new WebAssembly.Instance(new WebAssembly.Module(moduleBytes())).exports
  } catch {
    return undefined
  }
  const memory = new Uint8Array((exports.memory as WebAssembly.Memory).buffer)
  const combining = (name: string) => [exports[name] as Combine, exports[`${name}x${ways}`] as Combine] as const
  const wide = { add: combining('add32'), subtract: combining('sub32') }
  const narrow = { add: combining('add16'), subtract: combining('sub16') }
  return (lanes, parts) => {
    const bytes = new Uint8Array(lanes.buffer, lanes.byteOffset, lanes.byteLength)
    const { add, subtract } = lanes.BYTES_PER_ELEMENT === 4 ? wide : narrow
    const flush = (count: number, sign: 1 | -1): void => {
      const [one, several] = sign === 1 ? add : subtract
      if (count === ways) several(0, blockBytes, bytes.length)
      else for (let way = 0; way < count; way++) one(0, (1 + way) * blockBytes, bytes.length)
    }
    memory.set(bytes)
    let waiting = 0
    let last: 1 | -1 = 1
    for (const { bytes, sign } of parts) {
      if (waiting === ways || sign !== last) {
        flush(waiting, last)
        waiting = 0
      }
      last = sign
      memory.set(bytes, (1 + waiting++) * blockBytes)
    }
    flush(waiting, last)
    bytes.set(memory.subarray(0, bytes.length))
    for (let block = 0; block <= ways; block++) memory.fill(0, block * blockBytes, block * blockBytes + bytes.length)
  }
}

/** The same in plain JavaScript. */
export const scalarKernel: LaneKernel = (lanes, parts) => {
  const accumulator =
    lanes.BYTES_PER_ELEMENT === 4
      ? new Int32Array(lanes.buffer, lanes.byteOffset, lanes.length)
      : (lanes as Uint16Array)
  for (const { bytes, sign } of parts) {
    // A copy, because a view of lanes needs an aligned start.
    const { buffer } = new Uint8Array(bytes)
    const mask = lanes.BYTES_PER_ELEMENT === 4 ? new Int32Array(buffer) : new Uint16Array(buffer)
    if (sign === 1) for (let k = 0; k < mask.length; k++) accumulator[k] = (accumulator[k] + mask[k]) | 0
    else for (let k = 0; k < mask.length; k++) accumulator[k] = (accumulator[k] - mask[k]) | 0
  }
}
