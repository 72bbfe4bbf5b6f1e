import { closers, openers, rareSentence, topics } from './topics.ts'

/** Stands before the first word of a sentence, and after its last. */
export const START = 0
export const END = 1

/** The dictionary of the keyboard: every word that can be typed, the same for all. */
export const vocabulary: readonly string[] = [
  '<start>',
  '<end>',
  ...new Set(
    [...topics.flat(), ...openers, ...closers, rareSentence]
      .flatMap((pattern) => pattern.replaceAll(/[[\]|]/g, ' ').split(' '))
      .filter((word) => word !== '')
      .sort()
  )
]

const places: ReadonlyMap<string, number> = new Map(vocabulary.map((word, place) => [word, place]))

/** The number of a word. Throws RangeError for a word that is in no dictionary. */
export function placeOf(word: string): number {
  const place = places.get(word)
  if (place === undefined) throw new RangeError(`"${word}" is not in the vocabulary; type another word`)
  return place
}
