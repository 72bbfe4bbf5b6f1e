import { MessageError } from '../errors.ts'
import { authenticate } from './certificates.ts'
import { packedLength } from '../encoding/packing.ts'
import { checkChunk, chunkLength } from './chunks.ts'
import type { ProvenChunk } from './chunks.ts'
import { decodeMessage, MOST_CHUNKS } from './messages.ts'
import type { Message } from './messages.ts'
import type { Clock, Frame } from './ports.ts'
import type { Round } from './round.ts'

/** Fetches chunks of the masked vectors in the decided cut: from their owners, else from whoever else may have them (§10). */

/** Members that are asked at the same time. */
const AT_ONCE = 16
/** How often all that may have a vector are asked for it. */
const TRIES = 2
const PAUSE_MS = 200

/** The audit ends without a verdict: nobody who was asked gave a chunk. No evidence against anybody. */
export class ChunkMissing extends Error {
  static override name = 'ChunkMissing'
}

/** Which chunks of which members' vectors. */
export type Wanted = ReadonlyMap<number, readonly number[]>
/** By member and chunk number, each checked against the header in the cut. */
export type Fetched = ReadonlyMap<number, ReadonlyMap<number, ProvenChunk>>

/** All that is wanted. @throws ChunkMissing; the signal's reason */
export async function fetchChunks(round: Round, wanted: Wanted, signal: AbortSignal): Promise<Fetched> {
  const fetched = new Map<number, Map<number, ProvenChunk>>()
  const queue = [...wanted]
  const work = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const [member, indices] = next
      fetched.set(member, await fetchOf(round, member, indices, signal))
    }
  }
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, queue.length) }, work))
  return fetched
}

async function fetchOf(
  round: Round,
  member: number,
  indices: readonly number[],
  signal: AbortSignal
): Promise<Map<number, ProvenChunk>> {
  const { attemptId, root } = round.decided!.cut.headers.get(member)!.body
  const had = new Map<number, ProvenChunk>()
  for (const index of indices) {
    const chunk = await round.chunks.find(member, root, index)
    if (chunk !== undefined) had.set(index, chunk)
    // Of a slice there are some here (§13); else a vector is here, or it is not.
    else if (round.sharding === undefined) break
  }
  const missing = () => indices.filter((index) => !had.has(index))
  const bytesOf = (index: number) => packedLength(chunkLength(index, round.shape), round.shape.bits)
  // In slices, others than the owner have parts of a vector only (§13).
  const mayHave = (holder: number) => (index: number) =>
    holder === member || round.sharding?.mayHave(holder, index) !== false
  for (let attempt = 0; attempt < TRIES && missing().length > 0; attempt++) {
    if (attempt > 0) await round.ports.clock.sleep(PAUSE_MS, signal)
    for (const holder of holdersOf(round, member)) {
      for (let left = missing().filter(mayHave(holder)); left.length > 0; left = left.slice(MOST_CHUNKS)) {
        signal.throwIfAborted()
        const asked = { attemptId, member, root, chunks: left.slice(0, MOST_CHUNKS), bytesOf }
        const take = (chunk: ProvenChunk) => {
          checkChunk(chunk, { attemptId, member, root }, round.shape)
          had.set(chunk.index, chunk)
          if (!signal.aborted) round.views.goesOn('data')
        }
        const patience = round.views.patience.limit / 4
        if ((await askForChunks(round, holder, asked, { patience, signal, take })) !== undefined) break
      }
      if (missing().length === 0) break
    }
  }
  const [first] = missing()
  if (first !== undefined)
    throw new ChunkMissing(`chunk ${first} of the vector of member ${member} cannot be had, so the sum is not audited`)
  return had
}

/** The owner first, then who has led, and last those that a leader gives its own vector to. */
function holdersOf(round: Round, member: number): number[] {
  const { order, me, views } = round
  const led = Array.from({ length: views.current + 1 }, (_, back) => round.leader(views.current - back))
  const after = led.flatMap((_, view) => [order[(view + 1) % order.length], order[(view + 2) % order.length]])
  const others = round.sharding === undefined ? [...led, ...after] : round.sharding.everyHelper
  return [...new Set([member, ...others])].filter((holder) => holder !== me)
}

interface Asked {
  attemptId: Uint8Array
  /** Whose vector; n for the sum, or where it has an owner a slice of that. */
  member: number
  root: Uint8Array
  owner?: number
  /** At most MOST_CHUNKS. */
  chunks: number[]
  bytesOf: (index: number) => number
}

interface Asking {
  /** Milliseconds until the first chunk, and from each to the next. */
  patience: number
  signal: AbortSignal
  /** Checks and keeps a chunk, of a sum in slices with its SliceHeader. @throws MessageError where it is another */
  take: (chunk: ProvenChunk, sliceHeader?: Uint8Array) => void
}

