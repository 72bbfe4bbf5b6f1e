import { createLanes } from '../crypto/mask-stream.ts'
import type { Lanes } from '../crypto/mask-stream.ts'
import { MessageError } from '../errors.ts'
import { nextBeacon } from '../membership/beacon.ts'
import { decodeSet, encodeSet } from '../membership/member-set.ts'
import { checkOpened } from './attempt.ts'
import { certify } from './certificates.ts'
import type { VoteType } from './certificates.ts'
import { sameBytes } from './dealing.ts'
import { cutHash, inclusionOf, valueHash } from './messages.ts'
import type { AgreementName, Body, Cut, Lock, Message, Value } from './messages.ts'
import type { Round } from './round.ts'
import type { Table } from './table.ts'
import {
  checkAdvert,
  checkHeader,
  headersRoot,
  maskingSetHash,
  readKeyBook,
  readyHash,
  refuseDuplicateKeys
} from './transcript.ts'
import type { CheckedCut, KeyBook, MaskingSet } from './transcript.ts'
import { masksToRemove, Revealed } from './unmasking.ts'
import { addStored, maskInto, receiveVector } from './vectors.ts'

/** The elected member's side of a round, top to bottom as §4 tells it: a barrier per phase. It need not be trusted. */

/** Why this leader cannot go on; the round is left to the next one. */
export class LeaderGaveUp extends Error {
  static override name = 'LeaderGaveUp'
}

/** Vectors taken at a time, where they are long; the others wait by back-pressure. */
const UPLOADS_AT_ONCE = 4

export async function aggregate(round: Round, table: Table, signal: AbortSignal): Promise<void> {
  const book = await gatherKeys(round, table, signal)
  const set = await gatherShares(round, table, book, signal)
  const upload = await gatherVectors(round, table, book, set, signal)
  const decided = await agreeOnCut(round, table, upload, signal)
  const revealed = await gatherReveals(round, table, book, decided, signal)
  const sum = await publishSum(round, table, book, set, decided, upload.accumulator, revealed, signal)
  await closeSummed(round, table, book, decided, sum, signal)
}

/** Phases 0 and 1: the plan goes out, adverts come in, the key book goes out. */
async function gatherKeys(round: Round, table: Table, signal: AbortSignal): Promise<KeyBook> {
  const { rules, task } = round
  const attempt = round.attempt(0)
  const adverts = new Map<number, Message<'KeyAdvert'>>()
  table.expect({
    KeyAdvert(advert) {
      checkAdvert(advert, attempt.id, rules.roster)
      refuseDuplicateKeys([...adverts.values(), advert], rules.roster.members[advert.from].id)
      adverts.set(advert.from, advert)
    }
  })
  await round
    .state('RoundPlan', {
      view: round.views.current,
      attempt: 0,
      contextHash: round.contextHash,
      length: task.length,
      previous: round.previous
    })
    .then((plan) => table.broadcast(plan))
  // A member may not have heard that the round is wanted: gossip repairs itself within a second, a direct word is faster.
  round.views.remind(rules.roster.members.map(({ index }) => index).filter((member) => !table.isConnected(member)))
  const { limit } = round.views.patience
  await table.gather(() => rules.roster.members.map(({ index }) => index).filter((member) => !adverts.has(member)), {
    limit,
    grace: limit / 2,
    signal
  })
  const inOrder = [...adverts.values()].filter(({ from }) => table.isWelcome(from)).sort((a, b) => a.from - b.from)
  const contributors = inOrder.filter(({ body }) => body.contributes).length
  if (contributors < rules.thresholds.nMin)
    throw new LeaderGaveUp(
      `${contributors} members came with an input, fewer than the least of ${rules.thresholds.nMin}`
    )
  await round.reach('shares')
  const message = await round.state('KeyBook', {
    view: round.views.current,
    attemptId: attempt.id,
    adverts: inOrder.map(({ encoded }) => encoded)
  })
  table.broadcast(message)
  return readKeyBook(message, attempt.id, rules)
}

