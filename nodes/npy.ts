import { randomUUID } from 'node:crypto'
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises'
import { InputError } from '../src/errors.ts'

// The .npy format, versions 1.0, 2.0 and 3.0: NEP 1 and the documentation of numpy.lib.format. Typed arrays here are in the
// host's byte order, and the library refuses to load on hosts that are not little-endian.

const arrays = {
  '<i4': Int32Array,
  '<u4': Uint32Array,
  '<i8': BigInt64Array,
  '<f4': Float32Array,
  '<f8': Float64Array
}
const names = { '<i4': 'int32', '<u4': 'uint32', '<i8': 'int64', '<f4': 'float32', '<f8': 'float64' } as const

type Descr = keyof typeof arrays
export type NpyValues = Int32Array | Uint32Array | BigInt64Array | Float32Array | Float64Array
export type NpyDtype = (typeof names)[Descr]
export interface NpyArray {
  dtype: NpyDtype
  values: NpyValues
}

const accepted = 'one-dimensional little-endian int32, uint32, int64, float32 or float64'
const magic = Buffer.from('\x93NUMPY', 'latin1')
const maxHeaderBytes = 65_536
/** What can stand before the elements. */
export const MAX_PREAMBLE_BYTES = maxHeaderBytes + 12
const alignment = 64
const pieceBytes = 1_048_576

function refuse(path: string, what: string, cause?: unknown): never {
  throw new InputError('INPUT_FILE', `${path} ${what}`, { cause })
}

/** A file, or bytes that stand for one. */
interface Source {
  read(into: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesRead: number }>
}

/** Fills `bytes` from the file, or refuses a file that ends before. */
async function fill(handle: Source, path: string, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesRead } = await handle.read(bytes, done, Math.min(bytes.length - done, 2 ** 30), position + done)
    if (bytesRead === 0) refuse(path, 'is truncated: write it again')
    done += bytesRead
  }
}

interface Preamble {
  header: string
  /** Where the elements begin, in bytes. */
  offset: number
}

async function readPreamble(handle: Source, path: string, size: number): Promise<Preamble> {
  const start = Buffer.alloc(12)
  await fill(handle, path, start.subarray(0, Math.min(size, start.length)), 0)
  if (!start.subarray(0, magic.length).equals(magic)) refuse(path, 'is not a .npy file: save it with numpy.save')
  if (size < start.length) refuse(path, 'is truncated: write it again')
  const [major, minor] = [start[6], start[7]]
  if (major < 1 || major > 3 || minor !== 0) {
    refuse(path, `is a .npy file of version ${major}.${minor}, and only versions 1.0, 2.0 and 3.0 are read`)
  }
  const headerAt = major === 1 ? 10 : 12
  const headerBytes = major === 1 ? start.readUInt16LE(8) : start.readUInt32LE(8)
  if (headerBytes > maxHeaderBytes) refuse(path, `has a .npy header of ${headerBytes} bytes, over ${maxHeaderBytes}`)
  const header = Buffer.alloc(headerBytes)
  await fill(handle, path, header, headerAt)
  return { header: header.toString(major === 3 ? 'utf8' : 'latin1'), offset: headerAt + headerBytes }
}

