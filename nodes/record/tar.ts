import { open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { SecureAggregationError } from '../../src/errors.ts'

/** A tar archive of plain files (ustar, POSIX.1-1988), written as it comes and read where it is needed: any `tar` opens it. */

const BLOCK_BYTES = 512
/** What eleven octal digits hold. */
const LARGEST_FILE = 8 ** 11 - 1

export interface TarEntry {
  /** ASCII, at most 100 characters. */
  name: string
  size: number
  bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>
}

/** The archive of these files, in their order. Throws RangeError where one has another size than was said. */
export async function* tar(entries: AsyncIterable<TarEntry> | Iterable<TarEntry>): AsyncGenerator<Uint8Array> {
  for await (const { name, size, bytes } of entries) {
    yield headerOf(name, size)
    let written = 0
    for await (const piece of bytes) {
      written += piece.length
      yield piece
    }
    if (written !== size) throw new RangeError(`${name} has ${written} bytes, and ${size} were announced`)
    yield new Uint8Array(-size & (BLOCK_BYTES - 1))
  }
  yield new Uint8Array(2 * BLOCK_BYTES)
}

function headerOf(name: string, size: number): Uint8Array {
  if (!/^[\x21-\x7e]{1,100}$/.test(name) || size > LARGEST_FILE) throw new RangeError(`${name} does not fit into a tar`)
  const header = new Uint8Array(BLOCK_BYTES)
  const write = (text: string, at: number): void => void new TextEncoder().encodeInto(text, header.subarray(at))
  const octal = (value: number, digits: number): string => `${value.toString(8).padStart(digits, '0')}\0`
  write(name, 0)
  write(octal(0o644, 7), 100)
  // Owner, group and time are nobody's business: two exports of one round are the same bytes.
  for (const at of [108, 116]) write(octal(0, 7), at)
  write(octal(size, 11), 124)
  write(octal(0, 11), 136)
  write(' '.repeat(8), 148)
  write('0', 156)
  write('ustar\x0000', 257)
  write(`${octal(checksumOf(header), 6)} `, 148)
  return header
}

const checksumOf = (header: Uint8Array): number => header.reduce((sum, byte) => sum + byte, 0)

/** The files of an archive on disk, read by ranges. */
export class TarFile {
  readonly #file: FileHandle
  readonly #path: string
  readonly #entries: ReadonlyMap<string, { at: number; size: number }>

  private constructor(file: FileHandle, path: string, entries: ReadonlyMap<string, { at: number; size: number }>) {
    this.#file = file
    this.#path = path
    this.#entries = entries
  }

  /** Throws SecureAggregationError EXPORT_UNREADABLE. */
  static async open(path: string): Promise<TarFile> {
    const file = await open(path, 'r').catch((cause: NodeJS.ErrnoException) => {
      throw unreadable(path, cause.code === 'ENOENT' ? 'there is no such file' : cause.message, cause)
    })
    try {
      return new TarFile(file, path, await entriesOf(file, path))
    } catch (error) {
      await file.close()
      throw error
    }
  }

  get names(): string[] {
    return [...this.#entries.keys()]
  }

  /** In bytes; undefined where there is no such file. */
  size(name: string): number | undefined {
    return this.#entries.get(name)?.size
  }

  /** A small file whole. Throws SecureAggregationError EXPORT_UNREADABLE where it is missing, or larger than that. */
  async read(name: string, mostBytes: number): Promise<Uint8Array> {
    const size = this.size(name)
    if (size === undefined) throw unreadable(this.#path, `it has no ${name}`)
    if (size > mostBytes) throw unreadable(this.#path, `its ${name} has ${size} bytes, more than ${mostBytes}`)
    return this.readRange(name, 0, size)
  }

  /** Exactly so many bytes. Throws SecureAggregationError EXPORT_UNREADABLE. */
  async readRange(name: string, offset: number, length: number): Promise<Uint8Array> {
    const entry = this.#entries.get(name)
    if (entry === undefined || offset + length > entry.size)
      throw unreadable(this.#path, `its ${name} has not the bytes ${offset} to ${offset + length}`)
    return readExactly(this.#file, this.#path, entry.at + offset, length)
  }

  async close(): Promise<void> {
    await this.#file.close()
  }
}

async function entriesOf(file: FileHandle, path: string): Promise<Map<string, { at: number; size: number }>> {
  const entries = new Map<string, { at: number; size: number }>()
  const { size: whole } = await file.stat()
  for (let at = 0; ;) {
    const header = await readExactly(file, path, at, BLOCK_BYTES)
    if (header.every((byte) => byte === 0)) return entries
    const { name, size } = readHeader(header, path)
    at += BLOCK_BYTES
    if (at + size > whole) throw unreadable(path, `it breaks off in ${name}`)
    if (entries.has(name)) throw unreadable(path, `it has ${name} twice`)
    entries.set(name, { at, size })
    at += Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES
  }
}

function readHeader(header: Uint8Array, path: string): { name: string; size: number } {
  const text = (at: number, length: number): string =>
    new TextDecoder('latin1').decode(header.subarray(at, at + length)).replace(/\0[^]*$/, '')
  const sum = checksumOf(header.map((byte, at) => (at >= 148 && at < 156 ? 0x20 : byte)))
  const [name, size, kind] = [text(0, 100), text(124, 12).trim(), text(156, 1)]
  if (text(257, 5) !== 'ustar' || Number.parseInt(text(148, 8), 8) !== sum || !/^[0-7]+$/.test(size))
    throw unreadable(path, 'it is no tar archive, or a damaged one')
  if (kind !== '0' || name === '') throw unreadable(path, `it holds something else than plain files`)
  return { name, size: Number.parseInt(size, 8) }
}

async function readExactly(file: FileHandle, path: string, position: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length)
  for (let at = 0; at < length;) {
    const { bytesRead } = await file.read(bytes, at, length - at, position + at)
    if (bytesRead === 0) throw unreadable(path, `it breaks off after ${position + at} bytes`)
    at += bytesRead
  }
  return bytes
}

function unreadable(path: string, why: string, cause?: unknown): SecureAggregationError {
  return new SecureAggregationError('EXPORT_UNREADABLE', `${path} is no export of a round that can be read: ${why}`, {
    cause
  })
}
