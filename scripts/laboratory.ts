import { parseArgs } from 'node:util'
import { runNetwork } from '../nodes/local-network/run.ts'
import type { NetworkRun } from '../nodes/local-network/run.ts'
import { SecureAggregationError } from '../src/errors.ts'
import { Namespaces, NoNamespaces, removeLeftovers } from './laboratory/namespaces.ts'
import type { LinkShape } from './laboratory/namespaces.ts'
import { Measurements } from './laboratory/measurements.ts'

/**
 * The network laboratory: whole rounds of real members, each in a network namespace of its own, over links of a given rate.
 * As root: `npm run laboratory -- --members 16 --rate 100`. Sets everything up and takes it down again, also on Ctrl-C;
 * what a SIGKILL has left is removed by the next run. Where namespaces are not to be had it says why, and exits with 0.
 */

const options = {
  members: { type: 'string', default: '16' },
  rate: { type: 'string', default: '100' },
  delay: { type: 'string', default: '0' },
  loss: { type: 'string', default: '0' },
  elements: { type: 'string', default: '1000000' },
  shards: { type: 'string' },
  audit: { type: 'string', default: '0' },
  rounds: { type: 'string', default: '3' },
  timeout: { type: 'string', default: '60' },
  json: { type: 'boolean', default: false },
  clean: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false }
} as const

const help = `npm run laboratory -- [options]        as root, on Linux

Runs rounds of members in network namespaces of their own, joined by shaped links.

  --members N    members (16)
  --rate MBIT    Mbit/s of each member's link, either way (100)
  --delay MS     milliseconds between two members, one way, where the kernel has netem (0)
  --loss PART    part of the packets that get lost, as 0.01, where nft or iptables are to be had (0)
  --elements L   length of a vector (1000000)
  --shards S     aggregators that share a round (1)
  --audit A      how often each chunk of a sum is audited, or full (0)
  --rounds R     rounds that are measured, after one that warms up (3)
  --timeout S    the task's phase deadline in seconds (60)
  --json         one JSON object a line
  --clean        only removes what laboratories have left behind
`

class WrongUsage extends Error {}

function number(name: string, given: string, least: number, most: number, whole = true): number {
  const value = Number(given)
  if (given.trim() === '' || !(value >= least && value <= most) || (whole && !Number.isInteger(value)))
    throw new WrongUsage(`--${name} must be a ${whole ? 'whole ' : ''}number from ${least} to ${most}, not "${given}"`)
  return value
}

interface Plan {
  shape: LinkShape
  run: NetworkRun
  json: boolean
}

function planOf(args: string[]): Plan | 'help' | 'clean' {
  let typed
  try {
    typed = parseArgs({ args, options }).values
  } catch (error) {
    throw new WrongUsage((error as Error).message.split('\n')[0])
  }
  if (typed.help) return 'help'
  if (typed.clean) return 'clean'
  const peers = number('members', typed.members, 3, 128)
  const shards = typed.shards === undefined ? undefined : number('shards', typed.shards, 1, peers)
  return {
    json: typed.json,
    shape: {
      rate: number('rate', typed.rate, 0.1, 100_000, false),
      delay: number('delay', typed.delay, 0, 10_000, false),
      loss: number('loss', typed.loss, 0, 0.5, false)
    },
    run: {
      peers,
      rounds: 1 + number('rounds', typed.rounds, 1, 1_000),
      encoding: { type: 'fixed', clip: 8, bits: 16 },
      threat: { corrupt: 0.125, dropout: 0.25 },
      deadline: number('timeout', typed.timeout, 0.1, 3_600, false),
      inputs: { length: number('elements', typed.elements, 1, 2 ** 28), seed: 'laboratory' },
      kills: [],
      restart: true,
      inProcess: false,
      // Links are measured: in a full audit of many members on few processors they wait for the processors.
      audit: typed.audit === 'full' ? typed.audit : number('audit', typed.audit, 0, 128),
      ...(shards !== undefined && { shards })
    }
  }
}

async function measure({ shape, run, json }: Plan): Promise<number> {
  const say = (text: string): void => void process.stderr.write(`laboratory: ${text}\n`)
  const namespaces = new Namespaces(run.peers, shape)
  // An ending process takes its members and namespaces with it.
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143]
  ] as const)
    process.on(signal, () => process.exit(code))
  try {
    for (const lacking of namespaces.lacking) say(lacking)
    const measurements = new Measurements(shape, run, json)
    const place = (member: number) => ({
      within: namespaces.within(member),
      listen: `/ip4/${namespaces.address(member)}/tcp/0`
    })
    const summary = await runNetwork(
      { ...run, place },
      {
        started: (task) => measurements.begin(task),
        round: (round) => measurements.add(round),
        warn: say,
        progress: !json
      }
    )
    measurements.end()
    return summary.exact === summary.rounds ? 0 : 1
  } finally {
    namespaces.remove()
  }
}

async function main(args: string[]): Promise<number> {
  try {
    const plan = planOf(args)
    if (plan === 'help') process.stdout.write(help)
    if (plan === 'clean') process.stdout.write(`laboratory: ${removeLeftovers()} namespaces removed\n`)
    return typeof plan === 'string' ? 0 : await measure(plan)
  } catch (error) {
    if (error instanceof NoNamespaces) {
      if (args.includes('--json')) console.log(JSON.stringify({ type: 'skipped', why: error.message }))
      else process.stdout.write(`laboratory: skipped: ${error.message}\n`)
      return 0
    }
    const expected = error instanceof WrongUsage || error instanceof SecureAggregationError
    process.stderr.write(`laboratory: ${expected ? error.message : (error as Error).stack}\n`)
    return error instanceof WrongUsage ? 2 : 1
  }
}

process.exit(await main(process.argv.slice(2)))
