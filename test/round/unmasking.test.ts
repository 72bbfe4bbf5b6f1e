import assert from 'node:assert/strict'
import { MessageError } from '../../src/errors.ts'
import { randomBytes, x25519Agreement } from '../../src/crypto/primitives.ts'
import { checkOpened } from '../../src/round/attempt.ts'
import { deal, sealDelivery } from '../../src/round/dealing.ts'
import { Secret } from '../../src/crypto/secret.ts'
import { verifyEvidence } from '../../src/round/evidence.ts'
import { cutHash } from '../../src/round/messages.ts'
import type { Body, Cut } from '../../src/round/messages.ts'
import type { CheckedCut } from '../../src/round/transcript.ts'
import { Revealed } from '../../src/round/unmasking.ts'
import {
  decisionFor,
  everyone,
  exchangeShares,
  graph,
  hashOf,
  roster,
  rules,
  say,
  scene,
  setOf,
  task
} from './fixtures.ts'
import type { Scene } from './fixtures.ts'

const included = [0, 1, 2, 4]

/** Everyone holds everyone's shares, and the cut that leaves member 3 out is decided. */
async function decidedScene(prepare: (one: Scene) => Promise<void> = exchangeShares) {
  const one = await scene()
  await prepare(one)
  const cut: Cut = {
    attemptId: one.book.attemptId,
    keyBookHash: one.book.hash,
    maskingSetHash: one.set.hash,
    included: setOf(included),
    headersRoot: hashOf('headers')
  }
  const checked: CheckedCut = { cut, included: new Set(included), dropped: [3], headers: new Map() }
  for (const ballot of one.ballots)
    await ballot.decide(decisionFor('attempt-0', { kind: 'cut', cutHash: cutHash(cut) }))
  const reveal = (member: number) => one.attempts[member].reveal(one.ballots[member], checked)
  const revealSilent = (member: number, silent: number[]) =>
    one.attempts[member].revealSilent(one.ballots[member], checked, silent)
  return { ...one, checked, reveal, revealSilent, revealed: new Revealed(rules, one.book, checked) }
}

function blames(member: number, sentence: RegExp) {
  return (error: Error) =>
    error instanceof MessageError && error.culprit === roster.members[member].id && sentence.test(error.message)
}

describe('what a member reveals', () => {
  it('is its own seed if it is included, and shares of the keys of the dropped, but nothing of other included members', async () => {
    const { reveal } = await decidedScene()
    const body = reveal(0)
    assert.equal(body.seed?.length, 32)
    assert.deepEqual(
      body.keyShares.map(({ dealer }) => dealer),
      [3]
    )
    assert.deepEqual(body.seedShares, [])
    const dropped = reveal(3)
    assert.equal(dropped.seed, null)
    assert.deepEqual([...dropped.keyShares, ...dropped.seedShares], [])
  })

  it('is in the second wave shares of the seeds of the silent, and never of a dropped one’s', async () => {
    const { revealSilent } = await decidedScene()
    const body = revealSilent(0, [4])
    assert.deepEqual([body.seed, body.keyShares], [null, []])
    assert.deepEqual(
      body.seedShares.map(({ dealer }) => dealer),
      [4]
    )
    assert.throws(() => revealSilent(0, [3]), /does not open the seed side of member 3/)
  })
})

