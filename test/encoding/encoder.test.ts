import assert from 'node:assert/strict'
import { createCipheriv } from 'node:crypto'
import fc from 'fast-check'
import { createLanes } from '../../src/crypto/mask-stream.ts'
import type { Lanes } from '../../src/crypto/mask-stream.ts'
import { createEncoder, quantisationBound } from '../../src/encoding/encoder.ts'
import type { Vector } from '../../src/encoding/encoder.ts'
import { InputError } from '../../src/errors.ts'
import { createTask } from '../../src/task/task.ts'
import type { Task, TaskInput } from '../../src/task/task.ts'
import { members } from '../task/members.ts'

const roster = members(5)

function taskOf(encoding: TaskInput['encoding'], length: number): Task {
  return createTask({ name: 'test', members: roster, length, encoding })
}

/** Uniform bytes that are the same in every run. */
function seeded(): (length: number) => Uint8Array {
  const stream = createCipheriv('aes-256-ctr', new Uint8Array(32).fill(7), new Uint8Array(16))
  return (length) => stream.update(new Uint8Array(length))
}

/** What masks do to a sum when they cancel: nothing mod 2^w, anything above. */
function sumOf(task: Task, inputs: Lanes[]): Lanes {
  return createLanes(task.bits, task.laneCount).map((_, i) => {
    return inputs.reduce((sum, lanes) => sum + lanes[i], 2 ** task.bits)
  })
}

async function sumTo(task: Task, inputs: { vector: Vector; weight?: number }[]) {
  const encoder = createEncoder(task, 1)
  const encoded = await Promise.all(inputs.map(({ vector, weight }) => encoder.encode(vector, { weight })))
  return encoder.decode(
    sumOf(
      task,
      encoded.map(({ lanes }) => lanes)
    ),
    inputs.length
  )
}

async function refused(task: Task, vector: unknown, code: InputError['code'], sentence: RegExp, weight?: number) {
  await assert.rejects(createEncoder(task, 1).encode(vector as Vector, { weight }), (error) => {
    assert.ok(error instanceof InputError, String(error))
    assert.equal(error.code, code)
    assert.match(error.message, sentence)
    assert.ok(!error.message.includes('\n'))
    return true
  })
}

const clip = 8
const double = fc.double({ min: -2 * clip, max: 2 * clip, noNaN: true })
const clippedTo = (value: number): number => Math.max(-clip, Math.min(clip, value))

