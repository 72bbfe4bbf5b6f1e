import { maskSign, pairwiseMaskSeeds } from '../../src/crypto/key-agreement.ts'
import { addMasks, createLanes } from '../../src/crypto/mask-stream.ts'
import type { Lanes, Mask } from '../../src/crypto/mask-stream.ts'
import { Secret } from '../../src/crypto/secret.ts'
import { pack, unpack } from '../../src/encoding/packing.ts'
import { createRoster } from '../../src/membership/roster.ts'
import type { Task } from '../../src/task/task.ts'
import type { Attacked } from './laboratory.ts'

/** The victim's vector with every mask taken off that the aggregator came to know: the protocol opens one side, never both. */
export async function peel({ task, victim, heard, opened, outcome }: Attacked): Promise<Lanes> {
  const { seeds, keys, cut } = opened.body
  const masks: Mask[] = seeds
    .filter(({ member }) => member === victim)
    .map(({ secret }) => ({ seed: secret.slice(), sign: -1 }))
  const key = keys.find(({ member }) => member === victim)
  if (key !== undefined) {
    const { members } = createRoster({ epoch: 0, members: [...task.members] })
    const others = [...outcome.included, ...outcome.dropped].filter((member) => member !== victim)
    const shared = pairwiseMaskSeeds({
      secret: new Secret(key.secret.slice()),
      self: members[victim].bytes,
      attemptId: cut.attemptId,
      maskingSetHash: cut.maskingSetHash,
      partners: others.map((other) => ({ id: members[other].bytes, key: heard.maskKeys.get(other)! }))
    })
    const signs = others.map((other) => maskSign(members[victim].bytes, members[other].bytes))
    masks.push(...shared.map((seed, at): Mask => ({ seed, sign: signs[at] === 1 ? -1 : 1 })))
  }
  return without(unpack(heard.vector, task.laneCount, task.bits), masks, task)
}

/** The lanes without some masks, mod 2^w. */
export async function without(lanes: Lanes, masks: Mask[], { bits, laneCount }: Task): Promise<Lanes> {
  const result = createLanes(bits, laneCount)
  result.set(lanes)
  await addMasks(result, masks)
  return unpack(pack(result, bits), laneCount, bits)
}
