/**
 * The first word of AES-256 under a key that repeats one word, for the search alone, which does nothing else. A library's
 * key schedule and block, made for any key and kept in arrays, take ten times as long; what is found is checked with them.
 * By tables, as in Daemen and Rijmen, "AES Proposal: Rijndael" (1999), section 5.2. All words are little-endian.
 */

/** By 2 in GF(2^8). */
const doubled = (x: number): number => ((x << 1) ^ (x < 128 ? 0 : 0x11b)) & 255

const sbox = makeSbox()
const table0 = Int32Array.from(sbox, (s) => doubled(s) | (s << 8) | (s << 16) | ((doubled(s) ^ s) << 24))
const table1 = table0.map((entry) => rotated(entry, 8))
const table2 = table0.map((entry) => rotated(entry, 16))
const table3 = table0.map((entry) => rotated(entry, 24))

/** The inverse of each byte, then the affine map. The powers of 3 are all bytes but 0. */
function makeSbox(): Uint8Array {
  const powers: number[] = [1]
  while (powers.length < 255) powers.push(powers.at(-1)! ^ doubled(powers.at(-1)!))
  const box = new Uint8Array(256).fill(0x63)
  powers.forEach((x, at) => {
    const inverse = powers[(255 - at) % 255] * 0x101
    for (let turn = 0; turn < 5; turn++) box[x] ^= inverse >>> (8 - turn)
  })
  return box
}

function rotated(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits))
}

/** Each byte of a word through the S-box. */
function substituted(word: number): number {
  return lastRound(word, word, word, word)
}

/** A word of the last round, which mixes no columns. */
function lastRound(w: number, x: number, y: number, z: number): number {
  return sbox[w & 255] | (sbox[(x >>> 8) & 255] << 8) | (sbox[(y >>> 16) & 255] << 16) | (sbox[z >>> 24] << 24)
}

/** A word of any other round. */
function column(w: number, x: number, y: number, z: number): number {
  return table0[w & 255] ^ table1[(x >>> 8) & 255] ^ table2[(y >>> 16) & 255] ^ table3[z >>> 24]
}

/**
 * @param seed the word that the key repeats
 * @param counter the last word of a block whose other words are zero
 * @returns as a signed number of 32 bits
 */
export function firstWord(seed: number, counter: number): number {
  const word = seed | 0
  // The last eight words of the key schedule, and the state after rounds of odd numbers.
  let [a, b, c, d, e, f, g, h] = [word, word, word, word, word, word, word, word]
  const last = word ^ counter
  let x0 = column(word, word, word, last) ^ word
  let x1 = column(word, word, last, word) ^ word
  let x2 = column(word, last, word, word) ^ word
  let x3 = column(last, word, word, word) ^ word
  for (let constant = 1; constant < 64; constant *= 2) {
    a ^= substituted(rotated(h, 24)) ^ constant
    b ^= a
    c ^= b
    d ^= c
    e ^= substituted(d)
    f ^= e
    g ^= f
    h ^= g
    const y0 = column(x0, x1, x2, x3) ^ a
    const y1 = column(x1, x2, x3, x0) ^ b
    const y2 = column(x2, x3, x0, x1) ^ c
    const y3 = column(x3, x0, x1, x2) ^ d
    x0 = column(y0, y1, y2, y3) ^ e
    x1 = column(y1, y2, y3, y0) ^ f
    x2 = column(y2, y3, y0, y1) ^ g
    x3 = column(y3, y0, y1, y2) ^ h
  }
  return lastRound(x0, x1, x2, x3) ^ a ^ substituted(rotated(h, 24)) ^ 64
}
