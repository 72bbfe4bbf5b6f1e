import assert from 'node:assert/strict'
import fc from 'fast-check'
import { TaskError } from '../../src/errors.ts'
import { carriedThresholds, LARGEST_ROSTER, thresholds } from '../../src/task/thresholds.ts'
import type { Thresholds } from '../../src/task/thresholds.ts'

/** Every feasible (n, f, D) of the complete graph, each through the smallest threat that gives it. */
function* feasible(): Generator<Thresholds> {
  for (let members = 3; members <= 128; members++) {
    for (let f = 0; 3 * f < members; f++) {
      for (let D = 0; 3 * f + 2 * D < members; D++) {
        yield thresholds({ members, corrupt: least(f, members), dropout: least(D, members) })
      }
    }
  }
}

function least(count: number, members: number): number {
  return Math.ceil((count * 10_000) / members)
}

function refusal(members: number, corrupt: number, dropout: number, judge = thresholds): TaskError {
  try {
    judge({ members, corrupt, dropout })
  } catch (error) {
    assert.ok(error instanceof TaskError)
    return error
  }
  throw new assert.AssertionError({ message: `${members} members with ${corrupt} and ${dropout} were accepted` })
}

/** What a sentence says to change. */
function changesOf(sentence: string): { members?: number; corrupt?: number; dropout?: number }[] {
  const [, advice] = sentence.split('; ')
  if (advice === 'lower both, for example to 0.125 and 0.25') return [{ corrupt: 1250, dropout: 2500 }]
  return advice.split(' or ').map((change) => {
    const [, which, fraction, members] = /^(?:lower (corrupt|dropout) to ([\d.]+)|take (\d+) members)$/.exec(change)!
    return members === undefined ? { [which]: Math.round(Number(fraction) * 10_000) } : { members: Number(members) }
  })
}

