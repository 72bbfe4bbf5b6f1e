import { bytesToHex } from '@noble/hashes/utils.js'
import { HEADER_LENGTH } from '../../src/network/frames.ts'
import { createEncoder } from '../../src/encoding/encoder.ts'
import { decodeGroups, total } from '../../src/encoding/groups.ts'
import type { Decoded } from '../../src/encoding/encoder.ts'
import { unpack } from '../../src/encoding/packing.ts'
import { MemoryJournal } from '../../src/journal/journal.ts'
import { Provisional } from '../../src/network/provisional.ts'
import type { Journal } from '../../src/journal/journal.ts'
import { channelPair } from '../../src/round/channel.ts'
import { taskOf } from '../../src/membership/roster-change.ts'
import { createRoster } from '../../src/membership/roster.ts'
import type { Member } from '../../src/round/member.ts'
import type { RoundOutcome } from '../../src/round/outcome.ts'
import { sumShapeOf } from '../../src/round/vectors.ts'
import { decodeMessage } from '../../src/round/messages.ts'
import type { Message } from '../../src/round/messages.ts'
import { folderOf, sumKey, sumName } from '../../src/round/round.ts'
import { Participant } from '../../src/round/participant.ts'
import { onThisThread } from '../../src/round/ports.ts'
import type { Channel, Compute, Frame, Phase } from '../../src/round/ports.ts'
import type { Task } from '../../src/task/task.ts'
import { behaviours } from './adversaries/index.ts'
import type { Adversary, Behaviour, Plot, Tamper } from './adversaries/index.ts'
import { below, chance, pick } from './chance.ts'
import type { Chance } from './chance.ts'
import { identity, simulatedTask } from './identities.ts'
import type { Identity, SimulatedTerms } from './identities.ts'
import { Disk } from './disk.ts'
import { Ledger } from './ledger.ts'
import { ShownCuts } from './shown-cuts.ts'
import { MOST_EVENTS, VirtualClock } from './virtual-clock.ts'

export type { Tamper } from './adversaries/index.ts'

export interface SimulationOptions {
  members: number
  seed: number
  length?: number
  threat?: { corrupt?: number; dropout?: number }
  /** Who may join later; see `identities.ts`. */
  admission?: SimulatedTerms['admission']
  groups?: SimulatedTerms['groups']
  shards?: number
  audit?: SimulatedTerms['audit']
  privacy?: SimulatedTerms['privacy']
  /** Which member is killed as it reaches which phase of which round; members by roster index, or the leader. */
  kills?: Array<{ who: number | 'aggregator'; phase: Phase; round: number }>
  /** Which member goes on no more, and stays connected, as it reaches which phase of which round. */
  stalls?: Array<{ who: number; phase: Phase; round: number }>
  /** Milliseconds that a frame or message takes, at most. */
  delay?: number
  /** Bytes a millisecond that each member can send, and as many receive; as many as it likes if left out. */
  rate?: number
  /** Part of gossip that is lost at first, and arrives with the next repair, within a second. */
  loss?: number
  /** Part of the direct deliveries between members that find a way; the others go through the leader. */
  direct?: number
  /** By member: of its frames to a leader, and as a leader of those to the others. */
  tamper?: ReadonlyMap<number, Tamper>
  tamperAsLeader?: ReadonlyMap<number, Tamper>
  /** What a corrupt member makes of a message that it would deliver directly. */
  tamperDelivery?: ReadonlyMap<number, (message: Uint8Array) => Uint8Array>
  /** Whether a member has an input in a round. */
  contributes?: (index: number, round: number) => boolean
  contextHash?: (index: number) => Uint8Array | Promise<Uint8Array>
  /** Aborted when the application of a member calls its input off. */
  calledOff?: ReadonlyMap<number, AbortSignal>
  /** Milliseconds that a read or write of a journal takes, at most. */
  disk?: number
  /** Lays the members' masks. */
  compute?: Compute
  /** A killed process is started again after so many milliseconds. */
  restart?: { afterMs: number; vectors: boolean }
  /** Corrupt members and how they behave; they know of each other. */
  adversaries?: Array<{ who: number; as: Behaviour }>
  /** Part of gossip that arrives twice. */
  duplicates?: number
  /** Part of the direct deliveries that are lost without a word. */
  lostDirect?: number
  /** Times (milliseconds of the run) in which the members of one side hear nothing of the others. */
  partitions?: Array<{ from: number; until: number; side: number[] }>
}

