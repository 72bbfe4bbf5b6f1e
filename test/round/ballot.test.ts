import assert from 'node:assert/strict'
import { BallotError } from '../../src/errors.ts'
import { MemoryJournal } from '../../src/journal/journal.ts'
import type { Journal } from '../../src/journal/journal.ts'
import { cutHash, valueHash } from '../../src/round/messages.ts'
import type { Cut, Value } from '../../src/round/messages.ts'
import {
  burned,
  context,
  decisionFor,
  everyone,
  hashOf,
  lockFor,
  openBallot,
  quorum,
  roster,
  setOf,
  votes
} from './fixtures.ts'

const attemptId = hashOf('attempt')
const cut: Cut = {
  attemptId,
  keyBookHash: hashOf('book'),
  maskingSetHash: hashOf('set'),
  included: setOf([0, 1, 2, 3]),
  headersRoot: hashOf('headers')
}
const cutValue: Value = { kind: 'cut', cutHash: cutHash(cut) }
const otherCut: Cut = { ...cut, included: setOf([0, 1, 2]) }
const summed: Value = { ...burned, kind: 'summed', cutHash: cutHash(cut), beacon: hashOf('next') } as Value
const included = new Set([0, 1, 2, 3])
const retry: Value = { kind: 'retry' }
const advert = (key: string) => ({
  attemptId,
  contributes: true,
  maskKey: hashOf(key),
  sealKey: hashOf('seal'),
  seedCommitment: hashOf('seed')
})
const header = (root: string) => ({ attemptId, maskingSetHash: hashOf('set'), root: hashOf(root) })
const refused = (run: Promise<unknown>, sentence: RegExp) =>
  assert.rejects(run, (error: Error) => error instanceof BallotError && sentence.test(error.message))

/** A journal that writes only when told to. */
class SlowJournal extends MemoryJournal {
  #release: () => void = () => {}
  writes = 0

