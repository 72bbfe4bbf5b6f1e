import { MessageError } from '../errors.ts'
import { askForChunks } from './chunk-fetch.ts'
import { checkChunk, chunkCount, chunksTogether } from './chunks.ts'
import type { ProvenChunk } from './chunks.ts'
import { sameBytes } from './dealing.ts'
import { cutHash, MOST_CHUNKS } from './messages.ts'
import type { Body, Message } from './messages.ts'
import type { Round } from './round.ts'
import type { SumChunks, SumSlice } from './sum-chunks.ts'
import { readEmbedded, shownBy } from './transcript.ts'

/**
 * How a published sum travels (§10): its chunks are dealt into stripes, and the members in it into as many classes. The
 * leader gives each stripe to the first member of its class only; from there it goes down a binary tree of that class, and
 * each member has the other stripes from its counterparts in the other classes. So the leader sends one sum, and everybody
 * about one, however many members there are. Of a sum in slices (§13) each slice is a stripe, and its owner the first
 * member of that class.
 */

type Cut = Body<'SumHeader'>['cut']

/** A few streams a member; what one of them withholds is asked of others, this much of the sum at most. */
const MOST_STRIPES = 8

/** A member that has all of a stripe, or will have it, and who is asked for it. */
interface Source {
  member: number
  /** How many members the stripe passes on its way to it. */
  depth: number
}

/** How the members pass a sum on. */
export interface Ways {
  /** Those that do, in an order that all know: without the leader, or where there are slices their owners first. */
  servers: number[]
  stripes: number
  /** Who has each stripe before anybody else. */
  origins: number[]
  leader: number
}

interface Stripe {
  slice: SumSlice
  chunks: number[]
  sources: Source[]
  /** What is summed in it. */
  cut: Cut
}

/**
 * Whom a member asks for a stripe, in turn: its place above, then what is above that, and last whoever had it first and the
 * leader. So a member that has nothing to give costs the leader little more than one stripe for each class.
 */
export function sourcesOf(stripe: number, { servers, stripes, origins, leader }: Ways, me: number): Source[] {
  const ofClass = servers.filter((_, place) => place % stripes === stripe)
  const place = servers.indexOf(me)
  const isOwn = place >= 0 && place % stripes === stripe
  const row = Math.floor((place < 0 ? me : place) / stripes)
  const origin = origins[stripe]
  const before = ofClass[0] === origin ? 0 : 1
  const sources: Source[] = []
  for (let at = isOwn ? above(row) : row % ofClass.length; at >= 0; at = above(at))
    sources.push({ member: ofClass[at], depth: Math.floor(Math.log2(at + 1)) + before })
  const last = [...new Set([origin, leader])].filter((one) => sources.every(({ member }) => member !== one))
  return [...sources, ...last.map((member) => ({ member, depth: 0 }))]
}

/** In a binary tree that is written down row by row; −1 above its root. */
const above = (at: number): number => (at === 0 ? -1 : (at - 1) >> 1)

function waysOf({ order, sumShape, decided }: Round, { from, body }: Message<'SumHeader'>): Ways {
  // Those in the sum were there a moment ago.
  const included = order.filter((member) => decided!.cut.included.has(member))
  if (body.slices !== undefined) {
    const owners = body.slices.map(({ owner }) => owner)
    const servers = [...owners, ...included.filter((member) => !owners.includes(member))]
    return { servers, stripes: owners.length, origins: owners, leader: from }
  }
  const servers = included.filter((member) => member !== from)
  const parts = Math.ceil(chunkCount(sumShape) / chunksTogether(sumShape))
  const stripes = Math.min(MOST_STRIPES, parts, servers.length)
  return { servers, stripes, origins: Array<number>(stripes).fill(from), leader: from }
}

/**
 * All chunks of a published sum, each checked against its root as it comes; whoever sends a wrong one is named and asked no
 * more. Asks again and again until the view is over.
 *
 * @throws MessageError where everyone who may be asked gives something else, the leader last; the signal's reason
 */
