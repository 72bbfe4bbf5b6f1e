import assert from 'node:assert/strict'
import { join } from 'node:path'
import { network, secagg, temporaryFolder } from './secagg.ts'

describe('the rounds that stopped nodes keep', function () {
  this.timeout(120_000)
  const folder = temporaryFolder()

  it('are audited and exported where they were summed in slices, and the export is audited alone', async () => {
    const data = join(folder(), 'slices')
    const shape = ['--peers', '4', '--rounds', '2', '--length', '70000', '--shards', '4', '--audit', '2']
    const run = await network(...shape, '--timeout', '20', '--data', data, '--in-process')
    assert.equal(run.code, 0, run.stderr)
    const stopped = ['--data', join(data, 'peer-0')]
    const audited = await secagg('audit', '1', ...stopped)
    assert.equal(audited.code, 0, audited.stderr)
    assert.match(audited.stdout, /^round 1 of .*: summed\n {2}sum of 4 members/)
    assert.match(audited.stdout, /holds: the sum, under the root/)
    const file = join(folder(), 'slices.tar')
    const exported = await secagg('export', '2', '--out', file, ...stopped)
    assert.equal(exported.code, 0, exported.stderr)
    const alone = await secagg('audit', '--file', file)
    assert.equal(alone.code, 0, alone.stderr)
    assert.match(alone.stdout, /holds: the sum, under the root/)
  })
})
