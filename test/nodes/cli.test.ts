import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, open, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writeNpy } from '../../nodes/npy.ts'
import { nearest } from '../../nodes/suggestion.ts'
import { secagg, startInto, startSecagg, temporaryFolder } from './secagg.ts'

/** Refused with this exit code, in one line without a stack, and nothing on stdout. */
async function refused(code: number, sentence: RegExp, ...args: string[]): Promise<void> {
  const ended = await secagg(...args)
  assert.match(ended.stderr, sentence)
  assert.match(ended.stderr, /^secagg: [^\n]+\n$/, 'one line')
  assert.equal(ended.code, code, ended.stderr)
  assert.equal(ended.stdout, '')
}

describe('the command line', () => {
  it('helps, and says for every command what it does', async () => {
    const { code, stdout } = await secagg('--help')
    assert.equal(code, 0)
    for (const command of ['network', 'word-counts', 'keygen', 'doctor', 'node'])
      assert.match(stdout, new RegExp(`secagg ${command} `))
    const help = await secagg('network', '--help')
    assert.equal(help.code, 0)
    assert.match(help.stdout, /--dropout .*default: 0\.25/)
  })

  it('refuses what it does not know as wrong usage, with what was probably meant', async () => {
    await refused(2, /name a command/)
    await refused(2, /no command "netwrk" \(did you mean "network"\?\)/, 'netwrk')
    await refused(2, /network has no option --pers \(did you mean --peers\?\)/, 'network', '--pers', '4')
    await refused(2, /network takes no argument "4"/, 'network', '4')
    await refused(2, /keygen needs --data/, 'keygen')
    await refused(2, /network needs a value after --peers/, 'network', '--peers')
    await refused(2, /--peers is given twice/, 'network', '--peers', '4', '--peers', '5')
  })
})

/** Each option that has a value, with the command and what it cannot do without. */
const withValue: string[][] = [
  ...['data', 'network'].map((option) => ['keygen', `--${option}`]),
  ...['data', 'out', 'inputs', 'seed', 'peers', 'kill'].map((option) => ['network', `--${option}`]),
  ['learn', '--out'],
  ['doctor', '--config'],
  ['node', '--config'],
  ['node', '--config', 'node.yaml', '--set'],
  ['contribute', 'x.npy', '--token-file'],
  ['rounds', '--data'],
  ['sum', '1', '--out'],
  ['audit', '--file'],
  ['export', '1', '--out'],
  ['bench', '--only']
]

describe('an empty value', () => {
  for (const typed of withValue)
    it(`is refused: ${typed.join(' ')}`, () =>
      refused(2, new RegExp(`^secagg: ${typed.at(-1)} needs a value\\n$`), ...typed, ''))

  it('is refused as a file, too', () => refused(2, /contribute needs <file>: the vector/, 'contribute', ''))
})

describe('an output', () => {
  const folder = temporaryFolder()

  it('that cannot be written is told, also where only its last line is lost', async () => {
    const full = await open('/dev/full', 'w')
    try {
      for (const args of [['--help'], ['keygen', '--data', join(folder(), 'full')]]) {
        const { code, stderr } = await startInto(full.fd, ...args).ended
        assert.deepEqual({ code, stderr }, { code: 1, stderr: 'secagg: the output cannot be written (ENOSPC)\n' })
      }
    } finally {
      await full.close()
    }
  })

  it('that nobody reads any more ends a command without a word, and not as if all were done', async () => {
    const run = startSecagg('network', '--in-process', '--peers', '3', '--rounds', '1000', '--json')
    await once(run.child.stdout!, 'data')
    run.child.stdout!.destroy()
    const { code, stderr } = await run.ended
    assert.equal(code, 141)
    assert.doesNotMatch(stderr, /secagg:/)
  })

  it('that nobody reads takes nothing from a command that has done its work', async () => {
    const data = join(folder(), 'unread')
    const { child, ended } = startSecagg('keygen', '--data', data)
    child.stdout!.destroy()
    assert.deepEqual(await ended, { code: 0, stdout: '', stderr: '' })
    assert.ok(existsSync(join(data, 'identity.key')))
  })
})

