import { createLanes } from '../crypto/mask-stream.ts'
import type { Lanes } from '../crypto/mask-stream.ts'
import { safeAmong } from '../membership/graphs.ts'
import { decodeSet, encodeSet } from '../membership/member-set.ts'
import { sameBytes } from './dealing.ts'
import { fault, LeaderGaveUp, named } from './faults.ts'
import type { Cut, Message } from './messages.ts'
import type { Frame } from './ports.ts'
import type { Round } from './round.ts'
import type { Shown, Table } from './table.ts'
import { checkHeader, headersRoot, readEmbedded, tooFew } from './transcript.ts'
import type { CheckedCut, KeyBook, MaskingSet } from './transcript.ts'
import { addStored, receiveVector, subtractStored, VectorTooLate } from './vectors.ts'

/** The leader's side of phase 3: masked vectors come in, a few at a time. */

export interface Uploads {
  headers: Map<number, Message<'MaskedHeader'>>
  accumulator: Lanes
  cut: Cut
}

/**
 * Phase 3: each vector is staged until it is whole and matches its root, then added to the one accumulator. Where a cut
 * is locked or decided already, just the vectors that it includes, byte for byte.
 */
export async function gatherVectors(
  round: Round,
  table: Table,
  book: KeyBook,
  set: Shown<MaskingSet, 'MaskingSet'>,
  fixed: CheckedCut | undefined,
  signal: AbortSignal
): Promise<Uploads> {
  const { rules, ports, me, shape, sumShape, views } = round
  const { uploads } = round.attempt()
  const headers = new Map<number, Message<'MaskedHeader'>>()
  /** The first header of each member: were another one taken as well, the vector of the one could be added under the other. */
  const offers = new Map<number, Message<'MaskedHeader'>>()
  const staged = new Set<number>()
  const accumulator = createLanes(sumShape.bits, sumShape.elements)
  const slots = round.vectorSlots()
  const receipts = new Set<string>()
  const asked = new Map<string, { header: Message<'MaskedHeader'>; release: () => void }>()
  const wanted = new Set<string>()
  const led = new Set(Array.from({ length: views.current + 1 }, (_, view) => round.leader(view)))
  let adding = Promise.resolve()
  let open = true

  const partOf = (member: number): Lanes => {
    const start = (rules.groups?.of[member] ?? 0) * shape.elements
    return accumulator.subarray(start, start + shape.elements)
  }

  /** There is one accumulator, so one addition at a time. */
  const add = (header: Message<'MaskedHeader'>): Promise<void> =>
    (adding = adding.then(async () => {
      if (!open) return
      await addStored(ports.vectors, round.uploadName(header.from), partOf(header.from), shape, ports.clock)
      headers.set(header.from, header)
      table.touch()
    }))

  /** A vector is asked for when there is room for it: as many travel at a time, whatever the number of members. */
  const offered = (header: Message<'MaskedHeader'>, holder: number): void => {
    checkHeader(header, book, set, rules.roster)
    const { from } = header
    if (!set.members.includes(from)) throw fault(round, header, 'INVALID', 'comes from outside the masking set')
    if (fixed !== undefined && !isIn(fixed, header)) return
    if (!sameBytes(offers.get(from)?.encoded ?? header.encoded, header.encoded)) return
    offers.set(from, header)
    // With a new conversation a member is asked again by what was said to it.
    if (wanted.has(keyOf(holder, from))) return
    wanted.add(keyOf(holder, from))
    void request(header, holder).catch((error: Error) => {
      if (!signal.aborted) ports.observer.refused?.(error)
    })
  }

  const request = async (header: Message<'MaskedHeader'>, holder: number): Promise<void> => {
    const release = await slots.take()
    if (!open || staged.has(header.from) || !table.isWelcome(holder)) return release()
    asked.set(keyOf(holder, header.from), { header, release })
    // What is there of it is written over.
    uploads.delete(header.from)
    const { root } = header.body
    table.say(holder, await round.state('VectorRequest', { attemptId: book.attemptId, member: header.from, root }))
  }

  const stage = async (message: Message<'Vector'>, frames: AsyncIterator<Frame>): Promise<void> => {
    const { from: sender, body } = message
    const wish = asked.get(keyOf(sender, body.member))
    if (wish === undefined || !sameBytes(body.attemptId, book.attemptId))
      throw fault(round, message, 'INVALID', 'carries what nobody asked for')
    const { header, release } = wish
    const { from } = header
    try {
      if (staged.has(from)) return await round.drainVector(frames)
      const owner = { attemptId: book.attemptId, member: from, root: header.body.root }
      await receiveVector(frames, ports.vectors, round.uploadName(from), owner, shape, {
        wanted: () => open && !signal.aborted
      })
    } catch (error) {
      if (error instanceof VectorTooLate) return
      throw named(round, { from: sender }, error as Error)
    } finally {
      release()
    }
    // Two conversations may have carried it at the same time; it is added once.
    if (staged.has(from)) return
    staged.add(from)
    uploads.set(from, header)
    ports.observer.received?.(rules.context.round, from, round.uploadName(from))
    const ownerIsHere = sender === from && from !== me
    if (ownerIsHere || !led.has(from)) return add(header)
    // The leader's own, and those of leaders before it that died, count only when another member holds them too: it may die next.
    const given = giveIntoCustody(round, table, set, header, receipts, signal)
    void (fixed === undefined ? given : given.catch(() => {}))
      .then(() => add(header))
      .catch((error: Error) => ports.observer.refused?.(error))
  }

  /** An earlier leader that took in a member's vector. */
  const keeperOf = (member: number): number | undefined =>
    [...views.joins()].find(
      ([other, join]) =>
        other !== me && table.mayAnswer(other) && decodeSet(join.uploads, rules.roster.members.length).includes(member)
    )?.[0]

  /** Vectors of a cut that are here already, from an earlier view, or with an earlier leader where their owners are gone. */
  const gatherKept = async ({ headers: cut }: CheckedCut): Promise<void> => {
    for (const header of cut.values()) {
      const { from } = header
      const kept = uploads.get(from)
      if (kept === undefined || staged.has(from) || !sameBytes(kept.encoded, header.encoded)) continue
      staged.add(from)
      add(header).catch((error: Error) => ports.observer.refused?.(error))
    }
    await table.gather(missing, { limit: grace, grace, signal })
    for (const member of missing()) {
      const keeper = table.mayAnswer(member) ? undefined : keeperOf(member)
      if (keeper !== undefined) offered(cut.get(member)!, keeper)
    }
  }

  table.ask(set.message, {
    CustodyReceipt({ from, body }) {
      receipts.add(keyOf(from, body.member))
    },
    MaskedHeader: (header) => offered(header, header.from),
    Custody(message) {
      const header = readEmbedded('MaskedHeader', message.body.header, rules)
      if (!led.has(header.from)) throw fault(round, message, 'INVALID', 'is of a vector that no leader gave away')
      offered(header, message.from)
    },
    Vector: stage
  })
  const { data: limit, grace } = views.patience
  const expected = fixed === undefined ? set.members : [...fixed.included]
  const missing = () => expected.filter((member) => !headers.has(member))
  if (fixed !== undefined) await gatherKept(fixed)
  // Who is gone may have left its vector with an earlier leader, which is waited for in its place.
  const awaited = () => missing().map((member) => (table.mayAnswer(member) ? member : (keeperOf(member) ?? member)))
  await table.gather(fixed === undefined ? missing : awaited, { limit, grace, signal })
  open = false
  await adding
  if (fixed !== undefined) {
    if (missing().length > 0)
      throw new LeaderGaveUp(`the vectors of members ${missing().join(', ')} are lost, and they are in the cut`)
    return { headers, accumulator, cut: fixed.cut }
  }
  // Whoever has too few live mask partners left is in no cut (§5, check 4).
  const safe = safeAmong(book.graph, headers.keys())
  for (const member of headers.keys()) {
    if (safe.has(member)) continue
    await subtractStored(ports.vectors, round.uploadName(member), partOf(member), shape, ports.clock)
    headers.delete(member)
  }
  return { headers, accumulator, cut: cutOf(round, book, set, headers) }
}

