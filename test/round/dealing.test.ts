import assert from 'node:assert/strict'
import { randomBytes } from '../../src/crypto/primitives.ts'
import { Secret } from '../../src/crypto/secret.ts'
import { reconstructSecret } from '../../src/crypto/shamir.ts'
import { MessageError } from '../../src/errors.ts'
import { sparseGraph } from '../../src/membership/graphs.ts'
import { checkProof, deal, proofOf } from '../../src/round/dealing.ts'
import type { HeldShare } from '../../src/round/dealing.ts'
import type { Side } from '../../src/round/ballot.ts'
import { everyone, exchangeShares, graph, hashOf, n, roster, rules, say, scene, task } from './fixtures.ts'

const attemptId = hashOf('attempt')
const { threshold } = task.thresholds
const sides: Side[] = ['seed', 'key']

function dealt(dealer: number, id = attemptId) {
  const secrets = { seed: new Secret(randomBytes(32)), maskSecret: new Secret(randomBytes(32)) }
  const dealing = deal({ ...secrets, attemptId: id, dealer, graph, threshold }, randomBytes)
  const { signature } = say('ShareRoot', dealer, { attemptId: id, root: dealing.root })
  const held = (holder: number): HeldShare => ({ ...dealing.of(holder), signature })
  return { ...secrets, dealing, held }
}

describe('a dealing', () => {
  for (const side of sides) {
    it(`gives every holder a share of the ${side} side that is checked on its own, and t of them open it`, () => {
      for (const dealer of everyone) {
        const { seed, maskSecret, held } = dealt(dealer)
        const holders = everyone.filter((member) => member !== dealer)
        const shares = holders.map((holder) => {
          const proof = proofOf(held(holder), dealer, side)
          checkProof(proof, side, holder, attemptId, rules)
          return { x: graph.slot(dealer, holder)!, share: proof.share }
        })
        const opened = reconstructSecret(shares.slice(-threshold), threshold)
        assert.deepEqual(opened.expose(), (side === 'seed' ? seed : maskSecret).expose())
      }
    })

    it(`refuses a share of the ${side} side with any bit of its proof flipped`, () => {
      const proof = proofOf(dealt(1).held(3), 1, side)
      const fields = ['share', 'sibling', 'nonce', 'root', 'signature'] as const
      for (const field of fields) {
        for (let bit = 0; bit < 8 * proof[field].length; bit++) {
          const bytes = proof[field].slice()
          bytes[bit >> 3] ^= 1 << (bit & 7)
          assert.throws(() => checkProof({ ...proof, [field]: bytes }, side, 3, attemptId, rules), { code: 'INVALID' })
        }
      }
      assert.throws(() => checkProof({ ...proof, slot: 3 }, side, 3, attemptId, rules), { code: 'INVALID' })
      for (let place = 0; place < proof.path.length; place++) {
        const path = proof.path.map((node, at) => (at === place ? hashOf('x') : node))
        assert.throws(() => checkProof({ ...proof, path }, side, 3, attemptId, rules), { code: 'INVALID' })
      }
    })

    it(`refuses a share of the ${side} side as another holder’s, dealer’s, attempt’s or side’s`, () => {
      const proof = proofOf(dealt(1).held(3), 1, side)
      const refuse = (run: () => void) => assert.throws(run, { code: 'INVALID' })
      refuse(() => checkProof(proof, side, 2, attemptId, rules))
      refuse(() => checkProof(proof, side, 1, attemptId, rules))
      refuse(() => checkProof({ ...proof, dealer: 2 }, side, 3, attemptId, rules))
      refuse(() => checkProof({ ...proof, dealer: 7 }, side, 3, attemptId, rules))
      refuse(() => checkProof(proof, side, 3, hashOf('other'), rules))
      refuse(() => checkProof(proof, side === 'seed' ? 'key' : 'seed', 3, attemptId, rules))
    })
  }

  it('tells nothing of the other side with a share but a hash, under a nonce that differs for each holder', () => {
    const { held } = dealt(1)
    const proof = proofOf(held(3), 1, 'seed')
    assert.notDeepEqual(proof.sibling, held(3).keyShare)
    assert.notDeepEqual(held(3).nonce, held(2).nonce)
  })

  it('is gone when wiped', () => {
    const { dealing } = dealt(1)
    const { seedShare, keyShare } = dealing.of(3)
    dealing.wipe()
    assert.deepEqual(
      [...seedShare, ...keyShare],
      Array.from({ length: 64 }, () => 0)
    )
  })
})

