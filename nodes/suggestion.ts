import { editDistance } from '../src/task/refusal.ts'

/** The known word nearest to a misspelt one, if it is near enough to have been meant. */
export function nearest(written: string, known: readonly string[]): string | undefined {
  // Only the start is read of an overlong word, which is no misspelling anyway.
  const word = written.slice(0, 40)
  const [best] = known.map((name) => ({ name, edits: editDistance(word, name) })).sort((a, b) => a.edits - b.edits)
  return best !== undefined && best.edits <= Math.max(1, Math.floor(best.name.length / 3)) ? best.name : undefined
}
