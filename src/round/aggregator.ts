import type { Lanes } from '../crypto/mask-stream.ts'
import { MerkleTree } from '../crypto/merkle.ts'
import { MessageError } from '../errors.ts'
import { nextBeacon } from '../membership/beacon.ts'
import { decodeSet, encodeSet } from '../membership/member-set.ts'
import { checkOpened } from './attempt.ts'
import type { CheckedSum } from './attempt.ts'
import { sameBytes } from './dealing.ts'
import { fault, LeaderGaveUp } from './faults.ts'
import { cutHash, inclusionOf } from './messages.ts'
import type { Lock, Message, Value } from './messages.ts'
import type { Round } from './round.ts'
import { shortAdvert, shortHeader } from './short-forms.ts'
import { SliceLead } from './slice-lead.ts'
import type { Shown, Table } from './table.ts'
import { checkAdvert, duplicateKey, maskingSetHash, readKeyBook, readyHash, shareKey, tooFew } from './transcript.ts'
import type { CheckedCut, KeyBook, MaskingSet } from './transcript.ts'
import { masksToRemove, Revealed } from './unmasking.ts'
import type { Opened } from './unmasking.ts'
import { gatherVectors } from './uploads.ts'
import type { Uploads } from './uploads.ts'
import { maskInto } from './vectors.ts'
import { checkClosable, furthestPoint } from './takeover.ts'
import { agree, decideClosing, propose } from './voting.ts'

/** The elected member's side of a round, top to bottom as §4 tells it: a barrier per phase. It need not be trusted. */

export async function lead(round: Round, table: Table, signal: AbortSignal): Promise<void> {
  if (round.views.current > 0) await gatherJoins(round, table, signal)
  const lock = round.views.highestLock('closing')
  // A sum that is refuted is made anew, for the same value (§6).
  if (lock !== undefined && !round.isRefuted(lock.certificate.root)) {
    const { rosterHash } = lock.value as { rosterHash: Uint8Array }
    const change = round.next.changeFor(rosterHash)
    return decideClosing(round, table, { ...lock, change, reason: round.reason }, signal)
  }
  try {
    await carryOn(round, table, signal)
  } catch (error) {
    const { f, D } = round.rules.thresholds
    // A member's fault that no leader can do without, such as a dealing that does not open what was committed to.
    const isStuck = error instanceof LeaderGaveUp || error instanceof MessageError
    if (!isStuck || lock !== undefined || round.views.current <= f + D) throw error
    if (error instanceof MessageError) round.ports.observer.refused?.(error)
    await decideClosing(round, table, { value: round.burned, reason: error.message }, signal)
  }
}

/** A later leader hears what a quorum of members has to offer, and a little longer from the rest, who may hold a lock. */
async function gatherJoins(round: Round, table: Table, signal: AbortSignal): Promise<void> {
  const { roster, thresholds } = round.rules
  const absent = () => roster.members.map(({ index }) => index).filter((member) => !round.views.joins().has(member))
  const present = () => round.views.joins().size
  const { limit, data, grace } = round.views.patience
  await table.gather(() => (present() >= thresholds.quorum ? [] : absent()), { limit: data, grace: data, signal })
  if (present() < thresholds.quorum)
    throw new LeaderGaveUp(
      `${present()} members came to view ${round.views.current}, fewer than a quorum of ${thresholds.quorum}`
    )
  await table.gather(absent, { limit: limit / 5, grace, signal })
}

/** From the first word, or from the furthest point that enough members share (§6). */
async function carryOn(round: Round, table: Table, signal: AbortSignal): Promise<void> {
  const point = furthestPoint(round)
  if (point.at === 'sum') return publishAgain(round, table, point.sum, signal)
  if (point.at === 'retry') await decideRetry(round, table, point.lock, signal)
  const fresh = point.at === 'keys' || point.at === 'retry'
  if (!fresh) table.broadcast(await planOf(round))
  const book = fresh
    ? await gatherKeys(round, table, signal)
    : { ...point.book, message: await showBook(round, point.book) }
  const setKnown = point.at === 'mask' || point.at === 'cut'
  if (setKnown) table.broadcast(book.message)
  const set = setKnown
    ? { ...point.set, message: await showSet(round, point.set) }
    : await gatherShares(round, table, book, signal)
  const known = point.at === 'cut' ? point.cut : undefined
  const lock = point.at === 'cut' ? point.lock : undefined
  if (round.sharding !== undefined) return sumInSlices(round, table, book, set, { known, lock }, signal)
  const upload = await gatherVectors(round, table, book, set, known, signal)
  const decided = await agreeOnCut(round, table, set, upload, lock, signal)
  const opened = await openDecided(round, table, book, decided, signal)
  const sum = await publishSum(round, table, book, set, decided, upload.accumulator, opened, signal)
  await closeSummed(round, table, book, decided, sum, signal)
}

