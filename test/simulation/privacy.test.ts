import assert from 'node:assert/strict'
import { noiseDeviation } from '../../src/encoding/noise/private-encoding.ts'
import { MemoryJournal } from '../../src/journal/journal.ts'
import { PrivacyLedger, privateTerms } from '../../src/round/privacy-ledger.ts'
import { Simulation } from './network.ts'

const members = 8
/** So many samples of the noise. */
const length = 2 ** 14
/** Seven standard errors of a variance: fewer than one in 10^11 honest sums is further off. */
const tolerance = 7 * Math.sqrt(2 / length)
const terms = {
  ...{ members, length, audit: 0 },
  threat: { corrupt: 0.125, dropout: 0.125 },
  privacy: { noiseMultiplier: 0.5, delta: 1e-5 }
}

describe('a round with privacy from which a member drops out', function () {
  this.timeout(0)

  for (let who = 0; who < members; who++)
    it(`keeps the noise and the ε that were promised, without member ${who}`, async () => {
      const simulation = await Simulation.create({ ...terms, seed: who, kills: [{ who, phase: 'mask', round: 1 }] })
      // Of vectors of zeros the sum is its noise.
      for (const input of simulation.inputs) input.fill(0)
      await simulation.round(1, 600_000)
      const task = privateTerms(simulation.task)!
      const { f, nMin } = task.thresholds
      for (const { outcomes, member } of simulation.living) {
        const [outcome] = outcomes
        const { included, dropped, missing, status, reason } = outcome
        assert.equal(status, 'summed', reason)
        // Where it led, an attempt without it was begun.
        assert.deepEqual([included.length, [...dropped, ...missing]], [members - 1, [who]])
        const { values } = await simulation.sum(member.me, outcome)
        const variance = Array.from(values, Number).reduce((sum, value) => sum + value * value, 0) / length
        const promised = (contributors: number): number => contributors * noiseDeviation(task) ** 2
        assert.ok(variance >= promised(included.length - f), `${variance} for ${promised(included.length - f)}`)
        assert.ok(variance >= promised(nMin - f), `${variance} for ${promised(nMin - f)}`)
        assert.ok(Math.abs(variance / promised(included.length) - 1) < tolerance, `${variance}`)
        const ledger = new PrivacyLedger(task, new MemoryJournal())
        await ledger.enter(1, task)
        const { epsilon: before } = await ledger.spent()
        await ledger.settle(outcome, task, member.me)
        const { epsilon } = await ledger.spent()
        assert.ok(epsilon > 0 && epsilon <= before, `${epsilon}, and ${before} was promised`)
        assert.equal(epsilon, PrivacyLedger.epsilonOfRound(task, included.length))
      }
    })
})
