import assert from 'node:assert/strict'
import { existsSync, readdirSync, readlinkSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { FileVectorStore } from '../../src/journal/file-vector-store.ts'
import { MemoryVectorStore, type VectorStore } from '../../src/journal/vector-store.ts'

const bytes = (...values: number[]) => Uint8Array.from(values)
const pattern = (length: number) => Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8)) & 0xff)

async function save(store: VectorStore, name: string, ...parts: Uint8Array[]): Promise<void> {
  const staged = await store.stage(name)
  for (const part of parts) await staged.write(part)
  await staged.commit()
}

async function chunks(store: VectorStore, name: string, chunkBytes?: number): Promise<Uint8Array[]> {
  const found: Uint8Array[] = []
  for await (const chunk of store.read(name, { chunkBytes })) found.push(chunk)
  return found
}

const whole = async (store: VectorStore, name: string) => new Uint8Array(Buffer.concat(await chunks(store, name)))

let directory: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'secagg-vectors-'))
})

afterEach(async () => {
  await rm(directory, { recursive: true, force: true })
})

const openFiles = () => FileVectorStore.open(join(directory, 'vectors'))
const kinds: Record<string, () => Promise<VectorStore>> = {
  'in memory': async () => new MemoryVectorStore(),
  'in files': openFiles
}

