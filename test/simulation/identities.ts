import { hash } from 'node:crypto'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { ed25519 } from '@noble/curves/ed25519.js'
import { createTask } from '../../src/task/task.ts'
import type { Task } from '../../src/task/task.ts'
import { LARGEST_COMPLETE_GRAPH } from '../../src/task/thresholds.ts'

export interface Identity {
  id: string
  sign: (bytes: Uint8Array) => Uint8Array
}

/** Little-endian. */
const numberOf = (bytes: Buffer): bigint => BigInt(`0x${bytes.reverse().toString('hex')}`)

/**
 * Ed25519 (RFC 8032 §5.1.6) with one nonce for all messages, so that a signature takes a hash instead of a point: valid to
 * everyone who verifies it. Two of them give the key away, which of a simulated member is no secret.
 */
function signer(seed: Uint8Array): Identity['sign'] {
  const { scalar, pointBytes } = ed25519.utils.getExtendedPublicKey(seed)
  const { Fn, BASE } = ed25519.Point
  const nonce = numberOf(hash('sha512', seed, 'buffer')) % Fn.ORDER
  const start = Buffer.concat([BASE.multiply(nonce).toBytes(), pointBytes])
  return (bytes) => {
    const proof = (nonce + numberOf(hash('sha512', Buffer.concat([start, bytes]), 'buffer')) * scalar) % Fn.ORDER
    const signature = new Uint8Array(64)
    signature.set(start.subarray(0, 32))
    signature.set(Buffer.from(proof.toString(16).padStart(64, '0'), 'hex').reverse(), 32)
    return signature
  }
}

const known = new Map<number, Identity>()

/** The same few identities again and again: what differs between runs is what they do. */
export async function identity(number: number): Promise<Identity> {
  const before = known.get(number)
  if (before !== undefined) return before
  const seed = new Uint8Array(32).fill(number + 1)
  seed[31] ^= number >> 8
  const id = peerIdFromPrivateKey(await generateKeyPairFromSeed('Ed25519', seed)).toString()
  const made = { id, sign: signer(seed) }
  known.set(number, made)
  return made
}

export interface SimulatedTerms {
  members: number
  length: number
  threat: { corrupt?: number; dropout?: number }
  /** Who may join later: numbers of identities that are listed, or how many members must vouch. */
  admission?: { allow?: number[]; vouches?: number }
  groups?: { count: number; trim: number }
  /** How many members share the adding up (§13). */
  shards?: number
  /** Expected audits of each chunk of a sum; the task's own default if left out. */
  audit?: number | 'full'
  /** With it vectors carry noise (§12), and are no integers. */
  privacy?: { noiseMultiplier: number; delta: number }
}

const tasks = new Map<string, { task: Task; identities: Identity[] }>()

/** A task of integers up to 1000 with a deadline of ten seconds; its members' identities in roster order. */
export async function simulatedTask(simulated: SimulatedTerms) {
  const { members, length, threat, admission, groups, shards, audit, privacy } = simulated
  const key = JSON.stringify({ members, length, threat, admission, groups, shards, audit, privacy })
  const before = tasks.get(key)
  if (before !== undefined) return before
  const all = await Promise.all(Array.from({ length: members }, (_, number) => identity(number)))
  const terms = { name: 'simulated', members: all.map(({ id }) => id), length, threat, deadline: 10 }
  const allow = admission?.allow && (await Promise.all(admission.allow.map(identity))).map(({ id }) => id)
  const policy = admission && { admission: { ...(allow && { allow }), vouches: admission.vouches } }
  const randomness = members > LARGEST_COMPLETE_GRAPH && { randomness: '5a'.repeat(32) }
  const task = createTask({
    ...terms,
    ...policy,
    ...randomness,
    ...(groups && { groups }),
    ...(shards && { shards }),
    ...(audit !== undefined && { audit }),
    ...(privacy === undefined ? { encoding: { type: 'integer', max: 1000 } } : { privacy })
  })
  const made = { task, identities: task.members.map((id) => all.find((one) => one.id === id)!) }
  tasks.set(key, made)
  return made
}
