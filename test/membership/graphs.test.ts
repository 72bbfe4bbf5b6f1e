import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { H } from '../../src/crypto/hash.ts'
import { aesCtrKeystream } from '../../src/crypto/primitives.ts'
import { completeGraph, graphOf, graphParameters, graphSeed, sparseGraph } from '../../src/membership/graphs.ts'
import type { Graph, GraphParameters } from '../../src/membership/graphs.ts'
import { thresholds } from '../../src/task/thresholds.ts'

type Row = GraphParameters & { members: number; corrupt: number; dropout: number }
const { rows } = JSON.parse(readFileSync(new URL('../vectors/graph-parameters.json', import.meta.url), 'utf8')) as {
  rows: Row[]
}

const everyone = ({ members }: Graph): number[] => Array.from({ length: members }, (_, index) => index)

describe('the complete graph', () => {
  it('makes every member a partner and a holder of all the others, and of itself never', () => {
    const graph = completeGraph(4)
    for (const others of [(index: number) => graph.partners(index), (index: number) => graph.holders(index)]) {
      assert.deepEqual(others(0), [1, 2, 3])
      assert.deepEqual(others(2), [0, 1, 3])
      assert.deepEqual(others(3), [0, 1, 2])
    }
  })

  it('has share slots from 1 on, one for every holder, and none for the dealer itself', () => {
    const graph = completeGraph(128)
    for (const holder of everyone(graph)) assert.equal(graph.slot(5, holder), holder === 5 ? undefined : holder + 1)
  })

  it('knows no member beyond the roster, and no roster of more than 128', () => {
    for (const index of [-1, 4, 0.5]) {
      assert.throws(() => completeGraph(4).partners(index), RangeError)
      assert.throws(() => completeGraph(4).slot(0, index), RangeError)
    }
    assert.throws(() => completeGraph(129), RangeError)
  })
})

describe('the parameters of sparse graphs', () => {
  it('are those of every check value', () => {
    for (const { members, corrupt, dropout, ...expected } of rows)
      assert.deepEqual(graphParameters({ members, corrupt, dropout }), expected, `n = ${members}`)
  })

  it('ask for no fewer acknowledgements than shares that open a secret', () => {
    for (const { members, corrupt, dropout } of rows) {
      const bounds = thresholds({ members, corrupt: corrupt * 10_000, dropout: dropout * 10_000 })
      assert.ok(bounds.acknowledgements >= bounds.threshold && bounds.acknowledgements <= bounds.graph!.shareDegree)
    }
  })

  it('are none for 128 members, and refused for a threat that no graph stands', () => {
    assert.throws(() => graphParameters({ members: 128, corrupt: 0.1, dropout: 0.1 }), RangeError)
    assert.throws(() => graphParameters({ members: 200, corrupt: 0.3, dropout: 0.2 }), { code: 'THREAT_INFEASIBLE' })
    assert.throws(() => graphParameters({ members: 200, corrupt: 0.1, dropout: 0.00001 }), { code: 'TASK_INVALID' })
  })
})

