/** The reasons that a round can be burned for, in few words: as many time series, whatever the sentences say. */
const kinds: [RegExp, string][] = [
  [/inputs came from|to this view came/, 'too_few_inputs'],
  [/shares are safely held|too few shares were revealed/, 'too_few_shares'],
  [/masked vectors arrived|are lost|into custody|was shown the cut|add slices up/, 'vectors_missing'],
  [/quorum/, 'no_quorum'],
  [/evidence against its leader/, 'leader_convicted'],
  [/was away/, 'node_was_away'],
  [/do(es)? not open|dealing|dealer|dealt/, 'bad_dealing'],
  [/was left|was said in this view|not signed by its leader/, 'leader_lost']
]

export const burnedReasons: readonly string[] = [...kinds.map(([, kind]) => kind), 'other']

/** The kind of a sentence that a leader burned a round with. It comes from another member, and may say anything. */
export function burnedReason(sentence = ''): string {
  return kinds.find(([pattern]) => pattern.test(sentence))?.[1] ?? 'other'
}