for (const [kind, open] of Object.entries(kinds)) {
  describe(`a vector store ${kind}`, () => {
    it('gives a vector back whole, in exact chunks and in any range, however it was written', async () => {
      const store = await open()
      const vectors = fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 6 })
      const cases = fc.asyncProperty(
        vectors,
        fc.integer({ min: 1, max: 70 }),
        fc.nat(),
        fc.nat(),
        async (parts, size, a, b) => {
          await save(store, 'sum', ...parts)
          const vector = new Uint8Array(Buffer.concat(parts))
          assert.equal(await store.size('sum'), vector.length)
          const found = await chunks(store, 'sum', size)
          assert.deepEqual(new Uint8Array(Buffer.concat(found)), vector)
          assert.ok(found.slice(0, -1).every((chunk) => chunk.length === size))
          assert.equal(found.length, Math.ceil(vector.length / size))
          const copied: Uint8Array[] = []
          for await (const chunk of store.read('sum', { chunkBytes: size, reuse: true })) copied.push(chunk.slice())
          assert.deepEqual(copied, found)
          const offset = a % (vector.length + 1)
          const length = b % (vector.length - offset + 1)
          assert.deepEqual(await store.readRange('sum', offset, length), vector.slice(offset, offset + length))
        }
      )
      await fc.assert(cases, { numRuns: 60 })
    })

    it('takes more of a vector that was brought to disk in the middle, and no step after its end', async () => {
      const store = await open()
      const staged = await store.stage('sum')
      await staged.write(pattern(70_000))
      await staged.sync()
      assert.equal(await store.size('sum'), undefined)
      await staged.write(bytes(7))
      await staged.commit({ sync: true })
      assert.deepEqual(await whole(store, 'sum'), Uint8Array.from([...pattern(70_000), 7]))
      await assert.rejects(staged.sync(), { code: 'VECTOR_NOT_STAGED' })
    })

    it('reads chunks of 64 KiB where nothing else is asked for', async () => {
      const store = await open()
      await save(store, 'sum', pattern(150_000))
      assert.deepEqual(
        (await chunks(store, 'sum')).map(({ length }) => length),
        [65_536, 65_536, 18_928]
      )
      assert.deepEqual(await whole(store, 'sum'), pattern(150_000))
    })

    it('shows nothing of a vector before it is committed, and then replaces the old one at once', async () => {
      const store = await open()
      const staged = await store.stage('round-1/sum')
      await staged.write(bytes(1, 2))
      assert.equal(staged.written, 2)
      assert.equal(await store.size('round-1/sum'), undefined)
      await staged.commit({ sync: true })
      const next = await store.stage('round-1/sum')
      await next.write(bytes(3))
      assert.deepEqual(await whole(store, 'round-1/sum'), bytes(1, 2))
      await next.commit()
      assert.deepEqual(await whole(store, 'round-1/sum'), bytes(3))
    })

    it('lets a reader finish the vector that it began, though another takes its place', async () => {
      const store = await open()
      await save(store, 'sum', bytes(1, 2, 3))
      const seen: number[] = []
      for await (const [byte] of store.read('sum', { chunkBytes: 1 })) {
        seen.push(byte)
        await save(store, 'sum', bytes(9))
      }
      assert.deepEqual(seen, [1, 2, 3])
    })

    it('forgets an aborted vector, and keeps the one that was there', async () => {
      const store = await open()
      await save(store, 'sum', bytes(1))
      const staged = await store.stage('sum')
      await staged.write(bytes(2))
      await staged.abort()
      await staged.abort()
      assert.deepEqual(await whole(store, 'sum'), bytes(1))
      await assert.rejects(staged.write(bytes(3)), { code: 'VECTOR_NOT_STAGED' })
      await assert.rejects(staged.commit(), { code: 'VECTOR_NOT_STAGED' })
    })

    it('refuses to write to a vector after its commit, and an abort then changes nothing', async () => {
      const store = await open()
      const staged = await store.stage('sum')
      await staged.write(bytes(1))
      await staged.commit()
      await assert.rejects(staged.write(bytes(2)), { code: 'VECTOR_NOT_STAGED' })
      await assert.rejects(staged.commit(), { code: 'VECTOR_NOT_STAGED' })
      await staged.abort()
      assert.deepEqual(await whole(store, 'sum'), bytes(1))
    })

    it('lets several vectors be written side by side, of one name as well: the last commit stands', async () => {
      const store = await open()
      const [a, b, c] = [await store.stage('a'), await store.stage('b'), await store.stage('a')]
      await Promise.all([a.write(bytes(1)), b.write(bytes(2)), c.write(bytes(3))])
      await c.commit()
      await Promise.all([a.commit(), b.commit()])
      assert.deepEqual(await whole(store, 'a'), bytes(1))
      assert.deepEqual(await whole(store, 'b'), bytes(2))
    })

    it('keeps its bytes apart from the arrays that went in and came out', async () => {
      const store = await open()
      const part = bytes(1, 2)
      const staged = await store.stage('sum')
      await staged.write(part)
      part.fill(9)
      await staged.commit()
      for await (const chunk of store.read('sum')) chunk.fill(7)
      ;(await store.readRange('sum', 0, 2)).fill(7)
      assert.deepEqual(await whole(store, 'sum'), bytes(1, 2))
    })

    it('removes every vector whose name begins so, and no other', async () => {
      const names = ['round-3', 'round-3/member-1', 'round-3/attempt-0/member-5', 'round-30/sum', 'round-4/sum', 'sum']
      const left = async (prefix: string) => {
        const store = await open()
        for (const name of names) await save(store, name, bytes(1))
        await store.remove(prefix)
        await store.remove(prefix)
        const sizes = await Promise.all(names.map((name) => store.size(name)))
        return names.filter((_, i) => sizes[i] !== undefined)
      }
      assert.deepEqual(await left('round-3/'), ['round-3', 'round-30/sum', 'round-4/sum', 'sum'])
      assert.deepEqual(await left('round-3'), ['round-4/sum', 'sum'])
      assert.deepEqual(await left('round-3/a'), ['round-3', 'round-3/member-1', 'round-30/sum', 'round-4/sum', 'sum'])
      assert.deepEqual(await left('round-5/x'), names)
      assert.deepEqual(await left(''), [])
    })

    it('leaves a staged vector alone when its prefix is removed', async () => {
      const store = await open()
      const staged = await store.stage('round-1/sum')
      await staged.write(bytes(1))
      for (const prefix of ['round-1/', 'round', '']) await store.remove(prefix)
      await staged.commit()
      assert.deepEqual(await whole(store, 'round-1/sum'), bytes(1))
    })

    it('lets commits and removals of one directory meet', async () => {
      const store = await open()
      let saved = 0
      const saving = async () => {
        for (; saved < 200; saved++) await save(store, `round-1/attempt-${saved}/member-0`, bytes(1))
      }
      const removing = async () => {
        while (saved < 200) await store.remove('round-1/')
      }
      // Where the saving fails, the removing has to end as well.
      await Promise.all([saving().finally(() => (saved = 200)), removing()])
      await save(store, 'round-1/member-1', bytes(1))
      assert.deepEqual(await whole(store, 'round-1/member-1'), bytes(1))
    })

    it('says which vector is missing, and which range is beyond its end', async () => {
      const store = await open()
      await save(store, 'sum', bytes(1, 2, 3))
      const missing = { code: 'VECTOR_MISSING', message: /round-1\/sum/ }
      await assert.rejects(store.readRange('round-1/sum', 0, 1), missing)
      await assert.rejects(chunks(store, 'round-1/sum'), missing)
      for (const [offset, length] of [
        [2, 2],
        [4, 0],
        [-1, 1],
        [0, -1],
        [0.5, 1]
      ]) {
        await assert.rejects(store.readRange('sum', offset, length), { code: 'VECTOR_RANGE' }, `${offset}, ${length}`)
      }
      assert.deepEqual(await store.readRange('sum', 3, 0), bytes())
      for (const size of [0, -1, 1.5]) await assert.rejects(chunks(store, 'sum', size), RangeError)
    })

    it('refuses names that could leave its directory or mean two things', async () => {
      const store = await open()
      const names = [
        '',
        '.',
        '..',
        '../a',
        'a/../b',
        '/a',
        'a/',
        'a//b',
        'A',
        'a.b',
        'a b',
        'a\\b',
        'a\n',
        'a\0',
        'ä',
        'a'.repeat(201)
      ]
      for (const name of names) {
        await assert.rejects(store.stage(name), RangeError, name)
        await assert.rejects(store.size(name), RangeError, name)
        await assert.rejects(store.readRange(name, 0, 0), RangeError, name)
        await assert.rejects(chunks(store, name), RangeError, name)
      }
      for (const prefix of ['/', '.', '../', 'a//', '/a'])
        await assert.rejects(store.remove(prefix), RangeError, prefix)
    })
  })
}

