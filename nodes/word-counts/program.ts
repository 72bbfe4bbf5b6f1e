import { mkdtemp, rm } from 'node:fs/promises'
import { rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { printJson } from '../commands/command.ts'
import { Table } from '../commands/table.ts'
import { runNetwork } from '../local-network/run.ts'
import type { NetworkRun } from '../local-network/run.ts'
import type { RoundReport } from '../local-network/report.ts'
import { readNpy, writeNpy } from '../npy.ts'
import { readText, readVocabulary } from './counts.ts'
import type { Vocabulary } from './counts.ts'
import { comparison, frequentWords } from './picture.ts'

const PEERS = 8
const ROUNDS = 5
/** The member whose counts are shown beside what the aggregator received, and a word that only it uses. */
const SHOWN = 2
const RARE = 'xylotheque'
/** The sum of all members is then below 2^13, whatever their texts. */
const MOST_OF_A_WORD = 1_000

interface Received {
  round: number
  aggregator: number
  values: number[]
}

/** Private word counts over a network of eight processes, one of which is killed while it masks in round 3. */
export async function runWordCounts({ json }: { json: boolean }): Promise<number> {
  const people = json ? process.stderr : process.stdout
  const vocabulary = await readVocabulary()
  const counts = await Promise.all(
    Array.from({ length: PEERS }, async (_, member) => vocabulary.count(await readText(member)))
  )
  const words = shownWords(vocabulary, counts[SHOWN])
  const received: Received[] = []
  let totals: { round: number; values: number[] } | undefined
  people.write(introduction(vocabulary))
  const table = new Table(people)
  const inputs = await writeCounts(counts)
  const indices = words.map((word) => vocabulary.placeOf(word))
  const run = settings(inputs, { member: SHOWN, indices, tell: (values) => void received.push(values) })
  try {
    const summary = await runNetwork(run, {
      async round(report, sumFile) {
        table.row(report)
        if (json) printJson(report)
        if (isComplete(report, sumFile)) totals = { round: report.round, values: await readTotals(sumFile!) }
      },
      warn: (text) => void people.write(`  ${text}\n`)
    })
    table.end(summary)
    if (json) printJson(summary)
    const seen = received.findLast(({ aggregator }) => aggregator !== SHOWN)
    if (totals === undefined || seen === undefined) return 1
    const told = { vocabulary, totals: totals.values, truth: counts[SHOWN], words, seen }
    people.write(conclusion(told))
    if (json) printJson(forScripts(told))
    return summary.exact === summary.rounds ? 0 : 1
  } finally {
    await rm(inputs, { recursive: true, force: true })
  }
}

function settings(folder: string, glimpse: NetworkRun['glimpse']): NetworkRun {
  return {
    peers: PEERS,
    rounds: ROUNDS,
    encoding: { type: 'integer', max: MOST_OF_A_WORD },
    threat: { corrupt: 0.125, dropout: 0.25 },
    deadline: 10,
    inputs: { folder },
    kills: [{ who: 'member', phase: 'mask', round: 3 }],
    restart: true,
    inProcess: false,
    glimpse
  }
}

async function writeCounts(counts: Int32Array[]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'secagg-words-'))
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
  await Promise.all(counts.map((values, member) => writeNpy(join(folder, `peer-${member}.npy`), values)))
  return folder
}

/** Two words that everybody uses, two that this member uses most among the longer ones, and the rare one. */
function shownWords(vocabulary: Vocabulary, counts: Int32Array): string[] {
  const own = vocabulary.words
    .filter((word) => word.length > 3)
    .sort((a, b) => counts[vocabulary.placeOf(b)] - counts[vocabulary.placeOf(a)])
  return ['the', 'and', ...own.slice(0, 3), RARE]
}

function isComplete(report: RoundReport, sumFile: string | undefined): boolean {
  return sumFile !== undefined && report.exact && report.included.length === PEERS
}

async function readTotals(file: string): Promise<number[]> {
  return Array.from((await readNpy(file)).values as BigInt64Array, Number)
}

function introduction({ words, length }: Vocabulary): string {
  return `
  Private word counts
  ───────────────────
  ${PEERS} processes on this machine, each with what one person typed. Each counts
  ${words.length} common words, and all others in ${length - words.length} hashed buckets. The network learns
  the totals and nothing else. There is no server: every round elects another
  member as its aggregator. In round 3 one is killed while it masks its counts,
  and the sum of the others still comes out exact.
`
}

interface Told {
  vocabulary: Vocabulary
  totals: number[]
  truth: Int32Array
  words: string[]
  seen: Received
}

function rowsOf({ vocabulary, totals, truth, words, seen }: Told) {
  return words.map((word, at) => {
    const place = vocabulary.placeOf(word)
    const label = place < vocabulary.words.length ? word : `${word} (bucket ${place - vocabulary.words.length})`
    return { label, truth: truth[place], received: seen.values[at], total: totals[place] }
  })
}

function conclusion(told: Told): string {
  const { seen } = told
  return `
  The most frequent words overall

${frequentWords(told.vocabulary, told.totals, 12)}

  What peer-${SHOWN} counted, and what the aggregator of round ${seen.round} received instead

${comparison(rowsOf(told), seen.aggregator)}

  What the aggregator holds of peer-${SHOWN} is noise: each count lies under masks that
  cancel only in the sum of all members, which is exact.

`
}

function forScripts(told: Told): object {
  const { vocabulary, totals, seen } = told
  const top = vocabulary.words.map((word, place) => ({ word, count: totals[place] })).sort((a, b) => b.count - a.count)
  return {
    type: 'word-counts',
    top: top.slice(0, 20),
    glimpse: { member: SHOWN, aggregatorIndex: seen.aggregator, round: seen.round, words: rowsOf(told) }
  }
}
