import { dirname, join, resolve } from 'node:path'
import type { z } from 'zod'
import { SecureAggregationError, TaskError } from '../../src/errors.ts'
import { taskSchema } from '../../src/task/schema.ts'
import { createTask } from '../../src/task/task.ts'
import type { Task } from '../../src/task/task.ts'
import { nearest } from '../suggestion.ts'
import { configFields, configSchema } from './config-schema.ts'
import type { NodeConfig } from './config-schema.ts'
import { overlay } from './overrides.ts'
import type { Override } from './overrides.ts'
import { YamlFile } from './yaml-file.ts'

export type { NodeConfig, NodeConfigInput } from './config-schema.ts'

/**
 * A node's file, with what was given elsewhere laid over it. Paths in the file are relative to it, others to where the program
 * was started. Throws SecureAggregationError CONFIG_INVALID, naming each wrong field and its line.
 */
export async function readConfig(file: string, overrides: readonly Override[] = []): Promise<NodeConfig> {
  const written = await YamlFile.read(file)
  const parsed = configSchema.safeParse(overlay(written.value, overrides), { reportInput: true })
  if (!parsed.success) {
    const faults = parsed.error.issues.flatMap((issue) => describe(issue, written, overrides))
    throw new SecureAggregationError('CONFIG_INVALID', `${file}: ${faults.join('; ')}`, { cause: parsed.error })
  }
  const { dataDir, task, networkKey, api, ...rest } = parsed.data
  const absolute = (path: string, ...field: string[]): string =>
    resolve(overrideOf(field, overrides) === undefined ? dirname(resolve(file)) : '.', path)
  const data = absolute(dataDir, 'dataDir')
  return {
    ...rest,
    dataDir: data,
    task: absolute(task, 'task'),
    ...(networkKey !== undefined && { networkKey: absolute(networkKey, 'networkKey') }),
    api: {
      ...api,
      tokenFile: api.tokenFile === undefined ? join(data, 'api.token') : absolute(api.tokenFile, 'api', 'tokenFile')
    }
  }
}

function overrideOf(path: readonly PropertyKey[], overrides: readonly Override[]): Override | undefined {
  return overrides.findLast((override) => override.path.every((key, at) => key === path[at]))
}

function describe(issue: z.core.$ZodIssue, written: YamlFile, overrides: readonly Override[]): string[] {
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => `${place([...issue.path, key], written)}${unknownField(issue.path, key)}`)
  const { path } = issue
  if (path.length === 0) return ['it must hold fields, at least dataDir and task']
  const origin = overrideOf(path, overrides)?.origin
  const field = fieldName(path)
  if (issue.input === undefined && origin === undefined) return [`the field ${field} is missing; add it`]
  return [`${origin === undefined ? place(path, written) : `${origin}: `}${field} ${issue.message}`]
}

function place(path: readonly PropertyKey[], written: YamlFile): string {
  const line = written.line(path)
  return line === undefined ? '' : `line ${line}: `
}

function fieldName(path: readonly PropertyKey[]): string {
  return path.map((key, at) => (typeof key === 'number' ? `[${key}]` : `${at === 0 ? '' : '.'}${String(key)}`)).join('')
}

function unknownField(above: readonly PropertyKey[], key: string): string {
  const siblings = configFields
    .filter(({ path }) => above.every((name, at) => path[at] === name))
    .map(({ path }) => path[above.length])
  const meant = nearest(key, siblings)
  return `there is no field "${fieldName([...above, key])}"${meant === undefined ? '; remove it' : ` (did you mean "${meant}"?)`}`
}

/** A task file (YAML or JSON). Throws TaskError naming the file and line, or SecureAggregationError CONFIG_INVALID. */
export async function readTask(file: string): Promise<Task> {
  const written = await YamlFile.read(file)
  try {
    return createTask(written.value)
  } catch (error) {
    if (!(error instanceof TaskError)) throw error
    throw new TaskError(error.code, `${file}: ${faultLine(written)}${error.message}`, { cause: error })
  }
}

/** The line of the first fault, where it is a field that is there. */
function faultLine(written: YamlFile): string {
  const issue = taskSchema.safeParse(written.value).error?.issues[0]
  if (issue === undefined) return ''
  const path = issue.code === 'unrecognized_keys' ? [...issue.path, issue.keys[0]] : issue.path
  return place(path, written)
}
