import assert from 'node:assert/strict'
import fc from 'fast-check'
import { createLanes } from '../../src/crypto/mask-stream.ts'
import type { Lanes } from '../../src/crypto/mask-stream.ts'
import { CHUNK_ELEMENTS, pack, packedLength, unpack, unpackAdd } from '../../src/encoding/packing.ts'
import { MessageError } from '../../src/errors.ts'

const widths = Array.from({ length: 32 }, (_, i) => i + 1)

/** §11 word for word, one bit at a time. */
function slowPack(lanes: Lanes, bits: number): Uint8Array {
  const out = new Uint8Array(Math.ceil((lanes.length * bits) / 8))
  for (let at = 0; at < lanes.length * bits; at++) {
    const bit = (lanes[Math.floor(at / bits)] >>> (at % bits)) & 1
    out[at >>> 3] |= bit << (at & 7)
  }
  return out
}

function reduced(lanes: Lanes, bits: number): number[] {
  return Array.from(lanes, (lane) => lane % 2 ** bits)
}

function randomLanes(bits: number, length: number, seed: number): Lanes {
  let state = seed | 1
  return createLanes(bits, length).map(() => {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9
    return state ^ (state >>> 13)
  })
}

function refuses(code: MessageError['code'], call: () => unknown): void {
  assert.throws(call, (error) => error instanceof MessageError && error.code === code)
}

describe('packing', () => {
  it('lays elements out as a little-endian bit stream', () => {
    assert.deepEqual(pack(Uint16Array.of(0b101, 0b011, 0b111), 3), Uint8Array.of(0b11011101, 0b1))
    assert.deepEqual(pack(Uint16Array.of(0xabc, 0xdef), 12), Uint8Array.of(0xbc, 0xfa, 0xde))
    assert.deepEqual(pack(Uint16Array.of(0x1234), 16), Uint8Array.of(0x34, 0x12))
    assert.deepEqual(pack(Uint32Array.of(0x1abcdef, 1), 25), Uint8Array.of(0xef, 0xcd, 0xab, 3, 0, 0, 0))
    assert.deepEqual(pack(Uint32Array.of(0x89abcdef), 32), Uint8Array.of(0xef, 0xcd, 0xab, 0x89))
  })

  it('equals the slow definition for every width and any length, and unpacks to the lanes mod 2^w', () => {
    const input = fc.record({ length: fc.nat(200), seed: fc.integer(), shift: fc.nat(7) })
    for (const bits of widths) {
      fc.assert(
        fc.property(input, ({ length, seed, shift }) => {
          const lanes = randomLanes(bits, length, seed)
          // Bytes from the network start anywhere in a buffer.
          const out = new Uint8Array(packedLength(length, bits) + shift).subarray(shift)
          assert.deepEqual(pack(lanes, bits, out), slowPack(lanes, bits))
          assert.deepEqual(Array.from(unpack(out, length, bits)), reduced(lanes, bits))
          assert.deepEqual(Array.from(unpack(out, length, bits, randomLanes(bits, length, 7))), reduced(lanes, bits))
        }),
        { numRuns: 20 }
      )
    }
  })

  it('packs each chunk as if it stood alone, for every width', () => {
    const length = 2 * CHUNK_ELEMENTS + 77
    for (const bits of widths) {
      const lanes = randomLanes(bits, length, bits)
      const packed = pack(lanes, bits)
      const parts = [0, 1, 2].map((i) => pack(lanes.slice(i * CHUNK_ELEMENTS, (i + 1) * CHUNK_ELEMENTS), bits))
      assert.equal(Buffer.compare(packed, Buffer.concat(parts)), 0)
      assert.deepEqual(reduced(unpack(packed, length, bits), bits), reduced(lanes, bits))
    }
  })

  it('packs small numbers from 32-bit lanes as from 16-bit lanes', () => {
    for (const bits of widths.slice(0, 16)) {
      const lanes = randomLanes(bits, 99, bits)
      assert.deepEqual(pack(Uint32Array.from(lanes), bits), pack(lanes, bits))
    }
  })

  it('refuses every padding bit that is set', () => {
    for (const bits of widths) {
      for (const length of [1, 2, 3, 5, 7]) {
        const packed = pack(randomLanes(bits, length, 3), bits)
        for (let bit = length * bits; bit < 8 * packed.length; bit++) {
          const flipped = packed.slice()
          flipped[bit >>> 3] ^= 1 << (bit & 7)
          refuses('INVALID', () => unpack(flipped, length, bits))
          const sum = createLanes(bits, length)
          refuses('INVALID', () => unpackAdd(flipped, bits, sum, 0))
          assert.deepEqual(sum, createLanes(bits, length))
        }
      }
    }
  })

  it('gives other elements for every other bit that is flipped', () => {
    for (const bits of widths) {
      const packed = pack(randomLanes(bits, 5, 9), bits)
      const elements = unpack(packed, 5, bits)
      for (let bit = 0; bit < 5 * bits; bit++) {
        const flipped = packed.slice()
        flipped[bit >>> 3] ^= 1 << (bit & 7)
        assert.notDeepEqual(unpack(flipped, 5, bits), elements)
      }
    }
  })

  it('refuses bytes that are missing or too many', () => {
    for (const bits of widths) {
      const packed = pack(randomLanes(bits, 50, 3), bits)
      refuses('TRUNCATED', () => unpack(packed.subarray(0, -1), 50, bits))
      refuses('TRUNCATED', () => unpack(new Uint8Array(0), 50, bits))
      refuses('INVALID', () => unpack(Uint8Array.of(...packed, 0), 50, bits))
      refuses('TRUNCATED', () => unpackAdd(packed.subarray(0, -1), bits, createLanes(bits, 50), 0))
      refuses('INVALID', () => unpackAdd(Uint8Array.of(...packed, 0), bits, createLanes(bits, 50), 0))
    }
  })

  it('refuses widths, lanes and buffers that do not fit', () => {
    for (const bits of [0, 33, 1.5]) assert.throws(() => pack(new Uint32Array(1), bits), RangeError)
    assert.throws(() => pack(new Uint16Array(1), 17), RangeError)
    assert.throws(() => pack(new Uint16Array(2), 16, new Uint8Array(5)), RangeError)
    assert.throws(() => unpack(new Uint8Array(4), 2, 16, new Uint16Array(3)), RangeError)
  })
})