describe('fixed point', () => {
  const variants = (['stochastic', 'nearest'] as const).flatMap((rounding) => {
    return [2, 16, 29].flatMap((bits) => {
      return [undefined, 3].map((weighted) => taskOf({ type: 'fixed', clip, bits, rounding, weighted }, 3))
    })
  })

  it('decodes the sum of clipped vectors to within the quantisation bound', async () => {
    const vector = fc.array(double, { minLength: 3, maxLength: 3 })
    const input = fc.record({ vector, weight: fc.integer({ min: 1, max: 3 }) })
    for (const task of variants) {
      const weighted = task.encoding.type === 'fixed' && task.encoding.weighted !== undefined
      const property = fc.asyncProperty(fc.array(input, { minLength: 1, maxLength: 5 }), async (drawn) => {
        const inputs = drawn.map((one) => ({ vector: one.vector, weight: weighted ? one.weight : undefined }))
        const sum = await sumTo(task, inputs)
        const weights = inputs.reduce((total, { weight = 1 }) => total + weight, 0)
        assert.equal(sum.totalWeight, weights)
        for (let i = 0; i < 3; i++) {
          const plain = inputs.reduce((total, { vector, weight = 1 }) => total + clippedTo(vector[i]) * weight, 0)
          assert.ok(Math.abs(Number(sum.values[i]) - plain) <= quantisationBound(task, inputs.length))
          assert.equal(sum.mean[i], Number(sum.values[i]) / weights)
        }
      })
      await fc.assert(property, { numRuns: 60 })
    }
  })

  it('has a bound of a step for stochastic and half a step for nearest rounding, times the members and W', () => {
    const bound = (rounding: 'stochastic' | 'nearest', weighted?: number): number =>
      quantisationBound(taskOf({ type: 'fixed', clip, bits: 16, rounding, weighted }, 1), 4)
    const step = 16 / 65535
    assert.ok(Math.abs(bound('stochastic') / (4 * step) - 1) < 1e-9)
    assert.ok(Math.abs(bound('nearest') / (2 * step) - 1) < 1e-9)
    assert.ok(Math.abs(bound('nearest', 10) / (20 * step) - 1) < 1e-9)
  })

  it('sums clips and their opposites exactly', async () => {
    for (const task of variants) {
      const inputs = Array.from({ length: 5 }, () => ({ vector: [clip, -clip, clip] }))
      const weighted = task.encoding.type === 'fixed' && task.encoding.weighted !== undefined
      const heaviest = inputs.map((input) => ({ ...input, weight: weighted ? 3 : undefined }))
      const factor = weighted ? 15 : 5
      assert.deepEqual(
        (await sumTo(task, heaviest)).values,
        Float64Array.of(factor * clip, -factor * clip, factor * clip)
      )
    }
  })

  it('keeps a value on a level whatever bits are drawn', async () => {
    const task = taskOf({ type: 'fixed', clip: 1.5, bits: 2 }, 4)
    for (const byte of [0, 255]) {
      const random = (length: number): Uint8Array => new Uint8Array(length).fill(byte)
      const { lanes } = await createEncoder(task, 1).encode([-1.5, -0.5, 0.5, 1.5], { random })
      assert.deepEqual(Array.from(lanes), [0, 1, 2, 3, 0])
    }
  })

  it('never leaves the levels at either end of the clip, whatever clip, bits, weight and draws', async () => {
    const upward = (length: number): Uint8Array => new Uint8Array(length)
    for (const clip of [0.1, 0.3, 0.7, 1.1, 3.3, 4.9, 1e-9, 1e99 / 7]) {
      for (const bits of [2, 13, 23, 29]) {
        const task = taskOf({ type: 'fixed', clip, bits, weighted: 3 }, 2)
        const { lanes } = await createEncoder(task, 1).encode([clip, -clip], { weight: 3, random: upward })
        assert.deepEqual(Array.from(lanes), [2 ** bits - 1, 0, 3, 0], `clip ${clip}, ${bits} bits`)
      }
    }
  })

  it('rounds up on low draws and down on high ones, never further than one step', async () => {
    const task = taskOf({ type: 'fixed', clip: 1.5, bits: 2 }, 3)
    const encode = async (byte: number): Promise<Lanes> => {
      const random = (length: number): Uint8Array => new Uint8Array(length).fill(byte)
      return (await createEncoder(task, 1).encode([-1, 0, 1.49], { random })).lanes
    }
    assert.deepEqual(Array.from(await encode(0)), [1, 2, 3, 0])
    assert.deepEqual(Array.from(await encode(255)), [0, 1, 2, 0])
  })

  it('rounds without bias', async () => {
    const count = 200_000
    const task = taskOf({ type: 'fixed', clip: 0.5, bits: 2 }, count)
    const random = seeded()
    for (const up of [0.1, 0.5, 0.93]) {
      const value = (1 + up) / 3 - 0.5
      const { lanes } = await createEncoder(task, 1).encode(new Float64Array(count).fill(value), { random })
      const raised = Array.from(lanes.subarray(0, count)).reduce((sum, level) => sum + level - 1, 0)
      // Six standard deviations of a binomial.
      assert.ok(Math.abs(raised - count * up) < 6 * Math.sqrt(count * up * (1 - up)), `${raised} of ${count} at ${up}`)
    }
  })

  it('draws new bits for every chunk, from the CSPRNG where nothing else is given', async () => {
    const count = 40_000
    const task = taskOf({ type: 'fixed', clip: 0.5, bits: 2 }, count)
    const zeros = new Float32Array(count)
    const encode = async (random?: (length: number) => Uint8Array): Promise<string> =>
      Buffer.from((await createEncoder(task, 1).encode(zeros, { random })).lanes.buffer).toString('hex')
    const first = await encode()
    assert.notEqual(first, await encode())
    const chunk = 2 * 2 ** 14 * 2
    assert.notEqual(first.slice(0, chunk), first.slice(chunk, 2 * chunk))
    assert.equal(await encode(seeded()), await encode(seeded()))
  })

  it('takes random bytes at any place in a buffer, and refuses too few', async () => {
    const task = taskOf({ type: 'fixed', clip: 1.5, bits: 2 }, 1)
    const odd = (length: number): Uint8Array => new Uint8Array(length + 1).fill(255).subarray(1)
    assert.equal((await createEncoder(task, 1).encode([0], { random: odd })).lanes[0], 1)
    await assert.rejects(createEncoder(task, 1).encode([0], { random: () => new Uint8Array(3) }), RangeError)
  })

  it('shows everyone how much was clipped, and a member how much of its own', async () => {
    const task = taskOf({ type: 'fixed', clip: 1 }, 4)
    const encoder = createEncoder(task, 1)
    const one = await encoder.encode([1.0001, -5, 1, -1])
    const other = await encoder.encode([0, 0, 0, 0])
    assert.equal(one.clippedFraction, 0.5)
    assert.equal(other.clippedFraction, 0)
    const { clippedFraction = NaN } = await encoder.decode(sumOf(task, [one.lanes, other.lanes]), 2)
    assert.ok(Math.abs(clippedFraction - 0.25) < 1e-5)
  })

  it('puts the weight behind the elements and the clipped fraction last', async () => {
    const task = taskOf({ type: 'fixed', clip: 1, bits: 8, weighted: 200 }, 2)
    const { lanes } = await createEncoder(task, 1).encode([9, 9], { weight: 150 })
    assert.deepEqual(Array.from(lanes.subarray(2)), [150, 255])
    assert.equal((await createEncoder(task, 1).encode([0, 0])).lanes[2], 1)
  })

  it('refuses weights that are not whole numbers from 1 to W, and any weight of a task without', async () => {
    const weighted = taskOf({ type: 'fixed', weighted: 100 }, 1)
    for (const weight of [0, -1, 1.5, 101, NaN]) {
      await refused(weighted, [1], 'INPUT_WEIGHT', /whole number from 1 to 100, not/, weight)
    }
    await refused(taskOf({ type: 'fixed' }, 1), [1], 'INPUT_WEIGHT', /has no weights/, 1)
    await refused(taskOf({ type: 'integer', max: 5 }, 1), [1], 'INPUT_WEIGHT', /has no weights/, 1)
  })
})