/** The entries of the header, a literal of a Python dictionary, as they are written; undefined where it is none. */
function headerEntries(header: string): Map<string, string> | undefined {
  const body = /^\s*\{(.*)\}\s*$/s.exec(header)?.[1]
  if (body === undefined) return undefined
  const entry = /\s*(['"])(\w+)\1\s*:\s*('[^']*'|"[^"]*"|True|False|\([\dL,\s]*\)|\[.*\])\s*(?:,\s*|$)/sy
  const entries = new Map<string, string>()
  while (entry.lastIndex < body.length) {
    const match = entry.exec(body)
    if (match === null || entries.has(match[2])) return undefined
    entries.set(match[2], match[3])
  }
  return entries
}

/** Type and number of the elements. The order of a matrix in memory makes no difference to a vector. */
function parseHeader(path: string, header: string): { descr: Descr; count: number } {
  const entries = headerEntries(header)
  const descr = entries?.get('descr')
  const shape = entries?.get('shape')
  const order = entries?.get('fortran_order')
  const known = order === 'True' || order === 'False'
  if (entries?.size !== 3 || descr === undefined || !known || !shape?.startsWith('(')) {
    refuse(path, 'has a malformed .npy header: save it with numpy.save')
  }
  const type = descr.slice(1, -1)
  const count = /^\(\s*(\d+)L?\s*,\s*\)$/.exec(shape)?.[1]
  if (!/^['"]/.test(descr) || !Object.hasOwn(arrays, type) || count === undefined) {
    const found = `holds elements of dtype ${descr.slice(0, 80)} in shape ${shape.slice(0, 80)}`
    throw new InputError('INPUT_TYPE', `${path} ${found}, and only ${accepted} is accepted: convert it`)
  }
  return { descr: type as Descr, count: Number(count) }
}

async function readFrom(handle: Source, path: string, size: number): Promise<NpyArray> {
  const { header, offset } = await readPreamble(handle, path, size)
  const { descr, count } = parseHeader(path, header)
  const promised = count * arrays[descr].BYTES_PER_ELEMENT
  // Compared before anything is allocated for it.
  if (promised !== size - offset) {
    const fault = promised > size - offset ? 'truncated' : 'over-long'
    refuse(path, `is ${fault}: its header promises ${promised} bytes of elements, and ${size - offset} follow`)
  }
  const elements = new ArrayBuffer(promised)
  await fill(handle, path, new Uint8Array(elements), offset)
  return { dtype: names[descr], values: new arrays[descr](elements) }
}

/**
 * The vector of a .npy file: one-dimensional, little-endian, of one of five types. Throws `InputError`: 'INPUT_TYPE' for
 * other types and shapes, 'INPUT_FILE' for what cannot be read, is no .npy file, or is not as long as it says.
 */
export async function readNpy(path: string): Promise<NpyArray> {
  try {
    const { size } = await checkRegular(path)
    const handle = await open(path, 'r')
    try {
      return await readFrom(handle, path, size)
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (error instanceof InputError) throw error
    return refuse(path, `cannot be read (${reason(error)})`, error)
  }
}

/** The vector of a .npy file that is in memory already; `name` is what faults are told of. Throws as `readNpy` does. */
export function decodeNpy(bytes: Uint8Array, name: string): Promise<NpyArray> {
  const source: Source = {
    async read(into, offset, length, position) {
      const part = bytes.subarray(position, position + length)
      into.set(part, offset)
      return { bytesRead: part.length }
    }
  }
  return readFrom(source, name, bytes.length)
}

async function checkRegular(path: string): Promise<{ size: number }> {
  const found = await stat(path)
  // Opening a pipe would wait for its other end, and a rename would put a file in the place of a device.
  if (!found.isFile()) refuse(path, 'is not a regular file: name one')
  return found
}

function reason(error: unknown): string {
  const { code } = error as { code?: unknown }
  if (code === 'ENOENT') return 'no such file or directory'
  return error instanceof Error ? error.message : String(error)
}

/** What stands before the elements, as numpy writes it: they begin at a multiple of 64 bytes. */
export function npyPreamble(values: NpyValues): Buffer {
  const descr = (Object.keys(arrays) as Descr[]).find((type) => values instanceof arrays[type])
  const header = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${values.length},), }`
  const length = Math.ceil((magic.length + 4 + header.length + 1) / alignment) * alignment
  const bytes = Buffer.alloc(length, ' ', 'latin1')
  magic.copy(bytes)
  bytes.writeUInt16LE(0x0001, magic.length)
  bytes.writeUInt16LE(length - magic.length - 4, magic.length + 2)
  bytes.write(header, magic.length + 4, 'latin1')
  bytes.write('\n', length - 1, 'latin1')
  return bytes
}

async function writeTo(handle: FileHandle, values: NpyValues): Promise<void> {
  await handle.appendFile(npyPreamble(values))
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
  for (let at = 0; at < bytes.length; at += pieceBytes) await handle.appendFile(bytes.subarray(at, at + pieceBytes))
}

/**
 * Writes a vector as a .npy file, version 1.0, in pieces and without a copy of the whole. Nobody sees half of it: a file of
 * that name is replaced at once when the new one is complete. Throws `InputError` ('INPUT_FILE') where it cannot be written.
 */
export async function writeNpy(path: string, values: NpyValues): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`
  try {
    await checkReplaceable(path)
    const handle = await open(temporary, 'wx')
    try {
      await writeTo(handle, values)
    } finally {
      await handle.close()
    }
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    if (error instanceof InputError) throw error
    refuse(path, `cannot be written (${reason(error)})`, error)
  }
}

async function checkReplaceable(path: string): Promise<void> {
  try {
    await checkRegular(path)
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'ENOENT') throw error
  }
}