/** Phase 2: a contributor is in the masking set iff enough holders acknowledged its shares (§3). */
async function gatherShares(round: Round, table: Table, book: KeyBook, signal: AbortSignal): Promise<MaskingSet> {
  const { rules } = round
  const n = rules.roster.members.length
  const readies = new Map<number, Message<'Ready'>>()
  table.expect({
    Ready(message) {
      if (!sameBytes(message.body.attemptId, book.attemptId))
        throw fault(round, message, 'WRONG_ATTEMPT', 'is for another attempt')
      if (!sameBytes(message.body.keyBookHash, book.hash))
        throw fault(round, message, 'INVALID', 'answers another key book')
      decodeSet(message.body.dealers, n)
      readies.set(message.from, message)
    }
  })
  const { limit, grace } = round.views.patience
  await table.gather(() => [...book.adverts.keys()].filter((member) => !readies.has(member)), { limit, grace, signal })
  const held = [...readies.values()].map(({ from, body }) => ({ from, dealers: new Set(decodeSet(body.dealers, n)) }))
  const members = book.contributors.filter(
    (dealer) =>
      readies.has(dealer) &&
      table.isWelcome(dealer) &&
      held.filter(({ from, dealers }) => from !== dealer && dealers.has(dealer)).length >=
        rules.thresholds.acknowledgements
  )
  if (members.length < rules.thresholds.nMin)
    throw new LeaderGaveUp(
      `the shares of ${members.length} members are safely held, fewer than the least of ${rules.thresholds.nMin}`
    )
  await round.reach('mask')
  const body = {
    view: round.views.current,
    attemptId: book.attemptId,
    keyBookHash: book.hash,
    members: encodeSet(members, n),
    readyHash: readyHash([...readies.values()])
  }
  table.broadcast(await round.state('MaskingSet', body))
  return { hash: maskingSetHash(body), members }
}

interface Uploads {
  headers: Map<number, Message<'MaskedHeader'>>
  accumulator: Lanes
  cut: Cut
}

/** Phase 3: each vector is staged until it is whole and matches its root, then added to the one accumulator. */
async function gatherVectors(
  round: Round,
  table: Table,
  book: KeyBook,
  set: MaskingSet,
  signal: AbortSignal
): Promise<Uploads> {
  const { rules, ports, me, shape } = round
  const headers = new Map<number, Message<'MaskedHeader'>>()
  const begun = new Set<number>()
  const accumulator = createLanes(shape.bits, shape.elements)
  const slots = new Slots(round.isLong ? UPLOADS_AT_ONCE : rules.roster.members.length)
  let adding = Promise.resolve()
  let open = true
  let pending: Message<'MaskedHeader'> | undefined
  const receipts = new Set<number>()
  table.expect({
    CustodyReceipt({ from, body }) {
      const own = headers.get(me) ?? pending
      if (own !== undefined && body.member === me && sameBytes(body.root, own.body.root)) receipts.add(from)
    },
    async MaskedHeader(header, frames) {
      checkHeader(header, book, set, rules.roster)
      if (!set.members.includes(header.from))
        throw fault(round, header, 'INVALID', 'comes from outside the masking set')
      if (begun.has(header.from)) return round.drainVector(frames)
      const { attemptId } = book
      const name = round.uploadName(header.from)
      const release = await slots.take()
      try {
        await receiveVector(
          frames,
          ports.vectors,
          name,
          { attemptId, member: header.from, root: header.body.root },
          shape,
          { wanted: () => open }
        )
      } catch (error) {
        throw named(round, header, error)
      } finally {
        release()
      }
      begun.add(header.from)
      ports.observer.received?.(rules.context.round, header.from, name)
      if (header.from === me) {
        pending = header
        // The leader includes its own only when another member holds it too.
        void giveIntoCustody(round, table, set, header, name, receipts, signal)
          .then(() => add(header, name))
          .catch((error: Error) => ports.observer.refused?.(error))
      } else {
        await add(header, name)
      }
    }
  })
  /** There is one accumulator, so one addition at a time. */
  const add = (header: Message<'MaskedHeader'>, name: string): Promise<void> =>
    (adding = adding.then(async () => {
      if (!open) return
      await addStored(ports.vectors, name, accumulator, shape, ports.clock)
      headers.set(header.from, header)
      table.touch()
    }))
  const { data: limit, grace } = round.views.patience
  await table.gather(() => set.members.filter((member) => !headers.has(member)), { limit, grace, signal })
  open = false
  await adding
  const included = [...headers.keys()].sort((a, b) => a - b)
  if (included.length < rules.thresholds.nMin)
    throw new LeaderGaveUp(
      `${included.length} masked vectors arrived, fewer than the least of ${rules.thresholds.nMin}`
    )
  const inOrder = included.map((member) => headers.get(member)!)
  const cut: Cut = {
    attemptId: book.attemptId,
    keyBookHash: book.hash,
    maskingSetHash: set.hash,
    included: encodeSet(included, rules.roster.members.length),
    headersRoot: headersRoot(inOrder)
  }
  return { headers, accumulator, cut }
}

