import { createPrivateKey, sign } from 'node:crypto'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { createTask } from '../../src/task/task.ts'
import type { Task } from '../../src/task/task.ts'
import { LARGEST_COMPLETE_GRAPH } from '../../src/task/thresholds.ts'

export interface Identity {
  id: string
  sign: (bytes: Uint8Array) => Uint8Array
}

// DER of a raw Ed25519 seed is a fixed prefix and the seed (RFC 8410).
const pkcs8 = Buffer.from('302e020100300506032b657004220420', 'hex')
const known = new Map<number, Identity>()

/** The same few identities again and again: what differs between runs is what they do. */
export async function identity(number: number): Promise<Identity> {
  const before = known.get(number)
  if (before !== undefined) return before
  const seed = new Uint8Array(32).fill(number + 1)
  seed[31] ^= number >> 8
  const key = createPrivateKey({ key: Buffer.concat([pkcs8, seed]), format: 'der', type: 'pkcs8' })
  const id = peerIdFromPrivateKey(await generateKeyPairFromSeed('Ed25519', seed)).toString()
  const made = { id, sign: (bytes: Uint8Array) => new Uint8Array(sign(null, bytes, key)) }
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
}

const tasks = new Map<string, { task: Task; identities: Identity[] }>()

/** A task of integers up to 1000 with a deadline of ten seconds; its members' identities in roster order. */
export async function simulatedTask({ members, length, threat, admission, groups, shards, audit }: SimulatedTerms) {
  const key = JSON.stringify({ members, length, threat, admission, groups, shards, audit })
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
    encoding: { type: 'integer', max: 1000 }
  })
  const made = { task, identities: task.members.map((id) => all.find((one) => one.id === id)!) }
  tasks.set(key, made)
  return made
}
