import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { packageFile } from '../package-root.ts'

/** Words outside the vocabulary share this many places, by their hash: a rare word is counted and yet not spelt out. */
export const BUCKETS = 64

/** The words of a text as a person would count them: lower case, apostrophes inside a word kept. */
export function wordsOf(text: string): string[] {
  return (
    text
      .toLowerCase()
      .replaceAll('’', "'")
      .match(/\p{L}+(?:'\p{L}+)*/gu) ?? []
  )
}

/** What all members count: the words of a shared list, then the buckets. */
export class Vocabulary {
  readonly words: readonly string[]
  readonly #places: ReadonlyMap<string, number>

  constructor(words: readonly string[]) {
    this.words = words
    this.#places = new Map(words.map((word, place) => [word, place]))
    if (this.#places.size !== words.length) throw new RangeError('a vocabulary names every word once')
  }

  /** Elements of a vector of counts. */
  get length(): number {
    return this.words.length + BUCKETS
  }

  /** Where a word is counted. */
  placeOf(word: string): number {
    return this.#places.get(word) ?? this.words.length + bucketOf(word)
  }

  /** How often each word occurs, as a member contributes it. */
  count(text: string): Int32Array {
    const counts = new Int32Array(this.length)
    for (const word of wordsOf(text)) counts[this.placeOf(word)]++
    return counts
  }
}

/** SHA-256 spreads the words evenly; all members must agree on it. */
function bucketOf(word: string): number {
  return createHash('sha256').update(word, 'utf8').digest().readUInt32BE(0) % BUCKETS
}

export async function readVocabulary(): Promise<Vocabulary> {
  const list = await readFile(packageFile('nodes/word-counts/vocabulary.txt'), 'utf8')
  return new Vocabulary(list.split(/\s+/).filter((word) => word !== ''))
}

/** What one person typed. */
export function readText(member: number): Promise<string> {
  return readFile(packageFile(`nodes/word-counts/texts/peer-${member}.txt`), 'utf8')
}
