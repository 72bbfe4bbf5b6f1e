import { npyPreamble } from '../../nodes/npy.ts'

/** .npy files for tests, of types that the product does not write as well. */
export const Npy = {
  floats(values: Float32Array): Uint8Array<ArrayBuffer> {
    return new Uint8Array(Buffer.concat([npyPreamble(values), Buffer.from(values.buffer)]))
  },

  /** Zeros of any type. */
  of(descr: string, length: number, width: number): Uint8Array<ArrayBuffer> {
    const header = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${length},), }\n`
    const preamble = Buffer.from(`\x93NUMPY\x01\x00\x00\x00${header}`, 'latin1')
    preamble.writeUInt16LE(header.length, 8)
    return new Uint8Array(Buffer.concat([preamble, Buffer.alloc(length * width)]))
  }
}
