import type { Lanes } from '../crypto/mask-stream.ts'
import { nextBeacon } from '../membership/beacon.ts'
import { decodeSet, encodeSet } from '../membership/member-set.ts'
import { checkOpened } from './attempt.ts'
import { sameBytes } from './dealing.ts'
import { fault, LeaderGaveUp } from './faults.ts'
import { cutHash, inclusionOf } from './messages.ts'
import type { Message, Value } from './messages.ts'
import type { Round } from './round.ts'
import type { Shown, Table } from './table.ts'
import { checkAdvert, maskingSetHash, readKeyBook, readyHash, refuseDuplicateKeys } from './transcript.ts'
import type { CheckedCut, KeyBook, MaskingSet } from './transcript.ts'
import { masksToRemove, Revealed } from './unmasking.ts'
import { gatherVectors } from './uploads.ts'
import type { Uploads } from './uploads.ts'
import { maskInto } from './vectors.ts'
import { agree, decideClosing } from './voting.ts'

/** The elected member's side of a round, top to bottom as §4 tells it: a barrier per phase. It need not be trusted. */

export async function aggregate(round: Round, table: Table, signal: AbortSignal): Promise<void> {
  const book = await gatherKeys(round, table, signal)
  const set = await gatherShares(round, table, book, signal)
  const upload = await gatherVectors(round, table, book, set, signal)
  const decided = await agreeOnCut(round, table, set, upload, signal)
  const revealed = await gatherReveals(round, table, book, decided, signal)
  const sum = await publishSum(round, table, book, set, decided, upload.accumulator, revealed, signal)
  await closeSummed(round, table, book, decided, sum, signal)
}

/** Phases 0 and 1: the plan goes out, adverts come in, the key book goes out. */
async function gatherKeys(round: Round, table: Table, signal: AbortSignal): Promise<Shown<KeyBook, 'KeyBook'>> {
  const { rules, task } = round
  const attempt = round.attempt(0)
  const adverts = new Map<number, Message<'KeyAdvert'>>()
  const plan = await round.state('RoundPlan', {
    view: round.views.current,
    attempt: 0,
    contextHash: round.contextHash,
    length: task.length,
    previous: round.previous
  })
  table.ask(plan, {
    KeyAdvert(advert) {
      checkAdvert(advert, attempt.id, rules.roster)
      const others = [...adverts.values()].filter(({ from }) => from !== advert.from)
      refuseDuplicateKeys([...others, advert], rules.roster.members[advert.from].id)
      adverts.set(advert.from, advert)
    }
  })
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
  return { ...readKeyBook(message, attempt.id, rules), message }
}

/** Phase 2: a contributor is in the masking set iff enough holders acknowledged its shares (§3). */
async function gatherShares(
  round: Round,
  table: Table,
  book: Shown<KeyBook, 'KeyBook'>,
  signal: AbortSignal
): Promise<Shown<MaskingSet, 'MaskingSet'>> {
  const { rules } = round
  const n = rules.roster.members.length
  const readies = new Map<number, Message<'Ready'>>()
  table.ask(book.message, {
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
  return { hash: maskingSetHash(body), members, message: await round.state('MaskingSet', body) }
}

/** Phase 4: the members agree on the included set (§6). */
async function agreeOnCut(
  round: Round,
  table: Table,
  set: MaskingSet,
  { cut, headers }: Uploads,
  signal: AbortSignal
): Promise<Shown<CheckedCut, 'Decision'>> {
  const inOrder = [...headers.values()].sort((a, b) => a.from - b.from)
  await round.reach('agree')
  const message = await agree(
    round,
    table,
    {
      agreement: inclusionOf(0),
      view: round.views.current,
      value: { kind: 'cut', cutHash: cutHash(cut) },
      lock: null,
      cut,
      headers: inOrder.map(({ encoded }) => encoded),
      reason: ''
    },
    null,
    signal
  )
  const included = new Set(inOrder.map(({ from }) => from))
  return { cut, included, dropped: set.members.filter((member) => !included.has(member)), headers, message }
}

/** Phase 5: own seeds of the included, shares of the keys of the dropped; in a second wave shares of the seeds of the silent. */
async function gatherReveals(
  round: Round,
  table: Table,
  book: KeyBook,
  decided: Shown<CheckedCut, 'Decision'>,
  signal: AbortSignal
): Promise<Revealed> {
  const { rules } = round
  const revealed = new Revealed(rules, book, decided)
  const heard = new Set<number>()
  table.ask(decided.message, {
    Reveal(message) {
      if (!sameBytes(message.body.attemptId, book.attemptId))
        throw fault(round, message, 'WRONG_ATTEMPT', 'is for another attempt')
      revealed.take(message)
      heard.add(message.from)
    }
  })
  await round.learn(decided.message)
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
  await decideClosing(round, table, { value, lock: null, reason: '' }, body.root, signal)
}
