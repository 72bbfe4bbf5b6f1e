import type { Mask } from '../crypto/mask-stream.ts'
import { Secret } from '../crypto/secret.ts'
import { BallotError, MessageError } from '../errors.ts'
import { decodeSet } from '../membership/member-set.ts'
import type { Attempt } from './attempt.ts'
import { sameBytes } from './dealing.ts'
import type { AgreementName, AnyMessage, Message } from './messages.ts'
import type { Frame } from './ports.ts'
import { checkPlan } from './plan.ts'
import type { Round } from './round.ts'
import { checkSum } from './sum-check.ts'
import { checkHeader, readEmbedded, readKeyBook, readMaskingSet, shownBy } from './transcript.ts'
import type { KeyBook, MaskingSet } from './transcript.ts'
import { maskInto, receiveVector, vectorFrames } from './vectors.ts'
import { checkClosing, checkInclusion, unfitRoot } from './verdicts.ts'

/**
 * A member's side of a round, top to bottom as §4 tells it: from what its leader says to what it answers. One generator
 * a conversation; everything that outlives a conversation is in the round. Shown the same again, it answers the same.
 *
 * Ends when the round is closed or the leader hangs up; throws a MessageError if the leader says what no honest leader would.
 */
export async function* contributor(source: AsyncIterable<Frame>, round: Round, view: number): AsyncGenerator<Frame> {
  const leader = round.leader(view)
  const frames = source[Symbol.asyncIterator]()
  let sharesAwaited: Promise<'shares'> | undefined
  const told = new Set<Message>()
  yield control(await round.views.join(view))
  let next = nextOf(frames)
  for (;;) {
    for (const word of round.sharding?.words(view) ?? []) {
      if (told.has(word)) continue
      told.add(word)
      yield control(word)
    }
    // While shares are awaited the conversation goes on: some of them may be relayed by the leader.
    const came = await firstOf(next, sharesAwaited, round.sharding?.news(told, view))
    if (came === 'news') continue
    if (came === 'shares') {
      sharesAwaited = undefined
      yield control(await acknowledge(round))
      continue
    }
    if (came.done === true) return
    const message = round.read(came.value, leader)
    round.heardOnce(message)
    try {
      yield* answer(message, frames, round, view)
    } catch (error) {
      if (error instanceof MessageError) round.showRefused(message)
      throw error
    }
    if (isClosing(message)) return
    // The leader has forgotten, or is another one: what is here of the slices is told again.
    if (message.type === 'SlicePlan') told.clear()
    if (message.type === 'KeyBook' && awaitsShares(round)) sharesAwaited = round.sharesHeld().then(() => 'shares')
    next = nextOf(frames)
  }
}

/** A conversation may break while something is being said: then nobody waits for the next frame any more. */
function nextOf(frames: AsyncIterator<Frame>): Promise<IteratorResult<Frame>> {
  const next = frames.next()
  next.catch(() => {})
  return next
}

/** What comes first. The parties to a race live as long as its longest runner: one that nobody waits for is left out. */
function firstOf<T, A, B>(
  next: Promise<T>,
  ...others: [Promise<A> | undefined, Promise<B> | undefined]
): Promise<T | A | B> {
  const running = others.filter((one) => one !== undefined)
  return running.length === 0 ? next : Promise.race([next, ...running])
}

/** What this member answers to one message of its leader. */
async function* answer(
  message: AnyMessage,
  frames: AsyncIterator<Frame>,
  round: Round,
  view: number
): AsyncGenerator<Frame> {
  switch (message.type) {
    case 'RoundPlan':
      yield* advertise(message, round, view)
      break
    case 'KeyBook':
      yield* deliverShares(message, round, view)
      break
    case 'ShareDelivery':
      round.deliver(message)
      break
    case 'MaskingSet':
      yield* mask(message, round, view)
      break
    case 'SlicePlan':
      round.sharding?.planned(message, view)
      break
    case 'Opened':
      round.views.shown('Opened', 'data')
      round.sharding?.takeOpened(message)
      break
    case 'VectorRequest':
      yield* sendVector(message, round)
      break
    case 'Custody':
      yield* takeIntoCustody(message, frames, round, view)
      break
    case 'Proposal':
      yield* prepare(message, round, view)
      break
    case 'Lock':
      yield* commit(message, round)
      break
    case 'Decision':
      await round.learn(message)
      if (isClosing(message)) return
      round.views.shown(`Decision of ${message.body.commits.agreement}`, 'data')
      yield* reveal(round)
      break
    case 'RevealRequest':
      yield* revealSilent(message, round)
      break
    case 'SumHeader':
      await checkSum(message, frames, round, view)
      break
    default:
      throw new MessageError('OUT_OF_PHASE', `the leader sent a ${message.type}, which no leader sends`, {
        culprit: round.culprit(message)
      })
  }
}

