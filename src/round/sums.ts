import { MessageError, RoundError } from '../errors.ts'
import type { Roster } from '../membership/roster.ts'
import type { Task } from '../task/task.ts'
import { askInTime } from './ask-in-time.ts'
import { authenticate } from './certificates.ts'
import { sameBytes } from './dealing.ts'
import { cutHash, decodeMessage } from './messages.ts'
import type { Message } from './messages.ts'
import type { Frame, Network } from './ports.ts'
import { sumKey, sumName } from './round.ts'
import type { Ports } from './round.ts'
import { receiveVector, sumShapeOf } from './vectors.ts'

/** Sums that were decided, from this member's own disk or from whoever has them. */

interface Sums {
  task: Task
  roster: Roster
  me: number
  ports: Ports
  links: Network
  /** Signs the request for the sum of a round. */
  request: (round: number) => Promise<Message<'SumRequest'>>
  signal: AbortSignal
}

/** What a closing decision and its lock say of a sum. */
export interface DecidedSum {
  round: number
  root: Uint8Array
  hashOfCut: Uint8Array
}

/** The header of a decided sum that is whole, here; undefined where nobody could be asked for it. */
export async function sumHeader(sums: Sums, decided: DecidedSum): Promise<Message<'SumHeader'> | undefined> {
  const { task, roster, me, ports, signal } = sums
  const { round, root } = decided
  const stored = await ports.journal.get(sumKey(task.id, round))
  // The vector lies elsewhere than the journal and may be gone where that is not.
  if (stored !== undefined && (await ports.vectors.size(sumName(task.id, round))) !== undefined) {
    const header = decodeMessage(stored) as Message<'SumHeader'>
    if (sameBytes(header.body.root, root)) return header
  }
  // Those that missed the same sum do not all ask the same member.
  const { length } = roster.members
  const others = Array.from({ length }, (_, place) => (Math.max(me, 0) + place) % length)
  for (const index of others) {
    if (index === me || signal.aborted) continue
    try {
      return await fetchSum(sums, index, decided)
    } catch (error) {
      ports.observer.refused?.(error as Error)
    }
  }
  return undefined
}

async function fetchSum(
  { task, roster, ports, links, request, signal }: Sums,
  member: number,
  { round, root, hashOfCut }: DecidedSum
): Promise<Message<'SumHeader'>> {
  const culprit = roster.members[member].id
  const asking = { task, links, clock: ports.clock }
  const frames = askInTime(asking, culprit, (await request(round)).encoded, signal)
  try {
    return await readSum({ task, roster, ports, member, frames }, { round, root, hashOfCut })
  } finally {
    await frames.return()
  }
}

async function readSum(
  {
    task,
    roster,
    ports,
    member,
    frames
  }: Pick<Sums, 'task' | 'roster' | 'ports'> & { member: number; frames: AsyncIterator<Frame> },
  { round, root, hashOfCut }: DecidedSum
): Promise<Message<'SumHeader'>> {
  const culprit = roster.members[member].id
  const first = await frames.next()
  if (first.done === true)
    throw new MessageError('TRUNCATED', `member ${member} was asked for a sum and hung up`, { culprit })
  const header = decodeMessage(first.value.payload)
  authenticate(header, { task: task.idBytes, epoch: roster.epoch, round }, roster)
  if (header.type === 'Refusal') throw new RoundError('NOT_INCLUDED', header.body.reason, round)
  if (
    header.type !== 'SumHeader' ||
    !sameBytes(header.body.root, root) ||
    !sameBytes(cutHash(header.body.cut), hashOfCut)
  )
    throw new MessageError('INVALID', `member ${member} was asked for a sum and sent another`, { culprit })
  const owner = { attemptId: header.body.cut.attemptId, member: roster.members.length, root }
  await receiveVector(frames, ports.vectors, sumName(task.id, round), owner, sumShapeOf(task), { sync: true })
  await ports.journal.put(sumKey(task.id, round), header.encoded)
  return header
}
