import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const root = fileURLToPath(new URL('../../', import.meta.url))

describe('the API documentation', () => {
  it('says something of every public symbol, and refers to nothing that is not there', async () => {
    // Any warning is a failure there.
    const typedoc = join(root, 'node_modules/typedoc/bin/typedoc')
    await promisify(execFile)(process.execPath, [typedoc, '--emit', 'none'], { cwd: root })
  }).timeout(300_000)
})
