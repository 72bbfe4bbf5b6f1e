import { randomInt } from 'node:crypto'
import { randomBytes } from '../../src/crypto/primitives.ts'
import type { Random } from '../../src/round/ports.ts'

/** The generator of the systems that are modelled here is seeded with so many bits. */
export const SEED_BITS = 32

const keyBytes = 32

/**
 * The weakness: a 32-byte secret that has no more in it than one 32-bit word. Here the word fills it by repetition; a
 * hash would cost the searcher one hash more for each candidate, and change nothing else.
 */
export function keyOfSeed(word: number): Uint8Array {
  return new Uint8Array(new Uint32Array(keyBytes / 4).fill(word).buffer)
}

/**
 * A source of secrets with words of `bits` random bits (up to {@link SEED_BITS}), so that a demonstration ends in seconds.
 * No word comes twice, because a key book with two equal keys is refused. For this laboratory alone: no option anywhere
 * hands it to a member that anybody runs.
 */
export function weakRandom(bits: number): Random {
  const words = new Set<number>()
  return (length) => {
    if (length !== keyBytes) return randomBytes(length)
    let word = randomInt(2 ** bits)
    while (words.has(word)) word = randomInt(2 ** bits)
    words.add(word)
    return keyOfSeed(word)
  }
}
