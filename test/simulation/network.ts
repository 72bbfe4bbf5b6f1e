import { createPrivateKey, sign } from 'node:crypto'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { createEncoder } from '../../src/encoding/encoder.ts'
import type { Decoded } from '../../src/encoding/encoder.ts'
import { unpack } from '../../src/encoding/packing.ts'
import { MemoryJournal } from '../../src/journal/journal.ts'
import { MemoryVectorStore } from '../../src/journal/vector-store.ts'
import { channelPair } from '../../src/round/channel.ts'
import { Member } from '../../src/round/member.ts'
import type { RoundOutcome } from '../../src/round/member.ts'
import type { Channel, Frame, Phase } from '../../src/round/ports.ts'
import { createTask } from '../../src/task/task.ts'
import type { Task } from '../../src/task/task.ts'
import { VirtualClock } from './virtual-clock.ts'

/** A reproducible source of chance (mulberry32): numbers from 0 to 1. Never used for secrets outside tests. */
export function chance(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const pkcs8 = Buffer.from('302e020100300506032b657004220420', 'hex')

const identities = new Map<number, { id: string; sign: (bytes: Uint8Array) => Uint8Array }>()

/** The same few identities again and again: what differs between runs is what they do. */
async function identity(number: number): Promise<{ id: string; sign: (bytes: Uint8Array) => Uint8Array }> {
  const known = identities.get(number)
  if (known !== undefined) return known
  const seed = new Uint8Array(32).fill(number + 1)
  const key = createPrivateKey({ key: Buffer.concat([pkcs8, seed]), format: 'der', type: 'pkcs8' })
  const id = peerIdFromPrivateKey(await generateKeyPairFromSeed('Ed25519', seed)).toString()
  const made = { id, sign: (bytes: Uint8Array) => new Uint8Array(sign(null, bytes, key)) }
  identities.set(number, made)
  return made
}

const tasks = new Map<string, Task>()

export interface SimulationOptions {
  members: number
  seed: number
  length?: number
  threat?: { corrupt?: number; dropout?: number }
  /** Which member is killed as it reaches which phase of which round; members by roster index, or the leader. */
  kills?: Array<{ who: number | 'aggregator'; phase: Phase; round: number }>
  /** Milliseconds that a frame or message takes, at most. */
  delay?: number
  /** Part of gossip that is lost. */
  loss?: number
}

interface Peer {
  member: Member
  journal: MemoryJournal
  vectors: MemoryVectorStore
  alive: boolean
  channels: Set<Channel>
  outcomes: RoundOutcome[]
  refusals: Error[]
}

/** A whole network in one process on a virtual clock: the real members, and between them queues with delays. */
export class Simulation {
  readonly clock = new VirtualClock()
  readonly task: Task
  readonly peers: Peer[] = []
  readonly inputs: number[][] = []
  readonly #options: Required<Omit<SimulationOptions, 'threat'>>
  readonly #chance: () => number

  private constructor(task: Task, options: Required<Omit<SimulationOptions, 'threat'>>) {
    this.task = task
    this.#options = options
    this.#chance = chance(options.seed)
  }

  static async create({
    members,
    seed,
    length = 7,
    threat = {},
    kills = [],
    delay = 20,
    loss = 0
  }: SimulationOptions): Promise<Simulation> {
    const known = await Promise.all(Array.from({ length: members }, (_, number) => identity(number)))
    const terms = {
      name: 'simulated',
      members: known.map(({ id }) => id),
      length,
      encoding: { type: 'integer' as const, max: 1000 },
      threat,
      deadline: 10
    }
    const key = JSON.stringify(terms)
    const task = tasks.get(key) ?? createTask(terms)
    tasks.set(key, task)
    const simulation = new Simulation(task, { members, seed, length, kills: [...kills], delay, loss })
    const encoder = createEncoder(task)
    for (const id of task.members) {
      const { sign } = known.find((one) => one.id === id)!
      const index = simulation.peers.length
      const input = Array.from({ length }, () => Math.floor(simulation.#chance() * 1001))
      simulation.inputs.push(input)
      const journal = new MemoryJournal()
      const vectors = new MemoryVectorStore()
      const peer: Peer = {
        journal,
        vectors,
        alive: true,
        channels: new Set(),
        outcomes: [],
        refusals: [],
        member: undefined as unknown as Member
      }
      const links = simulation.#links(index)
      peer.member = new Member({
        task,
        id,
        ports: {
          clock: simulation.clock,
          links,
          random: (size) => Uint8Array.from({ length: size }, () => Math.floor(simulation.#chance() * 256)),
          sign,
          journal,
          vectors,
          observer: {
            phase: (phase, round, leading) => simulation.#reached(index, phase, round, leading),
            refused: (error) => void peer.refusals.push(error)
          }
        },
        links,
        input: async () => (await encoder.encode(input)).lanes,
        closed: (outcome) => void peer.outcomes.push(outcome)
      })
      simulation.peers.push(peer)
    }
    return simulation
  }

  /** Runs one round from a want of some member until every living member has seen it closed. */
  async round(number: number): Promise<void> {
    const living = this.peers.filter(({ alive }) => alive)
    const first = living[Math.floor(this.#chance() * living.length)]
    void first.member.want()
    const done = () =>
      this.peers.every(({ alive, outcomes }) => !alive || outcomes.some(({ round }) => round === number))
    await this.clock.run(done, this.clock.now() + 3_600_000)
  }

  kill(index: number): void {
    const peer = this.peers[index]
    peer.alive = false
    for (const channel of peer.channels) channel.abort(new Error(`member ${index} is gone`))
    void peer.member.stop()
  }

  /** The plain sum of the included members' inputs. */
  expected(included: number[]): number[] {
    return Array.from({ length: this.#options.length }, (_, at) =>
      included.reduce((sum, member) => sum + this.inputs[member][at], 0)
    )
  }

  async sum(index: number, { sum, included }: RoundOutcome): Promise<Decoded> {
    const { vectors } = this.peers[index]
    const packed = await vectors.readRange(sum!, 0, (await vectors.size(sum!))!)
    const { laneCount, bits } = this.task
    return createEncoder(this.task).decode(unpack(packed, laneCount, bits), included.length)
  }

  async #reached(index: number, phase: Phase, round: number, leading: boolean): Promise<void> {
    const { kills } = this.#options
    const at = kills.findIndex(
      (kill) =>
        kill.phase === phase && kill.round === round && (kill.who === index || (kill.who === 'aggregator' && leading))
    )
    if (at < 0) return
    kills.splice(at, 1)
    this.kill(index)
    await new Promise(() => {})
  }

  #takes(): number {
    return this.#chance() * this.#options.delay
  }

  #links(me: number) {
    const { clock } = this
    const peer = (index: number): Peer => {
      if (!this.peers[index].alive || !this.peers[me].alive) throw new Error(`member ${index} cannot be reached`)
      return this.peers[index]
    }
    return {
      converse: async (leader: number, signal: AbortSignal): Promise<Channel> => {
        await clock.sleep(this.#takes(), signal)
        const there = peer(leader)
        const [mine, theirs] = channelPair()
        for (const channel of [mine, theirs]) {
          this.peers[me].channels.add(channel)
          there.channels.add(channel)
        }
        void there.member.converse(me, this.#slow(theirs))
        return this.#slow(mine)
      },
      deliver: async (to: number, message: Uint8Array, signal: AbortSignal): Promise<void> => {
        await clock.sleep(this.#takes(), signal)
        void peer(to)
          .member.hear(me, message)
          .catch((error: Error) => this.peers[to].refusals.push(error))
      },
      announce: (message: Uint8Array): void => {
        for (const other of this.peers) {
          if (other === this.peers[me] || this.#chance() < this.#options.loss) continue
          void clock.sleep(this.#takes()).then(() => {
            if (other.alive && this.peers[me].alive)
              void other.member.hear(me, message).catch((error: Error) => other.refusals.push(error))
          })
        }
      },
      ask: async (to: number, request: Uint8Array, signal: AbortSignal): Promise<AsyncIterable<Frame>> => {
        await clock.sleep(this.#takes(), signal)
        return peer(to).member.answer(me, request)
      }
    }
  }

  #slow(channel: Channel): Channel {
    const { clock } = this
    const takes = () => this.#takes()
    return {
      source: channel.source,
      async sink(source) {
        await channel.sink(
          (async function* () {
            for await (const frame of source) {
              await clock.sleep(takes())
              yield frame
            }
          })()
        )
      },
      abort: (reason) => channel.abort(reason)
    }
  }
}
