import { CODE_P2P, multiaddr } from '@multiformats/multiaddr'
import { z } from 'zod'
import { defaultRetention } from './archive.ts'

/** The node's file: every field, its default and what editors show of it. Its JSON schema is made of it (scripts/schemas.ts). */

const MIB = 1 << 20
const levels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const

/** The parts of a daemon whose logs have a level of their own. */
export const logModules = ['round', 'network', 'api', 'libp2p'] as const
export type LogModule = (typeof logModules)[number]

const isAddress = (text: string): boolean => {
  try {
    return multiaddr(text).getComponents().length > 0
  } catch {
    return false
  }
}
const namesPeer = (text: string): boolean =>
  isAddress(text) &&
  multiaddr(text)
    .getComponents()
    .some(({ code }) => code === CODE_P2P)

const path = z.string('must be a path').min(1, 'must be a path')
const address = z.string('must be an address').refine(isAddress, 'is no address; write it like /ip4/127.0.0.1/tcp/4001')
const peerAddress = z
  .string('must be an address')
  .refine(isAddress, 'is no address; write it like /ip4/192.0.2.1/tcp/4001/p2p/12D3KooW…')
  .refine(
    (text) => !isAddress(text) || namesPeer(text),
    'has no peer id; add /p2p/ and the id that the peer prints at its start'
  )
const level = z.enum(levels, `must be one of ${levels.join(', ')}`)
const flag = z.boolean('must be true or false')
const seconds = (least: number, largest: number) => {
  const message = `must be seconds from ${least} to ${largest}`
  return z.number(message).min(least, message).max(largest, message)
}
const most = 2 ** 33
const bytes = z
  .number('must be a number of bytes')
  .int('must be a whole number of bytes')
  .min(1, 'must be at least 1 byte')
  .max(most, `must be at most ${most} bytes`)
const listOf = (item: z.ZodString, what: string) => z.array(item, `must be a list of ${what}`)
const text = (what: string) => z.string(`must be ${what}`).min(1, `must be ${what}`)

const relay = z.strictObject(
  {
    serve: flag.default(false).describe('Relay for other members, who reach each other through this one.'),
    use: listOf(peerAddress, 'addresses')
      .default([])
      .describe('Members that relay, through which others reach this one; for members behind routers.')
  },
  'must hold serve or use'
)

const api = z.strictObject(
  {
    listen: z
      .string('must be an address and port, or off')
      .regex(/^(off|\S+:\d{1,5})$/, 'must be an address and port like 127.0.0.1:4080, or off')
      .default('127.0.0.1:4080')
      .describe('Where the control API answers, or off.'),
    tokenFile: path.optional().describe('The file of its bearer token; api.token in dataDir if left out.'),
    allowedHosts: listOf(text('a host name'), 'host names')
      .default([])
      .describe('Names under which the API may be asked, beside those of loopback.'),
    allowedOrigins: listOf(text('an origin'), 'origins')
      .default([])
      .describe('Origins of web pages that may ask the API, beside its own.'),
    maxUploadBytes: bytes.default(1024 * MIB).describe('The largest vector that is taken, in bytes.'),
    requestTimeoutSeconds: seconds(1, 86_400)
      .default(60)
      .describe('How long a client may take to send its request, in seconds.'),
    dashboard: flag.default(true).describe('Serve the page that shows what is going on.')
  },
  'must hold fields of the API'
)

export const configSchema = z.strictObject({
  dataDir: path.describe('The folder of this member: identity, journal, vectors.'),
  task: path.describe('The file of the task, the same for every member.'),
  listen: listOf(address, 'addresses')
    .default(['/ip4/127.0.0.1/tcp/0'])
    .describe('Addresses to listen on; none for a member that only uses relays.'),
  announce: listOf(address, 'addresses')
    .default([])
    .describe('Addresses at which others reach this member beside those it listens on.'),
  bootstrap: listOf(peerAddress, 'addresses').default([]).describe('Addresses of members to meet the others through.'),
  mdns: flag.default(false).describe('Look for members on the local network segment.'),
  local: flag.default(false).describe('All members share one address, as on loopback. Never on the internet.'),
  networkKey: path.optional().describe('The file of the private network’s key, the same for every member.'),
  relay: relay.prefault({}).describe('Ways to members behind routers.'),
  api: api.prefault({}).describe('The control API.'),
  keepSums: z
    .number('must be a whole number')
    .int('must be a whole number')
    .min(1, 'must be at least 1')
    .max(10_000, 'must be at most 10000')
    .default(defaultRetention.keepSums)
    .describe('Of how many of the last rounds the sum and the transcript are kept, to be fetched and checked.'),
  keepRounds: z
    .number('must be a whole number')
    .int('must be a whole number')
    .min(1, 'must be at least 1')
    .max(1_000_000, 'must be at most 1000000')
    .default(defaultRetention.keepRounds)
    .describe('Of how many of the last rounds it is kept who was in and how long it took.'),
  stopSeconds: seconds(0, 3600)
    .default(30)
    .describe('How long a daemon that is told to end lets the running round go on, in seconds.'),
  logLevel: level.default('info').describe('What is logged.'),
  logLevels: z
    .partialRecord(z.enum(logModules, `must be one of ${logModules.join(', ')}`), level)
    .default({})
    .describe('Levels of single parts, where they differ; libp2p logs nothing unless it is named here.')
})

/** A node's file as a user writes it. */
export type NodeConfigInput = z.input<typeof configSchema>
/** The same with its defaults; paths are absolute. */
export type NodeConfig = z.output<typeof configSchema> & { api: { tokenFile: string } }

/** A field by its path: `api.listen`. */
export interface Field {
  path: string[]
  /** Kept as text when it comes from a flag or the environment; otherwise read as YAML. */
  isText: boolean
  isList: boolean
}

/** Every field that has a value of its own, for overrides and advice. */
export const configFields: readonly Field[] = fieldsOf(configSchema, [])

function fieldsOf(schema: z.core.$ZodType, above: string[]): Field[] {
  const bare = unwrap(schema)
  if (bare instanceof z.ZodObject)
    return Object.entries(bare.shape).flatMap(([key, inner]) => fieldsOf(inner as z.core.$ZodType, [...above, key]))
  if (bare instanceof z.ZodRecord)
    return logModules.map((name) => ({ path: [...above, name], isText: true, isList: false }))
  const isText = bare instanceof z.ZodString || bare instanceof z.ZodEnum
  return [{ path: above, isText, isList: bare instanceof z.ZodArray }]
}

function unwrap(schema: z.core.$ZodType): z.core.$ZodType {
  return schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional
    ? unwrap(schema.unwrap())
    : schema
}
