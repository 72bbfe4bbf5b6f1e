import { createLanes } from '../crypto/mask-stream.ts'
import type { Lanes } from '../crypto/mask-stream.ts'
import { CHUNK_ELEMENTS, packedLength, unpackAdd } from '../encoding/packing.ts'
import { MessageError } from '../errors.ts'
import { sameBytes } from './dealing.ts'
import { cutHash } from './messages.ts'
import type { Plan, Sharding } from './sharding.ts'
import { SliceRefused } from './slice-store.ts'
import type { Slice } from './slices.ts'
import { checkHeader } from './transcript.ts'
import { masksToRemove } from './unmasking.ts'
import { maskInto } from './vectors.ts'

/** The owner of a slice (§13): it collects the slice of every masked vector, tells what it has, and sums what is cut. */

/** One slice, from its first piece to its sum. Shown the same cut and secrets, every owner comes to the same root. */
export async function ownSlice(sharding: Sharding, slice: Slice, plan: Plan, signal: AbortSignal): Promise<void> {
  const { number } = slice
  const expected = (): number[] => [...(cutOf(sharding, plan)?.included ?? plan.set.members)]
  for (const member of plan.set.members) void obtain(sharding, slice, member, plan, signal)
  void report(sharding, number, expected, plan, signal)
  if (sharding.hasSaid(`sum/${number}`)) return
  const isWhole = () => expected().every((member) => isHere(sharding, number, member, plan))
  await sharding.until(
    () => cutOf(sharding, plan) !== undefined && isWhole() && sharding.opened !== undefined,
    Infinity,
    signal
  )
  if (cutOf(sharding, plan) !== undefined && isWhole()) await publish(sharding, slice, plan, signal)
}

/** What an owner has of itself goes to another member as well, so that it can be had if the owner dies. */
export async function keepSlice(sharding: Sharding, { number }: Slice, plan: Plan, signal: AbortSignal): Promise<void> {
  const owner = plan.owners[number]
  if (!plan.set.members.includes(owner)) return
  void obtain(sharding, sharding.slices[number], owner, plan, signal)
  await report(sharding, number, () => [owner], plan, signal)
}

function cutOf({ decided }: Sharding, { set }: Plan) {
  return decided !== undefined && sameBytes(decided.set.hash, set.hash) ? decided.cut : undefined
}

/** Whether a member's slice is here; once there is a cut, that of the vector in it: whoever has signed two gave one to each. */
function isHere(sharding: Sharding, slice: number, member: number, plan: Plan): boolean {
  const header = cutOf(sharding, plan)?.headers.get(member)
  const { store } = sharding
  return header === undefined ? store.has(slice, member) : store.pathTo(slice, member, header.body.root) !== undefined
}

/** One slice of one masked vector, from its owner or from whoever else may have it, until it is here or not needed. */
async function obtain(
  sharding: Sharding,
  slice: Slice,
  member: number,
  plan: Plan,
  signal: AbortSignal
): Promise<void> {
  const { roster } = sharding.round.rules
  const { number } = slice
  const lied = new Set<number>()
  const helpers = sharding.helpers(number)
  // Whoever was replaced may be gone.
  const isLost = helpers.includes(member) && member !== plan.owners[number]
  const sources = isLost ? helpers.filter((one) => one !== member).concat(member) : [member, ...helpers]
  const isNeeded = () =>
    cutOf(sharding, plan)?.included.has(member) !== false && !isHere(sharding, number, member, plan)
  const check: Parameters<typeof sharding.store.fetchMasked>[3] = (header) => {
    // After a takeover it may have masked under another set.
    if (!sameBytes(header.body.maskingSetHash, plan.set.hash))
      throw new SliceRefused(`member ${member} has masked under another masking set`)
    checkHeader(header, plan.book, plan.set, roster)
    const inCut = cutOf(sharding, plan)?.headers.get(member)
    if (inCut !== undefined && !sameBytes(header.encoded, inCut.encoded))
      throw new SliceRefused(`another vector of member ${member} is in the cut`)
  }
  while (!signal.aborted && isNeeded()) {
    for (const source of sources) {
      if (signal.aborted || lied.has(source) || !isNeeded()) continue
      try {
        await sharding.store.fetchMasked(slice, member, source, check, signal)
        sharding.touch()
      } catch (error) {
        if (signal.aborted) return
        if (!(error instanceof MessageError)) continue
        lied.add(source)
        sharding.round.ports.observer.refused?.(error)
      }
    }
    if (isNeeded()) await sharding.pause(signal).catch(() => {})
  }
}

/** Tells the leader whose slices are here: at once when all are, and of some now and then. */
async function report(
  sharding: Sharding,
  slice: number,
  expected: () => number[],
  { set }: Plan,
  signal: AbortSignal
): Promise<void> {
  const { round, store } = sharding
  const isComplete = () => store.membersOf(slice, expected()).length === expected().length
  for (let told = 0; !signal.aborted;) {
    const held = store.membersOf(slice, set.members)
    if (held.length > told) {
      told = held.length
      const { attemptId } = set.body
      const roots = held.map((member) => store.vectorRoot(slice, member))
      const body = { attemptId, maskingSetHash: set.hash, slice, members: round.setOf(held), roots }
      const word = await round.state('SliceReport', body)
      if (signal.aborted) return
      sharding.say(`report/${slice}`, word)
    }
    if (isComplete()) return
    await sharding.until(isComplete, round.views.patience.grace / 4, signal).catch(() => {})
  }
}

/** The included slices added up, their masks taken off, packed and signed. */
async function publish(sharding: Sharding, slice: Slice, plan: Plan, signal: AbortSignal): Promise<void> {
  const { round } = sharding
  const { ports, rules, shape } = round
  const { cut } = sharding.decided!
  const { number, firstChunk, elements } = slice
  const sum = rules.roster.members.length
  await round.reach('sum')
  const lanes = createLanes(shape.bits, elements)
  for (const member of cut.included) {
    await addSlice(sharding, slice, member, lanes)
    signal.throwIfAborted()
  }
  const masks = await masksToRemove(rules, plan.book, plan.set, cut, sharding.opened!, ports)
  const owner = { attemptId: cut.cut.attemptId, member: sum, firstChunk }
  const { clock, compute, vectors } = ports
  const name = round.sliceName(number, sum)
  let leaves: Uint8Array[] = []
  const sliceShape = { elements, bits: shape.bits }
  const root = await maskInto(vectors, name, lanes, masks, owner, sliceShape, {
    ...{ clock, compute, signal },
    leaves: (hashes) => (leaves = hashes)
  })
  const { attemptId } = cut.cut
  const header = await round.state('SliceHeader', { attemptId, cutHash: cutHash(cut.cut), slice: number, root })
  const published = round.sums.slice(slice, { root, owner: round.me })
  published.header = header.encoded
  published.putAway({ name, offset: 0 }, leaves)
  sharding.say(`sum/${number}`, header)
}

async function addSlice(
  { round, store }: Sharding,
  { number, bytes }: Slice,
  member: number,
  lanes: Lanes
): Promise<void> {
  const { bits } = round.shape
  const { name, offset } = store.placeOf(number, member)
  const block = 4 * packedLength(CHUNK_ELEMENTS, bits)
  for (let at = 0, done = 0; at < bytes; at += block) {
    const piece = await round.ports.vectors.readRange(name, offset + at, Math.min(block, bytes - at))
    done += unpackAdd(piece, bits, lanes, done)
    await round.ports.clock.pause()
  }
}
