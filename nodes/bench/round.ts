import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { youngSpace } from '../local-network/process-peer.ts'
import { runNetwork } from '../local-network/run.ts'
import type { RoundReport } from '../local-network/report.ts'
import { packedLength } from '../../src/encoding/packing.ts'
import { medianOf, report } from './measure.ts'

const peers = 8
/** Of a fixed-point task of 16 bits and eight members. */
const bits = 19

/** Whole rounds of real processes, and the same bytes through the same processes with nothing else. */
export async function benchRounds(): Promise<void> {
  for (const { elements, rounds } of [
    { elements: 1000, rounds: 11 },
    { elements: 10_000_000, rounds: 3 }
  ]) {
    const bytes = packedLength(elements, bits)
    const [floor, collectingLess] = [await transferFloor(bytes, rounds), await transferFloor(bytes, rounds, asMembers)]
    report('transfer.floor', floor, { elements, processes: peers, collectingLess })
    const seen = await wall(elements, rounds)
    const ms = medianOf(seen.map(({ durationMs }) => durationMs))
    const phases = Object.keys(seen[0].phaseMs)
    const phaseMs = Object.fromEntries(
      phases.map((phase) => [phase, medianOf(seen.map((round) => round.phaseMs[phase] ?? 0))])
    )
    const eventLoopMaxMs = Math.max(...seen.flatMap((round) => round.eventLoopMaxMs))
    const eventLoopP99Ms = Math.max(...seen.flatMap((round) => round.eventLoopP99Ms))
    const summed = seen.every(({ exact }) => exact)
    report('round.wall', ms, {
      ...{
        elements,
        processes: peers,
        overFloor: ms / floor,
        overCollectingLess: ms / collectingLess,
        summed,
        phaseMs
      },
      ...{ eventLoopMaxMs, eventLoopP99Ms }
    })
  }
}

/** The same rounds without an audit and with the one that is usual, and what its chunks weigh. */
export async function benchAuditedRounds(): Promise<void> {
  const elements = 1_000_000
  const [without, audited] = [await wall(elements, 7, 0), await wall(elements, 7, 2)]
  const time = (seen: RoundReport[]): number => medianOf(seen.map(({ durationMs }) => durationMs))
  const received = (seen: RoundReport[]): number => medianOf(seen.map(({ bytesReceived: all }) => medianOf(all)))
  report('audit.round', time(audited), {
    elements,
    processes: peers,
    audit: 2,
    withoutMs: time(without),
    bytes: received(audited) - received(without)
  })
}

async function wall(elements: number, rounds: number, audit = 0): Promise<RoundReport[]> {
  const seen: RoundReport[] = []
  const run = {
    peers,
    rounds,
    encoding: { type: 'fixed', clip: 8, bits: 16 } as const,
    threat: { corrupt: 0.125, dropout: 0.25 },
    deadline: elements > 100_000 ? 60 : 10,
    audit,
    inputs: { length: elements, seed: 'bench' },
    kills: [],
    restart: true,
    inProcess: false
  }
  const audience = { round: (one: RoundReport) => void seen.push(one), warn: console.error, progress: false }
  await runNetwork(run, audience)
  // The first round warms everything up.
  return seen.slice(1)
}

interface Told {
  address?: string
}

/** The flags of Node that members run with, see `nodes/start.js`; the floor is also measured so. */
const asMembers = [
  youngSpace,
  ...(process.versions.v8.startsWith('13.') ? ['--external-memory-accounted-in-global-limit'] : [])
]

/** @param flags of Node, which has its defaults without them: what an application over bare libp2p would get */
async function transferFloor(vector: number, rounds: number, flags: string[] = []): Promise<number> {
  const children: ChildProcess[] = []
  const start = (hub: string[]): ChildProcess => {
    const sizes = [vector, vector, peers - 1].map(String)
    const name = import.meta.url.endsWith('.ts') ? 'transfer-peer.ts' : 'transfer-peer.js'
    const file = fileURLToPath(new URL(name, import.meta.url))
    const child = fork(file, [...sizes, ...hub], { execArgv: flags })
    children.push(child)
    return child
  }
  try {
    const hub = start([])
    const [{ address }] = (await once(hub, 'message')) as [Told]
    const ready = once(hub, 'message')
    const leaves = Array.from({ length: peers - 1 }, () => start([address!]))
    await Promise.all([ready, ...leaves.map((leaf) => once(leaf, 'message'))])
    const times: number[] = []
    for (let round = 0; round < rounds; round++) {
      const began = performance.now()
      const done = leaves.map((leaf) => once(leaf, 'message'))
      for (const child of children) child.send('go')
      await Promise.all(done)
      if (round > 0) times.push(performance.now() - began)
    }
    return medianOf(times)
  } finally {
    for (const child of children) child.kill()
  }
}
