import { encodeSet } from '../../src/membership/member-set.ts'
import { HEADER_LENGTH, MAX_DATA } from '../../src/network/frames.ts'
import { encodeMessage, MOST_CHUNKS } from '../../src/round/messages.ts'
import type { Body, Certificate, MessageType } from '../../src/round/messages.ts'
import { CHUNK_ELEMENTS, packedLength } from '../../src/encoding/packing.ts'
import { auditOf } from '../../src/task/task.ts'
import type { Task } from '../../src/task/task.ts'

/** What an undisturbed round costs a member in frame bytes: real messages with empty content, encoded and counted. */
export interface RoundBytes {
  /** A member that neither leads nor owns a slice. */
  member: Traffic
  /** The aggregator; where the task has shards, it owns a slice, too. */
  leader: Traffic
  /** Where the task has shards: a member that sums one slice (§13). */
  owner?: Traffic
  /** One packed vector. */
  vector: number
  /** What the leader says beside vectors. */
  control: number
  /** In vectors, of the member whose link carries most: while they are gathered, while the sum goes out, and while it is audited. */
  busiest: { uploads: Traffic; sums: Traffic; audits: Traffic }
}

/** What one member sends and receives. */
export interface Traffic {
  sent: number
  received: number
}

export function roundBytes(task: Task & { shards?: number }): RoundBytes {
  const n = task.members.length
  const others = n - 1
  const shards = task.shards ?? 1
  const vector = packedLength(task.laneCount, task.bits)
  const stream = vector + HEADER_LENGTH * Math.ceil(vector / MAX_DATA)
  const { quorum, graph } = task.thresholds
  const { up, down, direct } = controlBytes(n, quorum, graph?.shareDegree ?? n)
  const shares = (graph?.shareDegree ?? others) * direct
  const isSpread = shards > 1 || task.laneCount * (task.groups?.count ?? 1) > CHUNK_ELEMENTS
  const { uploads, sums, passedOn } = ownerVectors(n, shards, isSpread)
  const sent = stream * (uploads.sent + sums.sent)
  const received = stream * (uploads.received + sums.received)
  const audits = auditVectors(task, shards)
  const { asks, gives } = auditBytes(task, stream)
  const auditors = shards > 1 ? others : others - 1
  const audited = { sent: others * asks + auditors * gives, received: others * gives + auditors * asks }
  // A lone aggregator has all that it would ask for, and gives only what is its own.
  const leads = shards > 1 ? audited : { sent: others * gives, received: others * asks }
  return {
    vector,
    control: others * down,
    busiest: { uploads, sums, audits },
    member: {
      sent: up + shares + stream * (1 + passedOn) + audited.sent,
      received: down + shares + stream + audited.received
    },
    leader: {
      sent: others * down + shares + sent + leads.sent,
      received: others * up + shares + received + leads.received
    },
    ...(shards > 1 && {
      owner: { sent: up + shares + sent + audited.sent, received: down + shares + received + audited.received }
    })
  }
}

/** Of each vector that a member draws. */
function auditPart(task: Task): number {
  const audit = auditOf(task)
  return audit === 'full' ? 1 : Math.min(1, audit / task.members.length)
}

/** In vectors, of a member that audits (§10): the part it draws of everyone else's, each from its owner. */
function auditVectors(task: Task, shards: number): Traffic {
  const members = task.members.length
  const part = auditPart(task)
  // A lone aggregator asks for nothing.
  return { sent: part * (members - (shards > 1 ? 1 : 2)), received: part * (members - 1) }
}

/** What an auditor and the owner of a vector say to one another: requests for the chunks drawn, and these with their paths. */
function auditBytes(task: Task, stream: number): { asks: number; gives: number } {
  const chunks = Math.ceil(task.laneCount / CHUNK_ELEMENTS)
  const part = auditPart(task)
  const drawn = part * chunks
  const hash = new Uint8Array(32)
  const context = { task: hash, epoch: 0, round: 1 }
  const path = Array.from({ length: Math.ceil(Math.log2(chunks)) }, () => hash)
  const request = { attemptId: hash, member: 0, root: hash, chunks: [0] }
  const { encoded: ask } = encodeMessage('ChunkRequest', context, 0, request, new Uint8Array(64))
  const { encoded: give } = encodeMessage('Chunk', context, 0, { index: 0, path }, undefined)
  const requests = Math.max(Math.min(1, drawn), drawn / MOST_CHUNKS)
  return {
    asks: requests * (ask.length + HEADER_LENGTH),
    gives: part * stream + drawn * (give.length + HEADER_LENGTH)
  }
}

/**
 * In vectors, of a member that sums one of `shards` slices, and with one the aggregator: it receives a slice of everyone
 * else's vector and sends the others of its own. Its own slice goes to the next owner, or the next in the order, before it
 * counts, and with several owners that of another one comes in. A sum that is spread goes from member to member (§10): a lone
 * aggregator sends it once, and what the others send of it is `passedOn`.
 */
