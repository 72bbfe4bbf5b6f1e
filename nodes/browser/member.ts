import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import type { PrivateKey } from '@libp2p/interface'
import { SecureAggregationError } from '../../src/errors.ts'
import { IndexedDbJournal } from '../../src/journal/indexeddb-journal.ts'
import type {
  ContributeOptions,
  EvidenceDetail,
  Phase,
  RoundHandler,
  RoundOutcome,
  Sum,
  Task,
  TaskInput,
  Vector
} from '../../src/index.ts'
import { createTask } from '../../src/task/task.ts'
import { identityIn, ownJournal } from './identity.ts'
import { createPageNode } from './libp2p.ts'
import type { PageNode } from './libp2p.ts'

export type MemberEvent =
  /** Who is connected now, by peer id. */
  | { type: 'connected'; members: string[] }
  | { type: 'round:open'; round: number }
  | { type: 'round:phase'; round: number; phase: Phase; leading: boolean }
  | { type: 'round:closed'; outcome: RoundOutcome }
  /** A message, or something that failed, and whose fault it is. */
  | { type: 'refused'; reason: string; culprit?: string }
  | ({ type: 'evidence' } & EvidenceDetail)

export interface BrowserMemberOptions {
  task: Task | TaskInput
  /** WebSocket addresses of daemons, like /dns4/node.example/tcp/443/tls/ws/p2p/12D3…; one is enough to find the others. */
  bootstrap: string[]
  /** Ed25519. Left out, this origin's own, made when it is first asked for. One identity runs in one tab. */
  identity?: PrivateKey
  /** The name of the journal in IndexedDB; `member` if left out, or one of its own for an identity that is given. */
  storage?: string
  /** Daemons are on this machine or a local network and are dialled without TLS. */
  local?: boolean
  /** STUN and TURN servers for streams between pages; none if left out, so that no third party hears of this page. */
  iceServers?: RTCIceServer[]
  /** Told what happens. What it returns for a phase is awaited before that phase's first message leaves. */
  onEvent?: (event: MemberEvent) => Promise<void> | void
}

/** One member of one task in a web page, for as long as the page is open. */
export class BrowserMember {
  readonly task: Task
  readonly #node: PageNode
  readonly #journal: IndexedDbJournal

  private constructor(task: Task, node: PageNode, journal: IndexedDbJournal) {
    this.task = task
    this.#node = node
    this.#journal = journal
  }

  /** @throws SecureAggregationError NOT_A_MEMBER, JOURNAL_IN_USE, JOURNAL_UNREADABLE; TaskError */
  static async start(options: BrowserMemberOptions): Promise<BrowserMember> {
    const { bootstrap, identity, local = false, iceServers = [] } = options
    const tell = teller(options.onEvent)
    const task = 'idBytes' in options.task ? options.task : createTask(options.task)
    const given = identity === undefined ? undefined : peerIdFromPrivateKey(identity).toString()
    const journal = await IndexedDbJournal.open(options.storage ?? given ?? ownJournal)
    try {
      const privateKey = identity ?? (await identityIn(journal))
      checkMembership(task, peerIdFromPrivateKey(privateKey).toString())
      // What it may have signed should outlive a shortage of space. Not awaited: the browser may ask its user, or say no.
      void navigator.storage.persist().catch(() => {})
      const started: { member?: BrowserMember } = {}
      const node = await createPageNode({
        privateKey,
        bootstrap,
        local,
        iceServers,
        expects: (peer) => started.member?.expects(peer) ?? task.members.includes(peer),
        aggregation: {
          tasks: [task],
          journal,
          observer: () => ({
            phase: (phase, round, leading) => tell({ type: 'round:phase', round, phase, leading }),
            refused: (error) => {
              const { message: reason, culprit } = error as SecureAggregationError
              void tell({ type: 'refused', reason, culprit })
            }
          })
        }
      })
      const member = new BrowserMember(task, node, journal)
      started.member = member
      member.#listen((event) => void tell(event))
      return member
    } catch (error) {
      await journal.close()
      throw error
    }
  }

  get id(): string {
    return this.#node.peerId.toString()
  }

  /** Peer ids of the members that are connected now. */
  get connected(): string[] {
    return this.#node.services.links.connected()
  }

  /** Peer ids of the members that a round would be announced to. */
  get subscribed(): string[] {
    return this.#session.subscribers()
  }

  /** The last round that is closed as far as this member knows; 0 before the first. */
  get closedRound(): number {
    return this.#session.member.closedRound
  }

  /** How the members are reached, by peer id, without what a relay limits. */
  get addresses(): Record<string, string[]> {
    const reached: Record<string, string[]> = {}
    for (const { remotePeer, remoteAddr, limits } of this.#node.getConnections())
      if (limits === undefined) (reached[remotePeer.toString()] ??= []).push(remoteAddr.toString())
    return reached
  }

  /** Adds a vector to the next round's sum; see `SecureAggregation.contribute`. */
  contribute(vector: Vector, options?: ContributeOptions): Promise<Sum> {
    return this.#node.services.aggregation.contribute(this.task.id, vector, options)
  }

  /** Answers each round as it opens, instead of vectors handed over by `contribute`. */
  onRound(handler: RoundHandler): void {
    this.#node.services.aggregation.onRound(this.task.id, handler)
  }

  /** Asks for a round, for everyone. */
  want(): Promise<void> {
    return this.#node.services.aggregation.want(this.task.id)
  }

  /** The sum of a round that this page has seen closed. @throws RoundError where there is none */
  sum(outcome: RoundOutcome): Promise<Sum> {
    return this.#session.sum(outcome)
  }

  /** Whether a peer has a reason to be connected. */
  expects(peer: string): boolean {
    return this.#session.expects(peer)
  }

  async stop(): Promise<void> {
    await this.#node.stop()
    await this.#journal.close()
  }

  get #session() {
    return this.#node.services.aggregation.session(this.task.id)
  }

  #listen(tell: (event: MemberEvent) => void): void {
    const { aggregation, links } = this.#node.services
    const { roster } = this.#session.participant
    links.follow([...roster.members, ...roster.suspended].map(({ id }) => id))
    aggregation.addEventListener('roster', ({ detail }) => links.follow([...detail.members, ...detail.suspended]))
    aggregation.addEventListener('round:open', ({ detail: { round } }) => tell({ type: 'round:open', round }))
    aggregation.addEventListener('sum', ({ detail: outcome }) => tell({ type: 'round:closed', outcome }))
    aggregation.addEventListener('round:burned', ({ detail: outcome }) => tell({ type: 'round:closed', outcome }))
    aggregation.addEventListener('evidence', ({ detail }) => tell({ type: 'evidence', ...detail }))
    const connected = (): void => tell({ type: 'connected', members: this.connected })
    this.#node.addEventListener('connection:open', connected)
    this.#node.addEventListener('connection:close', connected)
    connected()
  }
}

/** What an application does with an event is no reason for a round to fail: its errors are shown as any error of a page. */
function teller(onEvent: BrowserMemberOptions['onEvent']): (event: MemberEvent) => Promise<void> {
  return async (event) => {
    try {
      await onEvent?.(event)
    } catch (error) {
      reportError(error)
    }
  }
}

function checkMembership(task: Task, id: string): void {
  // Where there is a policy, the members decide who is let in.
  if (task.members.includes(id) || task.admission !== undefined) return
  const sentence = `${id}, the identity of this page, is not among the members of the task ${task.name}`
  throw new SecureAggregationError(
    'NOT_A_MEMBER',
    `${sentence}; add it to the task, or open the page where it was made`
  )
}
