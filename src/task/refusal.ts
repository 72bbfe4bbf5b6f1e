import type { z } from 'zod'

const mostNamed = 3

/** One thing that is wrong with a task, and the field that it is about. */
export interface Fault {
  path: readonly PropertyKey[]
  sentence: string
}

/** Why a task was refused, in one sentence that names each field by its path; `knownKeys` are for spelling advice. */
export function refusal(error: z.ZodError, input: unknown, knownKeys: readonly string[]): string {
  return refusalOf(faultsOf(error, input, knownKeys).map(({ sentence }) => sentence))
}

export function refusalOf(faults: readonly string[]): string {
  const named = faults.slice(0, mostNamed).join('; ')
  const rest = faults.length > mostNamed ? `; and ${faults.length - mostNamed} more` : ''
  return `this task cannot be used: ${named}${rest}`
}

export function faultsOf(error: z.ZodError, input: unknown, knownKeys: readonly string[]): Fault[] {
  return error.issues.flatMap((issue): Fault[] => {
    const { path } = issue
    if (issue.code !== 'unrecognized_keys') return [{ path, sentence: describe(issue, input) }]
    const above = fieldName(path) || 'a task'
    return issue.keys.map((key) => ({
      path: [...path, key],
      sentence: `${above} has no field "${key}"${advice(key, knownKeys)}`
    }))
  })
}

function describe(issue: z.core.$ZodIssue, input: unknown): string {
  const field = fieldName(issue.path)
  if (field === '') return 'it must be an object with at least name, members, length and encoding'
  if (valueAt(input, issue.path) === undefined) return `${field} is missing`
  if (issue.code === 'invalid_type' && issue.message.startsWith('Invalid input')) {
    return `${field} must be ${kinds[issue.expected] ?? issue.expected}`
  }
  return `${field} ${issue.message}`
}

const kinds: Record<string, string> = {
  string: 'a text',
  array: 'a list',
  object: 'an object of fields',
  number: 'a number'
}

function fieldName(path: readonly PropertyKey[]): string {
  return path.map((key, at) => (typeof key === 'number' ? `[${key}]` : `${at === 0 ? '' : '.'}${String(key)}`)).join('')
}

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
  let value = input
  for (const key of path) {
    if (typeof value !== 'object' || value === null) return undefined
    value = (value as Record<PropertyKey, unknown>)[key]
  }
  return value
}

function advice(key: string, knownKeys: readonly string[]): string {
  const [nearest] = knownKeys
    .map((known) => ({ known, edits: editDistance(key, known) }))
    .sort((a, b) => a.edits - b.edits)
  return nearest !== undefined && nearest.edits <= 2 ? ` (did you mean "${nearest.known}"?)` : '; remove it'
}

/** Levenshtein distance. Only its start is read of an overlong key, which is no misspelling anyway. */
export function editDistance(written: string, known: string): number {
  const text = written.slice(0, 40)
  let row = Array.from({ length: known.length + 1 }, (_, at) => at)
  for (let i = 1; i <= text.length; i++) {
    const next = [i]
    for (let j = 1; j <= known.length; j++) {
      const substituted = row[j - 1] + (text[i - 1] === known[j - 1] ? 0 : 1)
      next.push(Math.min(substituted, row[j] + 1, next[j - 1] + 1))
    }
    row = next
  }
  return row[known.length]
}
