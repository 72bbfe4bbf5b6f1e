import assert from 'node:assert/strict'
import { epsilonOf, releaseCost } from '../../src/encoding/noise/accounting.ts'
import { noiseDeviation, taskSensitivity } from '../../src/encoding/noise/private-encoding.ts'
import { RoundError } from '../../src/errors.ts'
import { MemoryJournal } from '../../src/journal/journal.ts'
import { PrivacyLedger, privateTerms } from '../../src/round/privacy-ledger.ts'
import { createTask } from '../../src/task/task.ts'
import { members } from '../task/members.ts'

function taskWith(privacy: object = {}) {
  const terms = { noiseMultiplier: 1, delta: 1e-5, ...privacy }
  return privateTerms(createTask({ name: 'private', members: members(8), length: 100, privacy: terms }))!
}

const everyone = [0, 1, 2, 3, 4, 5, 6, 7]

describe('the account of what a member gave away (§12)', () => {
  const task = taskWith()
  const { f, nMin } = task.thresholds
  const cost = (contributors: number): Float64Array =>
    releaseCost(taskSensitivity(task), noiseDeviation(task), contributors)

  it('adds the rounds, each with |included| − f contributors', async () => {
    const ledger = new PrivacyLedger(task, new MemoryJournal())
    assert.deepEqual(await ledger.spent(), { epsilon: 0, delta: 1e-5, releases: 0 })
    await ledger.enter(1, task)
    await ledger.settle({ round: 1, input: 'summed', included: everyone }, task, 0)
    await ledger.enter(2, task)
    await ledger.settle({ round: 2, input: 'summed', included: everyone.slice(0, 6) }, task, 0)
    const [first, second] = [cost(8 - f), cost(6 - f)]
    const { epsilon, releases } = await ledger.spent()
    assert.equal(releases, 2)
    assert.equal(
      epsilon,
      epsilonOf(
        first.map((value, at) => value + second[at]),
        1e-5
      )
    )
    assert.equal(PrivacyLedger.epsilonOfRound(task, 8), epsilonOf(first, 1e-5))
  })

  it('counts a burned round in which it masked, and one that a crash cut short, with nMin − f', async () => {
    const journal = new MemoryJournal()
    const ledger = new PrivacyLedger(task, journal)
    await ledger.enter(1, task)
    const { epsilon } = await ledger.spent()
    assert.equal(epsilon, epsilonOf(cost(nMin - f), 1e-5))
    await ledger.settle({ round: 1, input: 'burned', included: [] }, task, 0)
    assert.equal((await ledger.spent()).epsilon, epsilon)
    assert.deepEqual(await new PrivacyLedger(task, journal.clone()).spent(), { epsilon, delta: 1e-5, releases: 1 })
  })

  it('counts the honest members of its own group alone, where sums are per group', async () => {
    const terms = { noiseMultiplier: 1, delta: 1e-5 }
    const threat = { corrupt: 0.05, dropout: 0.05 }
    const groups = { count: 2, trim: 0 }
    const grouped = privateTerms(
      createTask({ name: 'grouped', members: members(20), length: 100, privacy: terms, threat, groups })
    )!
    const costs = (contributors: number): Float64Array =>
      releaseCost(taskSensitivity(grouped), noiseDeviation(grouped), contributors)
    const ledger = new PrivacyLedger(grouped, new MemoryJournal())
    await ledger.enter(1, grouped)
    // A group whose sum is as small as they come: three members, one of whom may be corrupt.
    assert.equal((await ledger.spent()).epsilon, epsilonOf(costs(2), 1e-5))
    const included = Array.from({ length: 19 }, (_, member) => member)
    const of = Array.from({ length: 20 }, (_, member) => member % 2)
    await ledger.settle({ round: 1, input: 'summed', included, groups: of }, grouped, 1)
    assert.equal((await ledger.spent()).epsilon, epsilonOf(costs(9 - 1), 1e-5))
  })

  it('counts nothing for a vector that was never opened', async () => {
    const journal = new MemoryJournal()
    const ledger = new PrivacyLedger(task, journal)
    await ledger.enter(1, task)
    await ledger.settle({ round: 1, input: 'not included', included: everyone.slice(1) }, task, 0)
    assert.equal((await ledger.spent()).releases, 0)
    assert.equal((await new PrivacyLedger(task, journal).spent()).releases, 0)
  })

  it('refuses a round that may go beyond the budget, and never one that stays within it', async () => {
    const once = epsilonOf(cost(nMin - f), 1e-5)
    const budgeted = taskWith({ budget: once * 1.2 })
    const ledger = new PrivacyLedger(budgeted, new MemoryJournal())
    await ledger.enter(1, budgeted)
    // Asked for again in a further attempt of the same round: one release, whatever becomes of it.
    await ledger.enter(1, budgeted)
    const refused = (error: unknown): boolean => error instanceof RoundError && error.code === 'PRIVACY_BUDGET'
    await assert.rejects(async () => {
      for (let round = 2; round < 10; round++) await ledger.enter(round, budgeted)
    }, refused)
    assert.ok((await ledger.spent()).epsilon <= once * 1.2)
  })
})
