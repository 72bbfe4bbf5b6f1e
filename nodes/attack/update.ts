import { createHash } from 'node:crypto'
import { reproducible } from '../local-network/generated-inputs.ts'
import { readText, readVocabulary, wordsOf } from '../word-counts/counts.ts'

/** Numbers that the model keeps for each word. */
export const ROW = 8
/** Words outside the vocabulary share so many rows, by their hash: anybody can hash a word and look. */
export const BUCKETS = 4096

/** Whose update is attacked, and a word that nobody else types. */
export const VICTIM = 2
export const RARE_WORD = 'xylotheque'

/** Words that the aggregator looks for, one of which the victim typed. */
export const SUSPECTS = [
  'accordion',
  'astrolabe',
  'bagpipes',
  'chemotherapy',
  'dowry',
  'eviction',
  'falconry',
  'glockenspiel',
  'hypnosis',
  'insolvency',
  'kayaking',
  'lawsuit',
  'marzipan',
  'narcolepsy',
  'oboe',
  'pregnancy',
  'resignation',
  'saxophone',
  'taxidermy',
  'ukulele',
  'vasectomy',
  'whistleblower',
  RARE_WORD,
  'zeppelin'
]

const EPOCHS = 3
const RATE = 0.2
const NEGATIVES = 6

/**
 * A small next-word model with a vector for each word, as keyboards have it. Training touches only the rows of words that
 * were typed: in the plain, an update lists its writer's words.
 */
export class NextWordModel {
  readonly #places: ReadonlyMap<string, number>

  private constructor(words: readonly string[]) {
    this.#places = new Map(words.map((word, place) => [word, place]))
  }

  static async read(): Promise<NextWordModel> {
    return new NextWordModel((await readVocabulary()).words)
  }

  get rows(): number {
    return this.#places.size + BUCKETS
  }

  /** Elements of an update. */
  get length(): number {
    return this.rows * ROW
  }

  /** The first row of the words outside the vocabulary. */
  get firstBucket(): number {
    return this.#places.size
  }

  rowOf(word: string): number {
    const hash = createHash('sha256').update(word, 'utf8').digest().readUInt32BE(0)
    return this.#places.get(word) ?? this.#places.size + (hash % BUCKETS)
  }

  /** What a member contributes after training on what it typed: the change of every word's vector (negative sampling). */
  train(text: string): Float32Array {
    const typed = wordsOf(text).map((word) => this.rowOf(word))
    // The same on every machine; nothing secret comes from it.
    const draw = reproducible('attacked model')
    const start = Float32Array.from({ length: this.length }, () => draw() - 0.5)
    const targets = Float32Array.from({ length: this.length }, () => draw() - 0.5)
    const vectors = start.slice()
    for (let epoch = 0; epoch < EPOCHS; epoch++) {
      for (let at = 0; at + 1 < typed.length; at++) {
        const own = rowIn(vectors, typed[at])
        step(own, rowIn(targets, typed[at + 1]), 1)
        for (let i = 0; i < NEGATIVES; i++) step(own, rowIn(targets, Math.floor(draw() * this.rows)), 0)
      }
    }
    return vectors.map((value, at) => value - start[at])
  }
}

/** What each of eight people typed, trained on. */
export async function updatesOf(model: NextWordModel, members: number): Promise<Float32Array[]> {
  return Promise.all(Array.from({ length: members }, async (_, member) => model.train(await readText(member))))
}

const rowIn = (table: Float32Array, row: number): Float32Array => table.subarray(row * ROW, (row + 1) * ROW)

/** One step of logistic regression: the word's vector moves towards the target's where `label` is 1, else away. */
function step(vector: Float32Array, target: Float32Array, label: 0 | 1): void {
  let product = 0
  for (let i = 0; i < ROW; i++) product += vector[i] * target[i]
  const error = label - 1 / (1 + Math.exp(-product))
  for (let i = 0; i < ROW; i++) vector[i] += RATE * error * target[i]
}
