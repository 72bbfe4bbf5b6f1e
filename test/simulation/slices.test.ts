import assert from 'node:assert/strict'
import * as dagCbor from '@ipld/dag-cbor'
import { bytesToHex } from '@noble/hashes/utils.js'
import { VectorHasher } from '../../src/crypto/merkle.ts'
import { CHUNK_ELEMENTS, packedLength } from '../../src/encoding/packing.ts'
import { MessageError } from '../../src/errors.ts'
import { decodeSet, encodeSet } from '../../src/membership/member-set.ts'
import { createRoster } from '../../src/membership/roster.ts'
import type { VectorStore } from '../../src/journal/vector-store.ts'
import { verifyEvidence } from '../../src/round/evidence.ts'
import type { Evidence } from '../../src/round/evidence.ts'
import { decodeMessage, encodeMessage, signedBytes } from '../../src/round/messages.ts'
import type { Body, Message } from '../../src/round/messages.ts'
import { folderOf, sumKey } from '../../src/round/round.ts'
import { rulesOf } from '../../src/round/transcript.ts'
import { slicesOf, vectorTree } from '../../src/round/slices.ts'
import type { VectorTree } from '../../src/round/slices.ts'
import { control, eachFrame, insteadOf, without } from './adversaries/adversary.ts'
import type { Behaviour } from './adversaries/index.ts'
import { answering, namedBy, signedBy } from './answering.ts'
import type { Asked } from './answering.ts'
import { simulatedTask } from './identities.ts'
import { Simulation } from './network.ts'
import type { SimulationOptions, Tamper } from './network.ts'
import { checkNobodyBlamed, checkNobodyConvicted, checkRound, firstOrder } from './schedule.ts'

/** Seven members, of whom one may lie and one may be missing, and three slices of two chunks each. */
const terms = {
  members: 7,
  shards: 3,
  threat: { corrupt: 0.15, dropout: 0.15 },
  length: 5 * CHUNK_ELEMENTS + 11,
  audit: 'full' as const
}
const { task, identities } = await simulatedTask(terms)
const identity = { signAs: (member: number, bytes: Uint8Array) => identities[member].sign(bytes) }
const order = firstOrder(task)
/** The last slice is the one with padding bits. */
const [leader, , owner] = order
/** Owns nothing, and has the first slice from the leader, for three others. */
const server = order[3]
const slice = slicesOf({ elements: task.laneCount, bits: task.bits, shards: terms.shards })[2]

interface Ended {
  simulation: Simulation
  status: string
  views: number
  refusals: Error[]
  /** Members that any honest one has named. */
  named: number[]
}

/** One round to its end, in which nobody is named or convicted but for liars: one of them may be no adversary, but one of whom a frame is changed. */
async function run(
  options: Partial<SimulationOptions>,
  lies: { by?: number; prepare?: (simulation: Simulation) => void } = {}
): Promise<Ended> {
  const simulation = await Simulation.create({ ...terms, seed: 5, ...options })
  lies.prepare?.(simulation)
  await simulation.round(1, 600_000)
  await checkRound(simulation, 1)
  simulation.ledger.check(task.thresholds.quorum)
  if (lies.by === undefined) {
    checkNobodyBlamed(simulation)
    checkNobodyConvicted(simulation)
  }
  const liars = [...simulation.adversaries.keys(), ...(lies.by === undefined ? [] : [lies.by])]
  const others = simulation.peers.filter((_, index) => !liars.includes(index))
  const [{ status, views }] = others.find(({ alive }) => alive)!.outcomes
  const refusals = others.flatMap((peer) => peer.refusals)
  return { simulation, status, views, refusals, named: namedBy(simulation, liars) }
}

/** Who has summed which slice of the first round. */
async function ownersIn({ peers }: Simulation): Promise<number[]> {
  const header = decodeMessage((await peers[leader].journal.get(sumKey(task.id, 1)))!) as Message<'SumHeader'>
  return header.body.slices!.map(({ owner }) => owner)
}