function ownerVectors(
  members: number,
  shards: number,
  isSpread: boolean
): { uploads: Traffic; sums: Traffic; passedOn: number } {
  const others = members - 1
  const rest = (shards - 1) / shards
  const custody = 1 / shards
  const uploads = { sent: rest + custody, received: others / shards + (shards > 1 ? custody : 0) }
  if (shards === 1)
    return {
      uploads,
      sums: { sent: isSpread ? 1 : others, received: 0 },
      passedOn: isSpread ? (others - 1) / others : 0
    }
  const { most, all } = slicesOfOwners(members, shards)
  const passedOn = members > shards ? (shards * others - all) / shards / (members - shards) : 0
  return { uploads, sums: { sent: most / shards, received: rest }, passedOn }
}

/**
 * How often owners give their slices: the one that gives its most, and all together. Each to the two below it in its class
 * and to the first of each other class, and to those of the last row that have no counterpart in its own (sum-fetch.ts).
 */
function slicesOfOwners(members: number, shards: number): { most: number; all: number } {
  const rows = Math.floor(members / shards)
  const last = members % shards
  const full = shards - 1 + Math.min(2, rows)
  const short = shards - 1 + Math.min(2, rows - 1) + last
  return { most: last === 0 ? short : Math.max(full, short), all: last * full + (shards - last) * short }
}

/** Control messages: of a member to its leader, of a leader to a member, and of a member to each holder of its shares. */
function controlBytes(n: number, quorum: number, places: number): { up: number; down: number; direct: number } {
  const hash = new Uint8Array(32)
  const signature = new Uint8Array(64)
  const context = { task: hash, epoch: 0, round: 1 }
  const everyone = Array.from({ length: n }, (_, index) => index)
  const members = encodeSet(everyone, n)
  const message = <T extends MessageType>(type: T, body: Body<T>): Uint8Array =>
    encodeMessage(type, context, n - 1, body, type === 'ShareDelivery' ? undefined : signature).encoded
  const frame = (encoded: Uint8Array): number => encoded.length + HEADER_LENGTH
  const total = (messages: Uint8Array[]): number => messages.reduce((sum, encoded) => sum + frame(encoded), 0)

  const attemptId = hash
  const certificate: Certificate = {
    agreement: 'closing',
    view: 0,
    value: hash,
    root: hash,
    signers: members,
    signatures: new Uint8Array(64 * quorum)
  }
  const cut = { attemptId, keyBookHash: hash, maskingSetHash: hash, included: members, headersRoot: hash }
  const included = { kind: 'cut', cutHash: hash } as const
  const closing = { kind: 'summed', cutHash: hash, beacon: hash, rosterHash: hash, deckHash: hash } as const
  const header = message('MaskedHeader', { attemptId, maskingSetHash: hash, root: hash })
  const advert = message('KeyAdvert', {
    attemptId,
    contributes: true,
    maskKey: hash,
    sealKey: hash,
    seedCommitment: hash
  })
  const vote = { agreement: 'closing', view: 0, value: hash, root: hash } as const
  const proposal = { agreement: 'closing', view: 0, lock: null, change: null, reason: '' } as const
  const decision = message('Decision', { value: closing, commits: certificate, reason: '' })
  const why = message('Want', {})
  const up = [
    message('Join', {
      view: 0,
      why,
      locks: [],
      decisions: [],
      shown: [],
      masked: null,
      sitsOut: false,
      custody: [],
      uploads: members
    }),
    advert,
    message('Ready', { attemptId, keyBookHash: hash, dealers: members }),
    header,
    message('Vector', { attemptId, member: 0 }),
    ...[vote, vote].flatMap((body) => [message('Prepare', body), message('Commit', body)]),
    message('Reveal', { attemptId, cutHash: hash, seed: hash, keyShares: [], seedShares: [] })
  ]
  const down = [
    message('RoundPlan', { view: 0, attempt: 0, retries: [], contextHash: hash, length: 1, previous: decision }),
    message('KeyBook', { view: 0, attemptId, adverts: everyone.map(() => advert) }),
    message('MaskingSet', { view: 0, attemptId, keyBookHash: hash, members, readyHash: hash }),
    message('VectorRequest', { attemptId, member: 0, root: hash }),
    message('Proposal', { ...proposal, value: included, cut, headers: everyone.map(() => header) }),
    message('Lock', { value: included, certificate }),
    decision,
    message('SumHeader', {
      view: 0,
      cut,
      root: hash,
      seeds: everyone.map((member) => ({ member, secret: hash })),
      keys: [],
      again: null
    }),
    message('Proposal', { ...proposal, value: closing, cut: null, headers: [] }),
    message('Lock', { value: closing, certificate }),
    decision
  ]
  // Two shares, their path and the signed root, sealed (src/round/dealing.ts).
  const sealed = new Uint8Array(280 + 35 * Math.ceil(Math.log2(places)))
  const delivery = message('ShareDelivery', { attemptId, dealer: 0, holder: 1, sealed })
  return { up: total(up), down: total(down), direct: total([delivery]) }
}
