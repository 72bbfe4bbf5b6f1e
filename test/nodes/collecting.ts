import { writeFileSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { isMainThread } from 'node:worker_threads'

/**
 * Loaded by `node --import` into a process whose memory is watched: what V8 has not yet collected swings by a hundred
 * MiB and tells nothing of what grows. On SIGUSR2 it collects, and says by a file of its process's name that it has.
 */
const told = process.env.COLLECTED_FOLDER
if (isMainThread && told !== undefined) {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  process.on('SIGUSR2', () => {
    collect()
    writeFileSync(`${told}/${process.pid}`, '')
  })
}