const against = (as: Behaviour, who: number) => run({ adversaries: [{ who, as }] })

/** A round in which an owner signs another slice than it has summed, and gives that to whoever asks. */
async function withSlice(change: (packed: Uint8Array) => void): Promise<Ended> {
  const chunkBytes = packedLength(CHUNK_ELEMENTS, task.bits)
  let packed!: Uint8Array
  let tree!: VectorTree
  let header = new Uint8Array(0)
  let vectors!: VectorStore
  const lie = eachFrame(async function* (message, frame) {
    if (message?.type !== 'SliceHeader') {
      yield frame
      return
    }
    const { attemptId } = message.body
    const name = `${folderOf(task.id)}/round-1/attempt-0/slice-${slice.number}-${terms.members}`
    packed = await vectors.readRange(name, 0, slice.bytes)
    change(packed)
    const { firstChunk } = slice
    const hasher = new VectorHasher({ attemptId, member: terms.members, chunkBytes, firstChunk })
    hasher.update(packed)
    tree = vectorTree(hasher.finish().leaves)
    const said = signedBy(identity, owner, message, { root: tree.root })
    header = said.payload.slice()
    yield said
  })
  const serve = async function* ({ honest, request }: Asked<'ChunkRequest'>) {
    const { root, chunks } = request.body
    const isLie = header.length > 0 && bytesToHex(root) === bytesToHex(tree.root)
    if (!isLie) yield* honest
    for (const index of isLie ? chunks : []) {
      const at = index - slice.firstChunk
      yield control(encodeMessage('Chunk', request, owner, { index, path: tree.path(at), header }).encoded)
      yield { kind: 'data' as const, payload: packed.slice(at * chunkBytes, (at + 1) * chunkBytes) }
    }
  }
  const prepare = (simulation: Simulation) => {
    ;({ vectors } = simulation.peers[owner])
    answering(simulation, owner, 'ChunkRequest', serve)
  }
  return run({ tamper: new Map([[owner, lie]]) }, { by: owner, prepare })
}