/** Phases 3 to 7 where the vector is summed in slices (§13): no vector passes through here. */
async function sumInSlices(
  round: Round,
  table: Table,
  book: KeyBook,
  set: Shown<MaskingSet, 'MaskingSet'>,
  { known, lock }: { known?: CheckedCut; lock?: Lock },
  signal: AbortSignal
): Promise<void> {
  const slices = new SliceLead(round, table, book, set)
  const upload = await slices.gather(known, signal)
  const decided = await agreeOnCut(round, table, set, upload, lock, signal)
  const opened = await openDecided(round, table, book, decided, signal)
  const sums = await slices.sums(decided, opened, signal)
  await round.reach('sum')
  const root = MerkleTree.from(sums.map(({ root }) => root)).root
  const { cut } = decided
  const said = { view: round.views.current, cut, root, ...opened, again: null, slices: sums }
  const header = await round.state('SumHeader', said)
  table.broadcast(header)
  await closeSummed(round, table, book, decided, header, signal)
}

/** Phase 5, or what an earlier leader's sum has opened already: what was wrong with that was the rest. */
async function openDecided(
  round: Round,
  table: Table,
  book: KeyBook,
  decided: Shown<CheckedCut, 'Decision'>,
  signal: AbortSignal
): Promise<Opened> {
  const opened = round.attempt().opened ?? openAll(round, await gatherReveals(round, table, book, decided, signal))
  if (round.attempt().opened !== undefined) {
    table.broadcast(decided.message)
    await round.learn(decided.message)
  }
  return opened
}

function planOf(round: Round): Promise<Message<'RoundPlan'>> {
  const retries = Array.from(
    { length: round.attemptNumber },
    (_, attempt) => round.decision(inclusionOf(attempt))!.encoded
  )
  const { contextHash, previous } = round
  return round.state('RoundPlan', {
    view: round.views.current,
    attempt: round.attemptNumber,
    retries,
    contextHash,
    length: round.task.length,
    previous
  })
}

/** What an earlier leader showed is shown again, in this leader's name. */
function showBook(round: Round, { attemptId, adverts }: KeyBook): Promise<Message<'KeyBook'>> {
  return round.state('KeyBook', {
    view: round.views.current,
    attemptId,
    adverts: [...adverts.values()].map((advert) => advertFor(round, advert))
  })
}

/** In slices no vector goes through the leader, and what it says to all is most of what it sends: short, then (§13). */
function advertFor({ sharding }: Round, advert: Message<'KeyAdvert'>): Uint8Array {
  return sharding === undefined ? advert.encoded : shortAdvert(advert)
}

function showSet(round: Round, { body }: MaskingSet): Promise<Message<'MaskingSet'>> {
  return round.state('MaskingSet', { ...body, view: round.views.current })
}

/** Fresh keys for everyone: this attempt cannot be carried on. */
async function decideRetry(round: Round, table: Table, lock: Lock | undefined, signal: AbortSignal): Promise<void> {
  const proposal = {
    agreement: inclusionOf(round.attemptNumber),
    value: { kind: 'retry' as const },
    lock,
    cut: null,
    headers: [],
    change: null,
    reason: ''
  }
  // Whoever missed how the attempts before ended cannot vote in this one.
  for (let earlier = 0; earlier < round.attemptNumber; earlier++) {
    const known = round.decision(inclusionOf(earlier))
    if (known !== undefined)
      table.broadcast(known.from === round.me ? known : await round.state('Decision', known.body))
  }
  const decision = await agree(round, table, proposal, signal)
  table.broadcast(decision)
  await round.learn(decision)
}

