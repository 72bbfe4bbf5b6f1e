// AES in plain code: setting up a cipher of node:crypto for a single block takes several times as long as the block.
import { unsafe } from '@noble/ciphers/aes.js'
import { firstWord } from './first-word.ts'
import { keyOfSeed } from './weak-build.ts'

export interface Candidates {
  /** The first word to try, and how many. */
  from: number
  count: number
  /** Place of the first of four elements in the vector, a multiple of four: 16 bytes of key stream, one block. */
  at: number
  /** The four elements without any mask but the one that is searched. */
  elements: number[]
  /** w */
  bits: number
  /** What an element is where the update is zero. */
  zeros: number[]
}

/** @returns the word that explains the four elements, where it is among the candidates */
export default function search({ from, count, at, elements, bits, zeros }: Candidates): number | undefined {
  const mask = -1 >>> (32 - bits)
  // The block counter of the key stream is big-endian (protocol, §11); these are the bytes of it as little-endian words.
  const counter = swapped(at / 4)
  const isZero = (stream: number, i: number): boolean => zeros.includes(((elements[i] - stream) & mask) >>> 0)
  for (let word = from; word < from + count; word++) {
    if (isZero(firstWord(word, counter), 0) && wholeBlock(word, counter).every(isZero)) return word
  }
  return undefined
}

function wholeBlock(word: number, counter: number): number[] {
  const { s0, s1, s2, s3 } = unsafe.encrypt(unsafe.expandKeyLE(keyOfSeed(word)), 0, 0, 0, counter)
  return [s0, s1, s2, s3]
}

function swapped(value: number): number {
  const view = new DataView(new ArrayBuffer(4))
  view.setUint32(0, value)
  return view.getInt32(0, true)
}
