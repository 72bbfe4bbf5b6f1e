import { mkdir, open } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'

/** Puts on disk which names a directory holds: an fsync of a file does not say so of its name. */
export async function syncDirectory(directory: string): Promise<void> {
  // Windows cannot open a directory, and its file systems journal names themselves.
  if (process.platform === 'win32') return
  const handle = await open(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Makes `directory` (0700) and what is missing above it, all on disk when the promise resolves. */
export async function makeDirectory(directory: string): Promise<void> {
  const first = await mkdir(directory, { recursive: true, mode: 0o700 })
  if (first === undefined) return
  const above = dirname(resolve(first))
  for (let made = resolve(directory); made !== above;) {
    made = dirname(made)
    await syncDirectory(made)
  }
}
