import type { Options } from 'yargs'
import { mortalPhases } from '../local-network/kills.ts'
import type { Kill } from '../local-network/kills.ts'
import type { NetworkRun } from '../local-network/run.ts'
import type { TaskInput } from '../../src/task/task.ts'
import { LARGEST_ROSTER } from '../../src/task/thresholds.ts'
import { nearest } from '../suggestion.ts'
import type { Typed } from './command.ts'
import { UsageError } from '../usage-error.ts'
import { decimalNumber, wholeNumber } from './usage.ts'

const longestVector = 2 ** 28

function text(describe: string, defaultDescription?: string): Options {
  return { type: 'string', requiresArg: true, describe, defaultDescription }
}

export const networkOptions: Record<string, Options> = {
  peers: text('members, at least 3', '8'),
  rounds: text('rounds', '5'),
  length: text('length of generated vectors', '1000'),
  inputs: text('folder of peer-0.npy …, one a member (peer-0.round-2.npy: for one round)'),
  out: text('folder for round-1.npy (the sum) and round-1.json …'),
  encoding: text('integer, or fixed for floats', 'fixed'),
  max: text('integer: the largest value', '65535'),
  min: text('integer: the least value', '0'),
  clip: text('fixed: beyond ±clip values are clipped', '8'),
  bits: text('fixed: bits of a value', '16'),
  weights: text('fixed: a whole number for each member, with commas'),
  corrupt: text('largest fraction of corrupt members', '0.125'),
  dropout: text('largest fraction of missing members', '0.25'),
  kill: {
    type: 'string',
    array: true,
    nargs: 1,
    requiresArg: true,
    describe: `WHO@PHASE[:ROUND]: SIGKILL at a phase; WHO is a number, aggregator, or member (the first that does not lead), PHASE one of ${mortalPhases.join(', ')}; repeatable`
  },
  'no-restart': { type: 'boolean', describe: 'leave killed members dead' },
  shards: text('members that share the adding up, each a slice of the vector', '1'),
  audit: text('how often each chunk of a sum is audited, or full', '2; full up to 30 members and 2^20 elements'),
  'in-process': { type: 'boolean', describe: 'all members in one process, without sockets' },
  timeout: text('phase deadline in seconds', '10; of more than 16 members in one process longer'),
  seed: text('any text: generates the same inputs again (never keys or masks)'),
  dashboard: { type: 'boolean', describe: 'a page on loopback that shows what happens' },
  pause: text('seconds between rounds', '0, with --dashboard 1'),
  data: text('keep the members’ data in this new folder')
}

/** What `secagg network` was asked to run. Throws UsageError. */
export function networkRun(typed: Typed): NetworkRun {
  const given = (option: string): string | undefined => typed[option] as string | undefined
  const whole = (option: string, fallback: number, least: number, largest?: number): number =>
    wholeNumber(`--${option}`, given(option) ?? String(fallback), least, largest)
  const peers = whole('peers', 8, 3)
  const rounds = whole('rounds', 5, 1)
  const weights = parseWeights(given('weights'), peers)
  const kills = ((typed.kill ?? []) as string[]).map((kill) => parseKill(kill, peers, rounds))
  const inProcess = typed['in-process'] === true
  if (inProcess && kills.length > 0) {
    throw new UsageError('--kill needs a process for each member; leave out --in-process')
  }
  const fraction = (option: string, fallback: number): number =>
    decimalNumber(`--${option}`, given(option) ?? String(fallback), 0, 0.9999)
  return {
    peers,
    rounds,
    encoding: parseEncoding(given, whole, weights),
    threat: { corrupt: fraction('corrupt', 0.125), dropout: fraction('dropout', 0.25) },
    shards: whole('shards', 1, 1, peers),
    deadline: decimalNumber('--timeout', given('timeout') ?? String(defaultDeadline(peers, inProcess)), 0.1, 3600),
    ...(given('audit') !== undefined && { audit: parseAudit(given('audit')!) }),
    inputs: parseInputs(given, whole),
    weights,
    kills,
    restart: typed['no-restart'] !== true,
    inProcess,
    out: given('out'),
    data: given('data')
  }
}