type Settings = Required<
  Omit<SimulationOptions, 'threat' | 'restart' | 'admission' | 'groups' | 'shards' | 'audit' | 'privacy'>
> &
  Pick<SimulationOptions, 'restart'>

export interface Peer {
  id: string
  participant: Participant
  /** What it is in the epoch in effect. */
  readonly member: Member
  journal: MemoryJournal
  vectors: Disk
  /** The root (hex) of the sum whose header is in its journal, by its key there. */
  sumRoots: Map<string, string>
  /** Whether a sum would be there after a crash. */
  holdsSum: (round: number, root: Uint8Array) => boolean
  alive: boolean
  /** Its journal is read; before that nobody reaches it, as with a node. */
  listens: boolean
  /** Processes started before this one. */
  restarts: number
  channels: Set<Channel>
  outcomes: RoundOutcome[]
  /** What its application was told of sums before their rounds were closed, and when. */
  provisional: Array<{ round: number; told: 'provisional' | 'withdrawn'; at: number }>
  /** Of rounds that it was away from, and has the sums of now. */
  missed: RoundOutcome[]
  refusals: Error[]
  /** Why it left which view, and when. */
  viewsLeft: string[]
  /** Signatures, journal writes and sends that are left before it crashes. */
  stepsLeft: number
}

/** One for each wait: whatever waits for a promise that lives as long as the process is never collected. */
const never = (): Promise<never> => new Promise(() => {})
const processGone = () => new Error('the process is gone')

/** As `src/network/catching-up.ts` does. */
const ASK_AGAIN_MS = 1000

/** Everybody gossips what was decided to everybody. */
const EVENTS_A_PAIR = 4

/** One for all: a stack trace for each failed dialling costs more than the dialling. */
const unreachable = new Error('the member cannot be reached')

/** A whole network in one process on a virtual clock: the real members, and between them queues with delays. */
export class Simulation {
  readonly clock: VirtualClock
  readonly ledger = new Ledger()
  readonly shown = new ShownCuts()
  readonly task: Task
  readonly peers: Peer[] = []
  readonly inputs: number[][]
  /** Frame bytes of each peer's streams so far, as a node counts them: all but gossip. */
  readonly traffic: Array<{ sent: number; received: number }>
  /** By peer, until when its link is busy with what it sends, and with what it receives. */
  readonly #busy: Array<{ sending: number; receiving: number }>
  readonly adversaries: ReadonlyMap<number, Adversary>
  readonly #laterAdversaries = new Map<number, ReadonlyMap<number, Adversary>>()
  readonly #identities: Identity[]
  readonly #settings: Settings
  readonly #chance: Chance
  #expected?: { of: string; sum: number[] }
  /** Who speaks with whom, until it ends. */
  readonly #conversations = new Map<Channel, [number, number]>()

