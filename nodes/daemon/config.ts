import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { parse } from 'yaml'
import { z } from 'zod'
import { SecureAggregationError, TaskError } from '../../src/errors.ts'
import { createTask } from '../../src/task/task.ts'
import type { Task } from '../../src/task/task.ts'
import { nearest } from '../suggestion.ts'

const configSchema = z.strictObject({
  dataDir: z.string().min(1),
  task: z.string().min(1),
  listen: z.array(z.string()).min(1).default(['/ip4/127.0.0.1/tcp/0']),
  bootstrap: z.array(z.string()).default([]),
  mdns: z.boolean().default(false),
  local: z.boolean().default(false),
  logLevel: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info')
})

/** A node's file as a user writes it. */
export type NodeConfigInput = z.input<typeof configSchema>
/** The same with its defaults; `dataDir` and `task` are absolute. */
export type NodeConfig = z.output<typeof configSchema>

function refuse(file: string, what: string, cause?: unknown): never {
  throw new SecureAggregationError('CONFIG_INVALID', `${file} ${what}`, { cause })
}

/** What a YAML (or JSON) file says. Throws SecureAggregationError CONFIG_INVALID. */
async function readYaml(file: string): Promise<unknown> {
  const text = await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    const why = cause.code === 'ENOENT' ? 'no such file' : cause.message
    return refuse(file, `cannot be read (${why})`, cause)
  })
  try {
    return parse(text)
  } catch (cause) {
    const [sentence] = (cause as Error).message.split('\n')
    return refuse(file, `is no YAML: ${sentence.replace(/:$/, '')}`, cause)
  }
}

/** Paths in the file are relative to it. Throws SecureAggregationError CONFIG_INVALID, naming each wrong field. */
export async function readConfig(file: string): Promise<NodeConfig> {
  const parsed = configSchema.safeParse(await readYaml(file))
  if (!parsed.success) refuse(file, parsed.error.issues.map(describe).join('; '), parsed.error)
  const { dataDir, task, ...rest } = parsed.data
  const folder = dirname(resolve(file))
  return { ...rest, dataDir: resolve(folder, dataDir), task: resolve(folder, task) }
}

function describe(issue: z.core.$ZodIssue): string {
  if (issue.code === 'unrecognized_keys') return issue.keys.map(unknownField).join('; ')
  const field = issue.path
    .map((key, at) => (typeof key === 'number' ? `[${key}]` : `${at === 0 ? '' : '.'}${String(key)}`))
    .join('')
  if (field === '') return 'must hold fields, at least dataDir and task'
  if (issue.code === 'invalid_type' && issue.input === undefined && issue.message.includes('undefined'))
    return `lacks the field ${field}; add it`
  return `has a wrong ${field}: ${issue.message.replace(/^Invalid (input|option): /, '')}`
}

function unknownField(key: string): string {
  const meant = nearest(key, Object.keys(configSchema.shape))
  return `has an unknown field "${key}"${meant === undefined ? '; remove it' : ` (did you mean "${meant}"?)`}`
}

/** A task file (YAML or JSON). Throws TaskError naming the file, or SecureAggregationError CONFIG_INVALID. */
export async function readTask(file: string): Promise<Task> {
  const written = await readYaml(file)
  try {
    return createTask(written)
  } catch (error) {
    if (error instanceof TaskError) throw new TaskError(error.code, `${file}: ${error.message}`, { cause: error })
    throw error
  }
}
