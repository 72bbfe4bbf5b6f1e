import { createLanes } from '../crypto/mask-stream.ts'
import type { Lanes } from '../crypto/mask-stream.ts'
import { encodeSet } from '../membership/member-set.ts'
import { sameBytes } from './dealing.ts'
import { fault, LeaderGaveUp, named } from './faults.ts'
import type { Cut, Message } from './messages.ts'
import type { Round } from './round.ts'
import type { Shown, Table } from './table.ts'
import { checkHeader, headersRoot } from './transcript.ts'
import type { KeyBook, MaskingSet } from './transcript.ts'
import { addStored, receiveVector, VectorTooLate } from './vectors.ts'

/** The leader's side of phase 3: masked vectors come in, a few at a time. */

/** Vectors taken at a time, where they are long; the others wait by back-pressure. */
const UPLOADS_AT_ONCE = 4

export interface Uploads {
  headers: Map<number, Message<'MaskedHeader'>>
  accumulator: Lanes
  cut: Cut
}

/** Phase 3: each vector is staged until it is whole and matches its root, then added to the one accumulator. */
export async function gatherVectors(
  round: Round,
  table: Table,
  book: KeyBook,
  set: Shown<MaskingSet, 'MaskingSet'>,
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
  table.ask(set.message, {
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
        if (error instanceof VectorTooLate) return
        throw named(round, header, error as Error)
      } finally {
        release()
      }
      // Two conversations of one member may have carried it at the same time; it is added once.
      if (begun.has(header.from)) return
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
  const candidates = round.order.filter((other) => other !== round.me && set.members.includes(other))
  const asked = new Set<number>()
  const { clock } = round.ports
  for (const until = clock.now() + limit; clock.now() < until && candidates.some((other) => table.isWelcome(other));) {
    const next = candidates.find((other) => !asked.has(other) && table.isConnected(other) && table.isWelcome(other))
    if (next !== undefined) {
      asked.add(next)
      table.say(next, custody)
      table.sayVector(next, name)
    }
    // One that lost its conversation is told everything again with the next, so all that were asked may still answer.
    const waitedFor = next === undefined ? candidates : [next]
    const patience = next !== undefined && round.isLong ? limit : grace
    await table.gather(() => (receipts.size > 0 ? [] : waitedFor), { limit: patience, grace, signal })
    if (receipts.size > 0) return
  }
  throw new LeaderGaveUp("no member took the leader's vector into custody")
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