/** Phases 0 and 1: the plan goes out, adverts come in, the key book goes out. */
async function gatherKeys(round: Round, table: Table, signal: AbortSignal): Promise<Shown<KeyBook, 'KeyBook'>> {
  const { rules } = round
  const attempt = round.attempt()
  const adverts = new Map<number, Message<'KeyAdvert'>>()
  const disputed = new Set<number>()
  // S5: a leader that crashes from here on finds that it has led, and does not say another thing in the same view.
  if (!round.ballot.sitsOut(attempt.number)) await round.ballot.enter(attempt.number, attempt.id)
  const plan = await planOf(round)
  table.ask(plan, {
    KeyAdvert(advert) {
      checkAdvert(advert, attempt.id, rules.roster)
      const others = [...adverts.values()].filter(({ from }) => from !== advert.from)
      const twin = others.find((other) => shareKey(other, advert))
      // An earlier leader of this attempt may have shown the one's keys to the other: who comes first proves nothing then.
      const isFirstView = round.views.current === round.firstView
      if (twin !== undefined && isFirstView) throw duplicateKey(twin, advert, rules.roster.members[advert.from].id)
      if (twin !== undefined) {
        for (const { from } of [twin, advert]) disputed.add(from)
        round.ports.observer.refused?.(duplicateKey(twin, advert))
      }
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
  const inOrder = [...adverts.values()]
    .filter(({ from }) => table.isWelcome(from) && !disputed.has(from))
    .sort((a, b) => a.from - b.from)
  const contributors = inOrder.filter(({ body }) => body.contributes).map(({ from }) => from)
  const few = tooFew(rules, contributors)
  if (few !== undefined) throw new LeaderGaveUp(`inputs came from ${few}`)
  await round.reach('shares')
  const message = await round.state('KeyBook', {
    view: round.views.current,
    attemptId: attempt.id,
    adverts: inOrder.map((advert) => advertFor(round, advert))
  })
  return { ...readKeyBook(message, attempt, rules), message }
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
  const held = new Map([...readies.values()].map(({ from, body }) => [from, new Set(decodeSet(body.dealers, n))]))
  const members = book.contributors.filter(
    (dealer) =>
      readies.has(dealer) &&
      table.isWelcome(dealer) &&
      book.graph.holders(dealer).filter((holder) => held.get(holder)?.has(dealer) === true).length >=
        rules.thresholds.acknowledgements
  )
  const few = tooFew(rules, members)
  if (few !== undefined) throw new LeaderGaveUp(`shares are safely held of ${few}`)
  await round.reach('mask')
  const body = {
    view: round.views.current,
    attemptId: book.attemptId,
    keyBookHash: book.hash,
    members: encodeSet(members, n),
    readyHash: readyHash([...readies.values()])
  }
  return { hash: maskingSetHash(body), members, body, message: await round.state('MaskingSet', body) }
}

/** Phase 4: the members agree on the included set (§6); where they have, they are shown it again. */
async function agreeOnCut(
  round: Round,
  table: Table,
  set: MaskingSet,
  { cut, headers }: Omit<Uploads, 'accumulator'>,
  lock: Lock | undefined,
  signal: AbortSignal
): Promise<Shown<CheckedCut, 'Decision'>> {
  const inOrder = [...headers.values()].sort((a, b) => a.from - b.from)
  await round.reach('agree')
  const agreement = inclusionOf(round.attemptNumber)
  const value = { kind: 'cut' as const, cutHash: cutHash(cut) }
  const proposal = {
    agreement,
    value,
    lock,
    cut,
    headers: inOrder.map((header) => (round.sharding === undefined ? header.encoded : shortHeader(header))),
    change: null,
    reason: ''
  }
  const known = round.decision(agreement)
  if (known !== undefined) table.broadcast(await propose(round, proposal))
  const message =
    known === undefined ? await agree(round, table, proposal, signal) : await round.state('Decision', known.body)
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

/**
 * Where shares open something else than was committed to, everyone gets evidence against their dealer (§8), and nobody
 * else can open this cut either.
 */
function openAll(round: Round, revealed: Revealed): Opened {
  try {
    return revealed.open()
  } catch (error) {
    for (const evidence of revealed.evidence()) round.accuse(evidence)
    round.ports.observer.refused?.(error as Error)
    throw new LeaderGaveUp((error as Error).message)
  }
}

/** Phase 6: the masks come off, the sum goes out with what opened it. */
async function publishSum(
  round: Round,
  table: Table,
  book: KeyBook,
  set: MaskingSet,
  decided: CheckedCut,
  accumulator: Lanes,
  opened: Opened,
  signal: AbortSignal
): Promise<Message<'SumHeader'>> {
  const { ports, rules, shape, sumShape } = round
  await round.reach('sum')
  const name = round.publishedName
  const owner = { attemptId: book.attemptId, member: rules.roster.members.length }
  // Where sums are per group they lie one behind the other, and each but a lone one loses its masks before it is packed.
  const alone = rules.groups === undefined
  const { clock, compute } = ports
  const pause = () => clock.pause()
  for (let group = 0; !alone && group < rules.groups!.count; group++) {
    const lanes = accumulator.subarray(group * shape.elements, (group + 1) * shape.elements)
    const masks = await masksToRemove(rules, book, set, decided, opened, ports, group)
    await compute.addMasks(lanes, masks, { signal, pause })
  }
  const masks = alone ? await masksToRemove(rules, book, set, decided, opened, ports) : []
  let leaves: Uint8Array[] = []
  const root = await maskInto(ports.vectors, name, accumulator, masks, owner, sumShape, {
    ...{ clock, compute, signal },
    leaves: (hashes) => (leaves = hashes)
  })
  const header = await round.state('SumHeader', {
    view: round.views.current,
    cut: decided.cut,
    root,
    ...opened,
    again: null
  })
  if (round.sums.areSpread) round.sums.of(header.body).slices[0].putAway({ name, offset: 0 }, leaves)
  table.broadcast(header)
  if (!round.sums.areSpread) table.broadcastVector(name)
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
  checkClosable(round)
  const contributions = checkOpened(body, book, decided, round.rules.roster.members[round.me].id)
  const hash = cutHash(decided.cut)
  const beacon = nextBeacon({ beacon: round.beacon, round: round.rules.context.round, cutHash: hash, contributions })
  await decideSummed(round, table, { cutHash: hash, beacon, root: body.root }, signal)
}

/** The sum, and the roster that follows: changed where this leader has heard that it should be (§7). */
async function decideSummed(
  round: Round,
  table: Table,
  { root, ...sum }: { cutHash: Uint8Array; beacon: Uint8Array; root: Uint8Array },
  signal: AbortSignal
): Promise<void> {
  await round.reach('close')
  const lock = round.views.highestLock('closing')
  if (lock !== undefined && round.isRefuted(lock.certificate.root)) {
    const { rosterHash } = lock.value as { rosterHash: Uint8Array }
    return decideClosing(round, table, { ...lock, change: round.next.changeFor(rosterHash), reason: '' }, signal, root)
  }
  const { roster, change } = await round.next.propose(round.views.current, (member) => table.isConnected(member))
  const value: Value = { kind: 'summed', ...sum, ...round.next.following(true, roster) }
  await decideClosing(round, table, { value, change, reason: '' }, signal, root)
}

/** This leader has the sum that an earlier one published, and publishes it in its own name. */
async function publishAgain(
  round: Round,
  table: Table,
  { header, contributions }: CheckedSum,
  signal: AbortSignal
): Promise<void> {
  checkClosable(round)
  await round.reach('sum')
  const again = header.body.again ?? header.encoded
  table.broadcast(await round.state('SumHeader', { ...header.body, view: round.views.current, again }))
  if (!round.sums.areSpread) table.broadcastVector(round.sumName)
  const hash = cutHash(header.body.cut)
  const beacon = nextBeacon({ beacon: round.beacon, round: round.rules.context.round, cutHash: hash, contributions })
  await decideSummed(round, table, { cutHash: hash, beacon, root: header.body.root }, signal)
}
