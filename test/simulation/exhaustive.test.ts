import assert from 'node:assert/strict'
import { MessageError } from '../../src/errors.ts'
import type { AgreementState, Step } from '../../src/round/agreement.ts'
import { checkCertificate, checkLock } from '../../src/round/certificates.ts'
import type { Body } from '../../src/round/messages.ts'
import { everyAnswer } from './ballot-answers.ts'
import { nothingFound, runSchedule } from './ballot-schedules.ts'
import { candidates, certificateOf, context, Disk, electorate, openBallot, voteFor } from './ballot-walk.ts'
import { chance } from './chance.ts'
import { explore } from './explore.ts'
import type { Exploration } from './explore.ts'
import { rules } from './member-steps.ts'
import type { Memory, Rules, World } from './member-steps.ts'

const world = (members: number, corrupt: number, views: number, more: Partial<World> = {}): World => ({
  members,
  corrupt,
  views,
  quorum: Math.floor((members + corrupt) / 2) + 1,
  ...more
})

/** Nothing is decided twice, and the exploration was no empty one. */
function safe({ states, decided, twoLocks, twoDecisions }: Exploration, atLeast: number): void {
  assert.equal(twoDecisions, undefined, `two decisions: ${twoDecisions?.join(', ')}`)
  assert.ok(!twoLocks, 'there are locks on two values in one view')
  assert.ok(states >= atLeast, `only ${states} states were seen`)
  assert.ok(decided > states / 5, `something is decided in only ${decided} of ${states} states`)
}

describe('agreement under every schedule', function () {
  this.timeout(120_000)

  const worlds: [members: number, corrupt: number, views: number, states: number][] = [
    [4, 1, 2, 1_500],
    [4, 1, 3, 90_000],
    [5, 1, 2, 4_000],
    [6, 1, 2, 60_000],
    [7, 2, 2, 60_000]
  ]
  for (const [members, corrupt, views, states] of worlds)
    it(`of ${members} members, ${corrupt} of them corrupt, decides one value in ${views} views`, () => {
      safe(explore(world(members, corrupt, views)), states)
    })

  it('decides one value with every change of view, crash and word of a decision taken one by one', () => {
    safe(explore(world(4, 1, 2, { idleSteps: true })), 60_000)
  })

  it('decides one value when members crash between journal and network', () => {
    safe(explore(world(4, 1, 2, { lostVotes: true })), 20_000)
  })

  it('decides one value, whichever roots its sum is prepared under', () => {
    const choices = [{ value: 'A', root: 'r' }, { value: 'A', root: 's' }, { value: 'B' }]
    safe(explore(world(4, 1, 2, { choices })), 8_000)
  })

  it('decides one value in each of two attempts', () => {
    safe(explore(world(4, 1, 1, { agreements: 2 })), 2_500)
  })
})

type Mutation = Partial<Rules>

const without = (state: AgreementState, ...what: (keyof AgreementState)[]): AgreementState => ({
  ...state,
  ...(what.includes('lock') && { lock: undefined }),
  ...(what.includes('prepared') && { prepared: {} }),
  ...(what.includes('committed') && { committed: {} }),
  ...(what.includes('signedView') && { signedView: -1 })
})
const keeping = (step: Step, lock: AgreementState['lock']): Step =>
  'state' in step ? { state: { ...step.state, lock } } : step
const unlocked: Rules['prepare'] = (state, request) =>
  keeping(rules.prepare(without(state, 'lock'), request), state.lock)
const forgetting =
  (...what: (keyof AgreementState)[]) =>
  ({ agreements, changedTo }: Memory): Memory => ({
    changedTo: what.includes('signedView') ? 0 : changedTo,
    agreements: agreements.map((state) => without(state, ...what))
  })

const preparesTwice: Mutation = { prepare: (state, request) => rules.prepare(without(state, 'prepared'), request) }
const forgetsPrepares: Mutation = { journaled: forgetting('prepared') }
const commitsTwice: Mutation = {
  commit: (state, lock, changedTo) => rules.commit(without(state, 'committed'), lock, changedTo)
}

describe('agreement decides twice', function () {
  this.timeout(120_000)

  function twice({ twoDecisions, states }: Exploration): void {
    assert.ok(twoDecisions !== undefined, `no schedule of ${states} states decides twice`)
  }
  const mutants: Record<string, { views: number; mutation: Mutation }> = {
    "where a member's own lock is ignored": { views: 2, mutation: { prepare: unlocked } },
    'where an older lock unlocks': {
      views: 3,
      mutation: {
        prepare: (state, request) => {
          const { shownLock: shown, value, view } = request
          const older = shown !== undefined && shown.value === value && shown.view < view
          return (older ? unlocked : rules.prepare)(state, request)
        }
      }
    },
    'where members commit after they have signed for a later view': {
      views: 2,
      mutation: { commit: (state, lock) => rules.commit(without(state, 'signedView'), lock, 0) }
    },
    'where locks are not journaled': { views: 2, mutation: { journaled: forgetting('lock') } },
    'where the view is not journaled': { views: 2, mutation: { journaled: forgetting('signedView') } },
    'where members prepare twice in a view, and commit twice': {
      views: 2,
      mutation: { ...preparesTwice, ...commitsTwice }
    },
    'where prepares are not journaled, and members commit twice in a view': {
      views: 2,
      mutation: { ...forgetsPrepares, ...commitsTwice }
    }
  }
  for (const [where, { views, mutation }] of Object.entries(mutants))
    it(where, () => {
      twice(explore(world(4, 1, views, { rules: { ...rules, ...mutation } })))
    })

  it('where the quorum is one lower', () => {
    for (const [members, corrupt] of [
      [4, 1],
      [5, 1],
      [7, 2]
    ])
      twice(explore(world(members, corrupt, 2, { quorum: Math.floor((members + corrupt) / 2) })))
  })

  it('where a vote of one attempt counts in another', () => {
    twice(explore(world(4, 1, 1, { agreements: 2, pooled: true })))
  })
})

