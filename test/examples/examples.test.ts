import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'

const root = new URL('../../', import.meta.url)

/** Runs an example as its README says, and returns what it prints. */
async function run(name: string): Promise<string> {
  const { scripts } = JSON.parse(await readFile(new URL('package.json', root), 'utf8')) as {
    scripts: Record<string, string>
  }
  const [program, file] = scripts[`example:${name}`].split(' ')
  assert.equal(program, 'node')
  assert.ok((await readFile(new URL('examples/README.md', root), 'utf8')).includes(`npm run example:${name}`))
  assert.ok((await readFile(new URL(file, root), 'utf8')).split('\n').length <= 60)
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [file], { cwd: root })
  assert.equal(stderr, '')
  return stdout
}

describe('the examples', () => {
  it('count a private poll exactly', async () => {
    assert.equal(
      await run('poll'),
      [
        'Shall the library open on Sundays? 4 of 5 say yes',
        'Shall the square be closed to cars? 3 of 5 say yes',
        'A new playground? 3 of 5 say yes',
        ''
      ].join('\n')
    )
  })

  it('draw the histogram of all apps, in which no measurement is lost', async () => {
    const lines = (await run('histogram')).trimEnd().split('\n')
    const heads = lines.filter((line) => line.startsWith('round'))
    assert.deepEqual(heads, ['round 1: 600 requests of 6 apps', 'round 2: 600 requests of 6 apps'])
    assert.equal(lines.length, 2 * (1 + 8))
  })

  it('learn a line that no member sees as a whole', async () => {
    const [, slope, sign, offset] = /y = (\d\.\d+)x ([−+]) (\d\.\d+)\n$/.exec(await run('averaging'))!
    assert.equal(sign, '−')
    assert.ok(Math.abs(Number(slope) - 3) < 0.2, slope)
    assert.ok(Math.abs(Number(offset) - 1) < 0.2, offset)
  })
})