/** Handles of this process into the directory, where the system tells. */
function openHandles(): string[] {
  const table = '/proc/self/fd'
  return readdirSync(table).flatMap((handle) => {
    try {
      const target = readlinkSync(join(table, handle))
      return target.startsWith(directory) ? [target] : []
    } catch {
      return []
    }
  })
}

async function files(root: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
}

describe('the vector store in files', () => {
  it('has its vectors still when it is opened again, and what was half written no more', async () => {
    const store = await openFiles()
    const kept = await store.stage('round-1/sum')
    await kept.write(bytes(1, 2))
    await kept.commit({ sync: true })
    const half = await store.stage('round-1/member-0')
    await half.write(bytes(3))
    assert.equal((await files(directory)).length, 2)
    const again = await openFiles()
    assert.equal((await files(directory)).length, 1)
    assert.deepEqual(await whole(again, 'round-1/sum'), bytes(1, 2))
    await half.abort()
  })

  it('keeps files and directories for their owner alone', async function () {
    if (process.platform === 'win32') this.skip()
    const store = await openFiles()
    await save(store, 'round-1/sum', bytes(1))
    const modes = async (path: string) => (await stat(path)).mode & 0o777
    for (const path of await files(directory)) assert.equal(await modes(path), 0o600)
    for (const path of ['vectors', 'vectors/round-1', 'vectors/.staging']) {
      assert.equal(await modes(join(directory, path)), 0o700, path)
    }
  })

  it('closes its handles on every path', async function () {
    if (!existsSync('/proc/self/fd')) this.skip()
    const store = await openFiles()
    const staged = await store.stage('sum')
    await staged.write(pattern(1000))
    assert.equal(openHandles().length, 1)
    await staged.commit({ sync: true })
    assert.deepEqual(openHandles(), [])
    for await (const _ of store.read('sum', { chunkBytes: 10 })) break
    await assert.rejects(store.readRange('sum', 999, 2))
    await (await store.stage('sum')).abort()
    // A file where the directory of the name should be: the commit fails.
    await writeFile(join(directory, 'vectors', 'taken'), '')
    const blocked = await store.stage('taken/sum')
    await blocked.write(bytes(1))
    await assert.rejects(blocked.commit())
    await assert.rejects(blocked.write(bytes(1)), { code: 'VECTOR_NOT_STAGED' })
    assert.deepEqual(openHandles(), [])
    assert.deepEqual(await readdir(join(directory, 'vectors', '.staging')), [])
  })

  it('takes one write at a time, and can be aborted in the middle of one', async () => {
    const store = await openFiles()
    const staged = await store.stage('sum')
    const writing = staged.write(pattern(1_000_000))
    await assert.rejects(staged.write(bytes(1)), { code: 'VECTOR_NOT_STAGED', message: /still being written/ })
    await assert.rejects(staged.commit(), { code: 'VECTOR_NOT_STAGED' })
    await Promise.all([staged.abort(), writing.catch(() => undefined)])
    assert.equal(await store.size('sum'), undefined)
    assert.deepEqual(await readdir(join(directory, 'vectors', '.staging')), [])
  })

  it('works below a directory whose path ends in a slash, and leaves strange files alone', async () => {
    await mkdir(join(directory, 'vectors'))
    await writeFile(join(directory, 'vectors', 'note.txt'), 'mine')
    const store = await FileVectorStore.open(`${directory}/vectors/`)
    const staged = await store.stage('a/b')
    await staged.commit({ sync: true })
    await store.remove('a/')
    assert.deepEqual((await readdir(join(directory, 'vectors'))).sort(), ['.staging', 'note.txt'])
  })
})