describe('a slice of a sum', function () {
  this.timeout(0)

  it('goes from member to member, and from its owner to a few', async () => {
    const many = { members: 12, shards: 2, length: 24 * CHUNK_ELEMENTS, threat: {}, audit: 0 }
    const simulation = await Simulation.create({ ...many, seed: 5 })
    await simulation.round(1, 600_000)
    await checkRound(simulation, 1)
    const owners = firstOrder(simulation.task).slice(0, 2)
    const vector = packedLength(simulation.task.laneCount, simulation.task.bits)
    for (const [index, { sent, received }] of simulation.traffic.entries()) {
      // Its masked vector, and its slice to two of its class and one of the other; it would be 5.5 vectors to all.
      assert.ok(sent <= 2.8 * vector, `member ${index} sent ${sent} bytes, and a vector has ${vector}`)
      if (!owners.includes(index)) assert.ok(received <= 1.3 * vector, `member ${index} received ${received} bytes`)
    }
  })

  it('comes from others where a member passes altered chunks on, which is named, and nobody else', async () => {
    const { status, views, named } = await against('BadChunks', server)
    assert.deepEqual([status, views, named], ['summed', 1, [server]])
  })

  it('comes from others where a member shows its own word with it, or none, which is named, and nobody else', async () => {
    const own = ({ body: { attemptId, root }, ...asked }: Message<'ChunkRequest'>): Uint8Array => {
      const body = { attemptId, root, slice: 0, cutHash: new Uint8Array(32) }
      const signature = identities[server].sign(signedBytes('SliceHeader', asked, body))
      return encodeMessage('SliceHeader', asked, server, body, signature).encoded
    }
    for (const shown of [own, () => undefined]) {
      const other = async function* ({ honest, request }: Asked<'ChunkRequest'>) {
        const header = request.body.member === terms.members ? shown(request) : undefined
        for await (const frame of honest) {
          const message = frame.kind === 'control' ? decodeMessage(frame.payload) : undefined
          if (message?.type !== 'Chunk' || message.body.header === undefined) yield frame
          else {
            const { index, path } = message.body
            yield control(encodeMessage('Chunk', message, server, { index, path, ...(header && { header }) }).encoded)
          }
        }
      }
      const prepare = (simulation: Simulation) => answering(simulation, server, 'ChunkRequest', other)
      const { status, views, named } = await run({}, { by: server, prepare })
      assert.deepEqual([status, views, named], ['summed', 1, [server]])
    }
  })

  it('comes from others where a member passes nothing on, never answers, or dies: told, and nobody is at fault', async () => {
    const withheld = await against('WithholdsChunks', server)
    assert.deepEqual([withheld.status, withheld.views], ['summed', 1])
    assert.ok(withheld.refusals.some(({ message }) => message.startsWith(`member ${server} was asked for chunk`)))
    const stalled = await run({ stalls: [{ who: server, phase: 'sum', round: 1 }] })
    assert.deepEqual([stalled.status, stalled.views], ['summed', 1])
    assert.ok(stalled.refusals.some(({ message }) => message === `member ${server} took too long to answer`))
    const dead = await run({ kills: [{ who: server, phase: 'sum', round: 1 }] })
    assert.deepEqual([dead.status, dead.views], ['summed', 1])
  })

  it('is whole at all members where its owner dies with some of it passed on', async () => {
    for (let step = 50; step <= 110; step += 10) {
      const { status, views } = await run({}, { prepare: (simulation) => simulation.killAtStep(owner, step) })
      assert.deepEqual([status, views], ['summed', 1], `after ${step} steps`)
    }
  })

  it('that its owner signs and withholds, or gives another of, is summed by the next, and the liar is named', async () => {
    const withheld = await against('WithholdsChunks', owner)
    assert.deepEqual([withheld.status, withheld.views], ['summed', 1])
    const { status, views, named } = await against('BadChunks', owner)
    assert.deepEqual([status, views, named], ['summed', 1, [owner]])
  })

  it('that its owner signs for another cut is no slice of this sum: it is named, and another sums it', async () => {
    const other = insteadOf('SliceHeader', (header) => [
      signedBy(identity, owner, header, { cutHash: new Uint8Array(32) })
    ])
    const { status, views, named } = await run({ tamper: new Map([[owner, other]]) }, { by: owner })
    assert.deepEqual([status, views, named], ['summed', 1, [owner]])
  })

  it('with padding bits that are not zero is refused by the leader already, which names the owner', async () => {
    const { status, views, named, refusals } = await withSlice((packed) => (packed[packed.length - 1] |= 0x80))
    assert.deepEqual([status, views, named], ['summed', 1, [owner]])
    assert.ok(refusals.some(({ message }) => /the padding bits of chunk 5 are not zero/.test(message)))
  })

  it('that is another than the vectors give convicts its owner, and nobody that passes it on is at fault', async () => {
    const { status, views, named, simulation } = await withSlice((packed) => (packed[0] ^= 1))
    assert.deepEqual([status, views, named], ['summed', 2, []])
    for (const [index, { member }] of simulation.peers.entries())
      if (index !== owner)
        assert.deepEqual(
          member.evidence.map(({ kind, culprit }) => ({ kind, culprit })),
          [{ kind: 'wrong-sum', culprit: owner }]
        )
  })

  it('has evidence against its owner that proves nothing with any part of it dropped or swapped', async () => {
    const { simulation } = await withSlice((packed) => (packed[0] ^= 1))
    const [evidence] = simulation.peers[leader].member.evidence
    const roster = createRoster({ epoch: 0, members: [...task.members] })
    const rules = rulesOf({ task: task.idBytes, epoch: 0, round: 1 }, roster, task)
    verifyEvidence(evidence, rules)
    const [header, basis, proof, word] = evidence.statements
    const sum = decodeMessage(header) as Message<'SumHeader'>
    const said = decodeMessage(word) as Message<'SliceHeader'>
    const again = (who: number, change: Partial<Body<'SliceHeader'>>) => signedBy(identity, who, said, change).payload
    const [first, second] = sum.body.slices!
    const swapped = signedBy(identity, leader, sum, { slices: [first, second, { ...second, owner }] }).payload
    const elsewhere = dagCbor.encode({ ...dagCbor.decode<object>(proof), element: 0 })
    const lies: Array<[RegExp, Partial<Evidence>]> = [
      [/its SliceHeader is of member/, { culprit: leader }],
      [/just where there are slices/, { statements: [header, basis, proof] }],
      [/its SumHeader is of member/, { statements: [header, basis] }],
      [/not of its sum/, { statements: [swapped, basis, proof, word] }],
      [/not of its sum/, { statements: [header, basis, proof, again(owner, { cutHash: new Uint8Array(32) })] }],
      [/not of its sum/, { statements: [header, basis, proof, again(owner, { root: first.root })] }],
      [/its SliceHeader is of member/, { statements: [header, basis, proof, again(leader, { slice: 0 })] }],
      [/not of its sum/, { culprit: server, statements: [header, basis, proof, again(server, {})] }],
      [/lies in another slice/, { statements: [header, basis, elsewhere, word] }]
    ]
    for (const [why, change] of lies)
      assert.throws(
        () => verifyEvidence({ ...evidence, ...change }, rules),
        (error) => error instanceof MessageError && error.culprit === undefined && why.test(error.message),
        String(why)
      )
  })

  it('comes with the word of the owner that the sum names, also from one that was replaced and has signed the same', async () => {
    // Three chunks for four: the first place owns nothing, and the third is the second to have the slice that it lost.
    const fewer = { ...terms, shards: 4, length: 2 * CHUNK_ELEMENTS + 5 }
    const [, , who] = firstOrder((await simulatedTask(fewer)).task)
    const silent = without(({ type }) => type === 'SliceHeader')
    const { status, views } = await run({ ...fewer, tamper: new Map([[who, silent]]) })
    assert.deepEqual([status, views], ['summed', 1])
  })

  it('is not taken under the name of a member that has not signed it: the next leader publishes the sum', async () => {
    const others = insteadOf('SumHeader', (sum) => [
      signedBy(identity, leader, sum, {
        slices: sum.body.slices!.map((one, at) => (at === 2 ? { ...one, owner: server } : one))
      })
    ])
    const { status, views, named } = await run({ tamperAsLeader: new Map([[leader, others]]) }, { by: leader })
    assert.deepEqual([status, views, named], ['summed', 2, []])
  })

  it('is missing, or under another root than the sum’s: the leader is named, and the next one publishes the sum', async () => {
    const lies: Array<[RegExp, (slices: Body<'SumHeader'>['slices']) => Body<'SumHeader'>['slices']]> = [
      [/names 2 slices, not 3/, (slices) => slices!.slice(1)],
      [/names 0 slices, not 3/, () => undefined],
      [/is not that of its slices/, (slices) => slices!.map((one) => ({ ...one, root: new Uint8Array(32) }))]
    ]
    for (const [sentence, change] of lies) {
      const other = insteadOf('SumHeader', ({ body: { slices, ...body }, ...sum }) => {
        const changed = change(slices)
        const bare = { ...sum, body } as Message<'SumHeader'>
        return [signedBy(identity, leader, bare, changed === undefined ? {} : { slices: changed })]
      })
      const { status, views, named, refusals } = await run(
        { tamperAsLeader: new Map([[leader, other]]) },
        { by: leader }
      )
      assert.deepEqual([status, views, named], ['summed', 2, [leader]])
      assert.ok(
        refusals.some(({ message }) => sentence.test(message)),
        String(sentence)
      )
    }
  })
})

