import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtemp, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { Level } from 'level'
import { type Journal, type JournalOperation, MemoryJournal } from '../../src/journal/journal.ts'
import { LevelJournal } from '../../src/journal/level-journal.ts'

const bytes = (...values: number[]) => Uint8Array.from(values)

async function list(journal: Journal, prefix = ''): Promise<[string, Uint8Array][]> {
  const found: [string, Uint8Array][] = []
  for await (const entry of journal.entries(prefix)) found.push(entry)
  return found
}

let directory: string
let opened: Journal[]

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'secagg-journal-'))
  opened = []
})

afterEach(async () => {
  for (const journal of opened) await journal.close()
  await rm(directory, { recursive: true, force: true })
})

async function openLevel(): Promise<LevelJournal> {
  const journal = await LevelJournal.open(join(directory, 'journal'))
  opened.push(journal)
  return journal
}

const kinds: Record<string, () => Promise<Journal>> = {
  'in memory': async () => new MemoryJournal(),
  'on disk': openLevel
}

for (const [kind, open] of Object.entries(kinds)) {
  describe(`a journal ${kind}`, () => {
    it('gives back what was put, byte for byte, and nothing for a key that was not', async () => {
      const journal = await open()
      await journal.put('vote', bytes(0, 255, 10))
      await journal.put('empty', bytes())
      assert.deepEqual(await journal.get('vote'), bytes(0, 255, 10))
      assert.deepEqual(await journal.get('empty'), bytes())
      assert.equal(await journal.get('vot'), undefined)
    })

    it('keeps the last of several values, and none after a deletion', async () => {
      const journal = await open()
      await journal.put('view', bytes(1))
      await journal.put('view', bytes(2))
      assert.deepEqual(await journal.get('view'), bytes(2))
      await journal.delete('view')
      await journal.delete('view')
      assert.equal(await journal.get('view'), undefined)
    })

    it('keeps its values apart from the arrays that went in and came out', async () => {
      const journal = await open()
      const value = bytes(1, 2)
      const writing = journal.put('mark', value)
      value[0] = 9
      await writing
      const first = await journal.get('mark')
      first!.fill(7)
      assert.deepEqual(await journal.get('mark'), bytes(1, 2))
      for (const [, listed] of await list(journal)) listed.fill(7)
      assert.deepEqual(await journal.get('mark'), bytes(1, 2))
    })

    it('lists the entries of a prefix in key order, and no neighbours', async () => {
      const journal = await open()
      for (const key of ['b/2', 'a~', 'b/10', 'b', 'b0', 'c', 'b/~', 'B/1', 'b/1']) await journal.put(key, bytes(1))
      const keys = async (prefix: string) => (await list(journal, prefix)).map(([key]) => key)
      assert.deepEqual(await keys('b/'), ['b/1', 'b/10', 'b/2', 'b/~'])
      assert.deepEqual(await keys(''), ['B/1', 'a~', 'b', 'b/1', 'b/10', 'b/2', 'b/~', 'b0', 'c'])
      assert.deepEqual(await keys('d'), [])
    })

    it('lists what was there when the listing began', async () => {
      const journal = await open()
      await journal.put('a', bytes(1))
      await journal.put('c', bytes(3))
      const seen: string[] = []
      for await (const [key, value] of journal.entries('')) {
        seen.push(key + value[0])
        await journal.put('b', bytes(2))
        await journal.delete('c')
      }
      assert.deepEqual(seen, ['a1', 'c3'])
    })

    it('refuses keys that implementations could sort differently, and applies nothing of their batch', async () => {
      const journal = await open()
      for (const key of ['', 'ä', 'a\n', '\u{1f600}', 'a\x7f']) {
        await assert.rejects(journal.put(key, bytes(1)), RangeError)
        await assert.rejects(journal.get(key), RangeError)
        await assert.rejects(journal.delete(key), RangeError)
        const batch: JournalOperation[] = [
          { type: 'put', key: 'good', value: bytes(1) },
          { type: 'put', key, value: bytes(1) }
        ]
        await assert.rejects(journal.batch(batch), RangeError)
      }
      await assert.rejects(list(journal, 'ä'), RangeError)
      assert.deepEqual(await list(journal), [])
    })

    it('does nothing after it is closed', async () => {
      const journal = await open()
      await journal.close()
      await journal.close()
      const closed = { code: 'JOURNAL_CLOSED' }
      await assert.rejects(journal.get('a'), closed)
      await assert.rejects(journal.put('a', bytes(1)), closed)
      await assert.rejects(journal.batch([]), closed)
      await assert.rejects(journal.delete('a'), closed)
      await assert.rejects(list(journal), closed)
    })
  })
}

const keys = fc.constantFrom('a', 'a/1', 'a/2', 'a0', 'b', 'b/1')
const operations: fc.Arbitrary<JournalOperation[]> = fc.array(
  fc.oneof(
    fc.record({ type: fc.constant('put' as const), key: keys, value: fc.uint8Array({ maxLength: 4 }) }),
    fc.record({ type: fc.constant('del' as const), key: keys })
  ),
  { maxLength: 6 }
)

