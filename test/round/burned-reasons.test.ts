import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { burnedReason, burnedReasons } from '../../src/round/burned-reasons.ts'
import { packageFile } from '../../nodes/package-root.ts'
import { tooFew } from '../../src/round/transcript.ts'
import type { RoundRules } from '../../src/round/transcript.ts'

/** Every sentence that a leader gives up with, as the sources have it, with 2 in the place of what is told in it. */
async function sentences(): Promise<string[]> {
  const folder = packageFile('src/round')
  const files = (await readdir(folder)).filter((name) => name.endsWith('.ts'))
  const sources = await Promise.all(files.map((name) => readFile(`${folder}/${name}`, 'utf8')))
  return sources.flatMap((source) =>
    [...source.matchAll(/new LeaderGaveUp\(\s*(['`])(.*?)\1\s*\)/gs)].map(([, , text]) =>
      text.replaceAll(/\$\{(?:[^{}]|\{[^}]*\})*\}/g, '2')
    )
  )
}

describe('the reasons of burned rounds', () => {
  it('are known of every sentence that a leader gives up with', async () => {
    const all = await sentences()
    assert.ok(all.length >= 14, `${all.length} sentences`)
    for (const sentence of all) assert.notEqual(burnedReason(sentence), 'other', sentence)
  })

  it('are what the sentences say', () => {
    const few = tooFew({ thresholds: { nMin: 3 } } as RoundRules, [1])!
    const left = 'the leader of view 0, member 2, was left'
    const expected: [string, string][] = [
      [`inputs came from ${few}`, 'too_few_inputs'],
      [`to this view came ${few}`, 'too_few_inputs'],
      [`${left}: inputs came from ${few}`, 'too_few_inputs'],
      [`shares are safely held of ${few}`, 'too_few_shares'],
      ['too few shares were revealed to open the secrets of members 1, 2', 'too_few_shares'],
      [`masked vectors arrived from ${few}`, 'vectors_missing'],
      ['the vectors of members 1 are lost, and they are in the cut', 'vectors_missing'],
      ['the slices of members 1, 2 are lost, and they are in the cut', 'vectors_missing'],
      ['no member took the vector of member 1 into custody', 'vectors_missing'],
      ['nobody who came to this view was shown the cut that is locked', 'vectors_missing'],
      ['2 members came to view 1, fewer than a quorum of 3', 'no_quorum'],
      ['2 Prepares for closing are no quorum of 3', 'no_quorum'],
      ['2 of the members that came can check the sum, fewer than a quorum of 3', 'no_quorum'],
      ['the sum was proposed in 3 views, and no quorum prepared it', 'no_quorum'],
      [`${left}: there is evidence against its leader`, 'leader_convicted'],
      [`${left}: its deadline ran out`, 'leader_lost'],
      [`${left}: its sum is refuted`, 'leader_lost'],
      ['member 2 dealt seed shares that do not open what it committed to', 'bad_dealing'],
      ['this member was away when the round was closed', 'node_was_away'],
      ['', 'other']
    ]
    for (const [sentence, kind] of expected) assert.equal(burnedReason(sentence), kind, sentence)
    assert.deepEqual(new Set(expected.map(([, kind]) => kind)), new Set(burnedReasons))
  })

  it('are told in English', () => {
    const rules = { thresholds: { nMin: 3 } } as RoundRules
    assert.equal(tooFew(rules, []), 'no members, and a sum needs at least 3')
    assert.equal(tooFew(rules, [1]), '1 member, and a sum needs at least 3')
    assert.equal(tooFew(rules, [1, 2]), '2 members, and a sum needs at least 3')
    assert.equal(tooFew(rules, [0, 1, 2]), undefined)
  })
})