describe('a round in slices', function () {
  this.timeout(0)

  const asLeader = (tamper: Tamper, options: Partial<SimulationOptions> = {}) =>
    run({ ...options, tamperAsLeader: new Map([[leader, tamper]]) }, { by: leader })

  const plans: Array<[string, RegExp, Partial<Body<'SlicePlan'>>]> = [
    ['for another view', /a SlicePlan is for view 3, not 0/, { view: 3 }],
    ['more often than members may go missing', /comes more often than members may go missing/, { number: 4 }],
    ['with too few owners', /is for 2 slices, not 3/, { owners: [0, 1] }],
    ['with too many keepers', /is for 4 slices, not 3/, { keepers: [0, 1, 2, 3] }],
    ['with an owner that is no member', /names somebody who is no member/, { owners: [0, 1, 7] }]
  ]
  for (const [what, sentence, change] of plans)
    it(`that its leader plans ${what}: members name it, and the next one sums it`, async () => {
      const tamper = insteadOf('SlicePlan', (plan) => [signedBy(identity, leader, plan, change)])
      const { status, views, named, refusals } = await asLeader(tamper)
      assert.deepEqual([status, views, named], ['summed', 2, [leader]])
      assert.ok(refusals.some(({ message }) => sentence.test(message)))
    })

  const opened: Array<[string, RegExp, (said: Body<'Opened'>) => Partial<Body<'Opened'>>]> = [
    [
      'another seed',
      /does not match its commitment/,
      ({ seeds }) => ({ seeds: seeds.map(({ member }) => ({ member, secret: new Uint8Array(32) })) })
    ],
    ['fewer seeds', /just the included members/, ({ seeds }) => ({ seeds: seeds.slice(1) })],
    ['those of another cut', /are opened for another cut/, () => ({ cutHash: new Uint8Array(32) })]
  ]
  for (const [what, sentence, change] of opened)
    it(`in which the leader opens ${what} to owners: they name it, and the next one sums it`, async () => {
      const tamper = insteadOf('Opened', (said) => [signedBy(identity, leader, said, change(said.body))])
      // What members reveal reaches no owner directly.
      const { status, named, refusals } = await asLeader(tamper, { direct: 0 })
      assert.deepEqual([status, named], ['summed', [leader]])
      assert.ok(
        refusals.some(({ message }) => sentence.test(message)),
        refusals.join('; ')
      )
    })

  it('whose owner reports a slice that there is not: the leader names it, and the next in the order owns its slice', async () => {
    const tamper = insteadOf('SliceReport', (report) => [signedBy(identity, owner, report, { slice: 3 })])
    const { status, views, named, simulation } = await run({ tamper: new Map([[owner, tamper]]) }, { by: owner })
    assert.deepEqual([status, views, named], ['summed', 1, [owner]])
    assert.deepEqual(await ownersIn(simulation), [order[0], order[1], server])
  })

  it('whose owner reports what it does not have: another one has it, and nobody is named', async () => {
    // A member gives it nothing, and it says that all is there, under the root that an accomplice has told it.
    let root: Uint8Array | undefined
    const overhear = insteadOf('MaskedHeader', (header, frame) => {
      root = header.body.root
      return [frame]
    })
    const tamper = insteadOf('SliceReport', (report, frame) => {
      const held = decodeSet(report.body.members, terms.members)
      if (root === undefined || held.includes(order[5])) return [frame]
      const members = [...held, order[5]].sort((a, b) => a - b)
      const roots = report.body.roots.toSpliced(members.indexOf(order[5]), 0, root)
      return [signedBy(identity, owner, report, { members: encodeSet(members, terms.members), roots })]
    })
    const prepare = (simulation: Simulation) =>
      answering(simulation, order[5], 'SliceRequest', async function* ({ honest, request }) {
        if (request.from !== owner) yield* honest
      })
    const { status, views, named, simulation } = await run(
      {
        tamper: new Map([
          [owner, tamper],
          [order[5], overhear]
        ])
      },
      { by: owner, prepare }
    )
    assert.deepEqual([status, views, named], ['summed', 1, []])
    assert.deepEqual(simulation.peers[leader].outcomes[0].included.length, terms.members)
    assert.deepEqual(await ownersIn(simulation), [order[0], order[1], server])
  })
})
