import { H } from '../crypto/hash.ts'

const beaconLength = 32

function checkLength(bytes: Uint8Array, what: string): void {
  if (bytes.length !== beaconLength) throw new RangeError(`${what} has ${beaconLength} bytes, not ${bytes.length}`)
}

/**
 * The beacon of the first round (§7), 32 bytes. `randomness` is public and was not known when the roster was closed;
 * it may be left out while the graph is complete.
 */
export function genesisBeacon(taskId: Uint8Array, rosterHash: Uint8Array, randomness?: Uint8Array): Uint8Array {
  checkLength(taskId, 'a task id')
  checkLength(rosterHash, 'a roster hash')
  if (randomness?.length === 0) throw new RangeError('genesis randomness is left out or has at least one byte')
  return H('genesis', taskId, rosterHash, randomness ?? new Uint8Array(0))
}

/** What a summed round adds to the beacon. */
export interface SummedRound {
  /** Of this round. */
  beacon: Uint8Array
  round: number
  cutHash: Uint8Array
  /** HKDF of the opened seed of every included member, 32 bytes each, in roster order. */
  contributions: Uint8Array[]
}

/** The beacon after a summed round (§7): the set was fixed before the first seed was opened, so nobody could choose it. */
export function nextBeacon({ beacon, round, cutHash, contributions }: SummedRound): Uint8Array {
  checkLength(beacon, 'a beacon')
  checkLength(cutHash, 'a cut hash')
  if (contributions.length === 0) throw new RangeError('a summed round has contributions to its beacon')
  for (const contribution of contributions) checkLength(contribution, 'a contribution to the beacon')
  return H('beacon', beacon, round, cutHash, ...contributions)
}

/** The beacon after a burned round (§7): known beforehand, so it never puts a changed roster into effect. */
export function burnedBeacon(beacon: Uint8Array, round: number): Uint8Array {
  checkLength(beacon, 'a beacon')
  return H('burned', beacon, round)
}
