import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

function findRoot(): URL {
  let folder = new URL('.', import.meta.url)
  while (!existsSync(new URL('package.json', folder))) folder = new URL('..', folder)
  return folder
}

const root = findRoot()

/** A file of this package, whether it runs from the sources or from `dist/`. */
export function packageFile(path: string): string {
  return fileURLToPath(new URL(path, root))
}
