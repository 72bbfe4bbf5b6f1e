import assert from 'node:assert/strict'
import { createCipheriv } from 'node:crypto'
import { registerHooks } from 'node:module'
import fc from 'fast-check'
import { blockBytes, type Lanes, scalarKernel, type SignedBytes, simdKernel } from '../../src/crypto/lane-kernel.ts'
import { addMasks, createLanes, laneBytes, type Mask } from '../../src/crypto/mask-stream.ts'
import { randomBytes } from '../../src/crypto/primitives.ts'
import { Secret } from '../../src/crypto/secret.ts'

const seed = fc.uint8Array({ minLength: 32, maxLength: 32 })
const sign = fc.constantFrom<1 | -1>(1, -1)
const mask: fc.Arbitrary<Mask> = fc.record({ seed, sign })
const bits = fc.constantFrom(1, 16, 17, 32)

/** The definition, element by element, on exact integers. */
function plainSum(width: number, length: number, masks: Mask[]): Lanes {
  const bytes = laneBytes(width)
  const streams = masks.map(({ seed }) => {
    const key = seed instanceof Secret ? seed.expose() : seed
    return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(length * bytes))
  })
  return createLanes(width, length).map((_, i) => {
    const sum = streams.reduce((sum, s, m) => sum + BigInt(masks[m].sign * s.readUIntLE(i * bytes, bytes)), 0n)
    return Number(BigInt.asUintN(bytes * 8, sum))
  })
}

describe('the mask stream', () => {
  it('is AES-256-CTR over zeros, element i at bytes i times the lane, little-endian', async () => {
    await fc.assert(
      fc.asyncProperty(bits, fc.nat(300), fc.array(mask, { maxLength: 20 }), async (width, length, masks) => {
        const lanes = createLanes(width, length)
        await addMasks(lanes, masks)
        assert.deepEqual(lanes, plainSum(width, length, masks))
      })
    )
  })

  it('is the same over block borders, for one mask and for more than are laid on at once', async () => {
    for (const width of [16, 32]) {
      const length = (2 * blockBytes) / laneBytes(width) + 3
      const masks = Array.from({ length: 19 }, (_, i): Mask => ({ seed: randomBytes(32), sign: i % 3 === 0 ? -1 : 1 }))
      for (const count of [1, 19]) {
        const lanes = createLanes(width, length)
        await addMasks(lanes, masks.slice(0, count))
        assert.deepEqual(lanes, plainSum(width, length, masks.slice(0, count)))
      }
    }
  })

  it('can be computed for any part alone', async () => {
    await fc.assert(
      fc.asyncProperty(
        bits,
        fc.array(mask, { maxLength: 5 }),
        fc.nat(70_000),
        fc.nat(50),
        async (w, masks, from, n) => {
          const whole = createLanes(w, from + n)
          const part = createLanes(w, n)
          await addMasks(whole, masks)
          await addMasks(part, masks, { offset: from })
          assert.deepEqual(part, whole.slice(from))
        }
      ),
      { numRuns: 30 }
    )
  })

  it('adds to what the lanes hold, and a mask with both signs leaves it as it was', async () => {
    const input = new Uint32Array(randomBytes(4 * 20_001).buffer)
    const key = randomBytes(32)
    const lanes = input.slice()
    await addMasks(lanes, [{ seed: key, sign: 1 }])
    assert.notDeepEqual(lanes, input)
    await addMasks(lanes, [{ seed: new Secret(key), sign: -1 }])
    assert.deepEqual(lanes, input)
  })

  it('touches nothing outside the lanes it is given', async () => {
    const all = new Uint16Array(1000)
    await addMasks(all.subarray(3, 990), [{ seed: randomBytes(32), sign: 1 }])
    assert.deepEqual(all.subarray(0, 3), new Uint16Array(3))
    assert.deepEqual(all.subarray(990), new Uint16Array(10))
  })

  it('lets others have the thread during long work, and stops when told to', async () => {
    const masks = Array.from({ length: 1500 }, (): Mask => ({ seed: randomBytes(32), sign: 1 }))
    const lanes = createLanes(32, 100_000)
    const abort = new AbortController()
    let pauses = 0
    const pause = async () => {
      if (++pauses === 2) abort.abort()
    }
    await assert.rejects(addMasks(lanes, masks, { pause, signal: abort.signal }), { name: 'AbortError' })
    assert.equal(pauses, 2)
    await assert.rejects(addMasks(lanes, [], { signal: abort.signal }), { name: 'AbortError' })
    let turned = false
    setImmediate(() => (turned = true))
    await addMasks(lanes, masks)
    assert.equal(turned, true)
  })

  it('gives the same to computations that are interleaved', async () => {
    const masks = Array.from({ length: 40 }, (): Mask => ({ seed: randomBytes(32), sign: 1 }))
    const alone = createLanes(32, 100_000)
    await addMasks(alone, masks)
    const together = [createLanes(32, 100_000), createLanes(32, 100_000)]
    await Promise.all(together.map((lanes) => addMasks(lanes, masks)))
    for (const lanes of together) assert.deepEqual(lanes, alone)
  })

  it('is the same over the portable primitives, whose cipher is asynchronous', async () => {
    const hooks = registerHooks({
      resolve: (specifier, context, next) => {
        const portable = specifier === './primitives.ts' && context.parentURL?.endsWith('?portable')
        return next(portable ? './primitives.browser.ts' : specifier, context)
      }
    })
    const address = new URL('../../src/crypto/mask-stream.ts?portable', import.meta.url).href
    const portable = (await import(address)) as { addMasks: typeof addMasks }
    hooks.deregister()
    assert.notEqual(portable.addMasks, addMasks)
    for (const width of [16, 32]) {
      const masks = Array.from({ length: 18 }, (_, i): Mask => ({ seed: randomBytes(32), sign: i % 3 === 0 ? -1 : 1 }))
      const [one, other] = [createLanes(width, 40_001), createLanes(width, 40_001)]
      await addMasks(one, masks, { offset: 5 })
      await portable.addMasks(other, masks, { offset: 5 })
      assert.deepEqual(other, one)
    }
  })

  it('refuses seeds, offsets and widths out of range', async () => {
    await assert.rejects(addMasks(createLanes(8, 5), [{ seed: randomBytes(31), sign: 1 }]), RangeError)
    await assert.rejects(addMasks(createLanes(8, 5), [], { offset: -1 }), RangeError)
    for (const width of [0, 33, 1.5]) assert.throws(() => laneBytes(width), RangeError)
    assert.deepEqual([1, 16, 17, 32].map(laneBytes), [2, 2, 4, 4])
  })
})

describe('the lane kernels', () => {
  it('are equal, wherever the lanes and the streams start', () => {
    const fast = simdKernel()
    assert.ok(fast, 'this runtime has WebAssembly SIMD')
    fc.assert(
      fc.property(bits, fc.nat(200), fc.array(sign, { maxLength: 6 }), fc.nat(3), (width, length, signs, shift) => {
        const start = new Uint8Array(randomBytes(length * laneBytes(width)))
        const parts = signs.map((sign): SignedBytes => ({
          bytes: randomBytes(start.length + 3)
            .subarray(shift)
            .subarray(0, start.length),
          sign
        }))
        const results = [fast, scalarKernel].map((kernel) => {
          const room = createLanes(width, length + 1)
          const lanes = room.subarray(1)
          new Uint8Array(lanes.buffer, lanes.byteOffset, start.length).set(start)
          kernel(lanes, parts)
          return room
        })
        assert.deepEqual(results[0], results[1])
      })
    )
  })
})
