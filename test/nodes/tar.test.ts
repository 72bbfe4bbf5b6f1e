import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { tar, TarFile } from '../../nodes/record/tar.ts'
import type { TarEntry } from '../../nodes/record/tar.ts'
import { SecureAggregationError } from '../../src/errors.ts'
import { temporaryFolder } from './secagg.ts'

describe('a tar archive', () => {
  const folder = temporaryFolder()
  const file = (): string => join(folder(), 'some.tar')

  async function write(entries: TarEntry[]): Promise<void> {
    await writeFile(file(), tar(entries))
  }
  const entry = (name: string, bytes: Uint8Array): TarEntry => ({ name, size: bytes.length, bytes: [bytes] })
  const unreadable = (sentence: RegExp) => (error: unknown) =>
    error instanceof SecureAggregationError && error.code === 'EXPORT_UNREADABLE' && sentence.test(error.message)

  it('gives back the files that were put in, whole and by ranges', async () => {
    const contents = fc.uniqueArray(
      fc.record({
        name: fc.stringMatching(/^[a-z]{1,20}\/?[a-z0-9-]{1,40}$/),
        bytes: fc.uint8Array({ maxLength: 2000 })
      }),
      { selector: ({ name }) => name, maxLength: 5 }
    )
    await fc.assert(
      fc.asyncProperty(contents, async (files) => {
        await write(files.map(({ name, bytes }) => entry(name, bytes)))
        const opened = await TarFile.open(file())
        assert.deepEqual(
          opened.names,
          files.map(({ name }) => name)
        )
        for (const { name, bytes } of files) {
          assert.deepEqual(await opened.read(name, 2000), bytes)
          const middle = bytes.length >> 1
          assert.deepEqual(await opened.readRange(name, middle, bytes.length - middle), bytes.slice(middle))
        }
        await opened.close()
      }),
      { numRuns: 20 }
    )
  })

  it('is one that the tar of the system reads', async () => {
    await write([entry('task.json', new TextEncoder().encode('{}')), entry('masked/3', new Uint8Array(513).fill(7))])
    assert.equal(execFileSync('tar', ['tf', file()], { encoding: 'utf8' }), 'task.json\nmasked/3\n')
    execFileSync('tar', ['xf', file(), '-C', folder()])
    assert.deepEqual(new Uint8Array(await readFile(join(folder(), 'masked/3'))), new Uint8Array(513).fill(7))
  })

  it('is refused where it breaks off, is damaged or no archive at all', async () => {
    await assert.rejects(TarFile.open(join(folder(), 'none.tar')), unreadable(/no such file/))
    await write([entry('one', new Uint8Array(1000).fill(1))])
    const whole = await readFile(file())
    for (const length of [0, 100, 512, 1000, 1536]) {
      await writeFile(file(), whole.subarray(0, length))
      await assert.rejects(TarFile.open(file()), unreadable(/breaks off/))
    }
    for (const at of [0, 100, 130, 150, 156, 260]) {
      await writeFile(
        file(),
        Uint8Array.from(whole, (byte, place) => (place === at ? byte ^ 1 : byte))
      )
      await assert.rejects(TarFile.open(file()), unreadable(/damaged/))
    }
    await writeFile(file(), new Uint8Array(512).fill(65))
    await assert.rejects(TarFile.open(file()), unreadable(/no tar archive/))
  })

  it('is no place for a file of another size than was announced', async () => {
    await assert.rejects(write([{ name: 'one', size: 3, bytes: [new Uint8Array(2)] }]), RangeError)
  })
})
