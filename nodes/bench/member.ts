import { createLanes } from '../../src/crypto/mask-stream.ts'
import { randomBytes, x25519PublicKey } from '../../src/crypto/primitives.ts'
import { Secret } from '../../src/crypto/secret.ts'
import { reconstructSecret, shareSecret } from '../../src/crypto/shamir.ts'
import { ThreadPool } from '../../src/crypto/thread-pool.ts'
import { createEncoder } from '../../src/encoding/encoder.ts'
import { MemoryVectorStore } from '../../src/journal/vector-store.ts'
import { systemClock as clock } from '../../src/network/clock.ts'
import type { CheckedCut } from '../../src/round/transcript.ts'
import { masksToRemove } from '../../src/round/unmasking.ts'
import { maskInto } from '../../src/round/vectors.ts'
import { groupOf } from './group.ts'
import { median, report } from './measure.ts'

const elements = 100_000

/** Encode, agree on seeds, mask, pack and hash, as a member of 1,000 does. */
export async function benchContributor(): Promise<void> {
  const { task, attempt, book, set } = await groupOf(1000, { corrupt: 0.2, dropout: 0.1 }, elements)
  const vector = Float32Array.from({ length: elements }, () => 16 * Math.random() - 8)
  const owner = { attemptId: attempt.id, member: 0 }
  const shape = { elements: task.laneCount, bits: task.bits }
  const compute = new ThreadPool()
  const ms = await median(9, async () => {
    const { lanes } = await createEncoder(task, 1).encode(vector)
    await maskInto(new MemoryVectorStore(), 'masked', lanes, attempt.masks(book, set), owner, shape, { clock, compute })
  })
  await compute.close()
  const partners = attempt.graph.partners(0).length
  report('contributor.mask', ms, { elements, members: 1000, partners, bits: task.bits, threads: compute.threads })
}

/** From the shares that were revealed to a sum without masks, as the aggregator of 500 does. */
export async function benchAggregator(): Promise<void> {
  await unmask(0, { corrupt: 0.2, dropout: 0.1 })
  await unmask(0.1, { corrupt: 0.2, dropout: 0.1 })
  await unmask(0.3, { corrupt: 0.05, dropout: 0.3 })
}

async function unmask(dropped: number, threat: { corrupt: number; dropout: number }): Promise<void> {
  const members = 500
  const { task, rules, book, set, keys, seeds } = await groupOf(members, threat, elements)
  const gone = Math.round(dropped * members)
  const cut: CheckedCut = {
    cut: undefined as never,
    included: new Set(set.members.slice(gone)),
    dropped: set.members.slice(0, gone),
    headers: new Map()
  }
  const { threshold } = task.thresholds
  const revealed = cut.dropped.map((member) => {
    const slots = book.graph.holders(member).map((holder) => book.graph.slot(member, holder)!)
    const shares = shareSecret(keys[member].secret, threshold, slots)
    return { member, shares: slots.map((x, place) => ({ x, share: shares[place] })) }
  })
  const compute = new ThreadPool()
  const ms = await median(5, async () => {
    const opened = revealed.map(({ member, shares }) => {
      const secret = reconstructSecret(shares, threshold).expose()
      // As the aggregator does, which compares it with the advert.
      x25519PublicKey(secret)
      return { member, secret }
    })
    const included = [...cut.included].map((member) => ({ member, secret: seeds[member].expose() }))
    const masks = await masksToRemove(rules, book, set, cut, { seeds: included, keys: opened }, { clock, compute })
    await compute.addMasks(createLanes(task.bits, task.laneCount), masks)
  })
  await compute.close()
  report('aggregator.unmask', ms, { dropped, elements, members, ...threat, bits: task.bits, threads: compute.threads })
}

/** 100 holders, any 45 of which open a secret of 32 bytes. */
export async function benchShamir(): Promise<void> {
  const holders = Array.from({ length: 100 }, (_, at) => at + 1)
  const threshold = 45
  const secret = new Secret(randomBytes(32))
  let shares: Uint8Array[] = []
  report('shamir.share', await median(50, () => void (shares = shareSecret(secret, threshold, holders))), {
    holders: 100,
    threshold
  })
  const held = holders.map((x, place) => ({ x, share: shares[place] }))
  report('shamir.reconstruct', await median(50, () => reconstructSecret(held, threshold).wipe()), {
    holders: 100,
    threshold
  })
}