describe('a sparse graph', () => {
  const members = 150
  const degrees = { maskDegree: 54, minLiveSlots: 39, shareDegree: 60 }
  const seed = H('test', 'graph')
  const graph = sparseGraph(seed, members, degrees)

  it('gives every dealer kS holders, rising, and is symmetric', () => {
    for (const dealer of everyone(graph)) {
      const holders = graph.holders(dealer)
      assert.equal(new Set(holders).size, degrees.shareDegree)
      assert.deepEqual(
        holders,
        holders.toSorted((a, b) => a - b)
      )
      for (const holder of holders) assert.ok(holder !== dealer && graph.holders(holder).includes(dealer))
    }
  })

  it('numbers a dealer’s holders from 1 in their order, and nobody else', () => {
    for (const dealer of everyone(graph)) {
      graph.holders(dealer).forEach((holder, place) => assert.equal(graph.slot(dealer, holder), place + 1))
      const strangers = everyone(graph).filter((member) => !graph.holders(dealer).includes(member))
      for (const stranger of strangers) assert.equal(graph.slot(dealer, stranger), undefined)
    }
    assert.equal(graph.places, degrees.shareDegree)
  })

  it('gives every member mask partners, at most kM, that are so of each other', () => {
    for (const member of everyone(graph)) {
      const partners = graph.partners(member)
      assert.equal(new Set(partners).size, partners.length)
      assert.ok(partners.length > degrees.maskDegree / 2 && partners.length <= degrees.maskDegree)
      for (const partner of partners) assert.ok(partner !== member && graph.partners(partner).includes(member))
    }
  })

  it('counts slots and not partners: all are live when all are included, and a repeated pair counts each time', () => {
    const all = { ...degrees, minLiveSlots: degrees.maskDegree }
    const strict = sparseGraph(seed, members, all)
    for (const member of everyone(strict)) {
      assert.ok(strict.isSafe(member, new Set(everyone(strict))))
      const [left] = strict.partners(member)
      assert.ok(!strict.isSafe(member, new Set(everyone(strict).filter((other) => other !== left))))
    }
    // With more slots than others there are, some pairs must meet more than once.
    const few = sparseGraph(seed, 5, { maskDegree: 12, minLiveSlots: 12, shareDegree: 4 })
    for (const member of everyone(few)) assert.ok(few.isSafe(member, new Set(everyone(few))))
  })

  it('is safe for a member with just enough live slots, and not with one fewer', () => {
    const partners = graph.partners(0)
    const once = sparseGraph(seed, members, { ...degrees, minLiveSlots: 1 })
    assert.ok(!once.isSafe(0, new Set()))
    assert.ok(partners.every((partner) => once.isSafe(0, new Set([partner]))))
    const alive = new Set(everyone(graph))
    let lost = 0
    for (const partner of partners) {
      alive.delete(partner)
      lost += degrees.maskDegree - slotsLeft(0, partner)
      assert.equal(graph.isSafe(0, alive), degrees.maskDegree - lost >= degrees.minLiveSlots)
    }

    function slotsLeft(member: number, without: number): number {
      const rest = new Set(everyone(graph).filter((other) => other !== without))
      for (let least = degrees.maskDegree; ; least--)
        if (sparseGraph(seed, members, { ...degrees, minLiveSlots: least }).isSafe(member, rest)) return least
    }
  })

  it('is the same for whoever draws it, and another one for every beacon, roster, round and attempt', () => {
    const bounds = thresholds({ members, corrupt: 2000, dropout: 500 })
    const from = { beacon: H('test', 'b'), rosterHash: H('test', 'r'), round: 3, attempt: 0 }
    const drawn = graphOf(members, bounds.graph, from)
    const again = sparseGraph(graphSeed(from), members, bounds.graph!)
    for (const member of everyone(drawn)) {
      assert.deepEqual(drawn.partners(member), again.partners(member))
      assert.deepEqual(drawn.holders(member), again.holders(member))
    }
    const others = [{ beacon: H('test', 'c') }, { rosterHash: H('test', 's') }, { round: 4 }, { attempt: 1 }]
    for (const other of others)
      assert.notDeepEqual(graphOf(members, bounds.graph, { ...from, ...other }).partners(0), drawn.partners(0))
  })

  it('comes from the mask PRG by Fisher–Yates with rejection, its ring before its cycles', () => {
    const bytes = aesCtrKeystream(seed).next(64 * 1024)
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    let at = 0
    const permutation = () => {
      const order = Array.from({ length: members }, (_, index) => index)
      for (let last = members - 1; last > 0; last--) {
        const bound = last + 1
        let word = view.getUint32(4 * at++, true)
        while (word >= Math.floor(2 ** 32 / bound) * bound) word = view.getUint32(4 * at++, true)
        const other = word % bound
        ;[order[last], order[other]] = [order[other], order[last]]
      }
      return order
    }
    const ring = permutation()
    const near = Array.from({ length: 30 }, (_, k) => [ring[(members - 1 - k) % members], ring[k + 1]]).flat()
    assert.deepEqual(
      graph.holders(ring[0]),
      near.toSorted((a, b) => a - b)
    )
    const cycles = Array.from({ length: degrees.maskDegree / 2 }, permutation)
    const ends = new Set(
      cycles.flatMap((cycle) => {
        const place = cycle.indexOf(7)
        return [cycle.at(place - 1)!, cycle[(place + 1) % members]]
      })
    )
    assert.deepEqual(
      graph.partners(7),
      [...ends].sort((a, b) => a - b)
    )
  })
})
