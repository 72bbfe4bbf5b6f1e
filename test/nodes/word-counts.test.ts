import assert from 'node:assert/strict'
import type { RoundReport } from '../../nodes/local-network/report.ts'
import { BUCKETS, readText, readVocabulary, Vocabulary, wordsOf } from '../../nodes/word-counts/counts.ts'
import { comparison, frequentWords } from '../../nodes/word-counts/picture.ts'
import { secagg } from './secagg.ts'

describe('word counts', () => {
  it('take words without case, with the apostrophes inside them and without other marks', () => {
    assert.deepEqual(wordsOf("“Don’t,” it said; DON'T! café-au-lait 42"), [
      "don't",
      'it',
      'said',
      "don't",
      'café',
      'au',
      'lait'
    ])
  })

  it('count every word once: those of the vocabulary by themselves, all others in buckets', () => {
    const vocabulary = new Vocabulary(['the', 'tree'])
    const counts = vocabulary.count('The tree, the xylotheque, the tree.')
    assert.equal(counts.length, 2 + BUCKETS)
    assert.deepEqual([...counts.subarray(0, 2)], [3, 2])
    assert.equal(counts[vocabulary.placeOf('xylotheque')], 1)
    assert.equal(
      counts.reduce((sum, count) => sum + count),
      6
    )
  })

  it('put a word into the same bucket on every machine', () => {
    // The first four bytes of SHA-256("xylotheque"), big-endian, mod 64.
    assert.equal(new Vocabulary([]).placeOf('xylotheque'), 57)
  })

  it('refuse a vocabulary that names a word twice', () => {
    assert.throws(() => new Vocabulary(['a', 'b', 'a']), RangeError)
  })

  it('have eight texts of a few hundred words, one of which alone has the rare word, and a vocabulary of several hundred', async () => {
    const vocabulary = await readVocabulary()
    assert.ok(vocabulary.words.length > 500)
    const texts = await Promise.all([0, 1, 2, 3, 4, 5, 6, 7].map(readText))
    for (const text of texts) {
      const words = wordsOf(text)
      assert.ok(words.length > 250 && words.length < 600)
      const common = words.filter((word) => vocabulary.words.includes(word)).length
      assert.ok(common > words.length / 2 && common < words.length, `${common} of ${words.length}`)
      // The sum of eight must stay below what the demonstration allows for a word.
      assert.ok(Math.max(...vocabulary.count(text)) < 1000)
    }
    assert.deepEqual(
      texts.map((text) => text.includes('xylotheque')),
      [0, 1, 2, 3, 4, 5, 6, 7].map((member) => member === 2)
    )
  })

  it('are drawn from the most frequent down, buckets left out, within eighty columns', () => {
    const vocabulary = new Vocabulary(['a', 'the', 'tree'])
    const picture = frequentWords(vocabulary, [5, 10, 1, 99], 2)
    const lines = picture.split('\n')
    assert.equal(lines.length, 2)
    assert.match(lines[0], /^ {2}the +10 +█+$/)
    assert.match(lines[1], /^ {2}a +5 +█+$/)
    assert.equal(lines[0].match(/█/g)!.length, 2 * lines[1].match(/█/g)!.length)
    const table = comparison([{ label: 'xylotheque (bucket 57)', truth: 3, received: 8191, total: 5 }], 7)
    for (const line of [...lines, ...table.split('\n')]) assert.ok(line.length <= 80, line)
    assert.match(table, /xylotheque \(bucket 57\) +3 +8191 +5$/)
  })
})

describe('private word counts', function () {
  this.timeout(120_000)

  it('run five rounds with five aggregators, lose a member in round 3, and show the aggregator nothing but noise', async () => {
    const { code, stdout, stderr } = await secagg('word-counts', '--json')
    assert.equal(code, 0, stderr)
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { type: string })
    const rounds = lines.filter((line): line is RoundReport => line.type === 'round')
    assert.deepEqual(
      rounds.map(({ included }) => included.length),
      [8, 8, 7, 8, 8]
    )
    assert.ok(rounds.every(({ exact }) => exact))
    assert.equal(new Set(rounds.map(({ aggregatorIndex }) => aggregatorIndex)).size, 5)
    assert.equal(rounds[2].dropped.length, 1)
    const { top, glimpse } = lines.find((line) => line.type === 'word-counts') as unknown as {
      top: { word: string; count: number }[]
      glimpse: { member: number; aggregatorIndex: number; words: { truth: number; received: number }[] }
    }
    assert.equal(top[0].word, 'the')
    assert.notEqual(glimpse.aggregatorIndex, glimpse.member)
    assert.ok(glimpse.words.filter(({ truth, received }) => truth === received).length < 2)
    assert.match(stderr, /\n {6}3 {2}peer-\d {6}7\/8 .* yes\n/)
  })
})