const isClosing = (message: AnyMessage): boolean =>
  message.type === 'Decision' && message.body.commits.agreement === 'closing'

const awaitsShares = ({ running, ballot }: Round): boolean =>
  running?.book !== undefined && running.header === undefined && !ballot.sitsOut(running.number)

const control = ({ encoded }: { encoded: Uint8Array }): Frame => ({ kind: 'control', payload: encoded })

/** Phases 0 and 1. The mark is on disk before the advert leaves (S5). */
async function* advertise(plan: Message<'RoundPlan'>, round: Round, view: number): AsyncGenerator<Frame> {
  await checkPlan(plan, round, view)
  round.views.shown('RoundPlan', 'control')
  const attempt = round.attempt()
  attempt.keep('RoundPlan', `in view ${view}`, plan)
  if (round.ballot.sitsOut(attempt.number)) return
  await round.ballot.enter(attempt.number, attempt.id)
  // What was advertised stands, also where the application has called its input off since: then nothing is masked.
  attempt.contributes ??= await round.hasInput()
  const advert = await round.ballot.sayOnce('KeyAdvert', attempt.number, attempt.advert(attempt.contributes))
  await round.reach('keys')
  yield control(advert)
}

/** Phase 2: shares go directly to their holders, through the leader only where that cannot be. */
async function* deliverShares(message: Message<'KeyBook'>, round: Round, view: number): AsyncGenerator<Frame> {
  const attempt = inView(message, round, view)
  const book = readKeyBook(message, attempt, round.rules)
  attempt.keep('KeyBook', round.hex(book.hash), message)
  round.views.shown('KeyBook', 'control')
  for (const fault of attempt.open(book)) round.ports.observer.refused?.(fault)
  const own = book.adverts.get(round.me)
  if (own === undefined || round.ballot.sitsOut(attempt.number)) return
  // S2: once it has masked, only a cut of the masking set it masked under can include it.
  if (attempt.header !== undefined) return
  await round.reach('shares')
  if (!own.body.contributes) return
  const deliveries = await attempt.deliveries(round.ballot, round.ports.random)
  const undelivered: Message[] = []
  await Promise.all(
    deliveries.map(async (body) => {
      const delivery = round.sealed(body)
      await round.deliverTo(body.holder, delivery).catch(() => undelivered.push(delivery as Message))
    })
  )
  for (const delivery of undelivered) yield control(delivery)
}

async function acknowledge(round: Round): Promise<Message> {
  const attempt = round.running!
  const { id, dealers } = attempt
  const keyBookHash = attempt.book!.hash
  // Said once for a book: a leader that is told another set of dealers after a new conversation would see a contradiction.
  if (attempt.ready === undefined || !sameBytes(attempt.ready.body.keyBookHash, keyBookHash))
    attempt.ready = await round.state('Ready', { attemptId: id, keyBookHash, dealers: round.setOf(dealers) })
  return attempt.ready
}

/** Phase 3, after checking the masking set against this member's own `nMin`. At most one masked vector an attempt (S2). */
async function* mask(message: Message<'MaskingSet'>, round: Round, view: number): AsyncGenerator<Frame> {
  const attempt = inView(message, round, view)
  if (attempt.book === undefined) return
  const set = readMaskingSet(message, attempt.book, round.rules)
  attempt.sets.set(round.hex(set.hash), { book: attempt.book, set })
  attempt.keep('MaskingSet', round.hex(set.hash), message)
  round.views.shown('MaskingSet', 'data')
  if (round.ballot.sitsOut(attempt.number)) return
  await round.reach('mask')
  yield* custodyOf(set, attempt, round)
  if (!set.members.includes(round.me)) return
  // A conversation that broke, or whose view ended, may have begun it: a vector is encoded and masked once (S2).
  if (attempt.header === undefined) await (attempt.masking ??= layMasks(attempt.book, set, attempt, round))
  if (attempt.header === undefined || !sameBytes(attempt.header.body.maskingSetHash, set.hash)) return
  yield control(attempt.header)
}

