import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'
import { configFields } from '../../nodes/daemon/config-schema.ts'
import { readConfig, readTask } from '../../nodes/daemon/config.ts'
import { jsonSchemas } from '../../nodes/daemon/json-schemas.ts'
import { environmentName, fromEnvironment, fromFlags } from '../../nodes/daemon/overrides.ts'
import type { Override } from '../../nodes/daemon/overrides.ts'
import { withMembers } from '../../nodes/doctor/task-report.ts'
import { UsageError } from '../../nodes/usage-error.ts'
import { SecureAggregationError, TaskError } from '../../src/errors.ts'
import { createTask } from '../../src/task/task.ts'
import type { TaskInput } from '../../src/task/task.ts'
import { secagg, temporaryFolder } from './secagg.ts'

const example = (name: string): string => fileURLToPath(new URL(`../../config/${name}`, import.meta.url))
const good = 'dataDir: d\ntask: t\n'

describe('a node’s file', () => {
  const folder = temporaryFolder()

  async function write(text: string): Promise<string> {
    const file = join(folder(), 'node.yaml')
    await writeFile(file, text)
    return file
  }

  async function refusal(text: string, overrides: Override[] = []): Promise<string> {
    const file = await write(text)
    const error = await readConfig(file, overrides).then(
      () => assert.fail('it was accepted'),
      (reason: Error) => reason
    )
    assert.ok(error instanceof SecureAggregationError && error.code === 'CONFIG_INVALID', String(error))
    assert.ok(error.message.startsWith(file) && !error.message.includes('\n'), error.message)
    return error.message.slice(file.length).replace(/^: /, '')
  }

  it('has defaults, and paths that are relative to it', async () => {
    const file = await write('dataDir: ./member\ntask: task.yaml\nnetworkKey: network.key\n')
    assert.deepEqual(await readConfig(file), {
      dataDir: join(folder(), 'member'),
      task: join(folder(), 'task.yaml'),
      listen: ['/ip4/127.0.0.1/tcp/0'],
      announce: [],
      bootstrap: [],
      mdns: false,
      local: false,
      networkKey: join(folder(), 'network.key'),
      relay: { serve: false, use: [] },
      api: {
        listen: '127.0.0.1:4080',
        tokenFile: join(folder(), 'member', 'api.token'),
        allowedHosts: [],
        allowedOrigins: [],
        maxUploadBytes: 2 ** 30,
        requestTimeoutSeconds: 60,
        dashboard: true
      },
      keepSums: 100,
      keepRounds: 1000,
      stopSeconds: 30,
      logLevel: 'info',
      logLevels: {}
    })
  })

  it('is refused naming each wrong field and its line, with what was probably meant', async () => {
    assert.equal(
      await refusal(`${good}# a comment\nbootstap: []\n`),
      'line 4: there is no field "bootstap" (did you mean "bootstrap"?)'
    )
    assert.equal(
      await refusal(`${good}api:\n  dashboard: true\n  lissten: off\n`),
      'line 5: there is no field "api.lissten" (did you mean "listen"?)'
    )
    assert.equal(
      await refusal(`${good}logLevels:\n  netwrk: debug\n`),
      'line 4: there is no field "logLevels.netwrk" (did you mean "network"?)'
    )
    assert.equal(
      await refusal(`${good}listen:\n  - /ip4/127.0.0.1/tcp/1\n  - 1\n`),
      'line 5: listen[1] must be an address'
    )
    assert.match(await refusal(`${good}listen: [there]\n`), /^line 3: listen\[0\] is no address; write it like \/ip4/)
    assert.match(await refusal(`${good}bootstrap: [/ip4/1.2.3.4/tcp/1]\n`), /^line 3: bootstrap\[0\] has no peer id/)
    assert.match(await refusal(`${good}logLevel: loud\n`), /^line 3: logLevel must be one of fatal, .*info/)
    assert.match(
      await refusal(`${good}api:\n  listen: 4080\n`),
      /^line 4: api\.listen must be an address and port, or off/
    )
    assert.equal(await refusal('dataDir: d\n'), 'the field task is missing; add it')
    assert.equal(
      await refusal(`${good}mdns: 1\nstopSeconds: -1\n`),
      'line 3: mdns must be true or false; line 4: stopSeconds must be seconds from 0 to 3600'
    )
    assert.equal(
      await refusal('bootstap: []\nmdns: 1\nlisten: 5\nlissten: []\ndataDir: d\n', fromFlags(['stopSeconds=x'])),
      'line 1: there is no field "bootstap" (did you mean "bootstrap"?); line 2: mdns must be true or false; ' +
        'line 3: listen must be a list of addresses; line 4: there is no field "lissten" (did you mean "listen"?); ' +
        'the field task is missing; add it; --set stopSeconds: stopSeconds must be seconds from 0 to 3600'
    )
    assert.equal(await refusal(''), 'it must hold fields, at least dataDir and task')
    assert.match(await refusal('dataDir: d\ntask: [\n'), /is no YAML in line [23]: /)
    assert.match(await refusal(`${good}task: u\n`), /is no YAML in line 3: Map keys must be unique/)
  })

  it('is overridden by the environment, and that by flags', async () => {
    const file = await write(`${good}logLevel: warn\napi:\n  listen: off\nlisten: []\n`)
    const environment = fromEnvironment({
      SECAGG_LOG_LEVEL: 'debug',
      SECAGG_LISTEN: '/ip4/127.0.0.1/tcp/1, /ip4/127.0.0.1/tcp/2',
      SECAGG_API_DASHBOARD: 'false',
      SECAGG_LOG_LEVELS_API: 'error',
      SECAGG_TOKEN: 'of somebody else',
      PATH: '/bin'
    })
    const { logLevel, listen, api, logLevels, dataDir, task } = await readConfig(file, [
      ...environment,
      ...fromFlags(['logLevel=trace', 'api.listen=127.0.0.1:0', 'task=here.yaml'])
    ])
    assert.equal(logLevel, 'trace')
    assert.deepEqual(listen, ['/ip4/127.0.0.1/tcp/1', '/ip4/127.0.0.1/tcp/2'])
    assert.equal(api.listen, '127.0.0.1:0')
    assert.equal(api.dashboard, false)
    assert.deepEqual(logLevels, { api: 'error' })
    assert.equal(dataDir, join(folder(), 'd'))
    assert.equal(task, resolve('here.yaml'), 'a path on the command line is relative to where it was typed')
  })

  it('is refused naming the flag or the variable that is wrong', async () => {
    assert.match(await refusal(good, fromFlags(['mdns=perhaps'])), /^--set mdns: mdns must be true or false/)
    assert.match(
      await refusal(good, fromEnvironment({ SECAGG_STOP_SECONDS: 'x' })),
      /^SECAGG_STOP_SECONDS: stopSeconds/
    )
    assert.throws(
      () => fromFlags(['api.lisen=off']),
      new UsageError('--set: there is no field "api.lisen" (did you mean "api.listen"?)')
    )
    assert.throws(() => fromFlags(['api.listen']), UsageError)
    assert.throws(
      () => fromEnvironment({ SECAGG_API_LISEN: 'off' }),
      /SECAGG_API_LISEN is no field \(did you mean SECAGG_API_LISTEN\?/
    )
  })

  it('ends the daemon with one line where it is wrong', async () => {
    const { code, stderr } = await secagg('node', '--config', join(folder(), 'nothing.yaml'))
    assert.equal(code, 1)
    assert.match(stderr, /^secagg: \S+nothing\.yaml cannot be read \(no such file\)\n$/)
    const typed = await secagg('node', '--config', join(folder(), 'nothing.yaml'), '--set', 'lokal=true')
    assert.equal(typed.code, 2)
    assert.match(typed.stderr, /^secagg: --set: there is no field "lokal" \(did you mean "local"\?\)\n$/)
  })
})

describe('a task file', () => {
  const folder = temporaryFolder()

  async function refusal(text: string): Promise<string> {
    const file = join(folder(), 'task.yaml')
    await writeFile(file, text)
    const error = await readTask(file).then(
      () => assert.fail('it was accepted'),
      (reason: Error) => reason
    )
    assert.ok(error instanceof TaskError && error.message.startsWith(`${file}: `), String(error))
    return error.message.slice(file.length + 2)
  }

  it('is refused with its name and the line', async () => {
    assert.match(await refusal('name: x\nlength: 3\n'), /^this task cannot be used: members is missing/)
    const members = (await readFile(example('task.yaml'), 'utf8')).match(/12D3\w+/g)!.slice(0, 3)
    const task = `name: x\nmembers: [${members.join(', ')}]\nlength: 3\nencoding:\n  type: fixed\n`
    const why = 'this task cannot be used: '
    assert.match(await refusal(`${task}  bits: 40\n`), /: line 6: encoding\.bits must be a whole number from 2 to 31/)
    assert.match(await refusal(`${task}deadlin: 3\n`), /: line 6: .* no field "deadlin" \(did you mean "deadline"\?\)/)
    assert.equal(
      await refusal(`${task}  bits: 40\n`.replace('length', 'lenght')),
      `${why}line 3: a task has no field "lenght" (did you mean "length"?); line 6: encoding.bits must be a whole number from 2 to 31; length is missing`
    )
  })
})

describe('the files in config/', () => {
  it('are valid', async () => {
    const { dataDir, task } = await readConfig(example('node.yaml'))
    assert.equal(dataDir, example('../data/me'))
    const { length, members } = await readTask(task)
    assert.equal(length, 1000)
    assert.equal(members.length, 3)
  })

  it('have valid alternatives in their comments', async () => {
    const text = await readFile(example('task.yaml'), 'utf8')
    const written = parse(text) as TaskInput
    const commented = (name: string): object => {
      const [block] = text.slice(text.indexOf(`\n# ${name}:\n`) + 1).split('\n\n')
      return parse(block.replaceAll(/^# /gm, '')) as object
    }
    const { encoding, threat, ...bare } = written
    assert.equal(createTask({ ...bare, ...commented('encoding') }).encoding.type, 'integer')
    assert.equal(createTask({ ...bare, ...commented('privacy') }).encoding.type, 'skellam')
    assert.equal(createTask({ ...written, ...commented('admission') }).admission!.vouches, 2)
    const larger = { ...bare, encoding, threat: { ...threat, corrupt: 0.1, dropout: 0.05 }, ...commented('groups') }
    assert.deepEqual((await withMembers(larger, 24)).groups, { count: 4, trim: 1 })
  })

  it('show every field of a node, with a comment before it', async () => {
    const lines = (await readFile(example('node.yaml'), 'utf8')).split('\n')
    for (const { path } of configFields) {
      const indent = '  '.repeat(path.length - 1)
      const at = lines.findIndex((line) => new RegExp(`^${indent}(# )?${path.at(-1)}:`).test(line))
      assert.ok(at > 0, `${path.join('.')} is not shown`)
      assert.match(lines[at - 1], new RegExp(`^${indent}# \\S.*`), `${path.join('.')} has no comment`)
    }
  })

  it('are described to editors by schemas that follow from the code (else run scripts/schemas.ts)', async () => {
    for (const [name, schema] of Object.entries(jsonSchemas())) {
      assert.deepEqual(JSON.parse(await readFile(example(name), 'utf8')), JSON.parse(JSON.stringify(schema)), name)
      const described = await readFile(example(name.replace('.schema.json', '.yaml')), 'utf8')
      assert.ok(described.startsWith(`# yaml-language-server: $schema=./${name}\n`))
    }
  })

  it('name a variable of the environment for every field, no two alike', () => {
    const names = configFields.map(environmentName)
    assert.equal(new Set(names).size, names.length)
    assert.ok(names.includes('SECAGG_API_ALLOWED_HOSTS'))
  })
})