  private constructor(task: Task, identities: Identity[], settings: Settings) {
    this.clock = new VirtualClock(MOST_EVENTS + EVENTS_A_PAIR * identities.length ** 2)
    this.task = task
    this.#identities = [...identities]
    this.#settings = settings
    this.#chance = chance(settings.seed)
    this.inputs = identities.map(() => Array.from({ length: settings.length }, () => below(1001, this.#chance)))
    this.traffic = identities.map(() => ({ sent: 0, received: 0 }))
    this.#busy = identities.map(() => ({ sending: 0, receiving: 0 }))
    this.adversaries = this.#corrupt(settings.adversaries)
    for (let index = 0; index < identities.length; index++) this.#begin(index, new MemoryJournal(), new Disk())
    for (const { from } of settings.partitions) void this.clock.sleep(from).then(() => this.#breakAcross())
  }

  static async create({
    threat = {},
    admission,
    groups,
    shards,
    audit,
    privacy,
    ...options
  }: SimulationOptions): Promise<Simulation> {
    const settings: Settings = {
      length: 7,
      kills: [],
      stalls: [],
      delay: 20,
      rate: Infinity,
      loss: 0,
      direct: 1,
      tamper: new Map(),
      tamperAsLeader: new Map(),
      tamperDelivery: new Map(),
      contributes: () => true,
      contextHash: () => new Uint8Array(32),
      calledOff: new Map(),
      disk: 0,
      compute: onThisThread,
      adversaries: [],
      duplicates: 0,
      lostDirect: 0,
      partitions: [],
      ...options
    }
    const { task, identities } = await simulatedTask({
      members: settings.members,
      length: settings.length,
      threat,
      admission,
      groups,
      shards,
      audit,
      privacy
    })
    return new Simulation(task, identities, { ...settings, kills: [...settings.kills], stalls: [...settings.stalls] })
  }

  get living(): Peer[] {
    return this.peers.filter(({ alive }) => alive)
  }

  /** Those that live and keep to the protocol. */
  get honest(): Peer[] {
    return this.living.filter((peer) => !this.adversaries.has(this.peers.indexOf(peer)))
  }

  /** Each member takes up where its journal left it. */
  async start(): Promise<void> {
    let started = false
    void Promise.all(this.peers.map(({ participant }) => participant.start())).then(() => (started = true))
    await this.clock.run(() => started, Infinity)
  }

  /** Runs one round from a want of some member until every honest living member has seen it closed. */
  async round(number: number, limitMs = 3_600_000): Promise<void> {
    // Whoever was taken out of the roster can ask for nothing.
    const inside = this.honest.filter(({ member }) => member.me >= 0)
    const from = inside.filter(({ restarts }) => restarts === 0)
    void pick(from.length > 0 ? from : inside, this.#chance).participant.want()
    // Whoever wanted it may have died before a word of it left, or have been about to end the round before.
    let isDone = false
    void (async () => {
      while (!isDone) {
        await this.clock.sleep(500)
        const waiting = this.honest.find((peer) => peer.member.me >= 0 && !hasSeen(peer, number))
        if (waiting?.member.closedRound === number - 1 && waiting.member.runningRound === undefined)
          void waiting.participant.want()
      }
    })()
    // One that was taken out of the roster follows, and is told of no outcome.
    const isOver = (peer: Peer): boolean =>
      peer.member.me < 0 ? peer.member.closedRound >= number : hasSeen(peer, number)
    let waiting: Peer | undefined
    // Asked after each event: of many members mostly one is looked at.
    const done = (): boolean => {
      if (waiting?.alive !== true || isOver(waiting)) waiting = this.honest.find((peer) => !isOver(peer))
      const somebodyComesBack = this.#settings.restart !== undefined && this.honest.length === 0
      return waiting === undefined && !somebodyComesBack
    }
    await this.clock.run(done, this.clock.now() + limitMs)
    isDone = true
  }

  /** SIGKILL: nothing that the process was about to do happens any more, and only what it journaled is left. */
  kill(index: number): void {
    const peer = this.peers[index]
    if (!peer.alive) return
    peer.alive = false
    peer.journal = peer.journal.clone()
    for (const channel of peer.channels) channel.abort(processGone())
    peer.channels.clear()
    void peer.participant.stop()
    const { restart } = this.#settings
    if (restart !== undefined) void this.clock.sleep(restart.afterMs).then(() => this.restart(index, restart))
  }

  killAfter(index: number, ms: number): void {
    void this.clock.sleep(ms).then(() => this.kill(index))
  }

  /** Kills it right before or after a signature or journal write, which no clock could aim at. */
  killAtStep(index: number, steps: number): void {
    this.peers[index].stepsLeft = steps
  }

  /** Another process with the same journal, and the same vectors where the disk kept them. */
  restart(index: number, { vectors = true }: { vectors?: boolean } = {}): void {
    const before = this.peers[index]
    const peer = this.#begin(index, before.journal, vectors ? before.vectors : new Disk(), before)
    void peer.participant.start().then(() => {
      for (const other of this.living) if (other !== peer) this.#meet(peer, other)
    })
  }

  /** Both ask how far the rounds are once they are connected, until they are answered, as nodes do. */
  #meet(one: Peer, other: Peer): void {
    const askUntilAnswered = async (asker: Peer, asked: Peer): Promise<void> => {
      while (asker.alive && asked.alive) {
        const error = await asker.participant.catchUp(asked.id).then(
          () => undefined,
          (reason: Error) => reason
        )
        if (error === undefined) return
        asker.refusals.push(error)
        await this.clock.sleep(ASK_AGAIN_MS)
      }
    }
    void askUntilAnswered(one, other)
    void askUntilAnswered(other, one)
  }

  /** Breaks one of the conversations that run, or of those of one member, as a network does. */
  breakConversation(of?: number): void {
    const all = (of === undefined ? this.living : [this.peers[of]]).flatMap(({ channels }) => [...channels])
    if (all.length > 0) pick(all, this.#chance).abort(new Error('the connection broke'))
  }

  /** Another process, of an identity that no member may know; its number among the peers. */
  async add(number: number): Promise<number> {
    const index = this.#identities.push(await identity(number)) - 1
    this.traffic.push({ sent: 0, received: 0 })
    this.#busy.push({ sending: 0, receiving: 0 })
    this.inputs.push(Array.from({ length: this.#settings.length }, () => below(1001, this.#chance)))
    const { participant } = this.#begin(index, new MemoryJournal(), new Disk())
    await participant.start()
    return index
  }

  /** A peer that nobody answers but whoever answers so. */
  async lonely(index: number, answer: () => AsyncIterable<Frame>): Promise<Participant> {
    const { id, sign } = this.#identities[index]
    const nobody = () => Promise.reject(new Error('nobody is there'))
    const journal = new MemoryJournal()
    return new Participant({
      task: this.task,
      id,
      ports: {
        clock: this.clock,
        random: () => new Uint8Array(32),
        sign,
        journal,
        vectors: new Disk(),
        compute: onThisThread,
        observer: {}
      },
      links: { converse: nobody, deliver: nobody, ask: async () => answer(), announce: () => {} },
      input: async () => undefined
    })
  }

  /** The task as the members of an epoch ran it. */
  terms(epoch: number): Task {
    return this.living.find(({ participant }) => participant.roster.epoch >= epoch)!.participant.terms(epoch)
  }

  /** The plain sum of what these peers put in, by peer id. */
  expectedOf(ids: string[]): number[] {
    return this.expected(ids.map((id) => this.#indexOf(id)))
  }

  /** The plain sum of the included members' inputs. All members are asked for the same, so the last is kept. */
  expected(included: number[]): number[] {
    const of = included.join()
    if (this.#expected?.of !== of) {
      const sum = Array.from({ length: this.#settings.length }, (_, at) =>
        included.reduce((sum, member) => sum + this.inputs[member][at], 0)
      )
      this.#expected = { of, sum }
    }
    return this.#expected.sum
  }

  async sum(index: number, { round, sum, included, epoch, groups }: RoundOutcome): Promise<Decoded> {
    const { vectors } = this.peers[index]
    const packed = await vectors.readRange(sum!, 0, (await vectors.size(sum!))!)
    const task = this.terms(epoch)
    const { elements, bits } = sumShapeOf(task)
    const lanes = unpack(packed, elements, bits)
    if (groups === undefined) return createEncoder(task, round).decode(lanes, included.length)
    return total(await decodeGroups(task, round, lanes, included, groups))
  }

  /** Whatever still waits for a time that never comes ends: a signal that somebody listens to is never collected. */
  stop(): void {
    for (const { participant } of this.peers) void participant.stop()
  }

  /** Signs what a corrupt member makes up; not in the ledger. */
  signAs(index: number, bytes: Uint8Array): Uint8Array {
    return this.#identities[index].sign(bytes)
  }

  #begin(index: number, memory: MemoryJournal, vectors: Disk, before?: Peer): Peer {
    const peer: Peer = {
      id: this.#identities[index].id,
      participant: undefined as unknown as Participant,
      get member() {
        return this.participant.member
      },
      journal: memory,
      vectors,
      sumRoots: before?.sumRoots ?? new Map<string, string>(),
      holdsSum: (round, root) =>
        vectors.isSynced(sumName(this.task.id, round)) &&
        peer.sumRoots.get(sumKey(this.task.id, round)) === bytesToHex(root),
      alive: true,
      // What begins with an empty journal has nothing to read.
      listens: before === undefined,
      restarts: before === undefined ? 0 : before.restarts + 1,
      channels: new Set(),
      outcomes: before?.outcomes ?? [],
      provisional: before?.provisional ?? [],
      missed: before?.missed ?? [],
      refusals: before?.refusals ?? [],
      viewsLeft: before?.viewsLeft ?? [],
      stepsLeft: Infinity
    }
    const tell = (told: 'provisional' | 'withdrawn', round: number): void =>
      void (peer.alive && peer.provisional.push({ round, told, at: this.clock.now() }))
    const provisional = new Provisional(
      ({ round }) => tell('provisional', round),
      ({ round }) => tell('withdrawn', round)
    )
    const links = this.#links(index, peer)
    const { id, sign } = this.#identities[index]
    peer.participant = new Participant({
      task: this.task,
      id,
      ports: {
        clock: this.clock,
        random: (size) => {
          const bytes = new Uint8Array(size)
          for (let at = 0; at < size; at++) bytes[at] = below(256, this.#chance)
          return bytes
        },
        sign: (bytes) => {
          const done = this.#step(index, peer)
          if (done !== undefined) return done
          const inEpoch = (epoch: number): number => peer.participant.chronicle.rosterOf(epoch)?.indexOf(peer.id) ?? -1
          if (!this.adversaries.has(index)) this.ledger.record(index, bytes, inEpoch, peer.holdsSum)
          return sign(bytes)
        },
        journal: this.#crashing(index, peer, memory),
        vectors,
        compute: this.#settings.compute,
        observer: {
          phase: (phase, round, leading) => this.#reached(index, peer, phase, round, leading),
          view: (round, view, why) =>
            void peer.viewsLeft.push(`round ${round} view ${view - 1} at ${Math.round(this.clock.now())} ms: ${why}`),
          refused: (error) => void (peer.alive && peer.refusals.push(error))
        }
      },
      links,
      input: async (round, _signal, terms) =>
        this.#settings.contributes(index, round)
          ? {
              lanes: async () => (await createEncoder(terms, round).encode(this.inputs[index])).lanes,
              signal: this.#settings.calledOff.get(index)
            }
          : undefined,
      contextHash: () => this.#settings.contextHash(index),
      locked: (sum) => provisional.take(sum),
      closed: (outcome) => {
        provisional.conclude(outcome)
        if (peer.alive) peer.outcomes.push(outcome)
      },
      missed: (outcome) => void (peer.alive && peer.missed.push(outcome))
    })
    this.peers[index] = peer
    if (before !== undefined) void peer.participant.load().then(() => (peer.listens = true))
    return peer
  }

  /** One more step of a process: never ends where the process does. */
  #step(index: number, peer: Peer): Promise<never> | undefined {
    if (peer.alive && peer.stepsLeft-- <= 0) this.kill(index)
    return peer.alive ? undefined : never()
  }

  #crashing(index: number, peer: Peer, memory: MemoryJournal): Journal {
    const { disk } = this.#settings
    const sums = `${this.task.id}/sum/`
    const turns = disk === 0 ? async () => {} : () => this.clock.sleep(disk * this.#chance())
    const write = async (change: () => Promise<void>) => {
      await this.#step(index, peer)
      await turns()
      if (!peer.alive) await never()
      await change()
      await this.#step(index, peer)
    }
    return {
      get: async (key) => {
        await turns()
        return memory.get(key)
      },
      put: (key, value) => write(() => memory.put(key, value)),
      batch: (operations) =>
        write(async () => {
          await memory.batch(operations)
          for (const operation of operations)
            if (operation.type === 'put' && operation.key.startsWith(sums))
              peer.sumRoots.set(
                operation.key,
                bytesToHex((decodeMessage(operation.value) as Message<'SumHeader'>).body.root)
              )
        }),
      delete: (key) => write(() => memory.delete(key)),
      entries: (prefix) => memory.entries(prefix),
      close: () => memory.close()
    }
  }

  async #reached(index: number, peer: Peer, phase: Phase, round: number, leading: boolean): Promise<void> {
    const { kills, stalls } = this.#settings
    const at = kills.findIndex(
      (kill) =>
        kill.phase === phase && kill.round === round && (kill.who === index || (kill.who === 'aggregator' && leading))
    )
    if (at >= 0) {
      kills.splice(at, 1)
      this.kill(index)
    }
    if (!peer.alive) await never()
    const stalled = stalls.findIndex((stall) => stall.phase === phase && stall.round === round && stall.who === index)
    if (stalled < 0) return
    stalls.splice(stalled, 1)
    await never()
  }

  #indexOf(id: string): number {
    return this.#identities.findIndex((identity) => identity.id === id)
  }

  #count(from: number, to: number, payload: Uint8Array): void {
    const bytes = payload.length + HEADER_LENGTH
    this.traffic[from].sent += bytes
    this.traffic[to].received += bytes
  }

  #takes(): number {
    return this.#chance() * this.#settings.delay
  }

  /** Milliseconds until a frame is there: it waits for those before it on either link. */
  #carries([from, to]: [number, number], { payload }: Frame): number {
    const now = this.clock.now()
    const ms = (payload.length + HEADER_LENGTH) / this.#settings.rate
    const [sender, receiver] = [this.#busy[from], this.#busy[to]]
    sender.sending = Math.max(sender.sending, now) + ms
    receiver.receiving = Math.max(receiver.receiving + ms, sender.sending)
    return receiver.receiving - now + this.#takes()
  }

  #links(me: number, self: Peer) {
    const { clock } = this
    const { delay: _, ...settings } = this.#settings
    const reach = (index: number): Peer => {
      const there = this.peers[index]
      if (!there.alive || !there.listens || !self.alive || this.#isApart(me, index)) throw unreachable
      return there
    }
    const hand = (to: number, message: Uint8Array): void => {
      const there = this.peers[to]
      if (!there.alive || !there.listens) return
      void there.participant.hear(self.id, message).catch((error: Error) => there.refusals.push(error))
    }
    return {
      converse: async (leaderId: string, signal: AbortSignal): Promise<Channel> => {
        await clock.sleep(this.#takes(), signal)
        const leader = this.#indexOf(leaderId)
        const there = reach(leader)
        const [mine, theirs] = breakable(channelPair())
        this.#conversations.set(mine, [me, leader])
        for (const end of [self, there]) end.channels.add(mine)
        const [member, its] = [this.#adversary(me), this.#adversary(leader)]
        const meThere = this.#indexFor(leader, me)
        const leaderHere = this.#indexFor(me, leader)
        void there.participant.converse(
          self.id,
          this.#slow(
            theirs,
            [leader, me, meThere],
            [settings.tamperAsLeader.get(leader), its?.toMember?.(meThere)],
            its?.fromMember?.(meThere)
          )
        )
        return this.#slow(
          mine,
          [me, leader, leaderHere],
          [settings.tamper.get(me), member?.toLeader?.(leaderHere)],
          member?.fromLeader?.(leaderHere)
        )
      },
      deliver: async (peer: string, message: Uint8Array, signal: AbortSignal): Promise<void> => {
        await this.#step(me, self)
        await clock.sleep(this.#takes(), signal)
        const to = this.#indexOf(peer)
        reach(to)
        this.#count(me, to, message)
        if (settings.direct < 1 && this.#chance() >= settings.direct) throw unreachable
        if (settings.lostDirect > 0 && this.#chance() < settings.lostDirect) return
        const honest = settings.tamperDelivery.get(me)?.(message) ?? message
        const said = this.#adversary(me)?.deliveries?.(honest, this.#indexFor(me, to)) ?? [honest]
        for (const one of said) hand(to, one)
      },
      // What has left spreads, whatever becomes of whoever said it.
      announce: (message: Uint8Array): void => {
        if (this.#step(me, self) !== undefined) return
        for (const said of this.#adversary(me)?.announcements?.(message) ?? [message])
          for (let to = 0; to < this.peers.length; to++) if (to !== me) this.#gossip(me, to, () => hand(to, said))
      },
      ask: async (peer: string, request: Uint8Array, signal: AbortSignal): Promise<AsyncIterable<Frame>> => {
        await clock.sleep(this.#takes(), signal)
        const to = this.#indexOf(peer)
        const frames = reach(to).participant.answer(self.id, request)
        const answer = this.#adversary(to)?.answers?.(frames, decodeMessage(request)) ?? frames
        this.#count(me, to, request)
        return this.#answered([to, me], answer, signal)
      }
    }
  }

  /** An answer whose frames take their time, and that breaks off where its sender dies or nobody waits for it any more. */
  async *#answered(
    [from, to]: [number, number],
    answer: AsyncIterable<Frame>,
    signal: AbortSignal
  ): AsyncGenerator<Frame> {
    const sender = this.peers[from]
    const frames = answer[Symbol.asyncIterator]()
    const [channel] = channelPair()
    const broken = new Promise<never>((_, reject) => {
      channel.abort = reject
      signal.addEventListener('abort', () => reject(unreachable), { once: true })
    })
    broken.catch(() => {})
    sender.channels.add(channel)
    try {
      for (;;) {
        const next = await Promise.race([frames.next(), broken])
        if (next.done === true) return
        this.#count(from, to, next.value.payload)
        await Promise.race([
          this.#step(from, sender) ?? this.clock.sleep(this.#carries([from, to], next.value)),
          broken
        ])
        yield next.value
      }
    } finally {
      sender.channels.delete(channel)
    }
  }

  #gossip(from: number, to: number, arrives: () => void): void {
    const { loss, duplicates } = this.#settings
    const repaired = this.#chance() < loss ? this.#chance() * 1000 : 0
    const copies = duplicates > 0 && this.#chance() < duplicates ? 2 : 1
    for (let copy = 0; copy < copies; copy++) void this.#arrives(from, to, repaired + this.#takes(), arrives)
  }

  /** What is gossiped across a partition arrives when it has healed. */
  async #arrives(from: number, to: number, ms: number, arrives: () => void): Promise<void> {
    await this.clock.sleep(ms)
    for (let apart = this.#isApart(from, to); apart !== undefined; apart = this.#isApart(from, to))
      await this.clock.sleep(apart.until - this.clock.now() + this.#takes())
    arrives()
  }

  #isApart(one: number, other: number) {
    const now = this.clock.now()
    return this.#settings.partitions.find(
      ({ from, until, side }) => from <= now && now < until && side.includes(one) !== side.includes(other)
    )
  }

  #breakAcross(): void {
    for (const [channel, [one, other]] of this.#conversations)
      if (this.#isApart(one, other) !== undefined) channel.abort(unreachable)
  }

  /** By peer; those of a later epoch know its roster, and who of them is in it by which index. */
  #corrupt(
    adversaries: Settings['adversaries'],
    roster = createRoster({ epoch: 0, members: [...this.task.members] })
  ): ReadonlyMap<number, Adversary> {
    const { clock } = this
    const terms = taskOf(this.task, roster)
    const { thresholds } = terms
    const shape = sumShapeOf(terms)
    const inside = adversaries
      .map(({ who, as }) => ({ who, as, me: roster.indexOf(this.#identities[who].id) }))
      .filter(({ me }) => me >= 0)
    const plot: Plot = {
      members: inside.map(({ me }) => me),
      sign: (member, bytes) => this.signAs(this.#indexOf(roster.members[member].id), bytes),
      votes: new Map()
    }
    return new Map(
      inside.map(({ who, as, me }) => {
        const draw = chance(Math.floor(this.#chance() * 2 ** 32))
        const published = (header: Message<'SumHeader'>) => this.#published(who, header)
        return [who, new behaviours[as]({ me, roster, thresholds, shape, clock, chance: draw, plot, published })]
      })
    )
  }

  /** The sum that a leader has made, or has from an earlier one. */
  async #published(index: number, { round, body }: Message<'SumHeader'>): Promise<Uint8Array> {
    const { vectors } = this.peers[index]
    const read = async (name: string) => vectors.readRange(name, 0, (await vectors.size(name))!)
    for (let attempt = 0; attempt < 8; attempt++) {
      const name = `${folderOf(this.task.id)}/round-${round}/attempt-${attempt}/sum-${body.view}`
      if ((await vectors.size(name)) !== undefined) return read(name)
    }
    return read(sumName(this.task.id, round))
  }

  /** How a peer misbehaves in the epoch that it is in; undefined where it is honest, or outside. */
  #adversary(index: number): Adversary | undefined {
    if (!this.adversaries.has(index)) return undefined
    const { roster } = this.peers[index].participant
    if (roster.epoch === 0) return this.adversaries.get(index)
    const known = this.#laterAdversaries.get(roster.epoch) ?? this.#corrupt(this.#settings.adversaries, roster)
    this.#laterAdversaries.set(roster.epoch, known)
    return known.get(index)
  }

  /** The index of one peer in the roster that another one knows. */
  #indexFor(knower: number, peer: number): number {
    const { roster } = this.peers[knower].participant
    return roster.epoch === 0 ? peer : roster.indexOf(this.#identities[peer].id)
  }

  /** A channel whose frames take their time on the way out. */
  #slow(
    channel: Channel,
    [sender, receiver, to]: [number, number, number],
    out: Array<Tamper | undefined>,
    into?: Tamper
  ): Channel {
    const { clock, shown } = this
    const carries = (frame: Frame) => this.#carries([sender, receiver], frame)
    const peer = this.peers[sender]
    const step = () => this.#step(sender, peer)
    const count = ({ payload }: Frame) => this.#count(sender, receiver, payload)
    return {
      source: into === undefined ? channel.source : into(channel.source, to),
      async sink(source) {
        const tampered = out.reduce((frames, tamper) => tamper?.(frames, to) ?? frames, source)
        await channel.sink(
          (async function* () {
            for await (const frame of tampered) {
              const gone = step()
              if (gone !== undefined) await gone
              shown.see(frame)
              count(frame)
              await clock.sleep(carries(frame))
              yield frame
            }
          })()
        )
      },
      // As on a real stream, the other end learns that it was reset, not why.
      abort: ({ message }) => {
        if (this.#adversary(sender)?.holdsOn !== true) channel.abort(new Error(`the stream was reset: ${message}`))
      }
    }
  }
}

/** As with a real stream, whoever sends learns at once that it was reset, whatever its source is busy with. */
function breakable(ends: [Channel, Channel]): [Channel, Channel] {
  const reset = Promise.withResolvers<never>()
  reset.promise.catch(() => {})
  const breaking = (end: Channel): Channel => ({
    source: end.source,
    sink: (source) => Promise.race([end.sink(source), reset.promise]),
    abort(reason) {
      end.abort(reason)
      reset.reject(reason)
    }
  })
  return [breaking(ends[0]), breaking(ends[1])]
}

/** A restarted member may learn from the others, without an outcome of its own, that a round is over. */
function hasSeen({ outcomes, restarts, member }: Peer, number: number): boolean {
  return outcomes.some(({ round }) => round === number) || (restarts > 0 && member.closedRound >= number)
}