describe('integers', () => {
  const encodings = [
    { type: 'integer', max: 1 },
    { type: 'integer', min: -100, max: 100 },
    { type: 'integer', max: Math.floor((2 ** 32 - 1) / 5) },
    { type: 'integer', min: 2 ** 53 - 1000, max: 2 ** 53 - 1 },
    { type: 'integer', min: -(2 ** 53) + 1, max: -(2 ** 53) + 2 ** 29 }
  ] as const

  it('come out of a sum exactly', async () => {
    for (const encoding of encodings) {
      const task = taskOf(encoding, 4)
      const { min, max } = task.encoding as { min: number; max: number }
      const vector = fc.array(
        fc.maxSafeInteger().map((n) => min + (Math.abs(n) % (max - min + 1))),
        { minLength: 4, maxLength: 4 }
      )
      const extremes = fc.constantFrom([min, max, min, max], [max, max, max, max], [min, min, min, min])
      const property = fc.asyncProperty(
        fc.array(fc.oneof(vector, extremes), { minLength: 1, maxLength: 5 }),
        async (vectors) => {
          const sum = await sumTo(
            task,
            vectors.map((one) => ({ vector: one }))
          )
          for (let i = 0; i < 4; i++) {
            const plain = vectors.reduce((total, one) => total + BigInt(one[i]), 0n)
            assert.equal(sum.values[i], plain)
            assert.equal(sum.mean[i], Number(plain) / vectors.length)
          }
          assert.equal(sum.totalWeight, vectors.length)
          assert.equal(sum.clippedFraction, undefined)
        }
      )
      await fc.assert(property, { numRuns: 60 })
      assert.equal(quantisationBound(task, 5), 0)
    }
  })

  it('are refused when not whole or out of range, naming the element and not its value', async () => {
    const task = taskOf({ type: 'integer', min: -5, max: 700 }, 3)
    await refused(task, [0, 0.5, 0], 'INPUT_RANGE', /^element 1 is not a whole number/)
    await refused(task, Float32Array.of(0, 0, 1.25), 'INPUT_RANGE', /^element 2 is not a whole number/)
    await refused(task, Int32Array.of(0, 0, 701), 'INPUT_RANGE', /^element 2 lies outside -5 to 700;/)
    await refused(task, Int32Array.of(-6, 0, 0), 'INPUT_RANGE', /^element 0 lies outside/)
    await refused(task, BigInt64Array.of(0n, 701n, 0n), 'INPUT_RANGE', /^element 1 lies outside/)
  })
})