/** Leaves the header to be said, but where the application calls its input off. One that fails is begun anew by the next. */
async function layMasks(book: KeyBook, set: MaskingSet, attempt: Attempt, round: Round): Promise<void> {
  const { ports, shape, me } = round
  const isNeeded = (): boolean => !round.isCalledOff && !attempt.isOver
  let masks: Mask[] = []
  try {
    if (!isNeeded()) return
    const name = round.maskedName
    const lanes = await round.takeInput()
    const owner = { attemptId: attempt.id, member: me }
    const began = ports.clock.now()
    masks = attempt.masks(book, set)
    let leaves: Uint8Array[] = []
    const keep = (hashes: Uint8Array[]) => (leaves = hashes)
    const root = await maskInto(ports.vectors, name, lanes, masks, owner, shape, { ...ports, leaves: keep })
    ports.observer.masked?.(round.rules.context.round, ports.clock.now() - began)
    // The seed of masks that were laid after it had been erased is no secret.
    if (!isNeeded()) return
    attempt.header = await round.ballot.sayOnce('MaskedHeader', attempt.number, {
      attemptId: attempt.id,
      maskingSetHash: set.hash,
      root
    })
    round.sharding?.masked(attempt.header, leaves)
  } finally {
    attempt.masking = undefined
    // S7: with the others' they are opened to nobody, and they are laid but once. The first is the member's own.
    for (const { seed } of masks.slice(1)) if (seed instanceof Secret) seed.wipe()
  }
}

/** A leader that died gave its own masked vector to another member: the next leader can have it from there. */
async function* custodyOf(set: MaskingSet, attempt: Attempt, round: Round): AsyncGenerator<Frame> {
  for (const header of attempt.custody.values()) {
    if (!sameBytes(header.body.maskingSetHash, set.hash)) continue
    yield control(await round.state('Custody', { header: header.encoded }))
  }
}

/** Its own masked vector, or one that it keeps of another, byte for byte as often as it is asked for (S2). */
async function* sendVector({ body }: Message<'VectorRequest'>, round: Round): AsyncGenerator<Frame> {
  const { attemptId, member, root } = body
  const attempt = round.running
  // A leader may ask for what was lost in a crash.
  if (attempt === undefined || !sameBytes(attempt.id, attemptId)) return
  const kept: [Message<'MaskedHeader'> | undefined, string][] = [
    [attempt.custody.get(member), round.custodyName(member)],
    [attempt.uploads.get(member), round.uploadName(member)]
  ]
  const isOwn = member === round.me && attempt.header !== undefined
  // There is but one of its own; of others it may keep another than the one that is asked for.
  const name = isOwn ? round.maskedName : kept.find(([header]) => header && sameBytes(header.body.root, root))?.[1]
  if (name === undefined) return
  round.views.shown('VectorRequest', 'data')
  yield control(await round.state('Vector', { attemptId, member }))
  yield* vectorFrames(round.ports.vectors, name)
}

/** Keeps the leader's own masked vector, so that it can be had if the leader dies. */
async function* takeIntoCustody(
  message: Message<'Custody'>,
  frames: AsyncIterator<Frame>,
  round: Round,
  view: number
): AsyncGenerator<Frame> {
  const attempt = round.running
  const culprit = round.culprit(message)
  const { header, under } = shownBy(culprit, 'what is given into custody', () => {
    const header = readEmbedded('MaskedHeader', message.body.header, round.rules)
    const under = attempt?.sets.get(round.hex(header.body.maskingSetHash))
    if (under !== undefined) checkHeader(header, under.book, under.set, round.rules.roster)
    return { header, under }
  })
  // The leader's own, or one that an earlier leader of this round had given away before it died.
  const led = Array.from({ length: view + 1 }, (_, earlier) => round.leader(earlier))
  if (attempt === undefined || under === undefined || !led.includes(header.from))
    throw new MessageError('OUT_OF_PHASE', 'a vector is given into custody that is not of the masking set', { culprit })
  const { root } = header.body
  const kept = attempt.custody.get(header.from)
  // Of a member that signed two vectors the first stays: others may have been told that it is here.
  if (kept !== undefined && !sameBytes(kept.encoded, header.encoded)) return round.drainVector(frames)
  await receiveVector(
    frames,
    round.ports.vectors,
    round.custodyName(header.from),
    { attemptId: attempt.id, member: header.from, root },
    round.shape
  )
  attempt.custody.set(header.from, header)
  yield control(await round.state('CustodyReceipt', { attemptId: attempt.id, member: header.from, root }))
}

