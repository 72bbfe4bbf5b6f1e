import type { Lanes } from '../../src/crypto/mask-stream.ts'
import { randomBytes } from '../../src/crypto/primitives.ts'
import { quantisationBound } from '../../src/encoding/encoder.ts'
import { unpack } from '../../src/encoding/packing.ts'
import type { Random } from '../../src/round/ports.ts'
import { Laboratory } from './laboratory.ts'
import type { Attacked } from './laboratory.ts'
import { read } from './reading.ts'
import type { Reading } from './reading.ts'
import { SeedSearch } from './search.ts'
import type { Found } from './search.ts'
import { peel, without } from './unmasking.ts'
import { NextWordModel, ROW, updatesOf } from './update.ts'
import { keyOfSeed, SEED_BITS, weakRandom } from './weak-build.ts'

const MEMBERS = 8
/** Chosen, where nobody says otherwise, so that all seeds are tried in about so many seconds. */
const SEARCH_SECONDS = 8
const WIDTHS = { least: 14, most: SEED_BITS }

export interface Results {
  plain: Reading
  /** The round went well and its masks' seeds were opened; the vector as it came, and with its own mask taken off. */
  received: Reading
  closed: Reading
  /** The aggregator said that the vector came too late: the pairwise masks are off, its own is on. */
  late: Reading
  /** The same of a build with short seeds, before and after the search. */
  weak: Reading
  searched: Reading | undefined
  sum: { included: number; largestError: number; bound: number }
  /** What the member was told whose vector was called late. */
  told: Attacked['told']
  search: SearchResult
}

interface SearchResult extends Found {
  /** Bits of the seeds in this run. */
  width: number
  threads: number
  candidatesPerSecond: number
  /** What all 2^32 would take at that rate, in hours: all threads, and one. */
  hours: number
  hoursOnOneThread: number
  /** The same candidates against the build as it is. */
  foundInRealBuild: boolean
}

export interface Progress {
  say: (sentence: string) => void
  tried: (tried: number, of: number) => void
}

/** The whole attack. `width`: bits of the weakened build's seeds; chosen by this machine's speed where it is left out. */
export async function attack(width: number | undefined, { say, tried }: Progress): Promise<Results> {
  const model = await NextWordModel.read()
  const updates = await updatesOf(model, MEMBERS)
  say('a round as it should be, and one in which the aggregator cheats')
  const [round, cheated] = await inLaboratory(updates, randomBytes, async (laboratory) => [
    await laboratory.attack({ late: false }),
    await laboratory.attack({ late: true })
  ])
  const residual = await peel(cheated)
  const search = new SeedSearch()
  try {
    const bits = width ?? widthFor(await search.measure())
    say(`the cheating again in the weakened build: each secret is a random word of ${bits} bits`)
    const weakened = await inLaboratory(updates, weakRandom(bits), (laboratory) => laboratory.attack({ late: true }))
    const weakResidual = await peel(weakened)
    say(`trying all ${(2 ** bits).toLocaleString('en')} words on ${search.threads} threads`)
    const found = await search.find(targetIn(weakResidual, weakened, model), bits, tried)
    say('the same words against the build as it is')
    const control = await search.find(targetIn(residual, cheated, model), bits, tried)
    const unmasked = found.word === undefined ? undefined : await unmask(weakResidual, found.word, weakened)
    const { task, truth, heard } = round
    const reading = (name: string, lanes: Lanes, of: Attacked): Reading => read(name, lanes, of.truth, of.task, model)
    return {
      plain: reading('plain averaging', truth, round),
      received: reading('as it came in', unpack(heard.vector, task.laneCount, task.bits), round),
      closed: reading('after the round', await peel(round), round),
      late: reading('called late', residual, cheated),
      weak: reading('weak, called late', weakResidual, weakened),
      searched: unmasked && reading('weak, after the search', unmasked, weakened),
      sum: exactness(round, updates),
      told: cheated.told,
      search: searchResult(found, control, bits, search.threads)
    }
  } finally {
    await search.stop()
  }
}

/** The rate is that of the search that tries everything. */
function searchResult(found: Found, control: Found, width: number, threads: number): SearchResult {
  const candidatesPerSecond = control.tried / control.seconds
  const hours = 2 ** SEED_BITS / candidatesPerSecond / 3600
  const foundInRealBuild = control.word !== undefined
  return { ...found, width, threads, candidatesPerSecond, hours, hoursOnOneThread: hours * threads, foundInRealBuild }
}

/** Whether everything came out as this project says it does. */
export function isAsClaimed(results: Results, word: string): boolean {
  const { plain, received, closed, late, searched, sum, search, told } = results
  const reads = (reading: Reading | undefined): boolean => reading?.words.join() === word
  const hidden = [received, closed, late].every(({ looksUniform, words }) => looksUniform && words.length === 0)
  const exact = sum.largestError <= sum.bound && told === 'not included'
  return hidden && reads(plain) && reads(searched) && exact && !search.foundInRealBuild
}

async function inLaboratory<T>(
  updates: Float32Array[],
  random: Random,
  work: (laboratory: Laboratory) => Promise<T>
): Promise<T> {
  const laboratory = await Laboratory.start(updates, random)
  try {
    return await work(laboratory)
  } finally {
    await laboratory.stop()
  }
}

function widthFor(candidatesPerSecond: number): number {
  const fitting = Math.floor(Math.log2(candidatesPerSecond * SEARCH_SECONDS))
  return Math.min(WIDTHS.most, Math.max(WIDTHS.least, fitting))
}

/**
 * Hardly anybody types a given rare word, so the attacker takes it that the last row of the update is zero: a 16-bit level
 * just below or above the middle. Where that is wrong it takes another row.
 */
function targetIn(lanes: Lanes, { task }: Attacked, model: NextWordModel) {
  const at = (model.rows - 1) * ROW
  return { at, elements: Array.from(lanes.subarray(at, at + 4)), bits: task.bits, zeros: [2 ** 15 - 1, 2 ** 15] }
}

function unmask(residual: Lanes, word: number, { task }: Attacked): Promise<Lanes> {
  return without(residual, [{ seed: keyOfSeed(word), sign: -1 }], task)
}

function exactness({ task, sum, outcome }: Attacked, updates: Float32Array[]): Results['sum'] {
  let largestError = 0
  const plain = new Float64Array(task.length)
  for (const update of updates) update.forEach((value, at) => (plain[at] += value))
  plain.forEach((value, at) => (largestError = Math.max(largestError, Math.abs(value - Number(sum.values[at])))))
  const included = outcome.included.length
  return { included, largestError, bound: quantisationBound(task, included) }
}
