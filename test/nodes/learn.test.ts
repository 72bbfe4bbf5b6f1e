import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { LearningReport } from '../../nodes/learner/learning-network.ts'
import { readNpy } from '../../nodes/npy.ts'
import { processesOf, secagg, startSecagg, temporaryFolder } from './secagg.ts'

describe('secagg learn', () => {
  const folder = temporaryFolder()

  it('is what npm start runs', async () => {
    const { scripts } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8')) as {
      scripts: Record<string, string>
    }
    assert.equal(scripts.start, 'node nodes/start.js learn')
    assert.equal(scripts['word-counts'], 'node nodes/start.js word-counts')
  })

  it('lets eight processes learn one model, one of which is killed and comes back', async () => {
    const out = join(folder(), 'out')
    const { code, stdout, stderr } = await secagg('learn', '--json', '--rounds', '4', '--out', out)
    assert.equal(code, 0, stderr)
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    const rounds = lines.filter(({ type }) => type === 'round') as unknown as LearningReport[]
    assert.equal(rounds.length, 4)
    for (const { status, exact, sameModel, summed } of rounds) {
      assert.deepEqual([status, exact, sameModel], ['summed', true, true])
      assert.ok(summed!.examples > 0 && summed!.loss > 0)
      assert.ok(summed!.clippedFraction! >= 0 && summed!.clippedFraction! < 0.01)
    }
    const [killed] = rounds[2].killed
    assert.deepEqual(rounds[2].dropped, [killed])
    assert.equal(rounds[3].included.length, 8)
    assert.equal(new Set(rounds.map(({ aggregatorIndex }) => aggregatorIndex)).size, 4)
    // What the members summed of their own held-out examples is how good the model of the round before was.
    assert.ok(Math.abs(rounds[3].summed!.accuracy - rounds[2].together) < 0.05)
    assert.ok(rounds[3].together > 1.5 * rounds[3].alone, `${rounds[3].together} against ${rounds[3].alone}`)
    const predicted = lines.find(({ type }) => type === 'predictions')!.predictions as { typed: string }[]
    assert.ok(predicted.length >= 5)
    assert.match(stderr, /you type … and all together go on/)
    assert.ok((await readNpy(join(out, 'model.npy'))).values.length > 10_000)
    assert.equal((await readFile(join(out, 'rounds.jsonl'), 'utf8')).trim().split('\n').length, 4)
  })

  it('ends at once when it is interrupted, and leaves neither a process nor a folder behind', async () => {
    const { TMPDIR } = process.env
    const home = join(folder(), 'interrupted')
    await mkdir(home)
    process.env.TMPDIR = home
    const { child, ended } = startSecagg('learn', '--json', '--peers', '3', '--rounds', '1000')
    if (TMPDIR === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = TMPDIR
    const folders = async () => (await readdir(home)).filter((name) => name.startsWith('secagg-'))
    await new Promise((resolve) => child.stdout!.once('data', resolve))
    assert.deepEqual([(await processesOf(home)).length, (await folders()).length], [3, 1])
    child.kill('SIGINT')
    assert.equal((await ended).code, 130)
    for (let tries = 0; tries < 100 && (await processesOf(home)).length > 0; tries++) await sleep(50)
    assert.deepEqual(await processesOf(home), [])
    assert.deepEqual(await folders(), [])
  })

  it('refuses what it does not know in one line, and starts nothing', async () => {
    const out = join(folder(), 'never')
    for (const [option, value, why] of [
      ['--problem', 'word', /--problem must be words or digits, not "word" \(did you mean words\?\)/],
      ['--algorithm', 'sgd', /--algorithm must be fedavg or fedavgm or fedadam/],
      ['--peers', '25', /--peers must be a whole number from 3 to 24/]
    ] as const) {
      const { code, stderr } = await secagg('learn', option, value, '--out', out)
      assert.equal(code, 2)
      assert.match(stderr, why)
      assert.equal(stderr.trim().split('\n').length, 1)
    }
    assert.ok(!existsSync(out))
  })
})
