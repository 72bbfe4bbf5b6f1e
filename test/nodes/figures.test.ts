import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { packageFile } from '../../nodes/package-root.ts'

const figures = (...names: string[]) =>
  promisify(execFile)(process.execPath, [packageFile('nodes/learner/figures/run.ts'), ...names])

describe('npm run figures', () => {
  it('says which figures there are, whoever asks for help', async () => {
    for (const option of ['--help', '-h']) {
      const { stdout, stderr } = await figures(option)
      assert.match(stdout, /^Usage: npm run figures [^]*accuracy-words[^]*robustness/)
      assert.equal(stderr, '')
    }
  })

  it('ends with 2 where there is no such figure', async () => {
    const refused = (error: unknown): boolean => {
      const { code, stderr } = error as { code: number; stderr: string }
      return code === 2 && /^there is no figure "robust"; name some of accuracy-words/.test(stderr)
    }
    await assert.rejects(figures('robust'), refused)
  })
})