describe('a vector', () => {
  const real = taskOf({ type: 'fixed', rounding: 'nearest' }, 3)
  const whole = taskOf({ type: 'integer', max: 7 }, 3)

  it('may be any of the accepted arrays, or a part of one, to the same result', async () => {
    const numbers = [5, 0, 7]
    const big = BigInt64Array.from(numbers, BigInt)
    for (const task of [real, whole]) {
      const wanted = (await createEncoder(task, 1).encode(numbers)).lanes
      for (const Type of [Float32Array, Float64Array, Int32Array, Uint32Array]) {
        assert.deepEqual((await createEncoder(task, 1).encode(Type.from(numbers))).lanes, wanted)
        const part = Type.from([1, ...numbers, 2]).subarray(1, 4)
        assert.deepEqual((await createEncoder(task, 1).encode(part)).lanes, wanted)
      }
      assert.deepEqual((await createEncoder(task, 1).encode(big)).lanes, wanted)
    }
  })

  it('is refused when an element is NaN or infinite, naming the element', async () => {
    for (const task of [real, whole]) {
      for (const bad of [NaN, Infinity, -Infinity]) {
        await refused(task, [0, 0, bad], 'INPUT_NOT_FINITE', /^element 2 is NaN or infinite/)
        await refused(task, Float32Array.of(0, bad, 0), 'INPUT_NOT_FINITE', /^element 1 is/)
      }
    }
    const long = taskOf({ type: 'fixed' }, 50_000)
    const vector = new Float64Array(50_000)
    vector[49_998] = NaN
    await refused(long, vector, 'INPUT_NOT_FINITE', /^element 49998 /)
  })

  it('is refused with both numbers when its length is wrong', async () => {
    for (const task of [real, whole]) {
      for (const length of [0, 2, 4]) {
        await refused(
          task,
          new Float32Array(length),
          'INPUT_LENGTH',
          new RegExp(`has ${length} elements and the task 3;`)
        )
      }
    }
  })

  it('is refused when it is anything else', async () => {
    const others = [
      new Uint8Array(3),
      new Int16Array(3),
      new BigUint64Array(3),
      Buffer.alloc(3),
      new DataView(new ArrayBuffer(3))
    ]
    for (const other of [...others, '123', { length: 3 }, null, undefined, 5]) {
      await refused(real, other, 'INPUT_TYPE', /^a vector is a Float32Array, .* not \w+; convert it$/)
    }
    await refused(real, [1, '2', 3], 'INPUT_TYPE', /^element 1 is no number but String/)
    await refused(real, [1, 2, 3n], 'INPUT_TYPE', /^element 2 is no number but BigInt/)
    await refused(real, Array(3), 'INPUT_TYPE', /^element 0 is no number but Undefined/)
    await refused(real, BigInt64Array.of(0n, 2n ** 53n, 0n), 'INPUT_RANGE', /^element 1 lies beyond/)
    await refused(whole, BigInt64Array.of(0n, -(2n ** 63n), 0n), 'INPUT_RANGE', /^element 1 lies beyond/)
  })

  it('lets others have the thread now and then when it is long', async () => {
    const length = 2 ** 20 + 5
    const task = taskOf({ type: 'integer', max: 7 }, length)
    let pauses = 0
    const pause = async (): Promise<void> => void pauses++
    const vector = new Uint32Array(length).fill(3)
    vector[length - 1] = 7
    const { lanes } = await createEncoder(task, 1).encode(vector, { pause })
    assert.equal(pauses, 8)
    const { values } = await createEncoder(task, 1).decode(lanes, 1, { pause })
    assert.equal(pauses, 16)
    assert.deepEqual(
      Buffer.compare(Buffer.from(values.buffer), Buffer.from(BigInt64Array.from(vector, BigInt).buffer)),
      0
    )
  })
})

describe('decoding', () => {
  it('refuses a sum of another length or of an impossible number of members', async () => {
    const task = taskOf({ type: 'integer', max: 7 }, 3)
    const encoder = createEncoder(task, 1)
    await assert.rejects(encoder.decode(new Uint16Array(4), 1), RangeError)
    for (const included of [0, 6, 1.5]) await assert.rejects(encoder.decode(new Uint16Array(3), included), RangeError)
  })

  it('reads lanes mod 2^w', async () => {
    const task = taskOf({ type: 'integer', max: 7 }, 3)
    const garbage = 2 ** task.bits
    const { values } = await createEncoder(task, 1).decode(Uint16Array.of(5 + garbage, 6 + 3 * garbage, 7), 1)
    assert.deepEqual(values, BigInt64Array.of(5n, 6n, 7n))
  })

  it('keeps one mean', async () => {
    const sum = await createEncoder(taskOf({ type: 'integer', max: 7 }, 1), 1).decode(Uint16Array.of(5), 2)
    assert.deepEqual(sum.mean, Float64Array.of(2.5))
    assert.equal(sum.mean, sum.mean)
  })
})
