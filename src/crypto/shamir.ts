import { randomBytes } from './primitives.ts'
import { Secret } from './secret.ts'

// Shamir's scheme (CACM 22(11), 1979) over GF(2^8) = GF(2)[z]/(z^8 + z^4 + z^3 + z + 1), byte by byte (protocol, §8).
//
// Secret bytes are bit-sliced: 32 of them are eight 32-bit planes, plane b holding bit b of each. Every product has one
// public factor, a slot or a Lagrange coefficient, and its bits alone steer the code: no branch or address depends on a
// secret.

export interface Share {
  /** The holder's slot, 1 to 255. */
  x: number
  share: Uint8Array
}

const planes = 8
const lane = 32
const rememberedSets = 256

function checkSlots(xs: number[]): void {
  for (const x of xs) {
    if (!Number.isInteger(x) || x < 1 || x > 255) throw new RangeError(`a slot of a share is 1 to 255, not ${x}`)
  }
  if (new Set(xs).size !== xs.length) throw new RangeError('two shares have the same slot: give every holder its own')
}

function checkThreshold(threshold: number): void {
  if (!Number.isInteger(threshold) || threshold < 2 || threshold > 255) {
    throw new RangeError(`a threshold is 2 to 255, not ${threshold}: below 2 a single share would be the secret`)
  }
}

function wordsFor(length: number): number {
  return Math.ceil(length / lane) * planes
}

function slice(bytes: Uint8Array): Int32Array {
  const sliced = new Int32Array(wordsFor(bytes.length))
  for (let i = 0; i < bytes.length; i++) {
    const first = (i >>> 5) * planes
    for (let b = 0; b < planes; b++) sliced[first + b] |= ((bytes[i] >>> b) & 1) << (i & 31)
  }
  return sliced
}

function unslice(sliced: Int32Array, length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  for (let i = 0; i < length; i++) {
    const first = (i >>> 5) * planes
    for (let b = 0; b < planes; b++) bytes[i] |= ((sliced[first + b] >>> (i & 31)) & 1) << b
  }
  return bytes
}

/** accumulator ← factor · accumulator + addend on the eight planes from `at` on: Horner's step. `factor` is public. */
function multiplyAdd(accumulator: Int32Array, at: number, factor: number, addend: Int32Array): void {
  const [a0, a1, a2, a3, a4, a5, a6, a7] = accumulator.subarray(at, at + planes)
  let [r0, r1, r2, r3, r4, r5, r6, r7] = [0, 0, 0, 0, 0, 0, 0, 0]
  for (let bit = 31 - Math.clz32(factor); bit >= 0; bit--) {
    const carry = r7
    r7 = r6
    r6 = r5
    r5 = r4
    r4 = r3 ^ carry
    r3 = r2 ^ carry
    r2 = r1
    r1 = r0 ^ carry
    r0 = carry
    if (((factor >>> bit) & 1) === 0) continue
    r0 ^= a0
    r1 ^= a1
    r2 ^= a2
    r3 ^= a3
    r4 ^= a4
    r5 ^= a5
    r6 ^= a6
    r7 ^= a7
  }
  accumulator[at] = r0 ^ addend[at]
  accumulator[at + 1] = r1 ^ addend[at + 1]
  accumulator[at + 2] = r2 ^ addend[at + 2]
  accumulator[at + 3] = r3 ^ addend[at + 3]
  accumulator[at + 4] = r4 ^ addend[at + 4]
  accumulator[at + 5] = r5 ^ addend[at + 5]
  accumulator[at + 6] = r6 ^ addend[at + 6]
  accumulator[at + 7] = r7 ^ addend[at + 7]
}

/**
 * Shares of `secret` for the slots `xs` (1 to 255, distinct), in their order, each as long as the secret: any
 * `threshold` of them give it back, fewer say nothing about it. Must not be repeated for one secret with new randomness
 * (rule S1): threshold shares of two dealings would be mixed up.
 */
export function shareSecret(
  secret: Secret,
  threshold: number,
  xs: number[],
  random: (length: number) => Uint8Array = randomBytes
): Uint8Array[] {
  checkThreshold(threshold)
  checkSlots(xs)
  if (xs.length < threshold) throw new RangeError(`${xs.length} holders can never reach the threshold ${threshold}`)
  const { length } = secret.expose()
  const drawn = random((threshold - 1) * length)
  const coefficients = [slice(secret.expose())]
  for (let at = 0; at < drawn.length; at += length) coefficients.push(slice(drawn.subarray(at, at + length)))
  const value = new Int32Array(wordsFor(length))
  const shares = xs.map((x) => {
    value.fill(0)
    for (let degree = threshold - 1; degree >= 0; degree--) {
      for (let at = 0; at < value.length; at += planes) multiplyAdd(value, at, x, coefficients[degree])
    }
    return unslice(value, length)
  })
  for (const used of [drawn, value, ...coefficients]) used.fill(0)
  return shares
}

/** Product of two public elements. */
function multiply(a: number, b: number): number {
  let product = 0
  for (let bit = 7; bit >= 0; bit--) product = (product << 1) ^ ((product >>> 7) * 0x11b) ^ (((b >>> bit) & 1) * a)
  return product
}

/** a^254, which is 1/a. */
function invert(a: number): number {
  let power = a
  for (let i = 0; i < 6; i++) power = multiply(multiply(power, power), a)
  return multiply(power, power)
}

const knownCoefficients = new Map<string, Uint8Array>()

/**
 * Lagrange coefficients at zero for the slots `xs`, in their order: the secret is the sum of coefficient times share.
 * Remembered for the last distinct sets, since the same holders answer for one member after the other.
 */
export function lagrangeAtZero(xs: number[]): Uint8Array {
  const name = xs.join()
  const known = knownCoefficients.get(name)
  if (known !== undefined) return known.slice()
  checkSlots(xs)
  const coefficients = Uint8Array.from(xs, (x) => {
    let above = 1
    let below = 1
    for (const other of xs) {
      if (other === x) continue
      above = multiply(above, other)
      below = multiply(below, other ^ x)
    }
    return multiply(above, invert(below))
  })
  if (knownCoefficients.size >= rememberedSets) knownCoefficients.delete(knownCoefficients.keys().next().value!)
  knownCoefficients.set(name, coefficients)
  return coefficients.slice()
}

/**
 * The secret from the `threshold` shares with the lowest slots; the rest are not looked at. Refuses too few shares,
 * slots out of range or given twice, and unequal lengths. A wrong share gives a wrong secret: check the result against
 * its commitment.
 */
export function reconstructSecret(shares: Share[], threshold: number): Secret {
  checkThreshold(threshold)
  checkSlots(shares.map(({ x }) => x))
  if (shares.length < threshold) {
    throw new RangeError(`${shares.length} shares are fewer than the threshold ${threshold}: wait for more holders`)
  }
  const lowest = shares.toSorted((a, b) => a.x - b.x).slice(0, threshold)
  const { length } = lowest[0].share
  if (shares.some(({ share }) => share.length !== length))
    throw new RangeError('shares of one secret are of equal length')
  const coefficients = lagrangeAtZero(lowest.map(({ x }) => x))
  const sum = new Int32Array(wordsFor(length))
  lowest.forEach(({ share }, i) => {
    const term = slice(share)
    for (let at = 0; at < sum.length; at += planes) {
      multiplyAdd(term, at, coefficients[i], sum)
    }
    sum.set(term)
    term.fill(0)
  })
  const secret = new Secret(unslice(sum, length))
  sum.fill(0)
  return secret
}