  override async put(key: string, value: Uint8Array): Promise<void> {
    this.writes++
    await new Promise<void>((resolve) => (this.#release = resolve))
    await super.put(key, value)
  }

  release(): void {
    this.#release()
  }
}

class FullDisk extends MemoryJournal {
  override put(): Promise<void> {
    return Promise.reject(new Error('no space left'))
  }
}

/** Settles within the promises that are pending, or not at all. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false
  promise.then(
    () => (settled = true),
    () => (settled = true)
  )
  await new Promise((resolve) => setImmediate(resolve))
  return settled
}

describe('the ballot: one advert, one dealing, one masked vector an attempt (S1, S2)', () => {
  it('gives the same bytes when asked again, and refuses others', async () => {
    const ballot = await openBallot(0)
    await ballot.enter(0, attemptId)
    const first = await ballot.sayOnce('KeyAdvert', 0, advert('a'))
    assert.deepEqual((await ballot.sayOnce('KeyAdvert', 0, advert('a'))).encoded, first.encoded)
    await refused(ballot.sayOnce('KeyAdvert', 0, advert('b')), /another KeyAdvert/)
    await ballot.sayOnce('ShareRoot', 0, { attemptId, root: hashOf('root') })
    await refused(ballot.sayOnce('ShareRoot', 0, { attemptId, root: hashOf('other') }), /another ShareRoot/)
    await ballot.sayOnce('MaskedHeader', 0, header('a'))
    await refused(ballot.sayOnce('MaskedHeader', 0, header('b')), /another MaskedHeader/)
  })

  it('signs one of two that are asked for at the same time, and the same one for both askers', async () => {
    const ballot = await openBallot(0)
    await ballot.enter(0, attemptId)
    const [first, second, again] = await Promise.allSettled([
      ballot.sayOnce('MaskedHeader', 0, header('a')),
      ballot.sayOnce('MaskedHeader', 0, header('b')),
      ballot.sayOnce('MaskedHeader', 0, header('a'))
    ])
    assert.equal(first.status, 'fulfilled')
    assert.equal(second.status, 'rejected')
    assert.equal(again.status, 'fulfilled')
    assert.equal(first.value.signature.length, 64)
    assert.deepEqual(again.value.encoded, first.value.encoded)
  })

  it('says nothing in an attempt that was not entered, or under another id', async () => {
    const ballot = await openBallot(0)
    await refused(ballot.sayOnce('KeyAdvert', 0, advert('a')), /not entered/)
    await ballot.enter(0, hashOf('other'))
    await refused(ballot.sayOnce('KeyAdvert', 0, advert('a')), /not entered/)
  })
})

describe('the ballot: on disk before it leaves (S3, S5)', () => {
  const acts: Array<[string, (ballot: Awaited<ReturnType<typeof openBallot>>) => Promise<unknown>]> = [
    ['an advert', async (ballot) => (await ballot.enter(0, attemptId), ballot.sayOnce('KeyAdvert', 0, advert('a')))],
    ['a Prepare', (ballot) => ballot.prepare('attempt-0', { view: 0, value: cutValue, passesChecks: true })],
    ['a Commit', (ballot) => ballot.commit(lockFor('attempt-0', 0, cutValue))],
    ['a ViewChange', (ballot) => ballot.changeView(1)],
    ['a decision', (ballot) => ballot.decide(decisionFor('attempt-0', cutValue))]
  ]
  for (const [what, act] of acts) {
    it(`${what} is not given out before the journal has it`, async () => {
      const journal = new SlowJournal()
      const acting = act(await openBallot(0, journal))
      assert.equal(await isSettled(acting), false)
      assert.equal(journal.writes, 1)
      journal.release()
      await acting
      assert.ok(await journal.get('ballot'))
    })

    it(`${what} is not given out when the journal fails, nor is anything after it`, async () => {
      const ballot = await openBallot(0, new FullDisk())
      await assert.rejects(act(ballot), /no space left/)
      for (const [, other] of acts) await assert.rejects(other(ballot))
    })
  }

  it('an advert asked for while the mark is still being written waits for it', async () => {
    const journal = new SlowJournal()
    const ballot = await openBallot(0, journal)
    const entering = ballot.enter(0, attemptId)
    const advertising = ballot.sayOnce('KeyAdvert', 0, advert('a'))
    assert.equal(await isSettled(advertising), false)
    journal.release()
    await Promise.all([entering, advertising])
  })

  it('a vote asked for again while the first is still being written waits as well', async () => {
    const journal = new SlowJournal()
    const ballot = await openBallot(0, journal)
    const asks = { view: 0, value: cutValue, passesChecks: true }
    const both = [ballot.prepare('attempt-0', asks), ballot.prepare('attempt-0', asks)]
    assert.equal(await isSettled(Promise.race(both)), false)
    assert.equal(journal.writes, 1)
    journal.release()
    const [first, second] = await Promise.all(both)
    assert.deepEqual(first.encoded, second.encoded)
  })
})

describe('the ballot: votes survive a crash (S3)', () => {
  async function afterCrash(journal: MemoryJournal) {
    return openBallot(0, journal.clone())
  }

  it('what was prepared, committed to, locked, decided and changed to is remembered', async () => {
    const journal = new MemoryJournal()
    const ballot = await openBallot(0, journal)
    const vote = await ballot.prepare('attempt-0', { view: 0, value: cutValue, passesChecks: true })
    const again = await afterCrash(journal)
    await refused(again.prepare('attempt-0', { view: 0, value: retry, passesChecks: true }), /another value in view 0/)
    assert.deepEqual(
      (await again.prepare('attempt-0', { view: 0, value: cutValue, passesChecks: true })).encoded,
      vote.encoded
    )

    await ballot.commit(lockFor('attempt-0', 0, cutValue))
    const locked = await afterCrash(journal)
    assert.deepEqual(locked.lock('attempt-0'), lockFor('attempt-0', 0, cutValue))
    await refused(locked.prepare('attempt-0', { view: 1, value: retry, passesChecks: true }), /locked on another value/)

    const change = await ballot.changeView(2)
    const changed = await afterCrash(journal)
    assert.equal(changed.changedTo, 2)
    assert.deepEqual((await changed.changeView(2)).encoded, change.encoded)
    await refused(changed.changeView(1), /after 1/)
    await refused(changed.prepare('closing', { view: 1, value: burned, passesChecks: true }), /in a view after 1/)

    await ballot.decide(decisionFor('attempt-0', cutValue))
    assert.deepEqual((await afterCrash(journal)).decision('attempt-0')?.value, cutValue)
  })

  it('two values asked for at the same moment give one vote', async () => {
    const ballot = await openBallot(0)
    const both = await Promise.allSettled([
      ballot.prepare('closing', { view: 1, value: burned, passesChecks: true }),
      ballot.prepare('closing', { view: 1, value: summed, root: hashOf('root'), passesChecks: true })
    ])
    assert.deepEqual(
      both.map(({ status }) => status),
      ['fulfilled', 'rejected']
    )
  })

  it('a vote of one attempt is none in another, and inclusion is not closing', async () => {
    const ballot = await openBallot(0)
    const lock = lockFor('attempt-1', 0, cutValue)
    await refused(
      ballot.prepare('attempt-0', { view: 1, value: cutValue, passesChecks: false, lock }),
      /was shown for attempt-0/
    )
    await ballot.commit(lock)
    assert.equal(ballot.lock('attempt-0'), undefined)
    await ballot.prepare('attempt-0', { view: 0, value: retry, passesChecks: true })
  })

  it('a ViewChange counts in every agreement of the round', async () => {
    const ballot = await openBallot(0)
    await ballot.changeView(1)
    await refused(ballot.prepare('attempt-0', { view: 0, value: cutValue, passesChecks: true }), /in a view after 0/)
    await refused(ballot.commit(lockFor('attempt-0', 0, cutValue)), /in a view after 0/)
    await refused(ballot.commit(lockFor('closing', 0, burned)), /in a view after 0/)
    await refused(ballot.changeView(0), /without a change/)
  })
})

describe('the ballot: certificates', () => {
  const cases: Array<[string, Parameters<typeof votes>[2], Parameters<typeof votes>[0]]> = [
    ['too few votes', everyone.slice(0, quorum - 1), 'Prepare'],
    ['votes of the other kind', everyone.slice(0, quorum), 'Commit']
  ]
  for (const [what, signers, type] of cases) {
    it(`a lock of ${what} is none`, async () => {
      const vote = { agreement: 'attempt-0', view: 0, value: valueHash(cutValue), root: null }
      const lock = { value: cutValue, certificate: votes(type, vote, signers) }
      await assert.rejects((await openBallot(0)).commit(lock), { code: 'INVALID' })
    })
  }

  it('a lock is none for another value, view, agreement, root or round than was voted for, or with any bit flipped', async () => {
    const ballot = await openBallot(0)
    const lock = lockFor('closing', 1, summed, hashOf('root'))
    const { certificate } = lock
    const wrong = [
      { ...lock, value: burned },
      { ...lock, certificate: { ...certificate, view: 2 } },
      { ...lock, certificate: { ...certificate, agreement: 'attempt-0' } },
      { ...lock, certificate: { ...certificate, root: hashOf('other') } },
      { ...lock, certificate: { ...certificate, root: null } },
      { ...lock, certificate: { ...certificate, signers: setOf([1, 2, 3, 4]) } },
      { ...lock, certificate: { ...certificate, signatures: certificate.signatures.slice(64) } }
    ]
    for (let byte = 0; byte < certificate.signatures.length; byte += 7) {
      const signatures = certificate.signatures.slice()
      signatures[byte] ^= 1
      wrong.push({ ...lock, certificate: { ...certificate, signatures } })
    }
    for (const one of wrong) await assert.rejects(ballot.commit(one), { code: 'INVALID' })
    await ballot.commit(lock)
  })

  it('a decision is a quorum of Commits, and the same again is no news', async () => {
    const ballot = await openBallot(0)
    const decision = decisionFor('attempt-0', cutValue)
    await assert.rejects(ballot.decide({ ...decision, commits: lockFor('attempt-0', 0, cutValue).certificate }), {
      code: 'INVALID'
    })
    await ballot.decide(decision)
    await ballot.decide(decision)
    await refused(ballot.decide(decisionFor('attempt-0', retry)), /another value is decided/)
  })
})

describe('the ballot: attempts (S5, S6)', () => {
  it('an attempt is entered once, under one id', async () => {
    const ballot = await openBallot(0)
    await ballot.enter(0, attemptId)
    await ballot.enter(0, attemptId)
    await refused(ballot.enter(0, hashOf('other')), /under another id/)
  })

  it('the next is entered only with the decision to retry the one before', async () => {
    const ballot = await openBallot(0)
    await ballot.enter(0, attemptId)
    await refused(ballot.enter(1, hashOf('next')), /without the decision to retry attempt 0/)
    const decidedCut = await openBallot(1)
    await decidedCut.enter(0, attemptId)
    await decidedCut.decide(decisionFor('attempt-0', cutValue))
    await refused(decidedCut.enter(1, hashOf('next')), /without the decision to retry attempt 0/)
    await ballot.decide(decisionFor('attempt-0', retry))
    await ballot.enter(1, hashOf('next'))
  })

  it('a member that missed an attempt enters the one after it, and never goes back', async () => {
    const journal = new MemoryJournal()
    const ballot = await openBallot(0, journal)
    await ballot.decide(decisionFor('attempt-0', retry))
    await ballot.enter(1, hashOf('next'))
    await refused(ballot.enter(0, attemptId), /under another id/)
    const restarted = await openBallot(0, journal.clone())
    assert.ok(restarted.sitsOut(0) && restarted.sitsOut(1) && !restarted.sitsOut(2))
  })

  it('after a restart it advertises, shares, masks and reveals nothing in an attempt it had entered', async () => {
    const journal = new MemoryJournal()
    await (await openBallot(0, journal)).enter(0, attemptId)
    const ballot = await openBallot(0, journal.clone())
    assert.ok(ballot.sitsOut(0))
    assert.ok(!ballot.sitsOut(1))
    await refused(ballot.enter(0, attemptId), /sits it out/)
    await refused(ballot.sayOnce('KeyAdvert', 0, advert('a')), /not entered/)
    await refused(ballot.sayOnce('ShareRoot', 0, { attemptId, root: hashOf('root') }), /not entered/)
    await refused(ballot.sayOnce('MaskedHeader', 0, header('a')), /not entered/)
    await ballot.decide(decisionFor('attempt-0', cutValue))
    assert.throws(() => ballot.release(0, cut, 1, 'seed'), BallotError)
    await ballot.prepare('attempt-0', {
      view: 1,
      value: cutValue,
      passesChecks: false,
      lock: lockFor('attempt-0', 0, cutValue)
    })
  })

  it('after a restart it leads no view up to the one that it had signed in', async () => {
    const journal = new MemoryJournal()
    const ballot = await openBallot(0, journal)
    assert.ok(ballot.mayLead(0))
    await ballot.enter(0, attemptId)
    assert.ok(ballot.mayLead(0))
    await ballot.changeView(2)
    const again = await openBallot(0, journal.clone())
    assert.deepEqual(
      [0, 1, 2, 3].map((view) => again.mayLead(view)),
      [false, false, false, true]
    )
    await again.changeView(3)
    assert.ok(again.mayLead(3), 'it has signed in the view since the restart only')
  })
})

describe('the ballot: reveals (S4)', () => {
  async function decided() {
    const ballot = await openBallot(0)
    await ballot.enter(0, attemptId)
    await ballot.decide(decisionFor('attempt-0', cutValue))
    return ballot
  }

  it('nothing is revealed before the decision, or for another cut than was decided', async () => {
    const ballot = await openBallot(0)
    await ballot.enter(0, attemptId)
    const reveal = (one: Cut) => () => ballot.release(0, one, 1, 'seed')
    assert.throws(reveal(cut), /without the decision/)
    await ballot.decide(decisionFor('attempt-0', cutValue))
    assert.throws(reveal(otherCut), /without the decision/)
    reveal(cut)()
  })

  it('nothing is revealed on the decision to retry, or of another attempt', async () => {
    const ballot = await openBallot(0)
    await ballot.enter(0, attemptId)
    await ballot.decide(decisionFor('attempt-0', retry))
    assert.throws(() => ballot.release(0, cut, 1, 'seed'), /without the decision/)
    assert.throws(() => ballot.release(1, cut, 1, 'seed'), /not entered/)
    assert.throws(() => ballot.release(0, { ...cut, attemptId: hashOf('x') }, 1, 'seed'), /not entered/)
  })

  it('of an included member the seed side, of a dropped one the key side, and never the other', async () => {
    const ballot = await decided()
    for (const member of everyone) {
      const [side, other] = included.has(member) ? (['seed', 'key'] as const) : (['key', 'seed'] as const)
      assert.throws(() => ballot.release(0, cut, member, other), /does not open/)
      ballot.release(0, cut, member, side)
      ballot.release(0, cut, member, side)
    }
  })

  it('both sides of one member are never revealed, whatever is decided and shown', async () => {
    const ballot = await decided()
    ballot.release(0, cut, 3, 'seed')
    assert.throws(() => ballot.release(0, cut, 3, 'key'), BallotError)
    assert.throws(() => ballot.release(0, otherCut, 3, 'key'), BallotError)
    await refused(ballot.decide(decisionFor('attempt-0', { kind: 'cut', cutHash: cutHash(otherCut) })), /is decided/)
    assert.throws(() => ballot.release(0, otherCut, 3, 'key'), BallotError)
  })
})

describe('the ballot: other rounds', () => {
  it('signs for its own round alone', async () => {
    const journal: Journal = new MemoryJournal()
    const vote = await (await openBallot(2, journal)).prepare('closing', { view: 1, value: burned, passesChecks: true })
    assert.deepEqual([vote.task, vote.epoch, vote.round, vote.from], [context.task, 0, context.round, 2])
    assert.equal(roster.members[2].index, 2)
  })
})
