/** The known word nearest to a misspelt one, if it is near enough to have been meant. */
export function nearest(written: string, known: readonly string[]): string | undefined {
  // Only the start is read of an overlong word, which is no misspelling anyway.
  const word = written.slice(0, 40)
  const [best] = known.map((name) => ({ name, edits: edits(word, name) })).sort((a, b) => a.edits - b.edits)
  return best !== undefined && best.edits <= Math.max(1, Math.floor(best.name.length / 3)) ? best.name : undefined
}

/** Levenshtein distance. */
function edits(written: string, known: string): number {
  let row = Array.from({ length: known.length + 1 }, (_, at) => at)
  for (let i = 1; i <= written.length; i++) {
    const next = [i]
    for (let j = 1; j <= known.length; j++) {
      const substituted = row[j - 1] + (written[i - 1] === known[j - 1] ? 0 : 1)
      next.push(Math.min(substituted, row[j] + 1, next[j - 1] + 1))
    }
    row = next
  }
  return row[known.length]
}