// One prepare a view makes the lock of a view one; were there two of them, one commit a view would still hold the decision.
describe('agreement with two locks in one view', function () {
  this.timeout(120_000)

  for (const [where, mutation] of Object.entries({
    'where members prepare twice in a view': preparesTwice,
    'where prepares are not journaled': forgetsPrepares
  }))
    it(`comes about ${where}, and alone decides nothing twice in two views`, () => {
      const { twoLocks, twoDecisions } = explore(world(4, 1, 2, { rules: { ...rules, ...mutation } }))
      assert.ok(twoLocks)
      assert.equal(twoDecisions, undefined)
    })
})

const quorum = [0, 1, 3]

describe('a certificate of one attempt', () => {
  const retry = candidates['attempt-0'][1]
  const { value } = retry
  const prepares = certificateOf('Prepare', voteFor('attempt-0', 0, retry), quorum)
  const commits = certificateOf('Commit', voteFor('attempt-0', 0, retry), quorum)
  const elsewhere = { agreement: 'attempt-1' }

  it('is none in another', () => {
    checkCertificate('Prepare', prepares, context, electorate)
    checkCertificate('Commit', commits, context, electorate)
    assert.throws(
      () => checkCertificate('Prepare', { ...prepares, ...elsewhere }, context, electorate),
      /invalid Prepare/
    )
    assert.throws(() => checkCertificate('Commit', { ...commits, ...elsewhere }, context, electorate), /invalid Commit/)
    assert.throws(
      () => checkLock({ value, certificate: { ...prepares, ...elsewhere } }, context, electorate),
      MessageError
    )
  })

  it('neither unlocks, nor is committed to, nor decides in another', async () => {
    const disk = new Disk()
    const ballot = await openBallot(0, disk)
    const lock = { value, certificate: prepares }
    const relabelled = { value, certificate: { ...prepares, ...elsewhere } }
    const proposal = { view: 1, value, passesChecks: false }
    await assert.rejects(
      ballot.prepare('attempt-1', { ...proposal, lock }),
      /a lock of attempt-0 was shown for attempt-1/
    )
    await assert.rejects(ballot.prepare('attempt-1', { ...proposal, lock: relabelled }), /invalid Prepare/)
    await assert.rejects(ballot.commit(relabelled), /invalid Prepare/)
    const decision: Body<'Decision'> = { value, commits: { ...commits, ...elsewhere }, reason: '' }
    await assert.rejects(ballot.decide(decision), /invalid Commit/)
    assert.equal(await disk.bytes(), '')
  })

  it('locks and decides nothing in another', async () => {
    const ballot = await openBallot(0, new Disk())
    await ballot.commit({ value, certificate: prepares })
    await ballot.decide({ value, commits, reason: '' })
    assert.equal(ballot.lock('attempt-1'), undefined)
    assert.equal(ballot.decision('attempt-1'), undefined)
    const [cut] = candidates['attempt-0']
    await ballot.prepare('attempt-1', { view: 0, value: cut.value, passesChecks: true })
  })
})

describe('the ballot', function () {
  this.timeout(120_000)

  for (const name of ['attempt-0', 'closing'] as const)
    it(`signs for ${name} what the agreement allows and nothing else, through a crash around every write`, async () => {
      assert.ok((await everyAnswer(name)) >= 400)
    })

  it('never signs two votes of one type in a view, nor do ballots decide twice, through crashes at any time', async () => {
    const found = nothingFound()
    for (let seed = 0; seed < 300; seed++) await runSchedule(chance(seed), found)
    assert.deepEqual(found.disagreements, [])
    assert.deepEqual(found.doubleVotes, [])
    assert.equal(found.decidedTwice, 0)
    assert.ok(found.votes > 1_000 && found.crashes > 1_000 && found.decided > 20, JSON.stringify(found))
  })

  it('would sign two votes of one type in a view, with a journal that forgets', async () => {
    const found = nothingFound()
    for (let seed = 0; seed < 30; seed++) await runSchedule(chance(seed), found, true)
    assert.ok(found.doubleVotes.length > 0)
    assert.ok(found.disagreements.length > 0)
  })
})
