import assert from 'node:assert/strict'
import fc from 'fast-check'
import { MessageError } from '../../src/errors.ts'
import { encodeFrame, FrameDecoder, HEADER_LENGTH, MAX_CONTROL, MAX_DATA } from '../../src/network/frames.ts'
import type { Frame } from '../../src/network/frames.ts'

const anyFrame = fc.record({
  kind: fc.constantFrom<Frame['kind']>('control', 'data'),
  payload: fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.integer({ min: 16_000, max: 20_000 }).map((length) => new Uint8Array(length).fill(length))
  )
})

function bytesOf(frames: Frame[]): Uint8Array {
  return Buffer.concat(frames.flatMap((frame) => encodeFrame(frame)))
}

function header(length: number, kind: number): Uint8Array {
  const bytes = new Uint8Array(HEADER_LENGTH)
  new DataView(bytes.buffer).setUint32(0, length)
  bytes[4] = kind
  return bytes
}

function refused(code: MessageError['code'], action: () => void): void {
  assert.throws(action, (error) => error instanceof MessageError && error.code === code && error.culprit === 'mallory')
}

describe('frames', () => {
  it('are their length, their kind and their payload', () => {
    assert.deepEqual(encodeFrame({ kind: 'data', payload: new Uint8Array([7, 8]) }), [
      new Uint8Array([0, 0, 0, 2, 1, 7, 8])
    ])
    assert.deepEqual(encodeFrame({ kind: 'control', payload: new Uint8Array([9]) }), [
      new Uint8Array([0, 0, 0, 1, 0, 9])
    ])
  })

  it('come out as they went in, in whatever pieces the stream delivers them', () => {
    fc.assert(
      fc.property(
        fc.array(anyFrame, { maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 9_000 })),
        (frames, cuts) => {
          const bytes = bytesOf(frames)
          const decoder = new FrameDecoder()
          const got: Frame[] = []
          let at = 0
          for (const cut of [...cuts, bytes.length]) {
            got.push(...decoder.push(bytes.subarray(at, at + cut)))
            at = Math.min(at + cut, bytes.length)
          }
          decoder.end()
          assert.equal(got.length, frames.length)
          got.forEach((frame, i) => {
            assert.equal(frame.kind, frames[i].kind)
            assert.equal(Buffer.compare(frame.payload, frames[i].payload), 0)
          })
        }
      )
    )
  })

  it('come out of single bytes, the empty one as soon as its header is there', () => {
    const decoder = new FrameDecoder()
    const frames: Frame[] = [
      { kind: 'control', payload: new Uint8Array() },
      { kind: 'data', payload: new Uint8Array([1, 2, 3]) }
    ]
    const complete = Array.from(bytesOf(frames), (byte) => decoder.push(new Uint8Array([byte])).length)
    assert.deepEqual(complete, [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1])
  })

  it('lend a payload that arrived in one piece instead of copying it', () => {
    const bytes = bytesOf([{ kind: 'data', payload: new Uint8Array(1000) }])
    const [frame] = new FrameDecoder().push(bytes)
    assert.equal(frame.payload.buffer, bytes.buffer)
  })

  it('do not copy a large payload when they are sent', () => {
    const payload = new Uint8Array(MAX_DATA)
    assert.equal(encodeFrame({ kind: 'data', payload })[1], payload)
  })

  it('may be as large as their kind allows, and not a byte larger', () => {
    for (const [number, kind, limit] of [
      [0, 'control', MAX_CONTROL],
      [1, 'data', MAX_DATA]
    ] as const) {
      const payload = new Uint8Array(limit)
      const [frame] = new FrameDecoder().push(bytesOf([{ kind, payload }]))
      assert.equal(frame.payload.length, limit)
      assert.throws(() => encodeFrame({ kind, payload: new Uint8Array(limit + 1) }), { code: 'OVERSIZED' })
      refused('OVERSIZED', () => new FrameDecoder({ peer: 'mallory' }).push(header(limit + 1, number)))
    }
  })

  it('keep to a smaller limit where one is set', () => {
    const limits = { maxControl: 10, maxData: 20, peer: 'mallory' }
    refused('OVERSIZED', () => new FrameDecoder(limits).push(header(11, 0)))
    refused('OVERSIZED', () => new FrameDecoder(limits).push(header(21, 1)))
    assert.deepEqual(new FrameDecoder(limits).push(header(20, 1)), [])
  })

  it('of an unknown kind are refused as malformed', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 255 }), (kind) => {
        refused('MALFORMED', () => new FrameDecoder({ peer: 'mallory' }).push(header(1, kind)))
      })
    )
  })

  it('cut short by the end of the stream are refused as truncated, wherever the cut is', () => {
    const bytes = bytesOf([{ kind: 'data', payload: new Uint8Array(20) }])
    for (let length = 1; length < bytes.length; length++) {
      const decoder = new FrameDecoder({ peer: 'mallory' })
      assert.deepEqual(decoder.push(bytes.subarray(0, length)), [])
      refused('TRUNCATED', () => decoder.end())
    }
    new FrameDecoder().end()
  })
})
