import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { packageFile } from '../../nodes/package-root.ts'

const laboratory = (...args: string[]) =>
  spawnSync(process.execPath, [packageFile('scripts/laboratory.ts'), ...args], { encoding: 'utf8' })

describe('the network laboratory', () => {
  it('refuses what it does not understand in one line, before it makes anything', () => {
    const wrong = laboratory('--members', '2')
    assert.equal(wrong.status, 2)
    assert.equal(wrong.stderr, 'laboratory: --members must be a whole number from 3 to 128, not "2"\n')
    assert.equal(laboratory('--rat', '100').status, 2)
  })

  it('says why it measures nothing where namespaces are not to be had', function () {
    // Root is let to make them, or the system says why not; both need a machine of their own to be seen.
    if (process.getuid?.() !== 0) {
      const { status, stdout } = laboratory('--json')
      assert.equal(status, 0)
      assert.match((JSON.parse(stdout) as { why: string }).why, /only root may make network namespaces|Linux/)
      return
    }
    const asNobody = ['-e', `process.setuid('nobody'); process.argv.splice(2, 0, '--json'); import(process.argv[1])`]
    const file = packageFile('scripts/laboratory.ts')
    const { status, stdout, stderr } = spawnSync(process.execPath, [...asNobody, '--', file], { encoding: 'utf8' })
    if (/EACCES|ERR_MODULE_NOT_FOUND/.test(stderr)) return this.skip()
    assert.equal(status, 0, stderr)
    assert.match((JSON.parse(stdout) as { why: string }).why, /only root may make network namespaces/)
  })
})
