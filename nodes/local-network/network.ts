import { flushCompileCache } from 'node:module'
import { setTimeout as sleep } from 'node:timers/promises'
import { SecureAggregationError } from '../../src/errors.ts'
import type { Task } from '../../src/task/task.ts'
import { dataDeadlineMs } from '../../src/task/task.ts'
import type { Exported, Happening, Hold, ReportedOutcome } from '../daemon/launcher-messages.ts'
import { counted } from '../plural.ts'
import { lackingForRound } from './assembly.ts'
import { killText, PendingKills } from './kills.ts'
import type { Kill, Suspension } from './kills.ts'
import type { MortalPeer, Peer, PeerEvents, PeerSettings } from './peer.ts'
import { ProcessPeer } from './process-peer.ts'
import { RunningRound } from './running-round.ts'
import type { ClosedRound } from './running-round.ts'

/** How long a network may take to assemble while nothing gets better, and in all. */
const standstillMs = 120_000
const assemblyMs = 600_000
const pollMs = 50
/** A round has seven phases and, in a local network, never more than a few views: it must be over long before. */
const roundDeadlines = 60

export interface NetworkOptions {
  task: Task
  taskFile: string
  /** Peer ids by number, as in peer-N. */
  ids: string[]
  /** The folder of member N. */
  folder: (number: number) => string
  inProcess: boolean
  /** The command of secagg that the members' processes run: node, if left out. */
  command?: string
  place?: (number: number) => Place
  kills: readonly Kill[]
  /** Whether a killed member is started again. */
  restart: boolean
  warn: (text: string) => void
  glimpse?: Glimpse
  watch?: Watch
}

/** Where a member's process runs. On loopback, if left out. */
export interface Place {
  /** See {@link PeerSettings}. */
  within: readonly string[]
  listen: string
}

/** Told what members report, as it comes. */
export interface Watch {
  phase?(number: number, reached: Hold & { leading: boolean }): void
  outcome?(number: number, outcome: ReportedOutcome): void
  /** What the feeds of the members tell of rounds; members inside are roster indices. */
  happened?(event: Happening): void
  /** Who runs has changed. */
  running?(numbers: number[]): void
}

/** What the aggregators are to tell of one member's masked vector. */
export interface Glimpse {
  member: number
  indices: number[]
  tell(received: { round: number; aggregator: number; values: number[] }): void
}

/** The members of one task on this machine, and the rounds they run. Members are numbered as in peer-N. */
export class LocalNetwork {
  readonly #options: NetworkOptions
  readonly #kills: PendingKills
  readonly #numbers: number[]
  /** Those that run. */
  readonly #peers = new Map<number, Peer>()
  /** The last process of each member, started or starting. */
  readonly #processes = new Map<number, MortalPeer>()
  readonly #addresses = new Map<number, string>()
  readonly #restarting = new Set<number>()
  readonly #suspended = new Set<number>()
  readonly #killed = new WeakSet<MortalPeer>()
  readonly #failure = Promise.withResolvers<never>()
  #round?: RunningRound
  #closedRound = 0
  #ended = false
  #waitingFor = ''

  constructor(options: NetworkOptions) {
    this.#options = options
    this.#kills = new PendingKills(options.kills)
    this.#numbers = options.task.members.map((id) => options.ids.indexOf(id))
    this.#failure.promise.catch(() => {})
  }

  /** By roster index (§4: ordered by peer id), the member's number. */
  get numbers(): readonly number[] {
    return this.#numbers
  }