describe('secagg network', () => {
  const folder = temporaryFolder()
  const usage = (sentence: RegExp, ...args: string[]) => refused(2, sentence, 'network', ...args)
  const failure = (sentence: RegExp, ...args: string[]) => refused(1, sentence, 'network', ...args)

  it('refuses a value that is typed wrongly, naming the option', async () => {
    await usage(/--peers must be a whole number of at least 3, not "2"/, '--peers', '2')
    await usage(/--rounds must be a whole number of at least 1, not "many"/, '--rounds', 'many')
    await usage(/--timeout must be a number from 0\.1 to 3600, not "0"/, '--timeout', '0')
    await usage(/--pause must be a number from 0 to 3600, not "soon"/, '--dashboard', '--pause', 'soon')
    await usage(/--encoding must be integer or fixed, not "float"/, '--encoding', 'float')
    await usage(/--max has no meaning with --encoding fixed/, '--max', '9')
    await usage(
      /--max must be above --min, and -9 is not above -5/,
      '--encoding',
      'integer',
      '--min',
      '-5',
      '--max',
      '-9'
    )
    const most = /--max must be a whole number of at most 9007199254740991, not "9007199254740993"/
    await usage(most, '--encoding', 'integer', '--max', '9007199254740993')
    const least = /--min must be a whole number of at least -9007199254740991, not "-9007199254740993"/
    await usage(least, '--encoding', 'integer', '--min', '-9007199254740993')
    await usage(/one weight for each of the 8 members, not 2/, '--weights', '1,2')
    await usage(/each of --weights must be a whole number .* not "0\.5"/, '--peers', '3', '--weights', '1,0.5,2')
  })

  it('refuses a kill that names nobody, no phase or no round', async () => {
    await usage(/--kill must be WHO@PHASE/, '--kill', 'mask')
    await usage(/from 0 to 7, not "8"/, '--kill', '8@mask')
    await usage(/one of keys, .* \(did you mean mask\?\)/, '--kill', '1@msk')
    await usage(/the round must be a whole number from 1 to 5, not "6"/, '--kill', '1@mask:6')
    await usage(/leave out --in-process/, '--in-process', '--kill', '1@mask')
  })

  it('names the benchmarks that there are, where another one is asked for', async () => {
    const { code, stdout, stderr } = await secagg('bench', '--only', 'masks,uplod')
    assert.equal(code, 2)
    assert.equal(stdout, '')
    assert.match(
      stderr,
      /^secagg: there is no benchmark "uplod"; --only takes masks, hashing, votes, member, upload, audit, round\n$/
    )
  })

  it('refuses more shards than there are members', async () => {
    await usage(/--shards must be a whole number from 1 to 8, not "9"/, '--shards', '9')
  })

  it('refuses an infeasible threat and too many bits as a failure, with what to change', async () => {
    await failure(/0\.4 corrupt .* lower corrupt to 0\.2499/, '--corrupt', '0.4')
    await failure(/need 34 bits, more than 32; lower --bits to 29/, '--bits', '31')
    await failure(/at most 1200 members/, '--peers', '1201')
    await failure(/at most 1200 members/, '--peers', '1201', '--corrupt', '0.5')
    await failure(
      /more than 254; lower corrupt to 0\.3189\n$/,
      '--peers',
      '1000',
      '--corrupt',
      '0.3333',
      '--dropout',
      '0'
    )
  })

  it('refuses inputs that are missing, of several lengths, of a wrong type, not finite or out of range, naming the file', async () => {
    const inputs = (...args: string[]) => ['--peers', '3', '--inputs', folder(), ...args]
    const peer = (number: number) => join(folder(), `peer-${number}.npy`)
    await writeNpy(peer(0), Float64Array.of(1, 2))
    await failure(/peer-1\.npy cannot be read \(no such file/, ...inputs())
    await writeNpy(peer(1), Float64Array.of(1, 2, 3))
    await failure(/peer-1\.npy has 3 elements and .*peer-0\.npy has 2/, ...inputs())
    await writeFile(peer(1), 'word,count\n')
    await failure(/peer-1\.npy is not a \.npy file/, ...inputs())
    await writeNpy(peer(1), Float64Array.of(1, NaN))
    await failure(/peer-1\.npy: element 1 is NaN or infinite/, ...inputs())
    await writeNpy(peer(1), Float64Array.of(1, 2.5))
    await failure(/peer-1\.npy: element 1 is not a whole number/, ...inputs('--encoding', 'integer'))
    await writeNpy(peer(1), Int32Array.of(7, 11))
    await failure(/peer-1\.npy: element 1 lies outside 0 to 10/, ...inputs('--encoding', 'integer', '--max', '10'))
    await writeNpy(peer(2), Float32Array.of(7, 11))
    await writeNpy(join(folder(), 'peer-2.round-2.npy'), Float32Array.of(7))
    await failure(/peer-2\.round-2\.npy has 1 element and .*peer-0\.npy has 2/, ...inputs())
    await usage(/--length is 5, and .*peer-0\.npy has 2 elements/, ...inputs('--length', '5'))
    await usage(/--seed is for generated inputs/, ...inputs('--seed', 'x'))
  })

  it('keeps no data of a network that could not be started, and never mixes two', async () => {
    const data = join(folder(), 'data')
    await failure(/more than 32/, '--bits', '31', '--data', data)
    assert.equal(existsSync(data), false)
    await mkdir(data)
    await failure(/more than 32/, '--bits', '31', '--data', data)
    assert.deepEqual(await readdir(data), [])
    await writeFile(join(data, 'mine.txt'), 'mine')
    await failure(/is not empty; name a new one for --data/, '--data', data)
    assert.deepEqual(await readdir(data), ['mine.txt'])
  })

  it('refuses a file where a folder is to be, and leaves nothing behind', async () => {
    const [data, file] = [join(folder(), 'unmade'), join(folder(), 'file.txt')]
    await writeFile(file, 'mine')
    await failure(/--out \S+file\.txt is a file; name a folder\n$/, '--peers', '3', '--data', data, '--out', file)
    await failure(/--out \S+sums lies in a file; name a folder\n$/, '--data', data, '--out', join(file, 'sums'))
    await failure(/--data \S+file\.txt is a file; name a folder\n$/, '--data', file)
    await refused(1, /--out \S+file\.txt is a file; name a folder\n$/, 'learn', '--out', file)
    assert.equal(existsSync(data), false)
    assert.equal(await readFile(file, 'utf8'), 'mine')
  })
})

describe('secagg keygen', () => {
  const folder = temporaryFolder()

  it('makes an identity that only its owner can read, prints its peer id, and never overwrites it', async () => {
    const data = join(folder(), 'member')
    const { code, stdout } = await secagg('keygen', '--data', data, '--json')
    assert.equal(code, 0)
    const { type, id } = JSON.parse(stdout) as { type: string; id: string }
    assert.equal(type, 'identity')
    assert.match(id, /^12D3KooW/)
    const file = join(data, 'identity.key')
    assert.equal((await stat(file)).mode & 0o777, 0o600)
    const key = await readFile(file)
    await refused(1, /identity\.key exists/, 'keygen', '--data', data)
    assert.deepEqual(await readFile(file), key)
  })

  it('says of a file that it is no folder, not that a key is in it', async () => {
    const file = join(folder(), 'file.txt')
    await writeFile(file, 'mine')
    await refused(1, /^secagg: \S+file\.txt is a file; name a folder\n$/, 'keygen', '--data', file)
    await refused(1, /member lies in a file; name a folder\n$/, 'keygen', '--data', join(file, 'member'))
    await refused(1, /file\.txt is a file; name a folder\n$/, 'keygen', '--network', join(file, 'network.key'))
    await refused(1, /file\.txt exists; name a new file/, 'keygen', '--network', file)
  })
})

describe('a suggestion', () => {
  it('is the nearest known word, and none where nothing is near', () => {
    assert.equal(nearest('bootstap', ['bootstrap', 'task', 'listen']), 'bootstrap')
    assert.equal(nearest('completely-else', ['bootstrap', 'task', 'listen']), undefined)
    assert.equal(nearest('x'.repeat(100_000), ['bootstrap']), undefined)
  })
})
