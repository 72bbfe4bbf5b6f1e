import { MerkleTree } from '../crypto/merkle.ts'
import { MessageError } from '../errors.ts'
import type { CheckedSum } from './attempt.ts'
import { checkOpened } from './attempt.ts'
import { auditAgain, auditSum, WrongSum } from './auditor.ts'
import { ChunkMissing } from './chunk-fetch.ts'
import { chunkCount } from './chunks.ts'
import { sameBytes } from './dealing.ts'
import { cutHash, sumBytes } from './messages.ts'
import type { Message } from './messages.ts'
import { MAX_GOSSIP_BYTES } from './ports.ts'
import type { Frame } from './ports.ts'
import type { Round } from './round.ts'
import { fetchSum } from './sum-fetch.ts'
import { readEmbedded, shownBy } from './transcript.ts'
import { vectorFrames } from './vectors.ts'
import { publisherOf } from './wrong-sum.ts'

/** A published sum, taken in and checked before this member votes for it (§10). */

/**
 * Phase 6: what the sum opens matches its commitments, its chunks the root, and as many chunks as the task asks for what
 * the masked vectors give (§10). On disk before any vote for it.
 */
export async function checkSum(
  message: Message<'SumHeader'>,
  frames: AsyncIterator<Frame>,
  round: Round,
  view: number
): Promise<void> {
  const { body } = message
  const culprit = round.culprit(message)
  if (body.view !== view)
    throw new MessageError('WRONG_VIEW', `a SumHeader is for view ${body.view}, not ${view}`, { culprit })
  round.views.shown('SumHeader', 'data')
  await round.reach('sum')
  const { decided, sharding } = round
  const held = decided?.attempt.sum
  const passBy = async () => {
    if (!round.sums.areSpread) await round.drainVector(frames, round.sumShape)
  }
  if (decided === undefined || (held !== undefined && sameBytes(held.header.body.root, body.root))) return passBy()
  const { attempt, cut, book, set } = decided
  if (!sameBytes(cutHash(body.cut), cutHash(cut.cut)))
    throw new MessageError('INVALID', 'a sum is of another cut than was decided', { culprit })
  if (round.isRefuted(body.root)) {
    // Nobody's fault: the evidence may not have come to a leader that shows it again.
    round.ports.observer.refused?.(new Error('a sum is shown again that evidence has refuted'))
    round.views.shownRoot(body.root)
    round.views.leaveRefuted()
    return passBy()
  }
  checkSlices(message, sharding?.slices.length ?? 0, culprit)
  checkAgain(message, round)
  const contributions = checkOpened(body, book, cut, culprit)
  attempt.opened = { seeds: body.seeds, keys: body.keys }
  round.views.shownRoot(body.root)
  // The leader's own: it has computed all of it, but where others have computed slices of it.
  const isOwn = message.from === round.me && body.again === null && sharding === undefined
  const audited = { round, attempt, basis: { book, set, cut }, header: message, signal: round.views.signal }
  try {
    const store = async (name?: string) => {
      if (!round.sums.areSpread) return round.storeSum(message, frames, name)
      return fetchAndStore(round, message, name)
    }
    if (held === undefined) await store()
    else {
      const name = round.rivalName
      await store(name)
      // The rival is wrong then, and its audit ends with evidence.
      if (await isStillRight(round, held)) return void (await auditSum({ ...audited, name }, true))
      await storeOwn(round, message, vectorFrames(round.ports.vectors, name))
    }
    const chunks = chunkCount(round.sumShape)
    const done = isOwn ? { chunks, of: chunks } : await auditSum({ ...audited, name: round.sumName })
    if (round.isRefuted(body.root)) return
    attempt.sum = { header: message, contributions, audited: done }
    attempt.keep('SumHeader', `in view ${view}`, message)
  } catch (error) {
    if (error instanceof WrongSum) round.accuse(error.evidence)
    else if (!(error instanceof ChunkMissing)) throw error
    round.ports.observer.refused?.(error)
  }
}

/** What is on disk before more of it comes: at the end there is less to wait for. */
const SYNC_BYTES = 8 * 2 ** 20

/** On disk from its first chunk on, while the others still come; each is checked before it is here. */
async function fetchAndStore(round: Round, message: Message<'SumHeader'>, name = round.sumName): Promise<void> {
  const { ports, sums } = round
  const sync = name === round.sumName
  const sum = sums.of(message.body)
  const staged = await ports.vectors.stage(name)
  const fetched = fetchSum(round, message)
  try {
    let unsynced = 0
    for (const slice of sum.slices)
      for (const index of slice.chunks) {
        while (!slice.has(index)) await Promise.race([sums.news(), fetched])
        const { bytes } = (await slice.get(index))!
        await staged.write(bytes)
        unsynced += bytes.length
        if (!sync || unsynced < SYNC_BYTES) continue
        unsynced = 0
        await staged.sync()
      }
    await fetched
    await staged.commit({ sync })
  } catch (error) {
    fetched.catch(() => {})
    await staged.abort()
    throw error
  }
  sums.putAway(message.body, name)
  if (sync) await round.keepSum(message)
}

/** From here: whoever reads exactly as much as it needs leaves a file open. */
async function storeOwn(
  round: Round,
  message: Message<'SumHeader'>,
  frames: AsyncGenerator<Frame>,
  name?: string
): Promise<void> {
  try {
    await round.storeSum(message, frames, name)
  } finally {
    await frames.return(undefined)
  }
}

/** Where it was summed in slices (§13) the root of a sum is over theirs, each by the member that summed it. */
function checkSlices({ body }: Message<'SumHeader'>, count: number, culprit: string): void {
  const { slices = [], root } = body
  const fault = (sentence: string) => new MessageError('INVALID', sentence, { culprit })
  if (slices.length !== count) throw fault(`a sum names ${slices.length} slices, not ${count}`)
  if (count > 0 && !sameBytes(MerkleTree.from(slices.map((slice) => slice.root)).root, root))
    throw fault('the root of a sum is not that of its slices')
}

/** A leader that has the sum of an earlier one shows that one's header, which says the same. */
function checkAgain(message: Message<'SumHeader'>, round: Round): void {
  const { again, ...said } = message.body
  if (again === null) return
  const culprit = round.culprit(message)
  const first = shownBy(culprit, 'the earlier header of a sum', () => readEmbedded('SumHeader', again, round.rules))
  const { view } = first.body
  const isSame = sameBytes(sumBytes({ ...said, view, again: null }), sumBytes(first.body))
  if (!isSame || view >= said.view || first.from !== round.leader(view))
    throw new MessageError('INVALID', 'a sum is shown again that no earlier leader has published', { culprit })
}

/** Two sums of one cut: whether the one that is held here is right, in every chunk. All hear of both. */
async function isStillRight(round: Round, held: CheckedSum): Promise<boolean> {
  const { encoded } = publisherOf(held.header)
  if (encoded.length <= MAX_GOSSIP_BYTES) round.ports.links.announce(encoded)
  try {
    await auditAgain(round, held)
    return true
  } catch (error) {
    if (!(error instanceof WrongSum)) throw error
    round.accuse(error.evidence)
    round.running!.sum = undefined
    return false
  }
}
