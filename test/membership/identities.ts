import { ed25519 } from '@noble/curves/ed25519.js'
import { signRequest, signVouch } from '../../src/membership/requests.ts'
import type { Action, Request, Vouch } from '../../src/membership/requests.ts'
import type { Roster } from '../../src/membership/roster.ts'
import type { Task } from '../../src/task/task.ts'
import { base58, peerBytes, peerKey } from './peers.ts'

function seedOf(number: number): Uint8Array {
  const seed = new Uint8Array(32)
  new DataView(seed.buffer).setUint32(0, number)
  return seed
}

/** The peers of `peers.ts`, with what they sign. */
export const idOf = (number: number): string => base58(peerBytes(peerKey(number)))
export const bytesOf = (number: number): Uint8Array => peerBytes(peerKey(number))

const signAs = (number: number) => (bytes: Uint8Array) => ed25519.sign(bytes, seedOf(number))

export function asks(number: number, action: Action, task: Task, roster: Roster, signer = number): Promise<Request> {
  return signRequest(action, bytesOf(number), { taskId: task.idBytes, rosterHash: roster.hash }, signAs(signer))
}

export function vouches(voucher: number, peer: number, task: Task, roster: Roster, signer = voucher): Promise<Vouch> {
  return signVouch(bytesOf(voucher), bytesOf(peer), { taskId: task.idBytes, rosterHash: roster.hash }, signAs(signer))
}