describe('a journal on disk', () => {
  it('has every change on the disk itself before it says so, not in the system’s memory alone', async () => {
    const synced: unknown[] = []
    const level = Level.prototype as unknown as Record<string, (...args: unknown[]) => Promise<void>>
    const methods = ['_put', '_batch', '_del']
    const own = methods.map((method) => level[method])
    for (const [at, method] of methods.entries()) {
      const honest = own[at]
      level[method] = function (...args) {
        synced.push((args.at(-1) as { sync?: boolean }).sync)
        return honest.apply(this, args)
      }
    }
    try {
      const journal = await openLevel()
      await journal.put('vote', bytes(1))
      await journal.batch([{ type: 'put', key: 'lock', value: bytes(2) }])
      await journal.delete('vote')
    } finally {
      for (const [at, method] of methods.entries()) level[method] = own[at]
    }
    assert.deepEqual(synced, [true, true, true])
  })
})

describe('all journals', () => {
  it('hold the same after the same batches, and those on disk after opening them again as well', async () => {
    const model = fc.asyncProperty(fc.array(operations, { maxLength: 5 }), async (batches) => {
      const expected = new Map<string, Uint8Array>()
      const memory = new MemoryJournal()
      const level = await openLevel()
      try {
        for (const [key] of await list(level)) await level.delete(key)
        for (const batch of batches) {
          await level.batch(batch)
          await memory.batch(batch)
          for (const each of batch) {
            if (each.type === 'put') expected.set(each.key, each.value)
            else expected.delete(each.key)
          }
        }
      } finally {
        await level.close()
      }
      const sorted = [...expected].sort(([a], [b]) => (a < b ? -1 : 1))
      assert.deepEqual(await list(memory), sorted)
      const again = await openLevel()
      try {
        assert.deepEqual(await list(again), sorted)
      } finally {
        await again.close()
      }
    })
    await fc.assert(model, { numRuns: 15 })
  })
})

describe('a copy of a journal in memory', () => {
  it('holds what was written before the crash, and nothing after it', async () => {
    const journal = new MemoryJournal()
    await journal.put('vote', bytes(1))
    const copy = journal.clone()
    await journal.put('vote', bytes(2))
    await journal.put('lock', bytes(3))
    await journal.close()
    assert.deepEqual(await list(copy), [['vote', bytes(1)]])
    assert.deepEqual(await list(journal.clone()), [
      ['lock', bytes(3)],
      ['vote', bytes(2)]
    ])
  })
})

/** Runs a program in another process with the journal as `journal`. */
function elsewhere(program: string) {
  const source = new URL('../../src/journal/level-journal.ts', import.meta.url).href
  const code = `import { LevelJournal } from ${JSON.stringify(source)}
    const journal = await LevelJournal.open(${JSON.stringify(join(directory, 'journal'))})
    ${program}`
  return spawnSync(process.execPath, ['--input-type=module', '--eval', code], { encoding: 'utf8', timeout: 30_000 })
}

describe('the journal on disk', () => {
  it('takes no more room for what was deleted than two mebibytes', async () => {
    const journal = await openLevel()
    const value = new Uint8Array(16 << 10)
    for (let round = 0; round < 256; round++) {
      crypto.getRandomValues(value)
      await journal.put(`round ${round}`, value)
      await journal.delete(`round ${round}`)
    }
    // Nothing is compacted any more while it is measured.
    await journal.close()
    const folder = join(directory, 'journal')
    const files = await Promise.all((await readdir(folder)).map((name) => stat(join(folder, name))))
    const size = files.reduce((sum, file) => sum + file.size, 0)
    assert.ok(size < 2 << 20, `${size} bytes are left of 4 MiB that were deleted`)
  })

  it('keeps what it acknowledged when the process is killed right after, and batches whole', async () => {
    const killed = elsewhere(`
      await journal.put('mark', Uint8Array.of(1, 2, 3))
      await journal.delete('mark')
      await journal.put('vote', Uint8Array.of(4))
      await journal.batch([{ type: 'del', key: 'vote' }, { type: 'put', key: 'lock', value: new Uint8Array(1_000_000).fill(5) }])
      process.kill(process.pid, 'SIGKILL')`)
    assert.equal(killed.signal, 'SIGKILL', killed.stderr)
    const found = await list(await openLevel())
    assert.deepEqual(
      found.map(([key]) => key),
      ['lock']
    )
    // Not deepEqual, which takes minutes to tell apart two long arrays.
    assert.ok(Buffer.alloc(1_000_000, 5).equals(found[0][1]))
  })

  it('is refused to a second user, in this process and in another, until it is closed', async () => {
    const journal = await openLevel()
    const inUse = { name: 'SecureAggregationError', code: 'JOURNAL_IN_USE', message: /in use: end the process/ }
    await assert.rejects(openLevel(), inUse)
    await symlink(directory, join(directory, 'alias'))
    await assert.rejects(LevelJournal.open(join(directory, 'alias', 'journal')), inUse)
    // A lock that the attempts above had freed would let another process in.
    const other = elsewhere('')
    assert.equal(other.status, 1)
    assert.match(other.stderr, /JOURNAL_IN_USE/)
    await journal.close()
    const again = await openLevel()
    await journal.close()
    await assert.rejects(openLevel(), inUse)
    assert.match(elsewhere('').stderr, /JOURNAL_IN_USE/)
    await again.put('a', bytes(1))
  })

  it('names the directory that it cannot use', async () => {
    await writeFile(join(directory, 'journal'), 'a file')
    await assert.rejects(openLevel(), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'JOURNAL_UNREADABLE')
      return error.message.includes(join(directory, 'journal'))
    })
  })

  it('makes its directory for its owner alone', async function () {
    if (process.platform === 'win32') this.skip()
    await openLevel()
    assert.equal((await stat(join(directory, 'journal'))).mode & 0o777, 0o700)
  })
})
