import type { Options } from 'yargs'

/** What was typed: every value as text, so that each option judges its own and refuses it in its own words. */
export type Typed = Record<string, string | string[] | boolean | undefined>

export interface Command {
  name: string
  /** The one word that stands behind the command's name, where it takes one. */
  argument?: { name: string; describe: string; optional?: boolean }
  summary: string
  options: Record<string, Options>
  /** What is typed, and what it does. */
  examples?: [line: string, what: string][]
  /** @returns the exit code: 0 on success, 1 on failure. Throws UsageError for wrong usage. */
  run(typed: Typed): Promise<number>
}

/** One JSON object a line, for scripts. */
export function printJson(value: object): void {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}
