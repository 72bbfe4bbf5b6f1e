import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readConfig, readTask } from '../../nodes/daemon/config.ts'
import { SecureAggregationError, TaskError } from '../../src/errors.ts'
import { secagg, temporaryFolder } from './secagg.ts'

const example = (name: string): string => fileURLToPath(new URL(`../../config/${name}`, import.meta.url))

describe('a node’s file', () => {
  const folder = temporaryFolder()

  async function refusal(text: string): Promise<string> {
    const file = join(folder(), 'node.yaml')
    await writeFile(file, text)
    const error = await readConfig(file).then(
      () => assert.fail('it was accepted'),
      (reason: Error) => reason
    )
    assert.ok(error instanceof SecureAggregationError && error.code === 'CONFIG_INVALID', String(error))
    assert.ok(error.message.startsWith(file) && !error.message.includes('\n'), error.message)
    return error.message.slice(file.length + 1)
  }

  it('has defaults, and paths that are relative to it', async () => {
    const file = join(folder(), 'node.yaml')
    await writeFile(file, 'dataDir: ./member\ntask: task.yaml\n')
    assert.deepEqual(await readConfig(file), {
      dataDir: join(folder(), 'member'),
      task: join(folder(), 'task.yaml'),
      listen: ['/ip4/127.0.0.1/tcp/0'],
      bootstrap: [],
      mdns: false,
      local: false,
      logLevel: 'info'
    })
  })

  it('is refused naming the wrong field, with what was probably meant', async () => {
    const good = 'dataDir: d\ntask: t\n'
    assert.match(await refusal(`${good}bootstap: []\n`), /unknown field "bootstap" \(did you mean "bootstrap"\?\)/)
    assert.match(await refusal(`${good}listen: [1]\n`), /wrong listen\[0\]: expected string/)
    assert.match(await refusal(`${good}logLevel: loud\n`), /wrong logLevel: .*"info"/)
    assert.equal(await refusal('dataDir: d\n'), 'lacks the field task; add it')
    assert.match(await refusal(''), /must hold fields, at least dataDir and task/)
    assert.match(await refusal('dataDir: [\n'), /is no YAML/)
  })

  it('ends the daemon with one line where it is wrong', async () => {
    const { code, stderr } = await secagg('node', '--config', join(folder(), 'nothing.yaml'))
    assert.equal(code, 1)
    assert.match(stderr, /^secagg: \S+nothing\.yaml cannot be read \(no such file\)\n$/)
  })
})

describe('a task file', () => {
  const folder = temporaryFolder()

  it('is refused with its name', async () => {
    const file = join(folder(), 'task.yaml')
    await writeFile(file, 'name: x\nlength: 3\n')
    await assert.rejects(readTask(file), (error: Error) => {
      assert.ok(error instanceof TaskError)
      assert.ok(error.message.startsWith(`${file}: this task cannot be used: members is missing`), error.message)
      return true
    })
  })

  it('is shown by example, and a node’s file as well', async () => {
    const { dataDir, task } = await readConfig(example('node.yaml'))
    assert.equal(dataDir, example('member'))
    const { length, members } = await readTask(task)
    assert.equal(length, 1000)
    assert.equal(members.length, 3)
  })
})