describe('thresholds', () => {
  it('gives the check values of f, D and quorum', () => {
    const values: [number, number, number, number][] = [
      [3, 0, 1, 2],
      [4, 1, 0, 3],
      [4, 0, 1, 3],
      [7, 1, 1, 5],
      [7, 2, 0, 5],
      [8, 1, 2, 5],
      [10, 2, 1, 7],
      [10, 1, 3, 6],
      [13, 3, 1, 9],
      [13, 2, 3, 8]
    ]
    for (const [members, f, D, quorum] of values) {
      const found = thresholds({ members, corrupt: least(f, members), dropout: least(D, members) })
      assert.deepEqual([found.f, found.D, found.quorum], [f, D, quorum], `n = ${members}`)
    }
  })

  it('gives the check values of t', () => {
    const values: [number, number, number, number][] = [
      [3, 0, 0, 2],
      [10, 2, 1, 4],
      [30, 6, 3, 12],
      [64, 12, 6, 28],
      [100, 20, 10, 40]
    ]
    for (const [members, f, D, threshold] of values) {
      const found = thresholds({ members, corrupt: least(f, members), dropout: least(D, members) })
      assert.deepEqual([found.f, found.D, found.threshold], [f, D, threshold], `n = ${members}`)
    }
  })

  it('gives all numbers of a small roster, worked out by hand', () => {
    assert.deepEqual(
      { ...thresholds({ members: 10, corrupt: 2000, dropout: 1000 }) },
      { members: 10, f: 2, D: 1, quorum: 7, nMin: 9, threshold: 4, acknowledgements: 6 }
    )
  })

  it('accepts the default threat for every roster', () => {
    for (let members = 3; members <= 128; members++) thresholds({ members, corrupt: 1250, dropout: 2500 })
  })

  it('names the degrees of sparse graphs beyond 128 members, and takes t and the acknowledgements from them', () => {
    assert.equal(thresholds({ members: 128, corrupt: 1000, dropout: 1000 }).graph, undefined)
    const { graph, ...rest } = thresholds({ members: 129, corrupt: 1000, dropout: 1000 })
    assert.deepEqual([graph!.shareDegree, graph!.maskDegree, graph!.minLiveSlots], [30, 46, 27])
    assert.deepEqual([rest.threshold, rest.acknowledgements], [graph!.threshold, graph!.acknowledgements])
    assert.deepEqual([rest.f, rest.D, rest.quorum, rest.nMin], [12, 12, 87, 117])
  })

  it('takes floors exactly, where binary fractions would miss', () => {
    // 0.29 · 100 is 28.999… in float64.
    assert.equal(thresholds({ members: 100, corrupt: 2900, dropout: 0 }).f, 29)
    assert.equal(thresholds({ members: 100, corrupt: 2899, dropout: 0 }).f, 28)
    assert.equal(thresholds({ members: 3, corrupt: 3333, dropout: 0 }).f, 0)
  })

  it('makes any two quorums share an honest member', () => {
    for (const { members, f, quorum } of feasible()) assert.ok(2 * quorum - members > f, `n = ${members}, f = ${f}`)
  })

  it('lets honest members that are there make a quorum whenever the threat is feasible', () => {
    for (const { members, f, D, quorum } of feasible()) assert.ok(quorum <= members - f - D, `${members}: ${f}, ${D}`)
  })

  it('keeps every secret from f colluders, and a sum over at least two honest inputs', () => {
    for (const { f, threshold, nMin } of feasible()) {
      assert.ok(threshold > f && threshold >= 2)
      assert.ok(nMin - f >= 2 && nMin >= 3)
    }
  })

  it('lets the honest members that are there rebuild every secret', () => {
    for (const { members, f, D, threshold } of feasible())
      assert.ok(threshold <= members - f - D, `${members}: ${f}, ${D}`)
  })

  it('lets a contributor enter the masking set with the honest holders that are there', () => {
    const unreachable: number[][] = []
    for (const { members, f, D, nMin, threshold, acknowledgements } of feasible()) {
      assert.ok(threshold <= acknowledgements)
      assert.ok(acknowledgements <= members - 1 - f - Math.min(D, members - nMin), `${members}: ${f}, ${D}`)
      if (acknowledgements > members - 1 - f - D) unreachable.push([members, f, D])
    }
    // Three members with one missing: nMin is 3, so that such a round fails whatever the shares.
    assert.deepEqual(unreachable, [[3, 0, 1]])
  })

  it('refuses exactly the threats with 3f + 2D ≥ n', () => {
    const tenThousandths = fc.integer({ min: 0, max: 9999 })
    fc.assert(
      fc.property(fc.integer({ min: 3, max: 128 }), tenThousandths, tenThousandths, (members, corrupt, dropout) => {
        const f = Number((BigInt(corrupt) * BigInt(members)) / 10_000n)
        const D = Number((BigInt(dropout) * BigInt(members)) / 10_000n)
        if (3 * f + 2 * D >= members) {
          assert.equal(refusal(members, corrupt, dropout).code, 'THREAT_INFEASIBLE')
        } else {
          const found = thresholds({ members, corrupt, dropout })
          assert.deepEqual([found.f, found.D], [f, D])
        }
      }),
      { numRuns: 300 }
    )
  })

  it('names the largest dropout, the largest corrupt and the least roster that mend an infeasible threat', () => {
    const { message } = refusal(7, 2000, 3000)
    assert.match(
      message,
      /3·1 \+ 2·2 < 7, but it is 7; lower dropout to 0\.2857 or lower corrupt to 0\.1428 or take 8 members$/
    )
    thresholds({ members: 7, corrupt: 2000, dropout: 2857 })
    refusal(7, 2000, 2858)
    thresholds({ members: 7, corrupt: 1428, dropout: 3000 })
    refusal(7, 1429, 3000)
    thresholds({ members: 8, corrupt: 2000, dropout: 3000 })
  })

  it('asks to lower both where no single change mends the threat', () => {
    assert.match(refusal(10, 5000, 5000).message, /; lower both, for example to 0\.125 and 0\.25$/)
  })

  it('names only changes that are accepted, whatever the graph: also of holders of shares, of whom there are 254 at most', () => {
    const tenThousandths = fc.integer({ min: 0, max: 9999 })
    const members = fc.oneof(fc.integer({ min: 3, max: 128 }), fc.integer({ min: 129, max: 4000 }))
    /** A larger roster than a task's is held to the same degree. */
    const accept = (asked: { members: number; corrupt: number; dropout: number }): Thresholds => {
      const found = asked.members > LARGEST_ROSTER ? thresholds(asked) : carriedThresholds(asked)
      assert.ok((found.graph?.shareDegree ?? 0) <= 254)
      return found
    }
    const threats = fc.tuple(members, tenThousandths, tenThousandths)
    fc.assert(
      fc.property(threats, ([members, corrupt, dropout]) => {
        const asked = { members, corrupt, dropout }
        try {
          accept(asked)
        } catch (error) {
          if (!(error instanceof TaskError)) return
          const changes = changesOf(error.message)
          assert.ok(changes.length > 0, error.message)
          for (const change of changes) accept({ ...asked, ...change })
        }
      }),
      {
        numRuns: 500,
        examples: [[[1000, 5000, 0]], [[1000, 3333, 0]], [[1000, 3000, 400]], [[129, 1000, 3600]], [[1200, 3000, 9999]]]
      }
    )
    const { message } = refusal(1000, 3333, 0, carriedThresholds)
    assert.match(message, /needs 292 holders of each member’s shares, more than 254; lower corrupt to 0\.3189$/)
    assert.match(refusal(129, 1000, 3600).message, /needs masks or shares of everyone with everyone; lower dropout to/)
  })

  it('refuses fewer than 3 members and threats that are no whole ten-thousandths', () => {
    for (const members of [-1, 0, 2, 2.5, NaN]) assert.match(refusal(members, 0, 0).message, /at least 3 members/)
    for (const value of [-1, 10_000, 0.125, NaN]) {
      assert.match(refusal(8, value, 0).message, /^threat\.corrupt is a whole number/)
      assert.match(refusal(8, 0, value).message, /^threat\.dropout is a whole number/)
    }
  })
})
