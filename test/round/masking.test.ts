import assert from 'node:assert/strict'
import fc from 'fast-check'
import { addMasks, createLanes } from '../../src/crypto/mask-stream.ts'
import type { Lanes, Mask } from '../../src/crypto/mask-stream.ts'
import { randomBytes } from '../../src/crypto/primitives.ts'
import { pack, unpack } from '../../src/encoding/packing.ts'
import { graphOf } from '../../src/membership/graphs.ts'
import { createRoster } from '../../src/membership/roster.ts'
import { Attempt } from '../../src/round/attempt.ts'
import { encodeMessage } from '../../src/round/messages.ts'
import type { Message } from '../../src/round/messages.ts'
import type { CheckedCut, KeyBook, MaskingSet, RoundRules } from '../../src/round/transcript.ts'
import { systemClock } from '../../src/network/clock.ts'
import { masksToRemove } from '../../src/round/unmasking.ts'
import { below, chance, sample } from '../simulation/chance.ts'
import { simulatedTask } from '../simulation/identities.ts'
import { hashOf } from './fixtures.ts'

const bits = 20

interface Group {
  rules: RoundRules
  attempts: Attempt[]
  seeds: Uint8Array[]
  keys: Uint8Array[]
  book: KeyBook
  set: MaskingSet
}

async function rulesFor(n: number): Promise<RoundRules> {
  const { task } = await simulatedTask({ members: n, length: 7, threat: {} })
  const roster = createRoster({ epoch: 0, members: [...task.members] })
  const { thresholds } = task
  const { hash: rosterHash } = roster
  const graph = (attempt: number) =>
    graphOf(n, thresholds.graph, { beacon: hashOf('beacon'), rosterHash, round: 1, attempt })
  return { context: { task: task.idBytes, epoch: 0, round: 1 }, roster, thresholds, graph }
}

/** The attempt of every member of one context, with one book and one masking set of all. */
function group(rules: RoundRules, contextHash = hashOf('context')): Group {
  const { context, roster } = rules
  const drawn: Uint8Array[][] = []
  const attempts = roster.members.map(({ index }) => {
    drawn[index] = []
    return new Attempt(0, contextHash, rules, index, (length) => {
      const bytes = randomBytes(length)
      drawn[index].push(bytes.slice())
      return bytes
    })
  })
  const attemptId = attempts[0].id
  const adverts = attempts.map((attempt, from) => encodeMessage('KeyAdvert', context, from, attempt.advert(true)))
  const members = roster.members.map(({ index }) => index)
  const { graph } = attempts[0]
  const book = { hash: hashOf('book'), attemptId, graph, adverts: new Map(adverts.entries()), contributors: members }
  const set: MaskingSet = { hash: hashOf('set'), members, body: undefined as never }
  for (const attempt of attempts) attempt.open(book)
  return { rules, attempts, seeds: drawn.map(([, , seed]) => seed), keys: drawn.map(([key]) => key), book, set }
}

const cutOf = (included: number[], members: number[]): CheckedCut => ({
  cut: undefined as never,
  included: new Set(included),
  dropped: members.filter((member) => !included.includes(member)),
  headers: new Map<number, Message<'MaskedHeader'>>()
})

async function masked(input: number[], masks: Mask[]): Promise<Lanes> {
  const lanes = createLanes(bits, input.length)
  lanes.set(input)
  await addMasks(lanes, masks)
  return lanes
}

/** What an aggregator gets that opens the seeds of the included and the keys of the dropped. */
async function unmask(
  vectors: Lanes[],
  { rules, book, set, seeds, keys }: Group,
  checked: CheckedCut
): Promise<number[]> {
  const sum = createLanes(bits, vectors[0].length)
  for (const vector of vectors) for (let at = 0; at < sum.length; at++) sum[at] += vector[at]
  const opened = {
    seeds: [...checked.included].map((member) => ({ member, secret: seeds[member].slice() })),
    keys: checked.dropped.map((member) => ({ member, secret: keys[member].slice() }))
  }
  await addMasks(sum, await masksToRemove(rules, book, set, checked, opened, { clock: systemClock }))
  return [...unpack(pack(sum, bits), sum.length, bits)]
}

const plainSum = (inputs: number[][]): number[] =>
  inputs[0].map((_, at) => inputs.reduce((sum, input) => (sum + input[at]) % 2 ** bits, 0))

