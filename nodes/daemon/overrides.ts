import { parse } from 'yaml'
import { SecureAggregationError } from '../../src/errors.ts'
import { editDistance } from '../../src/task/refusal.ts'
import { nearest } from '../suggestion.ts'
import { UsageError } from '../usage-error.ts'
import { configFields } from './config-schema.ts'
import type { Field } from './config-schema.ts'

/** Fields of a node's file that were given elsewhere: `--set api.listen=off` comes before SECAGG_API_LISTEN, and that before the file. */

export interface Override {
  path: string[]
  value: unknown
  /** Where it was given, for people. */
  origin: string
}

const dotted = ({ path }: Field): string => path.join('.')

/** SECAGG_API_LISTEN for api.listen, SECAGG_DATA_DIR for dataDir. */
export function environmentName({ path }: Pick<Field, 'path'>): string {
  return ['secagg', ...path.map((key) => key.replaceAll(/[A-Z]/g, (letter) => `_${letter}`))].join('_').toUpperCase()
}

/** @throws SecureAggregationError CONFIG_INVALID for a variable that misspells a field; others that begin so are not ours */
export function fromEnvironment(environment: Record<string, string | undefined>): Override[] {
  const byName = new Map(configFields.map((field) => [environmentName(field), field]))
  return Object.entries(environment).flatMap(([name, text]) => {
    if (!name.startsWith('SECAGG_') || text === undefined) return []
    const field = byName.get(name)
    if (field !== undefined) return [{ path: field.path, value: valueOf(field, text, name), origin: name }]
    const meant = byName.keys().find((known) => editDistance(name, known) <= 2)
    if (meant === undefined) return []
    throw new SecureAggregationError('CONFIG_INVALID', `the variable ${name} is no field (did you mean ${meant}?)`)
  })
}

/** What follows `--set`: field=value, where the field is written api.listen. @throws UsageError */
export function fromFlags(texts: readonly string[]): Override[] {
  return texts.map((text) => {
    const [name, ...rest] = text.split('=')
    if (rest.length === 0) throw new UsageError(`--set needs field=value, like api.listen=off, not "${text}"`)
    const field = configFields.find((known) => dotted(known) === name)
    const origin = `--set ${name}`
    if (field !== undefined) return { path: field.path, value: valueOf(field, rest.join('='), origin), origin }
    const meant = nearest(name, configFields.map(dotted))
    const advice = meant === undefined ? '; see config/node.yaml' : ` (did you mean "${meant}"?)`
    throw new UsageError(`--set: there is no field "${name}"${advice}`)
  })
}

/** Text as it is; lists as YAML or separated by commas; all else as YAML. */
function valueOf(field: Field, text: string, origin: string): unknown {
  if (field.isText) return text
  if (field.isList && !text.trim().startsWith('['))
    return text
      .split(',')
      .map((item) => item.trim())
      .filter((item) => item !== '')
  try {
    return parse(text)
  } catch (cause) {
    throw new SecureAggregationError('CONFIG_INVALID', `${origin} is no YAML: ${text}`, { cause })
  }
}

/** The file's value with the overrides laid over it, the last ones uppermost. */
export function overlay(value: unknown, overrides: readonly Override[]): unknown {
  return overrides.reduce((whole, { path, value: own }) => put(whole, path, own), value)
}

function put(value: unknown, [key, ...rest]: string[], own: unknown): unknown {
  // What is no map is left for the schema to refuse.
  if (value !== undefined && value !== null && (typeof value !== 'object' || Array.isArray(value))) return value
  const map = (value ?? {}) as Record<string, unknown>
  return { ...map, [key]: rest.length === 0 ? own : put(map[key], rest, own) }
}