/** Phases 4 and 7: the first vote, if the value passes this member's checks or comes with a lock for it (§6). */
async function* prepare(message: Message<'Proposal'>, round: Round, view: number): AsyncGenerator<Frame> {
  const { body } = message
  if (body.view !== view)
    throw new MessageError('WRONG_VIEW', `a Proposal is for view ${body.view}, not ${view}`, {
      culprit: round.culprit(message)
    })
  if (body.value.kind !== 'cut' && (body.cut !== null || body.headers.length > 0))
    throw new MessageError(
      'INVALID',
      `a Proposal of ${body.value.kind} carries a cut, which belongs to no such value`,
      {
        culprit: round.culprit(message)
      }
    )
  const closing = body.agreement === 'closing'
  round.views.shown(closing ? 'Proposal to close' : 'Proposal', closing ? 'data' : 'control')
  await round.reach(closing ? 'close' : 'agree')
  if (body.value.kind === 'summed') round.sumsProposed.add(view)
  const verdict = closing ? await checkClosing(message, round) : checkInclusion(message, round)
  if (verdict.why !== undefined) {
    round.ports.observer.refused?.(verdict.why)
    if (verdict.why instanceof MessageError && verdict.why.culprit === round.culprit(message))
      round.showRefused(message)
  }
  // S5: what a restarted member would have to remember, it prepares only under a lock.
  const votesFreely = closing || body.value.kind === 'retry' || !round.ballot.sitsOut(round.attemptNumber)
  const passesChecks = verdict.passes && votesFreely
  const lock = body.lock === null ? undefined : { value: body.value, certificate: body.lock }
  const locked = body.lock?.root ?? undefined
  const root = verdict.root ?? locked
  const unfit = unfitRoot(round, root, locked)
  if (unfit !== undefined) return round.ports.observer.refused?.(unfit)
  try {
    const vote = await round.ballot.prepare(body.agreement as AgreementName, {
      view,
      value: body.value,
      root,
      passesChecks,
      lock
    })
    yield control(vote)
  } catch (error) {
    if (!(error instanceof BallotError)) throw error
    round.ports.observer.refused?.(error)
  }
}

/** Shown a lock, the second vote. */
async function* commit({ body }: Message<'Lock'>, round: Round): AsyncGenerator<Frame> {
  round.views.shown(body.certificate.agreement === 'closing' ? 'Lock to close' : 'Lock', 'control')
  const unfit = unfitRoot(round, body.certificate.root ?? undefined)
  if (unfit !== undefined) return round.ports.observer.refused?.(unfit)
  try {
    const vote = await round.ballot.commit(body)
    if (body.certificate.root !== null) round.lockedSum(body.certificate.root)
    yield control(vote)
  } catch (error) {
    if (!(error instanceof BallotError)) throw error
    round.ports.observer.refused?.(error)
  }
}

/** Phase 5. Only with the decision for a cut that passed this member's own checks (S4). */
async function* reveal(round: Round): AsyncGenerator<Frame> {
  const { decided } = round
  if (decided === undefined || round.ballot.sitsOut(decided.attempt.number)) return
  await round.reach('unmask')
  const message = await round.state('Reveal', decided.attempt.reveal(round.ballot, decided.cut))
  round.sharding?.tellOwners(message)
  yield control(message)
}

async function* revealSilent({ body }: Message<'RevealRequest'>, round: Round): AsyncGenerator<Frame> {
  round.views.shown('RevealRequest', 'data')
  const { decided } = round
  if (decided === undefined || round.ballot.sitsOut(decided.attempt.number)) return
  const silent = decodeSet(body.silent, round.rules.roster.members.length).filter((member) =>
    decided.cut.included.has(member)
  )
  const message = await round.state('Reveal', decided.attempt.revealSilent(round.ballot, decided.cut, silent))
  round.sharding?.tellOwners(message)
  yield control(message)
}

function inView(message: Message<'KeyBook'> | Message<'MaskingSet'>, round: Round, view: number): Attempt {
  if (message.body.view !== view)
    throw new MessageError('WRONG_VIEW', `a ${message.type} is for view ${message.body.view}, not ${view}`, {
      culprit: round.culprit(message)
    })
  const attempt = round.running
  if (attempt === undefined)
    throw new MessageError('OUT_OF_PHASE', `a ${message.type} came before the RoundPlan`, {
      culprit: round.culprit(message)
    })
  return attempt
}
