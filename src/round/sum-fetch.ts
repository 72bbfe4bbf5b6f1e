import { MessageError } from '../errors.ts'
import { askForChunks } from './chunk-fetch.ts'
import { chunkCount } from './chunks.ts'
import { MOST_CHUNKS } from './messages.ts'
import type { Message } from './messages.ts'
import type { Round } from './round.ts'
import type { SumChunks } from './sum-chunks.ts'

/**
 * How a published sum of several chunks travels (§10): its chunks are dealt into stripes, and the members in it into as many
 * classes. The leader gives each stripe to the first member of its class only; from there it goes down a binary tree of that
 * class, and each member has the other stripes from its counterparts in the other classes. So the leader sends one sum, and
 * everybody about one, however many members there are.
 */

/** A few streams a member; what one of them withholds is asked of others, this much of the sum at most. */
const MOST_STRIPES = 8

/** A member that has all of a sum, and who is asked for a stripe of it. */
interface Source {
  member: number
  /** How many members the stripe passes on its way to it. */
  depth: number
}

/**
 * Whom a member asks for a stripe, in turn: its place above, then what is above that, and last the leader. So a member that
 * has nothing to give costs the leader little more than one stripe for each class.
 *
 * @param servers the members that pass the sum on, in an order that all know, without the leader
 */
export function sourcesOf(
  stripe: number,
  { servers, stripes, leader, me }: { servers: number[]; stripes: number; leader: number; me: number }
): Source[] {
  const ofClass = servers.filter((_, place) => place % stripes === stripe)
  const place = servers.indexOf(me)
  const isOwn = place >= 0 && place % stripes === stripe
  const row = Math.floor((place < 0 ? me : place) / stripes)
  const sources: Source[] = []
  for (let at = isOwn ? above(row) : row % ofClass.length; at >= 0; at = above(at))
    sources.push({ member: ofClass[at], depth: Math.floor(Math.log2(at + 1)) + 1 })
  return [...sources, { member: leader, depth: 0 }]
}

/** In a binary tree that is written down row by row; −1 above its root. */
const above = (at: number): number => (at === 0 ? -1 : (at - 1) >> 1)

/**
 * All chunks of a published sum, each checked against its root as it comes; whoever sends a wrong one is named and asked no
 * more. Asks again and again until the view is over.
 *
 * @throws the signal's reason
 */
export async function fetchSum(round: Round, header: Message<'SumHeader'>): Promise<SumChunks> {
  const { order, sumShape, decided, me, sums } = round
  const leader = header.from
  // Those in the sum were there a moment ago.
  const servers = order.filter((member) => member !== leader && decided!.cut.included.has(member))
  const stripes = Math.min(MOST_STRIPES, chunkCount(sumShape), servers.length)
  const sum = sums.of(header.body.root)
  const liars = new Set<number>()
  await Promise.all(
    Array.from({ length: stripes }, async (_, stripe) => {
      const chunks = Array.from({ length: chunkCount(sumShape) }, (_, index) => index)
      const ofStripe = chunks.filter((index) => index % stripes === stripe)
      const sources = sourcesOf(stripe, { servers, stripes, leader, me })
      await fetchStripe(round, header, { sum, chunks: ofStripe, sources, liars })
    })
  )
  return sum
}

async function fetchStripe(
  round: Round,
  { body: { root } }: Message<'SumHeader'>,
  { sum, chunks, sources, liars }: { sum: SumChunks; chunks: number[]; sources: Source[]; liars: Set<number> }
): Promise<void> {
  const { views, ports, sums, rules, sumShape: shape } = round
  const { signal } = views
  const patience = views.patience.limit / 8
  const missing = () => chunks.filter((index) => !sum.has(index))
  while (missing().length > 0) {
    for (const { member: holder, depth } of sources) {
      if (liars.has(holder)) continue
      for (let left = missing(); left.length > 0; left = missing()) {
        signal.throwIfAborted()
        const asked = { member: rules.roster.members.length, root, shape, chunks: left.slice(0, MOST_CHUNKS) }
        const failed = await askForChunks(round, holder, asked, {
          // Longer than what it may be waiting for itself.
          patience: patience * (depth + 1),
          signal,
          took: (chunk) => {
            sum.put(chunk)
            sums.touch()
          }
        })
        if (failed instanceof MessageError) liars.add(holder)
        if (failed !== undefined) break
      }
    }
    if (missing().length > 0) await ports.clock.sleep(patience, signal)
  }
}
