import { performance } from 'node:perf_hooks'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { addMasks, createLanes, laneBytes } from '../../src/crypto/mask-stream.ts'
import { createTask, dataDeadlineMs } from '../../src/task/task.ts'
import type { Task, Thresholds } from '../../src/task/task.ts'
import { LARGEST_COMPLETE_GRAPH } from '../../src/task/thresholds.ts'
import { ok, size, warn } from './check.ts'
import type { Check } from './check.ts'
import { roundBytes } from './round-bytes.ts'
import type { RoundBytes } from './round-bytes.ts'
import { roundSeconds } from './round-time.ts'
import type { Link } from './round-time.ts'

/** What a task asks of its members. */
export interface TaskReport {
  type: 'task'
  members: number
  thresholds: Thresholds
  /** With how many others a member lays masks: on the complete graph with all. */
  degree: number
  bits: { element: number; ring: number; most: number }
  bytes: RoundBytes & { disk: number; memory: number; expansion: number }
  /** Milliseconds on this machine, one thread: a contributor's masks, and what a leader takes off if D members drop out. */
  maskMs: number
  unmaskMs: number
  /** Of a whole round in which nobody drops out, where a link was named. */
  round?: Link & { seconds: number }
  /** A phase's deadline, and one's in which vectors travel. */
  deadlineMs: number
  dataDeadlineMs: number
}

/** Elements on which masking is timed. */
const SAMPLE = 2 ** 20
const SAMPLE_MASKS = 4
const WIDEST_RING = 32

/**
 * The same task for as many members, whoever they will be.
 * Throws TaskError: what is infeasible and why.
 */
export async function withMembers(written: unknown, count: number): Promise<Task> {
  const keys = await Promise.all(Array.from({ length: count }, () => generateKeyPair('Ed25519')))
  const members = keys.map((key) => peerIdFromPrivateKey(key).toString())
  // Beyond 128 members a task names randomness, which is drawn once they are known; here any will do.
  const randomness = count > LARGEST_COMPLETE_GRAPH && { randomness: '00'.repeat(32) }
  return createTask(typeof written === 'object' ? { ...randomness, ...written, members } : written)
}

/** @param link between members, to say how long a round takes over it */
export async function reportTask(task: Task, link?: Link): Promise<TaskReport> {
  const { thresholds, bits, laneCount, encoding } = task
  const n = thresholds.members
  // Of an integer the range; otherwise the task says.
  const element = encoding.type === 'integer' ? Math.ceil(Math.log2(encoding.max - encoding.min + 1)) : encoding.bits
  const bytes = roundBytes(task)
  const partners = thresholds.graph?.maskDegree ?? n - 1
  const work = await workOf(task)
  const { maskMs } = work
  const msPerMask = work.unmaskMs / n
  return {
    type: 'task',
    members: n,
    thresholds,
    degree: partners,
    bits: { element, ring: bits, most: WIDEST_RING },
    bytes: {
      ...bytes,
      disk: (n + 1) * bytes.vector,
      memory: laneCount * laneBytes(bits),
      expansion: (8 * bytes.member.sent) / (task.length * element)
    },
    // Its own mask, and one with every partner.
    maskMs,
    // The self masks of the included, and what these laid for the dropped.
    unmaskMs: msPerMask * (n - thresholds.D + thresholds.D * Math.min(partners, n - thresholds.D)),
    ...(link && { round: { ...link, seconds: roundSeconds(bytes, link, work) } }),
    deadlineMs: task.deadlineMs,
    dataDeadlineMs: dataDeadlineMs(task)
  }
}

/** Milliseconds that masking and, where nobody drops out, unmasking take on this machine. */
export async function workOf(task: Task): Promise<{ maskMs: number; unmaskMs: number }> {
  const msPerMask = (await elementMs(task.bits)) * task.laneCount
  const partners = task.thresholds.graph?.maskDegree ?? task.members.length - 1
  return { maskMs: msPerMask * (1 + partners), unmaskMs: msPerMask * task.members.length }
}

/** Milliseconds that one mask takes for one element on this machine: the better of two runs, after one to warm up. */
async function elementMs(bits: number): Promise<number> {
  const lanes = createLanes(bits, SAMPLE)
  const masks = Array.from({ length: SAMPLE_MASKS }, (_, at) => ({
    seed: new Uint8Array(32).fill(at),
    sign: 1 as const
  }))
  const times: number[] = []
  for (let run = 0; run < 3; run++) {
    const began = performance.now()
    await addMasks(lanes, masks)
    times.push(performance.now() - began)
  }
  return Math.min(...times.slice(1)) / (SAMPLE * SAMPLE_MASKS)
}

export function taskChecks(report: TaskReport): Check[] {
  const { thresholds, bits, bytes } = report
  const { f, D, quorum, nMin, threshold, acknowledgements } = thresholds
  const ms = (value: number): string => (value < 1000 ? `${Math.ceil(value)} ms` : `${(value / 1000).toPrecision(3)} s`)
  const seconds = `${ms(report.maskMs)} to mask, ${ms(report.unmaskMs)} to unmask if ${D} drop out, on this machine`
  return [
    ok('threat', `${f} of ${report.members} members may be corrupt and ${D} more missing, from any phase on`),
    ok(
      'thresholds',
      `quorum ${quorum}, at least ${nMin} in a sum, ${threshold} shares open a secret, ${acknowledgements} acknowledge it`
    ),
    ok('degree', degreeOf(report)),
    ok('bits', `${bits.element} of an element, ${bits.ring} of the sum, of ${bits.most} there can be`),
    ok(
      'member',
      `sends ${size(bytes.member.sent)} and receives ${size(bytes.member.received)} a round, ${bytes.expansion.toPrecision(3)} times its input`
    ),
    ok(
      'leader',
      `sends ${size(bytes.leader.sent)} and receives ${size(bytes.leader.received)} a round, with ${size(bytes.disk)} of disk`
    ),
    ...(bytes.owner === undefined
      ? []
      : [
          ok('owner', `of a slice: sends ${size(bytes.owner.sent)} and receives ${size(bytes.owner.received)} a round`)
        ]),
    ...(report.round === undefined ? [] : [roundCheck(report, report.round)]),
    report.maskMs < report.dataDeadlineMs / 2
      ? ok('time', `${seconds}; a phase in which vectors travel may take ${ms(report.dataDeadlineMs)}`)
      : warn('time', `${seconds}, and the phase may take ${ms(report.dataDeadlineMs)}; raise deadline, or lower length`)
  ]
}

/** A phase in which vectors travel must leave them the time that they take. */
function roundCheck({ dataDeadlineMs }: TaskReport, { seconds, mbit, delayMs }: Link & { seconds: number }): Check {
  const found = `${seconds.toPrecision(3)} s if nobody drops out, over links of ${mbit} Mbit/s and ${delayMs} ms`
  return 1000 * seconds < dataDeadlineMs
    ? ok('round', found)
    : warn('round', `${found}; a phase may take ${dataDeadlineMs / 1000} s: raise deadline, or share the sum in shards`)
}

function degreeOf({ degree, thresholds: { graph } }: TaskReport): string {
  if (graph === undefined) return `${degree} partners of each member (the complete graph)`
  const { shareDegree, minLiveSlots } = graph
  return `${degree} mask partners of each member, at least ${minLiveSlots} of them in a sum; ${shareDegree} hold its shares (sparse graphs)`
}