function isIn({ headers }: CheckedCut, header: Message<'MaskedHeader'>): boolean {
  const included = headers.get(header.from)
  return included !== undefined && sameBytes(included.encoded, header.encoded)
}

export function cutOf(
  { rules }: Round,
  book: KeyBook,
  set: MaskingSet,
  headers: ReadonlyMap<number, Message<'MaskedHeader'>>
): Cut {
  const included = [...headers.keys()].sort((a, b) => a - b)
  const few = tooFew(rules, included)
  if (few !== undefined) throw new LeaderGaveUp(`masked vectors arrived from ${few}`)
  return {
    attemptId: book.attemptId,
    keyBookHash: book.hash,
    maskingSetHash: set.hash,
    included: encodeSet(included, rules.roster.members.length),
    headersRoot: headersRoot(included.map((member) => headers.get(member)!))
  }
}

/**
 * A vector whose owner may be gone next, or is already, goes to the next in the order that acknowledges it, so that it can
 * be had if this leader dies (§4 phase 3).
 */
async function giveIntoCustody(
  round: Round,
  table: Table,
  set: MaskingSet,
  header: Message<'MaskedHeader'>,
  receipts: ReadonlySet<string>,
  signal: AbortSignal
): Promise<void> {
  const { order, me, views, ports } = round
  const custody = await round.state('Custody', { header: header.encoded })
  const { grace, limit } = views.patience
  const next = (views.current % order.length) + 1
  const inTurn = [...order.slice(next), ...order.slice(0, next)]
  const candidates = inTurn.filter((other) => other !== me && other !== header.from && set.members.includes(other))
  const asked = new Set<number>()
  const acknowledged = () => candidates.some((other) => receipts.has(keyOf(other, header.from)))
  const until = ports.clock.now() + limit
  while (ports.clock.now() < until && candidates.some((other) => table.isWelcome(other))) {
    const free = candidates.find((other) => !asked.has(other) && table.isConnected(other) && table.isWelcome(other))
    if (free !== undefined) {
      asked.add(free)
      table.say(free, custody)
      table.sayVector(free, round.uploadName(header.from))
    }
    // One that lost its conversation is told everything again with the next, so all that were asked may still answer.
    const waitedFor = free === undefined ? candidates : [free]
    const patience = free !== undefined && round.isLong ? limit : grace
    await table.gather(() => (acknowledged() ? [] : waitedFor), { limit: patience, grace, signal })
    if (acknowledged()) return
  }
  throw new LeaderGaveUp(`no member took the vector of member ${header.from} into custody`)
}

const keyOf = (holder: number, owner: number): string => `${holder}/${owner}`
