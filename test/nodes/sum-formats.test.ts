import assert from 'node:assert/strict'
import { fastify } from 'fastify'
import { sendSum } from '../../nodes/daemon/api/sum-formats.ts'
import { sumBody } from '../../nodes/daemon/api/schemas.ts'
import type { ArchivedSum } from '../../nodes/daemon/archive.ts'

const group = (included: string[]) => ({
  ...{ included, totalWeight: included.length, values: new Float64Array(2), mean: new Float64Array(2) }
})
const sum = {
  ...{
    record: { round: 3, status: 'summed' },
    round: 3,
    included: ['a', 'b', 'c'],
    totalWeight: 3,
    clippedFraction: 0
  },
  ...{ values: Float64Array.of(1.5, -2), mean: Float64Array.of(0.5, -0.75) },
  ...{ groups: [group(['a', 'c']), group(['b'])], trimmedMean: Float64Array.of(0.25, 1) }
} as unknown as ArchivedSum

function answer(told: ArchivedSum, accept = 'application/json') {
  const server = fastify()
  server.get('/', (request, reply) => sendSum(request, reply, told))
  return server.inject({ url: '/', headers: { accept } })
}

async function asJson(told: ArchivedSum): Promise<unknown> {
  return (await answer(told)).json()
}

describe('a sum as JSON', () => {
  it('tells of a task with groups who is in each, its sum, and the mean that leaves the odd ones out', async () => {
    const told = await asJson(sum)
    assert.deepEqual(sumBody.parse(told), told)
    assert.deepEqual(told, {
      ...{ round: 3, status: 'summed', included: ['a', 'b', 'c'], totalWeight: 3, clippedFraction: 0 },
      groups: [
        { included: ['a', 'c'], totalWeight: 2, values: [0, 0] },
        { included: ['b'], totalWeight: 1, values: [0, 0] }
      ],
      ...{ values: [1.5, -2], trimmedMean: [0.25, 1] }
    })
  })

  it('tells of a task with privacy what has been given away', async () => {
    const privacy = { epsilon: 1.5, delta: 1e-5, releases: 3, epsilonOfRound: 0.75 }
    const told = await asJson({ ...sum, privacy })
    assert.deepEqual((told as ArchivedSum).privacy, privacy)
    assert.deepEqual(sumBody.parse(told), told)
  })

  it('tells none of them where the task has none', async () => {
    const told = await asJson({ ...sum, groups: undefined, trimmedMean: undefined })
    assert.deepEqual(Object.keys(told as object).sort(), [
      ...['clippedFraction', 'included', 'round', 'status', 'totalWeight', 'values']
    ])
  })
})

describe('a binary sum', () => {
  const privacy = { epsilon: 1.5, delta: 1e-5, releases: 3, epsilonOfRound: 0.75 }
  const names = ['groups', 'epsilon', 'delta'].map((name) => `x-secagg-${name}`)

  for (const type of ['application/x-npy', 'application/octet-stream']) {
    it(`tells in headers of ${type} how many groups there are, and the ε reached`, async () => {
      const { headers } = await answer({ ...sum, privacy }, type)
      assert.deepEqual(
        names.map((name) => headers[name]),
        ['2', '1.5', '0.00001']
      )
    })

    it(`has none of them as ${type} where the task has neither`, async () => {
      const { headers } = await answer({ ...sum, groups: undefined, trimmedMean: undefined }, type)
      assert.ok(names.every((name) => !(name in headers)))
    })
  }
})
