import { dirname, join, resolve } from 'node:path'
import type { z } from 'zod'
import { SecureAggregationError, TaskError } from '../../src/errors.ts'
import { faultsOf, refusalOf } from '../../src/task/refusal.ts'
import { fieldNames, taskSchema } from '../../src/task/schema.ts'
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
    const faults = inOrder(parsed.error.issues.flatMap((issue) => describe(issue, written, overrides)))
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

/** What is wrong, and in which line where that is known. */
interface LineFault {
  line?: number
  sentence: string
}

function describe(issue: z.core.$ZodIssue, written: YamlFile, overrides: readonly Override[]): LineFault[] {
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => ({
      line: written.line([...issue.path, key]),
      sentence: unknownField(issue.path, key)
    }))
  const { path } = issue
  if (path.length === 0) return [{ sentence: 'it must hold fields, at least dataDir and task' }]
  const origin = overrideOf(path, overrides)?.origin
  const field = fieldName(path)
  if (issue.input === undefined && origin === undefined) return [{ sentence: `the field ${field} is missing; add it` }]
  if (origin !== undefined) return [{ sentence: `${origin}: ${field} ${issue.message}` }]
  return [{ line: written.line(path), sentence: `${field} ${issue.message}` }]
}

/** As they stand in the file, and then what stands nowhere in it. */
function inOrder(faults: readonly LineFault[]): string[] {
  return faults
    .toSorted((a, b) => (a.line ?? Infinity) - (b.line ?? Infinity) || 0)
    .map(({ line, sentence }) => (line === undefined ? sentence : `line ${line}: ${sentence}`))
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

/** A task file (YAML or JSON). Throws TaskError naming the file and lines, or SecureAggregationError CONFIG_INVALID. */
export async function readTask(file: string): Promise<Task> {
  const written = await YamlFile.read(file)
  try {
    return createTask(written.value)
  } catch (error) {
    if (!(error instanceof TaskError)) throw error
    throw new TaskError(error.code, `${file}: ${withLines(written) ?? error.message}`, { cause: error })
  }
}

/** The refusal of a task for its fields, each with its line; undefined where it is refused for what they mean together. */
function withLines(written: YamlFile): string | undefined {
  const { error } = taskSchema.safeParse(written.value)
  if (error === undefined) return undefined
  const faults = faultsOf(error, written.value, fieldNames)
  return refusalOf(inOrder(faults.map(({ path, sentence }) => ({ line: written.line(path), sentence }))))
}
