import { MessageError } from '../errors.ts'
import type { Roster } from '../membership/roster.ts'
import type { Chronicle } from './chronicle.ts'
import { sameBytes } from './dealing.ts'
import { decodeMessage } from './messages.ts'
import type { AnyMessage, Body, Message } from './messages.ts'
import { bytesFrames, recordFrames } from './missed.ts'
import type { Frame } from './ports.ts'
import { sumKey, sumName } from './round.ts'
import type { Ports, Round } from './round.ts'
import type { Slots } from './slots.ts'
import { partFrames, vectorFrames } from './vectors.ts'

/** What a member answers to peers that are behind, lack a sum, or check one. */

export interface Answering {
  taskId: string
  me: number
  roster: Roster
  chronicle: Chronicle
  ports: Pick<Ports, 'journal' | 'vectors'>
  running: Round | undefined
  /** Evidence that whoever was away is told of. */
  evidence: () => Promise<Uint8Array[]>
  /** Evidence by the hash of its bytes. */
  evidenceWith: (hash: Uint8Array) => Uint8Array | undefined
  /** What is large goes to a few at a time. */
  slots: Slots
  sign: <T extends 'Closed' | 'Refusal' | 'Record'>(type: T, round: number, body: Body<T>) => Promise<Message<T>>
}

/** @throws MessageError where the peer may not ask this */
export async function* answers(here: Answering, peer: string, request: AnyMessage): AsyncGenerator<Frame, void> {
  switch (request.type) {
    case 'CatchUp':
      return yield* howFar(here, request)
    case 'SumRequest':
      return yield* storedSum(here, peer, request)
    case 'RecordRequest':
      return yield* record(here, peer, request)
    case 'SliceRequest':
      return yield* slice(here, peer, request)
    case 'ChunkRequest':
      return yield* chunks(here, peer, request)
    case 'EvidenceRequest':
      return yield* evidence(here, peer, request)
    default:
      throw new MessageError('OUT_OF_PHASE', `${peer} asks with a ${request.type}`, { culprit: peer })
  }
}

const control = ({ encoded }: { encoded: Uint8Array }): Frame => ({ kind: 'control', payload: encoded })

async function* howFar(
  { running, evidence, chronicle, sign }: Answering,
  { epoch }: Message
): AsyncGenerator<Frame, void> {
  const announcements = [...(running?.views.changes ?? []), ...(await evidence())]
  const since = await chronicle.since(epoch)
  // Of the round that it closes, which a long chain only comes near.
  const round = since.decision === null ? 0 : decodeMessage(since.decision).round
  yield control(await sign('Closed', round, { ...since, announcements }))
}

async function* storedSum(
  here: Answering,
  peer: string,
  { round, body: { parts } }: Message<'SumRequest'>
): AsyncGenerator<Frame, void> {
  const { ports, taskId, chronicle } = here
  refuseStranger(here, peer, round)
  const header = await ports.journal.get(sumKey(taskId, round))
  // Until the round is closed, and has been closed with it, what is here may be a sum that nobody decided on.
  const closing = await chronicle.closing(round)
  const root = closing?.body.commits.root
  const isOther = header !== undefined && closing !== undefined && (root == null || !sameBytes(rootOf(header), root))
  const name = sumName(taskId, round)
  const size = await ports.vectors.size(name)
  if (header === undefined || size === undefined || isOther || round > chronicle.closed.round)
    return yield* refusal(here, round, `member ${here.me} holds no sum of round ${round}`)
  parts?.reduce((end, { offset, length }) => {
    if (offset >= end && offset + length <= size) return offset + length
    throw new MessageError('INVALID', `${peer} asks for parts of a sum that there are not`, { culprit: peer })
  }, 0)
  yield { kind: 'control', payload: header }
  if (parts === undefined) yield* vectorFrames(ports.vectors, name)
  for (const { offset, length } of parts ?? []) yield* partFrames(ports.vectors, name, { offset, bytes: length })
}

const rootOf = (header: Uint8Array): Uint8Array => (decodeMessage(header) as Message<'SumHeader'>).body.root

async function* record(here: Answering, peer: string, { round }: Message): AsyncGenerator<Frame, void> {
  refuseStranger(here, peer, round)
  const kept = await recordFrames(here.chronicle, here.ports, here.taskId, round)
  if (kept === undefined)
    return yield* refusal(here, round, `member ${here.me} does not know how round ${round} was closed`)
  yield control(await here.sign('Record', round, kept.record))
  yield* kept.frames
}

/** Slices of a running round are for the members of its roster (§13). */
async function* slice(here: Answering, peer: string, request: Message<'SliceRequest'>): AsyncGenerator<Frame, void> {
  const { roster, me } = here
  const from = roster.indexOf(peer)
  if (from < 0 || request.from !== from || request.epoch !== roster.epoch)
    throw new MessageError('STRANGER', `${peer} asks for a slice of others`, { culprit: peer })
  const { sharding } = runningRound(here, request.round) ?? {}
  if (sharding !== undefined) yield* sharding.answer(from, request)
  else yield* refusal(here, request.round, `round ${request.round} is not running at member ${me} in slices`)
}

async function* chunks(here: Answering, peer: string, request: Message<'ChunkRequest'>): AsyncGenerator<Frame, void> {
  const from = here.roster.indexOf(peer)
  if (from < 0 || request.epoch !== here.roster.epoch)
    throw new MessageError('STRANGER', `${peer} asks for chunks of others' vectors`, { culprit: peer })
  const round = runningRound(here, request.round)
  if (round !== undefined) yield* round.chunks.answer(from, request)
  else yield* refusal(here, request.round, `round ${request.round} is not running here`)
}

/** Of the roster in effect, as announcements are. */
async function* evidence(
  here: Answering,
  peer: string,
  { round, body }: Message<'EvidenceRequest'>
): AsyncGenerator<Frame, void> {
  if (here.roster.indexOf(peer) < 0)
    throw new MessageError('STRANGER', `${peer} asks for evidence against others`, { culprit: peer })
  const encoded = here.evidenceWith(body.hash)
  if (encoded === undefined) return yield* refusal(here, round, `member ${here.me} holds no such evidence`)
  const release = await here.slots.take()
  try {
    yield* bytesFrames(encoded)
  } finally {
    release()
  }
}

async function* refusal({ sign }: Answering, round: number, reason: string): AsyncGenerator<Frame, void> {
  yield control(await sign('Refusal', round, { reason }))
}

/** A sum belongs to those that were members in its round. */
function refuseStranger({ chronicle }: Answering, peer: string, round: number): void {
  if (chronicle.rosterIn(round).indexOf(peer) >= 0) return
  throw new MessageError('STRANGER', `${peer} asks for a sum of others`, { culprit: peer })
}

function runningRound({ running }: Answering, number: number): Round | undefined {
  return running?.rules.context.round === number ? running : undefined
}