function inputsFor(n: number, length: number, seed: number): number[][] {
  const draw = chance(seed)
  return Array.from({ length: n }, () => Array.from({ length }, () => below(2 ** bits, draw)))
}

describe('masks', () => {
  it('cancel for n = 3 … 40 and any drop pattern, and no vector shows its input', async () => {
    const draw = chance(1)
    for (let n = 3; n <= 40; n++) {
      const one = group(await rulesFor(n))
      const { members } = one.set
      const inputs = inputsFor(n, 9, n)
      const vectors = await Promise.all(
        one.attempts.map((attempt, member) => masked(inputs[member], attempt.masks(one.book, one.set)))
      )
      vectors.forEach((vector, member) => assert.notDeepEqual([...unpack(pack(vector, bits), 9, bits)], inputs[member]))
      const patterns = [
        members,
        [members[below(n, draw)]],
        ...[1, 2].map(() => sample(members, 1 + below(n, draw), draw))
      ]
      for (const pattern of patterns) {
        const included = pattern.toSorted((a, b) => a - b)
        const sum = await unmask(
          included.map((member) => vectors[member]),
          one,
          cutOf(included, members)
        )
        assert.deepEqual(
          sum,
          plainSum(included.map((member) => inputs[member])),
          `n = ${n}, included ${included.join(' ')}`
        )
      }
    }
  })

  it('cancel whoever is gone before the masking set, and whoever after it', async function () {
    this.timeout(120_000)
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 3, max: 40 }).chain((n) => fc.tuple(fc.constant(n), fc.infiniteStream(fc.nat(3)))),
        async ([n, fates]) => {
          const one = group(await rulesFor(n))
          // Of four, one is gone before the set and one after it; at least one masks, and comes.
          const fate = one.set.members.map((member) => (member === 0 ? 3 : (fates.next().value as number)))
          const members = one.set.members.filter((member) => fate[member] > 0)
          const set = { ...one.set, members }
          const inputs = inputsFor(n, 5, n)
          const included = members.filter((member) => fate[member] > 1)
          const vectors = await Promise.all(
            included.map((member) => masked(inputs[member], one.attempts[member].masks(one.book, set)))
          )
          const sum = await unmask(vectors, { ...one, set }, cutOf(included, members))
          assert.deepEqual(sum, plainSum(included.map((member) => inputs[member])))
        }
      ),
      { numRuns: 40 }
    )
  })

  it('cancel on a sparse graph, where members lay them for their partners only', async () => {
    const n = 130
    const one = group(await rulesFor(n))
    const { members } = one.set
    const inputs = inputsFor(n, 9, n)
    const laid = one.attempts.map((attempt) => attempt.masks(one.book, one.set))
    laid.forEach((masks, member) => assert.equal(masks.length, 1 + one.book.graph.partners(member).length))
    assert.ok(laid.some((masks) => masks.length < n))
    const vectors = await Promise.all(laid.map((masks, member) => masked(inputs[member], masks)))
    for (const left of [0, 1, 20]) {
      const included = sample(members, n - left, chance(left)).sort((a, b) => a - b)
      const chosen = included.map((member) => vectors[member])
      assert.deepEqual(
        await unmask(chosen, one, cutOf(included, members)),
        plainSum(included.map((member) => inputs[member]))
      )
    }
  })

  it('cancel for every one of the drop patterns of five members', async () => {
    const one = group(await rulesFor(5))
    const inputs = inputsFor(5, 4, 5)
    const vectors = await Promise.all(
      one.attempts.map((attempt, member) => masked(inputs[member], attempt.masks(one.book, one.set)))
    )
    for (let pattern = 1; pattern < 2 ** 5; pattern++) {
      const included = one.set.members.filter((member) => (pattern >> member) % 2 === 1)
      const sum = await unmask(
        included.map((member) => vectors[member]),
        one,
        cutOf(included, one.set.members)
      )
      assert.deepEqual(sum, plainSum(included.map((member) => inputs[member])))
    }
  })
})

/** Chi-square of the bytes of the low 16 bits over 256 bins: 255 on average, 400 is six standard deviations away. */
function assertUniform(values: number[], what: string): void {
  const counts = new Array<number>(256).fill(0)
  for (const value of values) for (const byte of [value & 0xff, (value >> 8) & 0xff]) counts[byte]++
  const expected = (2 * values.length) / 256
  const statistic = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
  assert.ok(statistic < 400, `${what} is not uniform: chi-square ${statistic}`)
}