describe('shares on a sparse graph', () => {
  it('go to the dealer’s neighbours only, each in its slot, and from nobody else are they taken', async () => {
    const degrees = { maskDegree: 4, minLiveSlots: 1, shareDegree: 2, threshold: 2, acknowledgements: 2 }
    const sparse = sparseGraph(hashOf('graph'), n, degrees)
    const thresholds = { ...task.thresholds, threshold: 2, graph: degrees }
    const one = await scene({ rules: { ...rules, thresholds, graph: () => sparse } })
    for (const dealer of everyone) {
      const deliveries = await one.attempts[dealer].deliveries(one.ballots[dealer], randomBytes)
      assert.deepEqual(
        deliveries.map(({ holder }) => holder),
        sparse.holders(dealer)
      )
      for (const delivery of deliveries) one.attempts[delivery.holder].receive(delivery)
      const stranger = everyone.find((member) => member !== dealer && !sparse.holders(dealer).includes(member))!
      assert.throws(() => one.attempts[stranger].receive({ ...deliveries[0], holder: stranger }), {
        code: 'INVALID',
        culprit: roster.members[dealer].id
      })
    }
    for (const [me, attempt] of one.attempts.entries()) {
      assert.deepEqual(attempt.dealers, sparse.holders(me))
      assert.ok(attempt.holdsAll)
    }
  })
})

describe('shares on their way', () => {
  it('reach every holder, before the key book as well as after it', async () => {
    const one = await scene()
    await exchangeShares(one)
    for (const [me, attempt] of one.attempts.entries()) {
      assert.deepEqual(
        attempt.dealers,
        everyone.filter((member) => member !== me)
      )
      assert.ok(attempt.holdsAll)
    }
  })

  it('are dealt once an attempt, and sealed to the same bytes when asked for again (S1)', async () => {
    const { attempts, ballots } = await scene()
    const first = await attempts[1].deliveries(ballots[1], randomBytes)
    assert.deepEqual(await attempts[1].deliveries(ballots[1], randomBytes), first)
  })

  const wrong: Array<[string, string, (delivery: Awaited<ReturnType<typeof firstDelivery>>) => object]> = [
    ['sealed for another holder', 'INVALID', () => ({ holder: 3 })],
    ['of another dealer', 'INVALID', () => ({ dealer: 2 })],
    ['for another attempt', 'WRONG_ATTEMPT', () => ({ attemptId: hashOf('other') })],
    [
      'with a flipped bit',
      'INVALID',
      ({ sealed }) => ({ sealed: sealed.map((byte, at) => (at === 20 ? byte ^ 1 : byte)) })
    ],
    ['cut short', 'INVALID', ({ sealed }) => ({ sealed: sealed.slice(0, 10) })]
  ]
  async function firstDelivery() {
    const { attempts, ballots } = await scene()
    const deliveries = await attempts[1].deliveries(ballots[1], randomBytes)
    const delivery = deliveries.find(({ holder }) => holder === 0)!
    return { ...delivery, attempt: attempts[0] }
  }
  for (const [what, code, change] of wrong) {
    it(`are refused ${what}, and the dealer named`, async () => {
      const { attempt, ...delivery } = await firstDelivery()
      const changed = { ...delivery, ...change({ ...delivery, attempt }) }
      assert.throws(
        () => attempt.receive(changed),
        (error: Error) =>
          error instanceof MessageError && error.code === code && error.culprit === roster.members[changed.dealer].id
      )
      assert.deepEqual(attempt.dealers, [])
    })
  }

  it('are checked against what the dealer signed, and the first that opens stands', async () => {
    const { attempt, ...delivery } = await firstDelivery()
    attempt.receive(delivery)
    attempt.receive({ ...delivery, sealed: new Uint8Array(100) })
    assert.deepEqual(attempt.dealers, [1])
  })
})