/** Seconds. In one process the members share one processor, and each has something to do for every other. */
function defaultDeadline(peers: number, inProcess: boolean): number {
  return inProcess ? Math.ceil(10 * Math.max(1, peers / 16)) : 10
}

/** Milliseconds between rounds: a page is to be read. */
export function pauseMs(typed: Typed): number {
  const fallback = typed.dashboard === true ? '1' : '0'
  return 1000 * decimalNumber('--pause', (typed.pause as string | undefined) ?? fallback, 0, 3600)
}

type Given = (option: string) => string | undefined
type Whole = (option: string, fallback: number, least: number, largest?: number) => number

function parseAudit(text: string): number | 'full' {
  return text === 'full' ? text : wholeNumber('--audit, if not full,', text, 0, LARGEST_ROSTER)
}

function parseEncoding(given: Given, whole: Whole, weights: number[] | undefined): TaskInput['encoding'] {
  const type = given('encoding') ?? 'fixed'
  if (type !== 'integer' && type !== 'fixed') throw new UsageError(`--encoding must be integer or fixed, not "${type}"`)
  const foreign = type === 'fixed' ? ['max', 'min'] : ['clip', 'bits', 'weights']
  const wrong = foreign.find((option) => given(option) !== undefined)
  if (wrong !== undefined) {
    throw new UsageError(
      `--${wrong} has no meaning with --encoding ${type}; leave it out or choose --encoding ${type === 'fixed' ? 'integer' : 'fixed'}`
    )
  }
  if (type === 'integer') {
    const min = whole('min', 0, -Number.MAX_SAFE_INTEGER)
    const max = whole('max', 65_535, -Number.MAX_SAFE_INTEGER)
    if (max <= min) throw new UsageError(`--max must be above --min, and ${max} is not above ${min}`)
    return { type, min, max }
  }
  const clip = decimalNumber('--clip', given('clip') ?? '8', 1e-100, 1e100)
  const bits = whole('bits', 16, 2, 31)
  return { type, clip, bits, ...(weights === undefined ? {} : { weighted: Math.max(...weights) }) }
}

function parseWeights(list: string | undefined, peers: number): number[] | undefined {
  if (list === undefined) return undefined
  const weights = list.split(',').map((weight) => wholeNumber('each of --weights', weight.trim(), 1, 2 ** 31 - 1))
  if (weights.length !== peers) {
    throw new UsageError(`--weights must name one weight for each of the ${peers} members, not ${weights.length}`)
  }
  return weights
}

function parseInputs(given: Given, whole: Whole): NetworkRun['inputs'] {
  const folder = given('inputs')
  if (folder === undefined) return { length: whole('length', 1000, 1, longestVector), seed: given('seed') }
  if (given('seed') !== undefined) throw new UsageError('--seed is for generated inputs; leave it out with --inputs')
  const length = given('length') === undefined ? undefined : whole('length', 1000, 1, longestVector)
  return { folder, length }
}

function parseKill(text: string, peers: number, rounds: number): Kill {
  const [, who, phase, at] = /^([^@]+)@([^:]+)(?::(.+))?$/.exec(text) ?? []
  if (who === undefined)
    throw new UsageError(`--kill must be WHO@PHASE or WHO@PHASE:ROUND, as in 5@mask:3, not "${text}"`)
  if (!isMortal(phase)) {
    const meant = nearest(phase, mortalPhases)
    throw new UsageError(
      `--kill ${text}: the phase must be one of ${mortalPhases.join(', ')}${meant === undefined ? '' : ` (did you mean ${meant}?)`}`
    )
  }
  const round = wholeNumber(`--kill ${text}: the round`, at ?? '1', 1, rounds)
  if (who === 'aggregator' || who === 'member') return { who, phase, round }
  return { who: wholeNumber(`--kill ${text}: WHO, if not aggregator or member,`, who, 0, peers - 1), phase, round }
}

function isMortal(phase: string): phase is Kill['phase'] {
  return (mortalPhases as readonly string[]).includes(phase)
}
