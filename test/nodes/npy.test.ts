import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { type NpyValues, readNpy, writeNpy } from '../../nodes/npy.ts'

let directory: string
let path: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'secagg-npy-'))
  path = join(directory, 'peer-0.npy')
})

afterEach(async () => {
  await rm(directory, { recursive: true, force: true })
})

/** A file by the documented format: magic, version, length of the header, header padded to 64 bytes and ended by a line feed. */
function npy(header: string, elements: Uint8Array, version = 1): Buffer {
  const before = version === 1 ? 10 : 12
  const padded = header.padEnd(Math.ceil((before + header.length + 1) / 64) * 64 - before - 1) + '\n'
  const length = Buffer.alloc(before - 8)
  if (version === 1) length.writeUInt16LE(padded.length)
  else length.writeUInt32LE(padded.length)
  return Buffer.concat([
    Buffer.from([0x93]),
    Buffer.from('NUMPY'),
    Buffer.from([version, 0]),
    length,
    Buffer.from(padded),
    elements
  ])
}

const headerOf = (descr: string, count: number) =>
  `{'descr': '${descr}', 'fortran_order': False, 'shape': (${count},), }`
const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex')

// What numpy.save writes for [1, -2] of each type.
const golden: [string, string, NpyValues, Buffer][] = [
  ['<i4', 'int32', Int32Array.of(1, -2), hex('01000000 feffffff')],
  ['<u4', 'uint32', Uint32Array.of(1, 0xfffffffe), hex('01000000 feffffff')],
  ['<i8', 'int64', BigInt64Array.of(1n, -2n), hex('0100000000000000 feffffffffffffff')],
  ['<f4', 'float32', Float32Array.of(1, -2), hex('0000803f 000000c0')],
  ['<f8', 'float64', Float64Array.of(1, -2), hex('000000000000f03f 00000000000000c0')]
]

async function refused(content: Uint8Array, code: string, message: RegExp): Promise<void> {
  await writeFile(path, content)
  await assert.rejects(readNpy(path), (error: Error & { code?: string }) => {
    assert.equal(error.name, 'InputError')
    assert.equal(error.code, code, error.message)
    assert.match(error.message, message)
    assert.ok(error.message.startsWith(path) && !error.message.includes('\n'), error.message)
    return true
  })
}