/** The leader's own vector goes to the next in the order that acknowledges it, so that it can be had if the leader dies (§4 phase 3). */
async function giveIntoCustody(
  round: Round,
  table: Table,
  set: MaskingSet,
  header: Message<'MaskedHeader'>,
  name: string,
  receipts: ReadonlySet<number>,
  signal: AbortSignal
): Promise<void> {
  const custody = await round.state('Custody', { header: header.encoded })
  const { grace, limit } = round.views.patience
  for (const member of round.order.filter((other) => other !== round.me && set.members.includes(other))) {
    if (!table.isConnected(member) || !table.isWelcome(member)) continue
    table.say(member, custody)
    table.sayVector(member, name)
    const missing = await table.gather(() => (receipts.has(member) ? [] : [member]), {
      limit: round.isLong ? limit : grace,
      grace: 0,
      signal
    })
    if (missing.length === 0) return
  }
  throw new LeaderGaveUp("no member took the leader's vector into custody")
}

/** Phase 4: the members agree on the included set (§6). */
async function agreeOnCut(
  round: Round,
  table: Table,
  { cut, headers }: Uploads,
  signal: AbortSignal
): Promise<CheckedCut> {
  const value: Value = { kind: 'cut', cutHash: cutHash(cut) }
  const encoded = [...headers.values()].sort((a, b) => a.from - b.from).map((header) => header.encoded)
  await round.reach('agree')
  const proposal = {
    agreement: inclusionOf(0),
    view: round.views.current,
    value,
    lock: null,
    cut,
    headers: encoded,
    reason: ''
  }
  await agree(round, table, proposal, null, signal)
  const included = new Set(decodeSet(cut.included, round.rules.roster.members.length))
  const set = round.attempt(0).set!
  return { cut, included, dropped: set.members.filter((member) => !included.has(member)), headers }
}

/** Both phases of one agreement in this view: a quorum of Prepares is a lock, a quorum of Commits the decision. */
export async function agree(
  round: Round,
  table: Table,
  proposal: Body<'Proposal'>,
  root: Uint8Array | null,
  signal: AbortSignal
): Promise<void> {
  const view = round.views.current
  const name = proposal.agreement as AgreementName
  const vote = { agreement: name, view, value: valueHash(proposal.value), root }
  table.broadcast(await round.state('Proposal', proposal))
  const certificate = await gatherVotes(round, table, 'Prepare', vote, signal)
  const lock: Lock = { value: proposal.value, certificate }
  table.broadcast(round.unsigned('Lock', lock))
  const commits = await gatherVotes(round, table, 'Commit', vote, signal)
  const decision = round.unsigned('Decision', { value: proposal.value, commits, reason: proposal.reason })
  table.broadcast(decision)
  await round.learn(decision)
}

async function gatherVotes(round: Round, table: Table, type: VoteType, vote: Body<VoteType>, signal: AbortSignal) {
  const { rules } = round
  const votes = new Map<number, Uint8Array>()
  const n = rules.roster.members.length
  table.expect({
    [type]: (message: Message<VoteType>) => {
      const { agreement, view, value, root } = message.body
      if (agreement !== vote.agreement || view !== vote.view || !sameBytes(value, vote.value))
        throw fault(round, message, 'INVALID', 'is for something that was not proposed')
      const sameRoot = root === null ? vote.root === null : vote.root !== null && sameBytes(root, vote.root)
      if (!sameRoot) throw fault(round, message, 'INVALID', 'names another root')
      votes.set(message.from, message.signature)
    }
  })
  const enough = rules.thresholds.quorum
  const silent = () =>
    votes.size >= enough ? [] : rules.roster.members.map(({ index }) => index).filter((member) => !votes.has(member))
  // Before they prepare a sum the members fetch all of it.
  const limit = vote.root === null ? round.views.patience.limit : round.views.patience.data
  await table.gather(silent, { limit, grace: limit, signal })
  if (votes.size < enough)
    throw new LeaderGaveUp(`${votes.size} ${type}s for ${vote.agreement} are no quorum of ${enough}`)
  return certify(votes, vote, n)
}

/** Phase 5: own seeds of the included, shares of the keys of the dropped; in a second wave shares of the seeds of the silent. */
async function gatherReveals(
  round: Round,
  table: Table,
  book: KeyBook,
  decided: CheckedCut,
  signal: AbortSignal
): Promise<Revealed> {
  const { rules } = round
  const revealed = new Revealed(rules, book, decided)
  const heard = new Set<number>()
  table.expect({
    Reveal(message) {
      if (!sameBytes(message.body.attemptId, book.attemptId))
        throw fault(round, message, 'WRONG_ATTEMPT', 'is for another attempt')
      revealed.take(message)
      heard.add(message.from)
    }
  })
  const { limit, grace } = round.views.patience
  const everyone = [...book.adverts.keys()]
  await table.gather(() => (revealed.isComplete() ? [] : everyone.filter((member) => !heard.has(member))), {
    limit,
    grace,
    signal
  })
  const silent = revealed.silent()
  if (silent.length > 0) {
    const request = {
      attemptId: book.attemptId,
      cutHash: cutHash(decided.cut),
      silent: encodeSet(silent, rules.roster.members.length)
    }
    table.broadcast(await round.state('RevealRequest', request))
  }
  await table.gather(() => (revealed.isComplete() ? [] : everyone), { limit, grace, signal })
  if (!revealed.isComplete())
    throw new LeaderGaveUp(`too few shares were revealed to open the secrets of ${revealed.lacking()}`)
  return revealed
}