export async function fetchSum(round: Round, header: Message<'SumHeader'>): Promise<SumChunks> {
  const { views, me } = round
  const ways = waysOf(round, header)
  const sum = round.sums.of(header.body)
  const liars = new Map<number, MessageError>()
  await Promise.all(
    Array.from({ length: ways.stripes }, (_, number) => {
      const [whole] = sum.slices
      const stripe =
        header.body.slices === undefined
          ? { slice: whole, chunks: whole.chunks.filter((_, at) => at % ways.stripes === number) }
          : { slice: sum.slices[number], chunks: sum.slices[number].chunks }
      const sources = sourcesOf(number, ways, me).filter(({ member }) => member !== me)
      return fetchStripe(round, { ...stripe, sources, cut: header.body.cut }, liars, views.signal)
    })
  )
  return sum
}

/**
 * A slice of a sum from its owner, before any sum names it.
 *
 * @throws MessageError where it gives another, or has signed it for another cut; the signal's reason
 */
export async function fetchSlice(
  round: Round,
  slice: SumSlice,
  { encoded, from }: Message<'SliceHeader'>,
  cut: Cut,
  signal: AbortSignal
): Promise<void> {
  shownBy(round.culprit({ from }), 'a slice', () => checkOwner(round, slice, cut, encoded))
  const sources = [{ member: from, depth: 0 }]
  await fetchStripe(round, { slice, chunks: slice.chunks, sources, cut }, new Map(), signal)
}

async function fetchStripe(
  round: Round,
  { slice, chunks, sources, cut }: Stripe,
  liars: Map<number, MessageError>,
  signal: AbortSignal
): Promise<void> {
  const { views, ports, sums, rules } = round
  const { root, owner } = slice
  const { attemptId } = cut
  const patience = views.patience.limit / 8
  const member = rules.roster.members.length
  const take = (chunk: ProvenChunk, sliceHeader?: Uint8Array) => {
    checkOwner(round, slice, cut, sliceHeader)
    checkChunk(chunk, { attemptId, member, root, firstChunk: slice.slice.firstChunk }, slice.shape, slice.together)
    slice.put(chunk)
    sums.touch()
  }
  const bytesOf = (index: number) => slice.placeOf(index).length
  const missing = () => chunks.filter((index) => !slice.has(index))
  while (missing().length > 0) {
    for (const { member: holder, depth } of sources) {
      if (liars.has(holder)) continue
      for (let left = missing(); left.length > 0; left = missing()) {
        signal.throwIfAborted()
        const asked = { attemptId, member, root, owner, chunks: left.slice(0, MOST_CHUNKS), bytesOf }
        // Longer than what it may be waiting for itself.
        const failed = await askForChunks(round, holder, asked, { patience: patience * (depth + 1), signal, take })
        if (failed instanceof MessageError) liars.set(holder, failed)
        if (failed !== undefined) break
      }
    }
    const last = liars.get(sources.at(-1)!.member)
    if (last !== undefined && sources.every((source) => liars.has(source.member))) throw last
    if (missing().length > 0) await ports.clock.sleep(patience, signal)
  }
}

/** Where a sum is in slices, each chunk comes with what the owner of its slice has signed, who answers for it. */
function checkOwner(round: Round, slice: SumSlice, cut: Cut, encoded: Uint8Array | undefined): void {
  if (slice.owner === undefined) {
    if (encoded !== undefined) throw new MessageError('INVALID', 'a chunk names an owner, and the sum has no slices')
    return
  }
  if (encoded === undefined) throw new MessageError('INVALID', 'a chunk does not show who has summed its slice')
  if (slice.header !== undefined && sameBytes(slice.header, encoded)) return
  const header = readEmbedded('SliceHeader', encoded, round.rules)
  round.saw(header)
  const { body, from } = header
  const isOfSlice =
    from === slice.owner &&
    body.slice === slice.slice.number &&
    sameBytes(body.root, slice.root) &&
    sameBytes(body.attemptId, cut.attemptId) &&
    sameBytes(body.cutHash, cutHash(cut))
  if (!isOfSlice)
    throw new MessageError('INVALID', 'a slice is signed by another owner, or for another place, root or cut')
  slice.header = encoded
}