describe('a .npy file', () => {
  it('is written byte for byte as numpy writes it', async () => {
    for (const [descr, , values, elements] of golden) {
      await writeNpy(path, values)
      const written = await readFile(path)
      assert.deepEqual(written, npy(headerOf(descr, 2), elements), descr)
      assert.equal(written.length - elements.length, 128)
    }
  })

  it('is read in each of the five types and in versions 1, 2 and 3', async () => {
    for (const [descr, dtype, values, elements] of golden) {
      for (const version of [1, 2, 3]) {
        await writeFile(path, npy(headerOf(descr, 2), elements, version))
        assert.deepEqual(await readNpy(path), { dtype, values })
      }
    }
  })

  it('is read whatever the order in memory, and however Python would spell the header', async () => {
    const headers = [
      "{'descr': '<f4', 'fortran_order': True, 'shape': (2,), }",
      "{'shape':(2,),'fortran_order':False,'descr':'<f4'}",
      '{"descr": "<f4", "fortran_order": False, "shape": (2L,)}',
      "{ 'descr' : '<f4' , 'fortran_order' : False , 'shape' : ( 2 , ) , }"
    ]
    for (const header of headers) {
      await writeFile(path, npy(header, golden[3][3]))
      assert.deepEqual((await readNpy(path)).values, golden[3][2], header)
    }
  })

  it('gives back every vector that was written, the odd floats included', async () => {
    const vectors: fc.Arbitrary<NpyValues> = fc.oneof(
      fc.int32Array(),
      fc.uint32Array(),
      fc.bigInt64Array(),
      fc.float32Array(),
      fc.float64Array()
    )
    const roundTrip = fc.asyncProperty(vectors, async (values) => {
      await writeNpy(path, values)
      const read = await readNpy(path)
      assert.deepEqual(read.values, values)
      assert.equal(read.dtype, values.constructor.name.replace('Array', '').replace('Big', '').toLowerCase())
    })
    await fc.assert(roundTrip, { numRuns: 60 })
  })

  it('is written in pieces when it is large, and from a part of a larger array', async () => {
    const large = Float64Array.from({ length: 300_000 }, (_, i) => i / 3)
    await writeNpy(path, large.subarray(1, 299_999))
    const { values } = await readNpy(path)
    assert.ok(Buffer.from(values.buffer).equals(Buffer.from(large.buffer, 8, 8 * 299_998)))
    assert.equal(values.length, 299_998)
  })

  it('replaces an older one whole, and leaves nothing beside it, not even when it cannot be written', async () => {
    await writeNpy(path, Float64Array.of(1, 2, 3))
    await writeNpy(path, Int32Array.of(4))
    assert.deepEqual((await readNpy(path)).values, Int32Array.of(4))
    const inside = { code: 'INPUT_FILE', message: /cannot be written \(no such file or directory\)/ }
    await assert.rejects(writeNpy(join(directory, 'none', 'a.npy'), Int32Array.of(4)), inside)
    await assert.rejects(writeNpy(directory, Int32Array.of(4)), { code: 'INPUT_FILE', message: /not a regular file/ })
    // The values are gone when the file is begun already: their buffer went to a worker.
    const gone = Float64Array.of(1, 2)
    structuredClone(gone, { transfer: [gone.buffer] })
    await assert.rejects(writeNpy(path, gone), { code: 'INPUT_FILE', message: /cannot be written/ })
    assert.deepEqual((await readNpy(path)).values, Int32Array.of(4))
    assert.deepEqual(await readdir(directory), ['peer-0.npy'])
  })

  it('is refused with the dtype that it has, if it is not one of the five', async () => {
    for (const descr of ['>f4', '|u1', '<i2', '<f2', '<u8', '=f4', '<c16', '<U2', '|O', '']) {
      const message = new RegExp(
        `dtype '${descr.replace('|', '\\|')}' in shape \\(2,\\), and only one-dimensional .*float64`
      )
      await refused(npy(headerOf(descr, 2), new Uint8Array(16)), 'INPUT_TYPE', message)
    }
    const record = "{'descr': [('a', '<i4'), ('b', '<f4')], 'fortran_order': False, 'shape': (2,), }"
    await refused(npy(record, new Uint8Array(16)), 'INPUT_TYPE', /dtype \[\('a', '<i4'\), \('b', '<f4'\)\] in shape/)
  })

  it('is refused with the shape that it has, if it is not one-dimensional', async () => {
    for (const shape of ['()', '(1, 2)', '(2, 1)', '(1, 1, 2)']) {
      const header = `{'descr': '<f8', 'fortran_order': False, 'shape': ${shape}, }`
      const found = new RegExp(`in shape ${shape.replace(/[()]/g, '\\$&')}, and only`)
      await refused(npy(header, new Uint8Array(16)), 'INPUT_TYPE', found)
    }
  })

  it('is refused if it ends too early, wherever that is, or too late', async () => {
    const whole = npy(headerOf('<f4', 2), golden[3][3])
    for (let length = 0; length < whole.length; length++) {
      const message = length < 6 ? /not a \.npy file/ : /truncated/
      await refused(whole.subarray(0, length), 'INPUT_FILE', message)
    }
    await refused(Buffer.concat([whole, Buffer.alloc(1)]), 'INPUT_FILE', /over-long: its header promises 8 .* 9 follow/)
  })

  it('is refused before memory is taken for a length that it only claims', async () => {
    for (const count of ['4611686018427387904', '9'.repeat(400)]) {
      const header = `{'descr': '<f4', 'fortran_order': False, 'shape': (${count},), }`
      await refused(npy(header, golden[3][3]), 'INPUT_FILE', /truncated/)
    }
    const huge = npy(headerOf('<f4', 2), golden[3][3], 2)
    huge.writeUInt32LE(0xffffffff, 8)
    await refused(huge, 'INPUT_FILE', /header of 4294967295 bytes/)
  })

  it('is refused if it is none, of an unknown version, or has a malformed header', async () => {
    await refused(Buffer.from('1.0,2.0,3.0,4.0,5.0\n'), 'INPUT_FILE', /is not a \.npy file/)
    await refused(npy(headerOf('<f4', 2), golden[3][3], 4), 'INPUT_FILE', /version 4\.0/)
    const headers = [
      '',
      '{}',
      "{'descr': '<f4', 'shape': (2,)}",
      "{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': '(2,)'}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'more': True}",
      "{'descr': '<f4', 'descr': '<f8', 'fortran_order': False, 'shape': (2,)}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} + 1",
      "{'descr': '<f4' 'fortran_order': False, 'shape': (2,)}"
    ]
    for (const header of headers) await refused(npy(header, golden[3][3]), 'INPUT_FILE', /malformed \.npy header/)
  })

  it('is refused if it is missing or no file', async () => {
    await assert.rejects(readNpy(path), {
      code: 'INPUT_FILE',
      message: `${path} cannot be read (no such file or directory)`
    })
    await assert.rejects(readNpy(directory), { code: 'INPUT_FILE', message: /is not a regular file/ })
  })
})