/** Phase 6: the masks come off, the sum goes out with what opened it. */
async function publishSum(
  round: Round,
  table: Table,
  book: KeyBook,
  set: MaskingSet,
  decided: CheckedCut,
  accumulator: Lanes,
  revealed: Revealed,
  signal: AbortSignal
): Promise<Message<'SumHeader'>> {
  const { ports, rules, shape } = round
  const opened = revealed.open()
  const masks = masksToRemove(rules, book, set, decided, opened)
  await round.reach('sum')
  const name = round.publishedName
  const owner = { attemptId: book.attemptId, member: rules.roster.members.length }
  const root = await maskInto(ports.vectors, name, accumulator, masks, owner, shape, { clock: ports.clock, signal })
  const header = await round.state('SumHeader', { view: round.views.current, cut: decided.cut, root, ...opened })
  table.broadcast(header)
  table.broadcastVector(name)
  return header
}

/** Phase 7: the members agree that the round is summed. */
async function closeSummed(
  round: Round,
  table: Table,
  book: KeyBook,
  decided: CheckedCut,
  { body }: Message<'SumHeader'>,
  signal: AbortSignal
): Promise<void> {
  const contributions = checkOpened(body, book, decided, round.rules.roster.members[round.me].id)
  const hash = cutHash(decided.cut)
  const beacon = nextBeacon({ beacon: round.beacon, round: round.rules.context.round, cutHash: hash, contributions })
  const value: Value = { kind: 'summed', cutHash: hash, beacon, ...round.following }
  await round.reach('close')
  await agree(
    round,
    table,
    { agreement: 'closing', view: round.views.current, value, lock: null, cut: null, headers: [], reason: '' },
    body.root,
    signal
  )
}

/** A later leader closes the round: with the value of the highest lock, or as burned where there is none. */
export async function close(round: Round, table: Table, signal: AbortSignal): Promise<void> {
  const { rules } = round
  const { limit, data } = round.views.patience
  await table.gather(
    () =>
      round.views.changedTo(round.views.current).length >= rules.thresholds.quorum
        ? []
        : rules.roster.members.map(({ index }) => index),
    { limit: data, grace: data, signal }
  )
  if (round.views.changedTo(round.views.current).length < rules.thresholds.quorum)
    throw new LeaderGaveUp('fewer members than a quorum came to this view')
  // A little longer for the rest, who may hold a lock.
  const all = rules.roster.members.map(({ index }) => index)
  await table.gather(() => all.filter((member) => !round.views.changedTo(round.views.current).includes(member)), {
    limit: limit / 5,
    grace: limit / 10,
    signal
  })
  const lock = round.views.highestClosingLock()
  const value = lock?.value ?? round.burned
  await round.reach('close')
  const reason = value.kind === 'burned' ? round.reason : ''
  await agree(
    round,
    table,
    {
      agreement: 'closing',
      view: round.views.current,
      value,
      lock: lock?.certificate ?? null,
      cut: null,
      headers: [],
      reason
    },
    lock?.certificate.root ?? null,
    signal
  )
}

function fault(
  round: Round,
  { type, from }: { type: string; from: number },
  code: 'INVALID' | 'WRONG_ATTEMPT',
  why: string
): MessageError {
  return new MessageError(code, `a ${type} of member ${from} ${why}`, { culprit: round.rules.roster.members[from].id })
}

function named(round: Round, { from }: { from: number }, error: unknown): unknown {
  if (!(error instanceof MessageError)) return error
  return new MessageError(error.code, `member ${from}: ${error.message}`, {
    culprit: round.rules.roster.members[from].id,
    cause: error
  })
}

/** A few at a time, in the order they came. */
class Slots {
  #free: number
  readonly #waiting: Array<() => void> = []

  constructor(free: number) {
    this.#free = free
  }

  async take(): Promise<() => void> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    return () => {
      const next = this.#waiting.shift()
      if (next === undefined) this.#free++
      else next()
    }
  }
}
