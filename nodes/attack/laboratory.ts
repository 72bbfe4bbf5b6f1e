import { setTimeout as sleep } from 'node:timers/promises'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import type { PrivateKey } from '@libp2p/interface'
import type { Decoded } from '../../src/encoding/encoder.ts'
import { createEncoder } from '../../src/encoding/encoder.ts'
import type { Lanes } from '../../src/crypto/mask-stream.ts'
import { packedLength } from '../../src/encoding/packing.ts'
import { SecureAggregationError } from '../../src/errors.ts'
import type { Message } from '../../src/round/messages.ts'
import type { RoundOutcome } from '../../src/round/outcome.ts'
import type { Random } from '../../src/round/ports.ts'
import { createTask } from '../../src/task/task.ts'
import type { Task } from '../../src/task/task.ts'
import { createNode } from '../daemon/libp2p.ts'
import type { SecaggNode } from '../daemon/libp2p.ts'
import { Eavesdropper } from './eavesdropper.ts'
import type { Heard } from './eavesdropper.ts'
import { LaboratoryMember } from './laboratory-member.ts'
import { VICTIM } from './update.ts'

const connectedMs = 60_000
const roundMs = 120_000
const pollMs = 50
/** The victim may lead the first of these, and never two running. */
const tries = 4

/** One round, seen by its corrupt aggregator. */
export interface Attacked {
  task: Task
  /** Roster index. */
  victim: number
  /** The victim's update as it encoded it, which the aggregator is after. */
  truth: Lanes
  /** What came from the members. */
  heard: Heard
  /** What was opened at the end, to everybody. */
  opened: Message<'SumHeader'>
  outcome: RoundOutcome
  /** What the victim was told of its input. */
  told: RoundOutcome['input']
  sum: Decoded
}

type Node = SecaggNode<{ member: LaboratoryMember }>

/** Members of one process over libp2p's in-memory transport, every one of them ready to betray the victim as it leads. */
export class Laboratory {
  readonly task: Task
  readonly #victim: number
  readonly #truth: Lanes
  readonly #ears: Eavesdropper[] = []
  readonly #nodes: Node[] = []
  #outcomes = new Map<number, RoundOutcome>()
  #allClosed = Promise.withResolvers<void>()

  private constructor(task: Task, victim: number, truth: Lanes) {
    this.task = task
    this.#victim = victim
    this.#truth = truth
  }

  /** Starts a member for each update; the one of {@link VICTIM} is the victim. `random` is where all secrets come from. */
  static async start(updates: readonly Float32Array[], random: Random): Promise<Laboratory> {
    const keys = await Promise.all(updates.map(() => generateKeyPair('Ed25519')))
    const ids = keys.map((key) => peerIdFromPrivateKey(key).toString())
    const task = createTask({
      name: 'attack',
      members: ids,
      length: updates[0].length,
      encoding: { type: 'fixed', clip: 2, bits: 16 },
      deadline: 8
    })
    const encoder = createEncoder(task, 1)
    const encoded = await Promise.all(updates.map(async (update) => (await encoder.encode(update)).lanes))
    const laboratory = new Laboratory(task, task.members.indexOf(ids[VICTIM]), encoded[VICTIM].slice())
    for (const [index, id] of task.members.entries()) {
      const writer = ids.indexOf(id)
      await laboratory.#add(index, { privateKey: keys[writer], lanes: encoded[writer], random })
    }
    await laboratory.#assembled()
    return laboratory
  }

  /**
   * Rounds until one is led by another than the victim; the masked vector of the victim is then in the aggregator's hands.
   * With `late` it says that this vector came too late, and the victim counts as dropped.
   */
  async attack({ late }: { late: boolean }): Promise<Attacked> {
    for (const ear of this.#ears) ear.late = late
    for (let round = 0; round < tries; round++) {
      const outcome = await this.#round()
      const { aggregator, status, dropped, included } = outcome
      const { heard } = this.#ears[aggregator]
      const isAsWanted = late ? dropped.includes(this.#victim) : included.length === this.#nodes.length
      const isWhole = heard.vector.length === packedLength(this.task.laneCount, this.task.bits)
      if (status !== 'summed' || aggregator === this.#victim || !isAsWanted || !isWhole) continue
      const { member } = this.#nodes[aggregator].services
      const [opened, sum] = [await member.opened(outcome.round), await member.sum(outcome)]
      const told = this.#outcomes.get(this.#victim)!.input
      return { task: this.task, victim: this.#victim, truth: this.#truth, heard, opened, outcome, told, sum }
    }
    throw new SecureAggregationError('ROUND_OPEN', `none of ${tries} rounds went as planned: this machine is too busy`)
  }

  async stop(): Promise<void> {
    await Promise.all(this.#nodes.map(async (node) => node.stop()))
  }

  async #add(index: number, member: { privateKey: PrivateKey; lanes: Lanes; random: Random }): Promise<void> {
    const ear = new Eavesdropper(this.#victim)
    const { privateKey, lanes, random } = member
    const closed = (outcome: RoundOutcome): void => this.#closed(index, outcome)
    const node = await createNode<{ member: LaboratoryMember }>({
      privateKey,
      listen: [`/memory/${crypto.randomUUID()}`],
      bootstrap: this.#nodes.slice(0, 1).map((first) => first.getMultiaddrs()[0].toString()),
      local: true,
      memory: true,
      services: {
        member: (components) => new LaboratoryMember(components, { task: this.task, lanes, random, ear, closed })
      }
    })
    node.services.links.follow([...this.task.members])
    this.#nodes.push(node)
    this.#ears.push(ear)
  }

  /** Everyone is connected to all others and knows that they listen. */
  async #assembled(): Promise<void> {
    const others = this.#nodes.length - 1
    const until = Date.now() + connectedMs
    const isReady = ({ services }: Node): boolean =>
      services.links.connected().length >= others && services.member.subscribers.length >= others
    while (!this.#nodes.every(isReady)) {
      if (Date.now() > until) throw new SecureAggregationError('NOT_CONNECTED', 'the members did not find each other')
      await sleep(pollMs)
    }
  }

  /** As the aggregator tells it. */
  async #round(): Promise<RoundOutcome> {
    this.#outcomes = new Map()
    this.#allClosed = Promise.withResolvers()
    for (const ear of this.#ears) ear.forget()
    await this.#nodes[0].services.member.participant.want()
    await Promise.race([this.#allClosed.promise, tooLong()])
    const [any] = this.#outcomes.values()
    return this.#outcomes.get(any.aggregator)!
  }

  #closed(index: number, outcome: RoundOutcome): void {
    this.#outcomes.set(index, outcome)
    if (this.#outcomes.size === this.#nodes.length) this.#allClosed.resolve()
  }
}

async function tooLong(): Promise<never> {
  await sleep(roundMs, undefined, { ref: false })
  throw new SecureAggregationError('ROUND_OPEN', `a round was not closed within ${roundMs / 1000} s: run again`)
}