  /** What is being waited for, for people. */
  get doing(): string {
    if (this.#round !== undefined) return this.#round.doing
    const { length } = this.#options.ids
    return this.#peers.size < length
      ? `${this.#peers.size} of ${length} members are running`
      : `connecting: ${this.#waitingFor}`
  }

  /**
   * Starts every member; all but the first are told its address. In one process they start one after the other, and each is
   * told the addresses of all before it: together they would only wait for each other, and searches take more than dials.
   * Resolves when each is connected to all others.
   */
  async start(): Promise<void> {
    // The processes load what this one has loaded and compiled.
    flushCompileCache()
    const numbers = this.#options.ids.keys().toArray()
    const starts = numbers.map((number) => this.#launcher(number))
    if (this.#options.inProcess) await this.#unlessFailed(this.#startInTurn(starts))
    else {
      const first = await this.#unlessFailed(starts[0]([]))
      await this.#unlessFailed(Promise.all(starts.slice(1).map((start) => start([first.addresses[0]]))))
    }
    await this.#assembled()
  }

  async #startInTurn(starts: ((bootstrap: string[]) => Promise<Peer>)[]): Promise<void> {
    const known: string[] = []
    for (const start of starts) {
      const peer = await start(known)
      while ((await peer.status()).connected.length < known.length) await sleep(pollMs)
      known.push(peer.addresses[0])
    }
  }

  /**
   * One round, from staged inputs to the outcomes of all members that lived through it.
   * Throws where a member fails, members disagree, or the round is not closed in time.
   */
  async runRound(round: number, input: (number: number) => { file: string; weight?: number }): Promise<ClosedRound> {
    const running = new RunningRound(round, this.#numbers, () => this.#checkQuorum())
    if (!this.#hasQuorum) return running.withoutQuorum()
    await this.#assembled()
    this.#round = running
    this.#warnOfKills(round)
    try {
      const members = [...this.#peers]
      for (const [number, peer] of members) if (isMortal(peer)) peer.hold(this.#kills.holds(number, round))
      running.begin(members.map(([number]) => number))
      const stage = (number: number, peer: Peer): Promise<void> =>
        this.#unlessKilled(peer, peer.input(round, input(number).file, input(number).weight))
      await this.#unlessFailed(Promise.all(members.map(([number, peer]) => stage(number, peer))))
      running.wanted()
      // Two, so that the round opens even if one of them is killed before its word is out.
      await this.#unlessFailed(Promise.all(members.slice(0, 2).map(([, peer]) => peer.want())))
      const closed = await this.#unlessFailed(running.closed(roundDeadlines * dataDeadlineMs(this.#options.task)))
      for (const kill of this.#kills.of(round))
        this.#options.warn(`${killText(kill)} never came about: nobody it names reached that phase`)
      if (closed.status !== 'no quorum') this.#closedRound = round
      return closed
    } finally {
      this.#round = undefined
    }
  }

  /** Lets a member that lived through the round, the aggregator if there is no other, write its sum. */
  async export({ round, holders, aggregator }: ClosedRound, file: string): Promise<Exported> {
    const holder = holders.find((number) => number !== aggregator) ?? holders[0]
    const peer = this.#peers.get(holder)
    if (peer === undefined) throw new SecureAggregationError('SUM_MISSING', `no member has the sum of round ${round}`)
    return this.#unlessFailed(peer.export(round, file))
  }

  /** SIGKILL, at whatever moment; the member is started again where the network restarts the dead. */
  async kill(number: number): Promise<void> {
    const peer = this.#processes.get(number)
    if (peer !== undefined && !this.#killed.has(peer)) await this.#kill(number, peer)
  }

  /** Stops a member or cuts it off: the round goes on without waiting for it, and the next one opens when it is back. */
  suspend(number: number, how: Suspension): void {
    const peer = this.#processes.get(number)
    if (peer === undefined || this.#peers.get(number) !== peer) return
    this.#peers.delete(number)
    this.#suspended.add(number)
    this.#tellRunning()
    peer.suspend(how)
    this.#round?.lost(number)
  }

  /** Lets a suspended member come back. */
  resume(number: number): void {
    const peer = this.#processes.get(number)
    if (peer === undefined || !this.#suspended.delete(number)) return
    peer.resume()
    this.#peers.set(number, peer)
    this.#tellRunning()
  }

  get suspended(): number[] {
    return [...this.#suspended]
  }

  /** Ends all members. */
  async stop(): Promise<void> {
    this.#ended = true
    const peers = new Set([...this.#peers.values(), ...this.#processes.values()])
    await Promise.allSettled([...peers].map((peer) => peer.stop()))
  }

  /** Prepares a member (its process loads meanwhile) and gives back what lets it run. */
  #launcher(number: number): (bootstrap: string[]) => Promise<Peer> {
    const { folder, taskFile, inProcess, command } = this.#options
    const place = this.#options.place?.(number)
    const anywhere = place?.listen ?? (inProcess ? `/memory/peer-${number}` : '/ip4/127.0.0.1/tcp/0')
    const settings: PeerSettings = {
      number,
      folder: folder(number),
      taskFile,
      command,
      within: place?.within,
      listen: [this.#addresses.get(number) ?? anywhere],
      bootstrap: []
    }
    const events = this.#events(number)
    if (inProcess) {
      return async (bootstrap) => this.#joined(number, await startInProcess({ ...settings, bootstrap }, events))
    }
    const peer = new ProcessPeer(settings, events)
    this.#processes.set(number, peer)
    return async (bootstrap) => {
      await peer.run(bootstrap, this.#kills.holds(number, this.#round?.round ?? 1))
      return this.#joined(number, peer)
    }
  }

  async #joined(number: number, peer: Peer): Promise<Peer> {
    if (this.#ended) {
      await peer.stop()
      throw new SecureAggregationError('STOPPED', 'the network has been stopped')
    }
    this.#peers.set(number, peer)
    this.#addresses.set(number, peer.addresses[0].split('/p2p/')[0])
    const { glimpse, task } = this.#options
    if (glimpse !== undefined) peer.glimpse(task.members.indexOf(this.#options.ids[glimpse.member]), glimpse.indices)
    if (this.#options.watch?.happened !== undefined) peer.feed()
    this.#tellRunning()
    return peer
  }

  #tellRunning(): void {
    this.#options.watch?.running?.([...this.#peers.keys()])
  }

  #events(number: number): PeerEvents {
    return {
      phase: (reached) => this.#reached(number, reached),
      outcome: (outcome) => this.#closed(number, outcome),
      glimpse: ({ round, values }) => this.#options.glimpse?.tell({ round, aggregator: number, values }),
      happened: (event) => this.#options.watch?.happened?.(event),
      failed: (why) => {
        if (!this.#ended) this.#failure.reject(new SecureAggregationError('PEER_ENDED', why))
      }
    }
  }

  #closed(number: number, outcome: ReportedOutcome): void {
    if (this.#round?.round === outcome.round) this.#round.outcome(number, outcome)
    this.#options.watch?.outcome?.(number, outcome)
  }

  #reached(number: number, reached: Hold & { leading: boolean }): void {
    this.#round?.reached(number, reached)
    this.#options.watch?.phase?.(number, reached)
    const peer = this.#processes.get(number)
    if (peer === undefined) return
    const kill = this.#kills.claim(number, reached)
    if (kill !== undefined && kill.instead === undefined)
      return void this.#kill(number, peer).catch((error: Error) => this.#failure.reject(error))
    if (kill?.instead !== undefined) this.suspend(number, kill.instead)
    peer.go({ phase: reached.phase, round: reached.round })
  }

  async #kill(number: number, peer: MortalPeer): Promise<void> {
    this.#peers.delete(number)
    this.#suspended.delete(number)
    if (this.#options.restart) this.#restarting.add(number)
    this.#killed.add(peer)
    this.#tellRunning()
    this.#round?.killed(number)
    await peer.kill()
    if (!this.#options.restart || this.#ended) return this.#checkQuorum()
    const start = this.#launcher(number)
    const known = [...this.#peers.values()].map(({ addresses }) => addresses[0]).slice(0, 1)
    const again = this.#processes.get(number)!
    await start(known).catch((error: Error) => {
      if (!this.#killed.has(again) && !this.#ended) throw error
    })
    if (!this.#killed.has(again)) this.#restarting.delete(number)
  }

  get #hasQuorum(): boolean {
    return this.#peers.size + this.#restarting.size >= this.#options.task.thresholds.quorum
  }

  #checkQuorum(): void {
    if (!this.#hasQuorum) this.#round?.giveUp()
  }

  #warnOfKills(round: number): void {
    const { D } = this.#options.task.thresholds
    const kills = this.#kills.of(round).length
    if (kills <= D) return
    const allowed = `the task allows for ${D} missing`
    this.#options.warn(
      `round ${round} has ${counted(kills, 'kill')} and ${allowed}: it may be burned, and a restart may be its only way to close`
    )
  }

  /** Waits until every living and restarted member is connected to all the others, caught up and subscribed. */
  async #assembled(): Promise<void> {
    const began = Date.now()
    let changed = began
    for (;;) {
      const lacking = await this.#unlessFailed(this.#lacking())
      if (lacking === undefined) return
      if (lacking !== this.#waitingFor) changed = Date.now()
      this.#waitingFor = lacking
      if (Date.now() > Math.min(changed + standstillMs, began + assemblyMs)) {
        const seconds = Math.round((Date.now() - began) / 1000)
        throw new SecureAggregationError(
          'NOT_CONNECTED',
          `after ${seconds} s ${lacking}; run again with --data DIR and read the members’ log.jsonl`
        )
      }
      await this.#unlessFailed(sleep(pollMs))
    }
  }

  /** What still keeps the next round from opening. */
  async #lacking(): Promise<string | undefined> {
    const [restarting] = this.#restarting
    if (restarting !== undefined) return `peer-${restarting} has not come back`
    // A member that is killed while it is asked does not answer; then it is asked for again.
    return lackingForRound(this.#peers, this.#options.ids, this.#closedRound).catch((error: Error) => error.message)
  }

  async #unlessKilled(peer: Peer, work: Promise<void>): Promise<void> {
    await work.catch((error: Error) => {
      if (!isMortal(peer) || !this.#killed.has(peer)) throw error
    })
  }

  #unlessFailed<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.#failure.promise])
  }
}

function isMortal(peer: Peer): peer is MortalPeer {
  return 'kill' in peer
}

async function startInProcess(settings: PeerSettings, events: PeerEvents): Promise<Peer> {
  const { InProcessPeer } = await import('./in-process-peer.ts')
  return InProcessPeer.start(settings, events)
}
