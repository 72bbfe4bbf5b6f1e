import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createCipheriv } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { firstWord } from '../../nodes/attack/first-word.ts'
import { SeedSearch } from '../../nodes/attack/search.ts'
import { chiSquare, matchedFilter } from '../../nodes/attack/statistics.ts'
import { NextWordModel, RARE_WORD, SUSPECTS, updatesOf, VICTIM } from '../../nodes/attack/update.ts'
import { keyOfSeed, weakRandom } from '../../nodes/attack/weak-build.ts'
import type { Reading } from '../../nodes/attack/reading.ts'
import { addMasks, createLanes } from '../../src/crypto/mask-stream.ts'
import type { Ended } from './secagg.ts'
import { temporaryFolder } from './secagg.ts'

const program = fileURLToPath(new URL('../../nodes/attack/main.ts', import.meta.url))

async function attack(...args: string[]): Promise<Ended> {
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, stdout, stderr }
}

interface Line {
  type: string
}

describe('npm run attack', function () {
  // Two networks, and in each a deadline that is waited for, on a machine that may be busy.
  this.timeout(300_000)
  const folder = temporaryFolder()
  let ended: Ended
  let lines: Line[]

  before(async () => {
    ended = await attack('--json', '--bits', '13', '--out', folder())
    lines = ended.stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Line)
  })

  const reading = (name: string): Reading => {
    const found = (lines as (Line & Reading)[]).find((line) => line.type === 'reading' && line.name === name)
    assert.ok(found, `${name} is not in\n${ended.stdout}\n${ended.stderr}`)
    return found
  }

  it('reads the rare word, and no other, out of a plain update', () => {
    assert.deepEqual(reading('plain averaging').words, [RARE_WORD])
    assert.equal(reading('plain averaging').looksUniform, false)
  })

  it('finds noise in what a real round gives an aggregator: as it came in, at the end, and when it cheats', () => {
    for (const name of ['as it came in', 'after the round', 'called late']) {
      const { looksUniform, words } = reading(name)
      assert.ok(looksUniform, JSON.stringify(reading(name)))
      assert.deepEqual(words, [])
    }
  })

  it('reads the word again where seeds are short, although nothing could be seen before the search', () => {
    assert.ok(reading('weak, called late').looksUniform)
    assert.deepEqual(reading('weak, called late').words, [])
    assert.deepEqual(reading('weak, after the search').words, [RARE_WORD])
    const search = lines.find(({ type }) => type === 'search') as Line & Record<string, unknown>
    assert.equal(search.width, 13)
    assert.equal(search.foundInRealBuild, false)
  })

  it('finds the sum of everybody exact, and says by its exit code that all came out as claimed', () => {
    const sum = lines.find(({ type }) => type === 'sum') as Line & Record<string, number>
    assert.equal(sum.included, 8)
    assert.ok(sum.largestError > 0 && sum.largestError <= sum.bound)
    assert.deepEqual(lines.at(-1), { type: 'summary', asClaimed: true })
    assert.equal(ended.code, 0)
  })

  it('draws a picture with the word in it', async () => {
    const svg = await readFile(join(folder(), 'attack.svg'), 'utf8')
    assert.match(svg, /^<svg /)
    assert.ok(svg.includes(RARE_WORD) && svg.length < 150_000)
  })

  it('refuses in one line what it does not understand', async () => {
    for (const args of [
      ['--bits', '5'],
      ['--bitz', '13']
    ]) {
      const { code, stderr } = await attack(...args)
      assert.equal(code, 2)
      assert.equal(stderr.trim().split('\n').length, 1, stderr)
    }
  })
})

describe('the attacked update', () => {
  it('touches the row of the rare word in one member alone, and the rows of the other suspects in none', async () => {
    const model = await NextWordModel.read()
    const updates = await updatesOf(model, 8)
    for (const word of SUSPECTS) {
      const row = model.rowOf(word)
      const touched = updates.map((update) => update.subarray(row * 8, row * 8 + 8).some((value) => value !== 0))
      assert.equal(touched[VICTIM], word === RARE_WORD, word)
      if (word === RARE_WORD) assert.equal(touched.filter(Boolean).length, 1)
    }
  })
})

describe('the search for a seed', () => {
  const target = { at: 60, bits: 19, zeros: [32767, 32768] }

  /** Four zeros of an update under the real mask stream, at place `at`. */
  async function masked(seed: Uint8Array): Promise<number[]> {
    const lanes = createLanes(19, 80).fill(32768)
    await addMasks(lanes, [{ seed, sign: 1 }])
    return Array.from(lanes.subarray(60, 64), (lane) => lane % 2 ** 19)
  }

  it('finds the word of a short seed anywhere in the vector, and nothing under a seed of 256 bits', async () => {
    const search = new SeedSearch()
    try {
      const short = await search.find({ ...target, elements: await masked(keyOfSeed(9_001)) }, 14, () => {})
      assert.equal(short.word, 9_001)
      const long = crypto.getRandomValues(new Uint8Array(32))
      // So many that chance alone explains one element of some.
      const none = await search.find({ ...target, elements: await masked(long) }, 20, () => {})
      assert.equal(none.word, undefined)
      assert.equal(none.tried, 2 ** 20)
    } finally {
      await search.stop()
    }
  })

  it('computes AES as everybody does', () => {
    for (const seed of [0, 1, 0x01020304, 0x7fffffff, 0x80000000, 0xffffffff, 0xdeadbeef]) {
      for (const counter of [0, 1, -1, 0x12345678]) {
        const block = new Uint8Array(new Int32Array([0, 0, 0, counter]).buffer)
        const cipher = createCipheriv('aes-256-ecb', keyOfSeed(seed), null)
        assert.equal(firstWord(seed, counter), cipher.update(block).readInt32LE(0), `${seed} at ${counter}`)
      }
    }
  })

  it('is made for secrets that repeat one word, each word used once', () => {
    const random = weakRandom(12)
    const words = Array.from({ length: 200 }, () => {
      const secret = random(32)
      assert.deepEqual(secret, keyOfSeed(new DataView(secret.buffer).getUint32(0, true)))
      return new DataView(secret.buffer).getUint32(0, true)
    })
    assert.equal(new Set(words).size, 200)
    assert.ok(words.every((word) => word < 2 ** 12))
  })
})

describe('tests of uniformity', () => {
  it('have the p-values of the tables of chi-square', () => {
    // 255 degrees of freedom: 293.2478 is exceeded once in 20 times, 347.65 about once in 10,000.
    const counts = (statistic: number): number[] => {
      const excess = Math.sqrt((statistic * 1000) / 2)
      return [1000 + excess, 1000 - excess, ...Array<number>(254).fill(1000)]
    }
    const at = (statistic: number): number => chiSquare(counts(statistic)).p
    assert.ok(Math.abs(at(293.2478) - 0.05) < 0.0005, String(at(293.2478)))
    assert.ok(Math.abs(at(254.3337) - 0.5) < 0.0005, String(at(254.3337)))
    assert.ok(at(500) < 1e-15)
  })

  it('measure how far a vector follows another in standard deviations', () => {
    const truth = Uint32Array.from({ length: 10_000 }, (_, at) => at % 2)
    assert.ok(Math.abs(matchedFilter(truth, truth) - 100) < 1e-9)
    const opposite = truth.map((value) => 1 - value)
    assert.ok(Math.abs(matchedFilter(opposite, truth) + 100) < 1e-9)
    const unrelated = Uint32Array.from({ length: 10_000 }, (_, at) => (at >> 1) % 2)
    assert.ok(Math.abs(matchedFilter(unrelated, truth)) < 1e-9)
  })
})
