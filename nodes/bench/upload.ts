import { encodeSet } from '../../src/membership/member-set.ts'
import { packedLength } from '../../src/encoding/packing.ts'
import { MemoryJournal } from '../../src/journal/journal.ts'
import { HEADER_LENGTH } from '../../src/network/frames.ts'
import { Ballot } from '../../src/round/ballot.ts'
import { encodeMessage } from '../../src/round/messages.ts'
import type { Body, MessageType } from '../../src/round/messages.ts'
import { DATA_FRAME_BYTES } from '../../src/round/vectors.ts'
import { randomBytes } from '../../src/crypto/primitives.ts'
import { groupOf } from './group.ts'
import { reportRatio } from './measure.ts'

const members = 1024
const elements = 1_048_576

/** What a contributor sends in phases 1 to 5 where nobody drops out, frames and all, over its vector in 16-bit numbers. */
export async function benchUpload(): Promise<void> {
  const { task, rules, attempt } = await groupOf(members, { corrupt: 0.2, dropout: 0.1 }, elements)
  const { context } = rules
  const { id: attemptId } = attempt
  const hash = new Uint8Array(32)
  const frame = (length: number): number => length + HEADER_LENGTH
  const message = <T extends MessageType>(type: T, body: Body<T>, signed = true): number =>
    frame(encodeMessage(type, context, 0, body, signed ? new Uint8Array(64) : undefined).encoded.length)
  const electorate = { roster: rules.roster, quorum: rules.thresholds.quorum }
  const sign = () => new Uint8Array(64)
  const ballot = await Ballot.open({ journal: new MemoryJournal(), key: 'ballot', context, electorate, me: 0, sign })
  await ballot.enter(0, attemptId)
  const shares = await attempt.deliveries(ballot, randomBytes)
  const vector = packedLength(task.laneCount, task.bits)
  const dealers = encodeSet(attempt.graph.holders(0), members)
  const vote = { agreement: 'attempt-0', view: 0, value: hash, root: null } as const
  const control =
    message('KeyAdvert', attempt.advert(true)) +
    message('Ready', { attemptId, keyBookHash: hash, dealers }) +
    message('MaskedHeader', { attemptId, maskingSetHash: hash, root: hash }) +
    message('Vector', { attemptId, member: 0 }) +
    message('Prepare', vote) +
    message('Commit', vote) +
    message('Reveal', { attemptId, cutHash: hash, seed: hash, keyShares: [], seedShares: [] })
  const shareBytes = shares.reduce((sum, body) => sum + message('ShareDelivery', body, false), 0)
  const vectorBytes = vector + HEADER_LENGTH * Math.ceil(vector / DATA_FRAME_BYTES)
  const bytes = control + shareBytes + vectorBytes
  reportRatio('upload.expansion', bytes / (2 * elements), { elements, members, bytes, vectorBytes, shareBytes })
}