describe('adding packed chunks', () => {
  it('equals adding the vectors, chunk by chunk and all at once, for every width', () => {
    const length = 2 * CHUNK_ELEMENTS + 301
    for (const bits of widths) {
      const sum = randomLanes(bits, length, 100 + bits)
      const lanes = randomLanes(bits, length, bits)
      const wanted = reduced(
        sum.map((lane, i) => lane + (lanes[i] % 2 ** bits)),
        bits
      )
      const packed = pack(lanes, bits)
      const whole = sum.slice()
      assert.equal(unpackAdd(packed, bits, whole, 0), length)
      assert.deepEqual(reduced(whole, bits), wanted)

      const chunk = packedLength(CHUNK_ELEMENTS, bits)
      assert.equal(unpackAdd(packed.subarray(2 * chunk), bits, sum, 2 * CHUNK_ELEMENTS), 301)
      assert.equal(unpackAdd(packed.subarray(0, chunk), bits, sum, 0), CHUNK_ELEMENTS)
      assert.equal(unpackAdd(packed.subarray(chunk, 2 * chunk), bits, sum, CHUNK_ELEMENTS), CHUNK_ELEMENTS)
      assert.deepEqual(reduced(sum, bits), wanted)
    }
  })

  it('refuses a place that is no start of a chunk, and chunks beyond the end', () => {
    const sum = createLanes(25, CHUNK_ELEMENTS + 10)
    const chunk = new Uint8Array(packedLength(CHUNK_ELEMENTS, 25))
    for (const offset of [-CHUNK_ELEMENTS, 1, 0.5, 2 * CHUNK_ELEMENTS]) {
      assert.throws(() => unpackAdd(chunk, 25, sum, offset), RangeError)
    }
    refuses('INVALID', () => unpackAdd(chunk, 25, sum, CHUNK_ELEMENTS))
  })
})