/**
 * Asks one member for chunks of a vector. A wrong chunk is its fault.
 *
 * @returns why not all of them came, which is told to the observer as well
 * @throws the signal's reason
 */
export async function askForChunks(
  round: Round,
  holder: number,
  { attemptId, member, root, owner, chunks, bytesOf }: Asked,
  { patience, signal, take }: Asking
): Promise<Error | undefined> {
  const { rules, ports } = round
  const culprit = rules.roster.members[holder].id
  const late = new AbortController()
  const ends = AbortSignal.any([signal, late.signal])
  const tooLate = () => late.abort(new Error(`member ${holder} took too long to answer`))
  const { soon, done } = whileAnswering(ports.clock, { ms: patience, tooLate, ends })
  try {
    const request = await round.state('ChunkRequest', {
      attemptId,
      member,
      root,
      ...(owner !== undefined && { owner }),
      chunks
    })
    const answer = await soon(ports.links.ask(culprit, request.encoded, ends))
    const frames = answer[Symbol.asyncIterator]()
    for (const index of chunks) {
      const { path, header } = readChunkMessage(await soon(frames.next()), index, holder, round)
      const bytes = await readBytes(() => soon(frames.next()), bytesOf(index))
      take({ index, bytes, path }, header)
      // What has come in already would be taken in one turn.
      await ports.clock.pause()
    }
    void frames.return?.()?.catch(() => {})
    return undefined
  } catch (error) {
    // Ends a stream that nobody reads any more.
    late.abort(error)
    signal.throwIfAborted()
    const blamed =
      error instanceof MessageError && error.culprit === undefined
        ? new MessageError(error.code, `member ${holder}: ${error.message}`, { culprit, cause: error })
        : (error as Error)
    ports.observer.refused?.(blamed)
    return blamed
  } finally {
    done()
  }
}

/** What a chunk announces: in one frame, or several. */
async function readBytes(next: () => Promise<IteratorResult<Frame>>, length: number): Promise<Uint8Array> {
  let whole: Uint8Array | undefined
  for (let filled = 0; ;) {
    const frame = await next()
    if (frame.done === true || frame.value.kind !== 'data' || frame.value.payload.length === 0)
      throw new MessageError('TRUNCATED', `a chunk is announced, and ${length - filled} bytes of it are not sent`)
    const { payload } = frame.value
    if (filled + payload.length > length)
      throw new MessageError('OVERSIZED', `a chunk has at least ${filled + payload.length} bytes, not ${length}`)
    if (payload.length === length) return payload
    whole ??= new Uint8Array(length)
    whole.set(payload, filled)
    filled += payload.length
    if (filled === length) return whole
  }
}

function readChunkMessage(
  next: IteratorResult<Frame>,
  index: number,
  holder: number,
  { rules }: Round
): Message<'Chunk'>['body'] {
  const culprit = rules.roster.members[holder].id
  if (next.done === true) throw new Error(`member ${holder} was asked for chunk ${index} and hung up`)
  if (next.value.kind !== 'control')
    throw new MessageError('OUT_OF_PHASE', `member ${holder} sends bytes before it says of which chunk`, { culprit })
  const reply = decodeMessage(next.value.payload)
  authenticate(reply, rules.context, rules.roster, holder)
  if (reply.type === 'Refusal') throw new Error(`member ${holder} gives no chunk: ${reply.body.reason}`)
  if (reply.type !== 'Chunk' || reply.body.index !== index)
    throw new MessageError('INVALID', `member ${holder} was asked for chunk ${index} and sent something else`, {
      culprit
    })
  return reply.body
}

/** Waits for one thing after the other, for none longer than `ms`. One timer for all of them: chunks are many. */
function whileAnswering(clock: Clock, { ms, tooLate, ends }: { ms: number; tooLate: () => void; ends: AbortSignal }) {
  const over = new AbortController()
  const ended = Promise.withResolvers<never>()
  ended.promise.catch(() => {})
  const stop = () => ended.reject(ends.reason as Error)
  if (ends.aborted) stop()
  ends.addEventListener('abort', stop, { once: true })
  let last = clock.now()
  const watch = async (): Promise<void> => {
    for (let left = ms; left > 0; left = last + ms - clock.now()) await clock.sleep(left, over.signal)
    tooLate()
  }
  watch().catch(() => {})
  return {
    soon: async <T>(work: Promise<T>): Promise<T> => {
      work.catch(() => {})
      const result = await Promise.race([work, ended.promise])
      last = clock.now()
      return result
    },
    done: (): void => {
      ends.removeEventListener('abort', stop)
      over.abort(answered)
    }
  }
}

/** One for all: to make an error costs more than the wait for an answer. */
const answered = new Error('it has been answered')