describe('what a leader makes of reveals', () => {
  it('opens every seed of the included and every key of the dropped, and nothing else', async () => {
    const { revealed, reveal, revealSilent, book, checked } = await decidedScene()
    for (const member of [0, 1, 2]) revealed.take(say('Reveal', member, reveal(member)))
    assert.deepEqual(revealed.silent(), [4])
    assert.ok(!revealed.isComplete())
    assert.match(revealed.lacking(), /member 4/)
    for (const member of [1, 2, 3]) revealed.take(say('Reveal', member, revealSilent(member, [4])))
    assert.ok(revealed.isComplete())
    const opened = revealed.open()
    assert.deepEqual(
      opened.seeds.map(({ member }) => member),
      included
    )
    assert.deepEqual(
      opened.keys.map(({ member }) => member),
      [3]
    )
    assert.equal(checkOpened(sumOf(checked, opened), book, checked, 'leader').length, included.length)
  })

  it('is complete with t shares, and not with one fewer', async () => {
    const { revealed, reveal } = await decidedScene()
    const { threshold } = task.thresholds
    for (const member of included) {
      const body = reveal(member)
      revealed.take(
        say('Reveal', member, { ...body, keyShares: included.indexOf(member) < threshold - 1 ? body.keyShares : [] })
      )
    }
    assert.deepEqual(revealed.silent(), [])
    assert.ok(!revealed.isComplete())
    revealed.take(say('Reveal', 4, reveal(4)))
    assert.ok(revealed.isComplete())
  })

  const lies: Array<[string, RegExp, (body: Body<'Reveal'>, held: Body<'Reveal'>) => Partial<Body<'Reveal'>>]> = [
    ['a seed that it did not commit to', /does not match its commitment/, () => ({ seed: hashOf('x') })],
    ['a reveal for another cut', /another cut/, () => ({ cutHash: hashOf('x') })],
    [
      'a share that its dealer did not sign',
      /did not sign/,
      ({ keyShares }) => ({ keyShares: [{ ...keyShares[0], share: hashOf('x') }] })
    ],
    [
      'a key share of an included member',
      /does not open/,
      ({ keyShares }) => ({ keyShares: [{ ...keyShares[0], dealer: 2 }] })
    ],
    ['a seed share of a dropped member', /does not open/, ({ keyShares }) => ({ seedShares: keyShares })],
    ['a share of nobody', /does not open/, ({ keyShares }) => ({ keyShares: [{ ...keyShares[0], dealer: 9 }] })],
    ['another holder’s share', /did not sign/, (_, held) => ({ keyShares: held.keyShares })],
    [
      'two shares of one dealer',
      /two shares of one dealer/,
      ({ keyShares }) => ({ keyShares: [...keyShares, ...keyShares] })
    ]
  ]
  for (const [what, sentence, lie] of lies) {
    it(`names a member that reveals ${what}`, async () => {
      const { revealed, reveal } = await decidedScene()
      const body = reveal(1)
      const message = say('Reveal', 1, { ...body, ...lie(body, reveal(2)) })
      assert.throws(() => revealed.take(message), blames(1, sentence))
    })
  }

  it('names a dropped member that reveals a seed', async () => {
    const { revealed, reveal } = await decidedScene()
    assert.throws(() => revealed.take(say('Reveal', 3, { ...reveal(3), seed: hashOf('x') })), blames(3, /commitment/))
  })

  it('names a dealer whose shares do not open what it committed to, and none of the holders', async () => {
    const { revealed, reveal } = await decidedScene(async (one) => {
      await exchangeShares(one, included)
      dealOtherSecrets(one, 3)
    })
    for (const member of included) revealed.take(say('Reveal', member, reveal(member)))
    assert.ok(revealed.isComplete())
    assert.throws(() => revealed.open(), blames(3, /dealt key shares that do not open/))
    const [evidence, ...more] = revealed.evidence()
    assert.deepEqual(more, [])
    assert.deepEqual([evidence.kind, evidence.culprit], ['lying-dealer', 3])
    verifyEvidence(evidence, rules)
  })
})

/** A dealing whose every share is properly signed and sealed, of secrets that are not the dealer's. */
function dealOtherSecrets({ attempts, drawn, book }: Scene, dealer: number): void {
  const { attemptId } = book
  const { threshold } = task.thresholds
  const others = { seed: new Secret(randomBytes(32)), maskSecret: new Secret(randomBytes(32)) }
  const dealing = deal({ ...others, attemptId, dealer, graph, threshold }, randomBytes)
  const { signature } = say('ShareRoot', dealer, { attemptId, root: dealing.root })
  const [, sealSecret] = drawn[dealer]
  for (const holder of everyone.filter((member) => member !== dealer)) {
    const partnerKey = book.adverts.get(holder)!.body.sealKey
    const pair = { secret: x25519Agreement(sealSecret), partnerKey, attemptId, dealer, holder }
    attempts[holder].receive(sealDelivery({ ...dealing.of(holder), signature }, pair, rules))
  }
}

function sumOf(checked: CheckedCut, opened: Pick<Body<'SumHeader'>, 'seeds' | 'keys'>): Body<'SumHeader'> {
  return { view: 0, cut: checked.cut, root: hashOf('root'), ...opened, again: null }
}
