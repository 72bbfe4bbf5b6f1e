import assert from 'node:assert/strict'
import { InputError } from '../../src/index.ts'
import type { EvidenceDetail, SecureAggregation, Sum } from '../../src/index.ts'
import { encodeEvidence } from '../../src/round/evidence.ts'
import { encodeMessage, signedBytes } from '../../src/round/messages.ts'
import type { Body, MessageType } from '../../src/round/messages.ts'
import type { RoundOutcome } from '../../src/round/outcome.ts'
import { network } from './applications.ts'

describe('the libp2p service', () => {
  it('gives every member the sum of what all contributed, and says who is in it', async () => {
    const { nodes, tasks, ids, stop } = await network(4, {})
    try {
      const sums = await Promise.all(
        nodes.map((node, index) => node.services.aggregation.contribute(tasks[0].id, [index, 1, 2 * index, 100]))
      )
      for (const sum of sums) {
        assert.deepEqual([...sum.values], [6n, 4n, 12n, 400n])
        assert.deepEqual([...sum.mean], [1.5, 1, 3, 100])
        assert.deepEqual([...sum.included].sort(), [...ids].sort())
        assert.deepEqual(sum.decision, sums[0].decision)
      }
    } finally {
      await stop()
    }
  })

  it('runs two tasks of different shapes on one node, each with its own rounds', async () => {
    const { nodes, tasks, stop } = await network(
      3,
      {},
      { length: 2, encoding: { type: 'fixed', clip: 1, bits: 16, weighted: 10 } }
    )
    try {
      const [integers, means] = await Promise.all([
        Promise.all(nodes.map((node) => node.services.aggregation.contribute(tasks[0].id, [1, 2, 3, 4]))),
        Promise.all(
          nodes.map((node, index) =>
            node.services.aggregation.contribute(tasks[1].id, [index / 2, -1], { weight: index + 1 })
          )
        )
      ])
      assert.deepEqual([...integers[0].values], [3n, 6n, 9n, 12n])
      assert.equal(means[0].totalWeight, 6)
      assert.ok(Math.abs(means[0].mean[0] - (0 * 1 + 0.5 * 2 + 1 * 3) / 6) < 0.001)
      assert.ok(Math.abs(means[0].mean[1] + 1) < 0.001)
    } finally {
      await stop()
    }
  })

  it('refuses a bad vector at the border with one sentence, and the round goes on without it', async () => {
    const { nodes, tasks, stop } = await network(4, {})
    const { id } = tasks[0]
    try {
      const [first] = nodes.map((node) => node.services.aggregation)
      for (const [vector, code] of [
        [[1, 2, NaN, 4], 'INPUT_NOT_FINITE'],
        [[1, 2, Infinity, 4], 'INPUT_NOT_FINITE'],
        [[1, 2, 3], 'INPUT_LENGTH'],
        [[1, 2, 3, 101], 'INPUT_RANGE']
      ] as const) {
        await assert.rejects(first.contribute(id, [...vector]), (error: Error) => {
          assert.ok(error instanceof InputError)
          assert.equal(error.code, code)
          assert.doesNotMatch(error.message, /\n/)
          return true
        })
      }
      await assert.rejects(first.contribute('no such task', [1, 2, 3, 4]), { code: 'TASK_UNKNOWN' })
      const sums = await Promise.all(
        nodes.slice(1).map((node) => node.services.aggregation.contribute(id, [1, 1, 1, 1]))
      )
      assert.deepEqual([...sums[0].values], [3n, 3n, 3n, 3n])
      assert.ok(!sums[0].included.includes(nodes[0].peerId.toString()))
    } finally {
      await stop()
    }
  })

  it('gives a sum once it was audited here and locked, and says with the closing that it is final', async () => {
    const { nodes, tasks, stop } = await network(3, {})
    const [{ id }] = tasks
    try {
      const told: string[] = []
      const { aggregation } = nodes[0].services
      const provisional = new Promise<Sum>((resolve, reject) =>
        aggregation.addEventListener('sum:provisional', ({ detail }) => {
          told.push('provisional')
          aggregation.sum(id, detail).then(resolve, reject)
        })
      )
      aggregation.addEventListener('sum', () => told.push('final'))
      aggregation.addEventListener('sum:withdrawn', () => told.push('withdrawn'))
      const sums = await Promise.all(nodes.map((node) => node.services.aggregation.contribute(id, [1, 2, 3, 4])))
      assert.deepEqual(told, ['provisional', 'final'])
      for (const { audit } of sums) assert.deepEqual(audit, { chunks: 1, of: 1 })
      const { values, audit, decision } = await provisional
      assert.deepEqual([[...values], audit, decision.length], [[3n, 6n, 9n, 12n], { chunks: 1, of: 1 }, 0])
    } finally {
      await stop()
    }
  })

  it('answers rounds with a handler, tells of phases and sums by events, and runs round after round', async () => {
    const { nodes, tasks, stop } = await network(3, {})
    const { id } = tasks[0]
    try {
      const phases: string[] = []
      const leaders: number[] = []
      nodes[0].services.aggregation.addEventListener('round:phase', ({ detail }) => phases.push(detail.phase))
      for (const { services } of nodes) services.aggregation.onRound(id, ({ round }) => ({ vector: [round, 0, 0, 0] }))
      for (let round = 1; round <= 3; round++) {
        const summed = nodes.map(
          ({ services }) =>
            new Promise<number>((resolve) =>
              services.aggregation.addEventListener('sum', ({ detail }) => resolve(detail.aggregator), { once: true })
            )
        )
        await nodes[round % 3].services.aggregation.want(id)
        leaders.push(...new Set(await Promise.all(summed)))
      }
      assert.deepEqual([...leaders].sort(), [0, 1, 2], 'each member leads once a cycle')
      assert.deepEqual(phases.slice(0, 6), ['keys', 'shares', 'mask', 'agree', 'unmask', 'sum'])
    } finally {
      await stop()
    }
  })

  for (const [what, size] of [
    ['by gossip', 1],
    ['directly where it is too large for that', 300]
  ] as const) {
    it(`tells every member's application of evidence against one, ${what}`, async () => {
      const { nodes, tasks, ids, keys, stop } = await network(4, {})
      const [task] = tasks
      try {
        const { member } = nodes[0].services.aggregation.session(task.id)
        const context = { task: task.idBytes, epoch: 0, round: 1 }
        const say = async <T extends MessageType>(type: T, by: number, body: Body<T>) => {
          const signature = await keys[by].sign(signedBytes(type, context, body))
          return encodeMessage(type, context, member.roster.indexOf(ids[by]), body, signature).encoded
        }
        const nothing = new Uint8Array(32)
        const proof = { dealer: 0, slot: 4, share: nothing, sibling: nothing, nonce: nothing, path: [], root: nothing }
        const keyShares = Array.from({ length: size }, () => ({ ...proof, signature: new Uint8Array(64) }))
        const lie = { attemptId: nothing, cutHash: nothing, seed: null, keyShares, seedShares: [] }
        const culprit = member.roster.indexOf(ids[3])
        const statements = [await say('Reveal', 3, lie)]
        const evidence = encodeEvidence({ kind: 'lying-holder', culprit, ...context, statements })
        const told = nodes.map(
          ({ services }) =>
            new Promise<EvidenceDetail>((resolve) =>
              services.aggregation.addEventListener('evidence', ({ detail }) => resolve(detail), { once: true })
            )
        )
        await member.hear(member.roster.indexOf(ids[1]), await say('Evidence', 1, { evidence }))
        for (const detail of await Promise.all(told))
          assert.deepEqual(detail, { task: task.id, round: 1, kind: 'lying-holder', culprit: ids[3], evidence })
      } finally {
        await stop()
      }
    })
  }

  it('lets a node on the list join by itself, and one leave, while the rounds go on; sums are exact and say who is in', async () => {
    const { nodes, tasks, ids, stop } = await network(5, (ids) => ({
      members: ids.slice(0, 4),
      admission: { allow: [ids[4]] },
      deadline: 2
    }))
    const { id } = tasks[0]
    try {
      const services = nodes.map((node) => node.services.aggregation)
      const epochs: number[][] = services.map(() => [])
      services.forEach((service, at) => {
        service.addEventListener('roster', ({ detail }) => epochs[at].push(detail.epoch))
        service.onRound(id, () => ({ vector: [1, at, 10 * at, 100] }))
      })
      await roundsUntil(services, id, () => epochs.every((seen) => seen.includes(1)))
      const joined = await oneRound(services, id)
      assert.deepEqual([...joined.included].sort(), [...ids].sort())
      assert.deepEqual([...joined.values], [5n, 10n, 100n, 500n])

      await services[1].leave(id)
      await roundsUntil(services, id, () => epochs.every((seen) => seen.includes(2)))
      const left = await oneRound(services.toSpliced(1, 1), id)
      assert.deepEqual([...left.included].sort(), ids.toSpliced(1, 1).sort())
      assert.deepEqual([...left.values], [4n, 9n, 90n, 400n])
    } finally {
      await stop()
    }
  })
})

/** The sum of the next round, as the first node has it. */
async function oneRound(services: SecureAggregation[], task: string) {
  const [first] = services
  const { promise, resolve } = Promise.withResolvers<RoundOutcome>()
  first.addEventListener('sum', ({ detail }) => resolve(detail), { once: true })
  await first.want(task)
  return first.session(task).sum(await promise)
}

async function roundsUntil(services: SecureAggregation[], task: string, done: () => boolean): Promise<void> {
  for (let round = 0; !done(); round++) {
    assert.ok(round < 10, 'it takes a few rounds')
    await oneRound(services, task)
    for (let waited = 0; waited < 20 && !done(); waited++) await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
