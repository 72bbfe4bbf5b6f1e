import assert from 'node:assert/strict'
import { H } from '../../src/crypto/hash.ts'
import { safeAmong, sparseGraph } from '../../src/membership/graphs.ts'
import type { Graph } from '../../src/membership/graphs.ts'
import { thresholds } from '../../src/task/thresholds.ts'
import { chance, sample } from '../simulation/chance.ts'

const members = 1000
const bounds = thresholds({ members, corrupt: 2000, dropout: 1000 })
const { f, D, nMin } = bounds
const everyone = Array.from({ length: members }, (_, index) => index)
/** Corrupt before the graph is drawn, as they are (§1). */
const corrupt = new Set(sample(everyone, f, chance(7)))
const honest = everyone.filter((member) => !corrupt.has(member))
const graphs = [1, 2].map((number) => sparseGraph(H('test', 'attack', number), members, bounds.graph!))

type Neighbours = (member: number) => readonly number[]

/**
 * Grows a set of honest members from one on, always by the one that adds the fewest honest neighbours outside: whoever
 * drops just those has split the honest. The smallest such boundary of a set of `least` up to half of them.
 */
function cheapestSplit(
  neighbours: Neighbours,
  start: number,
  least = 1
): { inside: Set<number>; boundary: Set<number> } {
  const inside = new Set([start])
  const boundary = new Set(honestAround(neighbours, start))
  const added = new Map(
    honest.map((one) => [one, honestAround(neighbours, one).filter((other) => other !== start && !boundary.has(other))])
  )
  let best = { inside: new Set(inside), boundary: new Set(boundary) }
  while (inside.size < honest.length / 2 && boundary.size > 0) {
    for (const [one, others] of added)
      added.set(
        one,
        others.filter((other) => !boundary.has(other) && !inside.has(other))
      )
    const next = [...boundary].reduce((least, one) => (added.get(one)!.length < added.get(least)!.length ? one : least))
    boundary.delete(next)
    inside.add(next)
    for (const other of added.get(next)!) boundary.add(other)
    if (best.inside.size < least || boundary.size < best.boundary.size)
      best = { inside: new Set(inside), boundary: new Set(boundary) }
  }
  return best
}

const honestAround = (neighbours: Neighbours, member: number): number[] =>
  neighbours(member).filter((other) => !corrupt.has(other))

/** The members that masks tie together, over included honest ones only: what the adversary can tell apart is the parts. */
function parts(neighbours: Neighbours, included: ReadonlySet<number>): number[] {
  const left = new Set(honest.filter((member) => included.has(member)))
  const sizes: number[] = []
  for (const start of left) {
    const part = [start]
    left.delete(start)
    for (const member of part)
      for (const other of honestAround(neighbours, member)) if (left.delete(other)) part.push(other)
    sizes.push(part.length)
  }
  return sizes.sort((a, b) => b - a)
}

const without = (dropped: Iterable<number>): Set<number> => {
  const included = new Set(everyone)
  for (const member of dropped) included.delete(member)
  return included
}

const isAccepted = (graph: Graph, included: ReadonlySet<number>): boolean =>
  included.size >= nMin && [...included].every((member) => graph.isSafe(member, included))

describe('an aggregator that picks its dropouts after it has seen the graph', function () {
  this.timeout(60_000)

  it('would split the honest members on a ring of degree 68, by naming few', () => {
    const ring = sparseGraph(H('test', 'ring'), members, { maskDegree: 2, minLiveSlots: 0, shareDegree: 68 })
    const on: Neighbours = (member) => ring.holders(member)
    const { inside, boundary } = cheapestSplit(on, honest[0], 100)
    assert.ok(boundary.size <= D, `it takes ${boundary.size}`)
    assert.ok(inside.size >= 100 && parts(on, without(boundary))[1] >= 100)
  })

  it('would isolate a victim on the mask graph, if nobody counted live slots', () => {
    for (const graph of graphs) {
      const on: Neighbours = (member) => graph.partners(member)
      const [victim] = honest
      const dropped = honestAround(on, victim)
      assert.ok(dropped.length <= D)
      const included = without(dropped)
      assert.deepEqual(parts(on, included).at(-1), 1)
      assert.ok(!isAccepted(graph, included), 'the cut is refused')
    }
  })

  it('cannot isolate anybody: a member’s corrupt partners are never as many as its live slots must be', () => {
    for (const graph of graphs)
      for (const victim of honest) assert.ok(!graph.isSafe(victim, corrupt), `member ${victim} could be isolated`)
  })

  it('cannot split off a set around any victim: what it would have to drop is too many, or leaves someone unsafe', () => {
    for (const graph of graphs) {
      const on: Neighbours = (member) => graph.partners(member)
      for (const victim of sample(honest, 3, chance(3))) {
        const { boundary } = cheapestSplit(on, victim)
        assert.ok(!isAccepted(graph, without(boundary)))
        // Nor does dropping as many of it as it may, and then whoever is not safe any more.
        const included = safeAmong(graph, without([...boundary].slice(0, D)))
        if (included.size >= nMin) assert.equal(parts(on, included).length, 1)
      }
    }
  })

  it('cannot split them by chance either, dropping as many as it may', () => {
    const draw = chance(11)
    for (const graph of graphs)
      for (let time = 0; time < 10; time++) {
        const included = without(sample(honest, D, draw))
        assert.ok(isAccepted(graph, included))
        assert.equal(parts((member) => graph.partners(member), included).length, 1)
      }
  })
})