describe('members that do not agree give noise, never a partial sum', () => {
  const length = 8192
  const n = 6
  const halves = [
    [0, 1, 2],
    [3, 4, 5]
  ]

  /** Minus each sum that somebody might hope for: of all, of either half, and of each member alone. */
  function assertNoise(result: number[], inputs: number[][]): void {
    const hopes = [
      inputs,
      ...halves.map((half) => half.map((member) => inputs[member])),
      ...inputs.map((input) => [input])
    ]
    for (const hope of hopes) {
      const plain = plainSum(hope)
      assertUniform(
        result.map((value, at) => (value - plain[at] + 2 ** bits) % 2 ** bits),
        `what is left of ${hope.length}`
      )
    }
  }

  async function sumOf(
    vectorsOf: (one: Group) => Promise<Lanes[]>,
    included?: number[]
  ): Promise<[number[], number[][]]> {
    const inputs = inputsFor(n, length, 6)
    const one = group(await rulesFor(n))
    const vectors = await vectorsOf(one)
    const among = included ?? one.set.members
    return [
      await unmask(
        among.map((member) => vectors[member]),
        one,
        cutOf(among, one.set.members)
      ),
      inputs
    ]
  }
  const inputs = inputsFor(n, length, 6)
  const maskAll = ({ attempts, book, set }: Group, others: Partial<Record<number, Partial<Group>>> = {}) =>
    Promise.all(
      attempts.map((attempt, member) => {
        const shown = { book, set, ...others[member] }
        return masked(inputs[member], attempt.masks(shown.book, shown.set))
      })
    )
  const half = (shown: Partial<Group>) => Object.fromEntries(halves[1].map((member) => [member, shown]))

  it('the statistic knows a sum from noise', async () => {
    const [result] = await sumOf((one) => maskAll(one))
    assert.deepEqual(result, plainSum(inputs))
    assert.throws(() => assertNoise(result, inputs), /not uniform/)
  })

  it('with different context hashes', async () => {
    const [result] = await sumOf((one) => {
      const other = new Attempt(0, hashOf('another model'), one.rules, 0, randomBytes)
      assert.notDeepEqual(other.id, one.attempts[0].id)
      // The same keys, seeds and partners: only the attempt that they derive their masks for differs.
      for (const member of halves[1]) one.attempts[member].open({ ...one.book, attemptId: other.id })
      for (const member of halves[1]) Object.assign(one.attempts[member], { id: other.id })
      return maskAll(one)
    })
    assertNoise(result, inputs)
  })

  it('with different masking sets, also where one is a part of the other', async () => {
    for (const members of [
      [0, 1, 2, 3, 4, 5],
      [1, 2, 3, 4, 5]
    ]) {
      const [result] = await sumOf((one) => {
        const another = { ...one.set, hash: hashOf('another set'), members }
        return maskAll(one, half({ set: another }))
      })
      assertNoise(result, inputs)
    }
  })

  it('with different key books', async () => {
    const [result] = await sumOf((one) => {
      const other = group(one.rules)
      const adverts = new Map([...one.book.adverts, [0, other.book.adverts.get(0)!]])
      return maskAll(one, half({ book: { ...one.book, adverts } }))
    })
    assertNoise(result, inputs)
  })

  it('and so does a sum from which a member is left out whose key is not opened', async () => {
    const left = [0, 1, 2, 3, 4]
    const one = group(await rulesFor(n))
    const vectors = await maskAll(one)
    const result = await unmask(
      left.map((member) => vectors[member]),
      one,
      { ...cutOf(left, one.set.members), dropped: [] }
    )
    assertNoise(result, inputs)
  })
})

describe('an attempt that is over', () => {
  it('has erased its mask key, its seal key and its seed, of which nothing was opened (S7)', async () => {
    const secrets: Uint8Array[] = []
    const attempt = new Attempt(0, hashOf('context'), await rulesFor(3), 0, (length) => {
      const bytes = randomBytes(length)
      secrets.push(bytes)
      return bytes
    })
    attempt.advert(true)
    assert.equal(secrets.length, 3)
    assert.ok(secrets.every((bytes) => bytes.some((byte) => byte !== 0)))
    attempt.wipe()
    assert.ok(secrets.every((bytes) => bytes.every((byte) => byte === 0)))
  })
})
