/** One thing that was looked at. `fail`: the daemon would not start, or the task cannot be run. `warn`: it would, and not well. */
export interface Check {
  name: string
  status: 'ok' | 'warn' | 'fail'
  /** What was found and, unless all is well, what to do. */
  message: string
}

export const ok = (name: string, message: string): Check => ({ name, status: 'ok', message })
export const warn = (name: string, message: string): Check => ({ name, status: 'warn', message })
export const fail = (name: string, message: string): Check => ({ name, status: 'fail', message })

/** The check's own word, or a failure with the reason of whatever it threw. */
export async function checked(name: string, check: () => Promise<Check | string>): Promise<Check> {
  try {
    const found = await check()
    return typeof found === 'string' ? ok(name, found) : found
  } catch (error) {
    return fail(name, (error as Error).message)
  }
}

/** For people, a line each. */
export function checkLines(checks: readonly Check[]): string {
  // An address is longer than what is worth a column.
  const width = Math.min(28, Math.max(...checks.map(({ name }) => name.length)))
  return checks.map(({ name, status, message }) => `${status.padEnd(4)}  ${name.padEnd(width)}  ${message}\n`).join('')
}

export function size(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB']
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10))
  return `${Number((bytes / 1024 ** power).toPrecision(3))} ${units[power]}`
}
