import { MessageError, RoundError } from '../errors.ts'
import type { Roster } from '../membership/roster.ts'
import type { Task } from '../task/task.ts'
import { askInTime } from './ask-in-time.ts'
import { authenticate } from './certificates.ts'
import { sameBytes } from './dealing.ts'
import { cutHash, decodeMessage, MOST_PARTS } from './messages.ts'
import type { Body, Message } from './messages.ts'
import type { Frame, Network } from './ports.ts'
import { sumKey, sumName } from './round.ts'
import type { Ports } from './round.ts'
import type { SumChunks } from './sum-chunks.ts'
import { shownBy } from './transcript.ts'
import { receiveVector, sumShapeOf } from './vectors.ts'

/** Sums that were decided, from this member's own disk or from whoever has them. */

interface Sums {
  task: Task
  roster: Roster
  me: number
  ports: Ports
  links: Network
  /** Signs the request for the sum of a round. */
  request: (round: number, body: Body<'SumRequest'>) => Promise<Message<'SumRequest'>>
  signal: AbortSignal
  /** What was here of it when its round was closed. */
  here?: SumChunks
}

interface Answer {
  member: number
  frames: AsyncIterator<Frame>
  /** Where only the parts were asked for that are missing here. */
  complete?: (frames: AsyncIterator<Frame>) => AsyncIterator<Frame>
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
  const drawn = ports.random(roster.members.length)
  const others = roster.members.filter(({ index }) => index !== me).sort((a, b) => drawn[a.index] - drawn[b.index])
  for (const { index } of others) {
    if (signal.aborted) continue
    try {
      return await fetchSum(sums, index, decided)
    } catch (error) {
      ports.observer.refused?.(error as Error)
    }
  }
  return undefined
}

async function fetchSum(sums: Sums, member: number, decided: DecidedSum): Promise<Message<'SumHeader'>> {
  const { task, roster, ports, links, request, signal } = sums
  const culprit = roster.members[member].id
  const found = sums.here?.completion()
  const here = found !== undefined && found.parts.length <= MOST_PARTS ? found : undefined
  const asked = await request(decided.round, here === undefined ? {} : { parts: here.parts })
  const asking = { task, links, clock: ports.clock }
  const frames = askInTime(asking, culprit, asked.encoded, signal)
  try {
    return await readSum(sums, { member, frames, complete: here?.complete }, decided)
  } catch (error) {
    if (!(error instanceof MessageError) || error.culprit !== undefined) throw error
    throw new MessageError(error.code, `member ${member}: ${error.message}`, { culprit, cause: error })
  } finally {
    await frames.return()
  }
}

async function readSum(
  { task, roster, ports }: Pick<Sums, 'task' | 'roster' | 'ports'>,
  { member, frames, complete = (all) => all }: Answer,
  { round, root, hashOfCut }: DecidedSum
): Promise<Message<'SumHeader'>> {
  const culprit = roster.members[member].id
  const first = await frames.next()
  if (first.done === true)
    throw new MessageError('TRUNCATED', `member ${member} was asked for a sum and hung up`, { culprit })
  const header = decodeMessage(first.value.payload)
  const context = { task: task.idBytes, epoch: roster.epoch, round }
  shownBy(culprit, 'the header of a sum', () => authenticate(header, context, roster))
  if (header.type === 'Refusal') throw new RoundError('NOT_INCLUDED', header.body.reason, round)
  if (
    header.type !== 'SumHeader' ||
    !sameBytes(header.body.root, root) ||
    !sameBytes(cutHash(header.body.cut), hashOfCut)
  )
    throw new MessageError('INVALID', `member ${member} was asked for a sum and sent another`, { culprit })
  const owner = { attemptId: header.body.cut.attemptId, member: roster.members.length, root }
  const vector = complete(frames)
  await receiveVector(vector, ports.vectors, sumName(task.id, round), owner, sumShapeOf(task), { sync: true })
  await ports.journal.put(sumKey(task.id, round), header.encoded)
  return header
}
