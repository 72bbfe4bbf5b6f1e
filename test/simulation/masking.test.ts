import assert from 'node:assert/strict'
import { Secret } from '../../src/crypto/secret.ts'
import { onThisThread } from '../../src/round/ports.ts'
import type { Compute } from '../../src/round/ports.ts'
import { eachFrame } from './adversaries/adversary.ts'
import { simulatedTask } from './identities.ts'
import { Simulation } from './network.ts'
import type { Tamper } from './network.ts'
import { checkNobodyBlamed, checkNobodyConvicted, firstOrder } from './schedule.ts'

// With privacy a vector is another one each time that it is encoded: two of them under the same masks show the difference.
const terms = {
  ...{ members: 8, length: 64, audit: 0 },
  threat: { corrupt: 0.125, dropout: 0.125 },
  privacy: { noiseMultiplier: 0.5, delta: 1e-5 }
}

describe('a member that is shown its masking set again while it still masks', function () {
  this.timeout(0)

  async function run(masking: number, tamper: (simulation: () => Simulation, victim: number) => Tamper) {
    const [leader, , , victim] = firstOrder((await simulatedTask(terms)).task)
    const addMasks: Compute['addMasks'] = async (...masks) => {
      await simulation.clock.sleep(masking)
      return onThisThread.addMasks(...masks)
    }
    const simulation: Simulation = await Simulation.create({
      ...{ ...terms, seed: 3, compute: { ...onThisThread, addMasks } },
      tamperAsLeader: new Map([[leader, tamper(() => simulation, victim)]])
    })
    const written: string[] = []
    for (const { vectors } of simulation.peers) {
      const stage = vectors.stage.bind(vectors)
      vectors.stage = (name) => {
        if (name.endsWith('/masked')) written.push(name)
        return stage(name)
      }
    }
    await simulation.round(1)
    checkNobodyBlamed(simulation)
    checkNobodyConvicted(simulation)
    const { status, included, views } = simulation.peers[victim].outcomes[0]
    assert.deepEqual([status, included.length], ['summed', terms.members])
    assert.equal(written.length, terms.members)
    return { views }
  }

  it('by a leader to which its connection broke masks once, and is in the sum with the vector that it signed', async () => {
    let times = 0
    const { views } = await run(
      300,
      (simulation, victim) => (frames, member) =>
        eachFrame(async function* (message, frame) {
          yield frame
          if (message?.type === 'MaskingSet' && member === victim && times++ === 0)
            simulation().breakConversation(victim)
        })(frames, member)
    )
    assert.equal(times, 2, 'it was shown the set twice')
    assert.equal(views, 1)
  })

  it('by a later leader, for it takes longer than the view, masks once, and so do all others', async () => {
    const { views } = await run(12_000, () => (frames) => frames)
    assert.ok(views > 1)
  })
})

describe('the masks of a round that is over', () => {
  it('are erased, but for those that were opened to everybody (S7)', async () => {
    const laid: Secret[] = []
    const addMasks: Compute['addMasks'] = (lanes, masks, options) => {
      // Added are a member's own, and subtracted by the leader what was opened, which is no Secret any more.
      for (const { seed } of masks) if (seed instanceof Secret) laid.push(seed)
      return onThisThread.addMasks(lanes, masks, options)
    }
    const simulation = await Simulation.create({ ...terms, seed: 3, compute: { ...onThisThread, addMasks } })
    await simulation.round(1)
    assert.equal(laid.length, terms.members ** 2)
    assert.deepEqual(
      laid.filter((seed) => seed.expose().some((byte) => byte !== 0)),
      []
    )
  })
})

describe('a member whose application calls its input off after its keys are advertised', () => {
  it('masks nothing, and takes part in all else, also where a later leader asks for its keys again', async () => {
    const terms = { members: 8, length: 7, threat: { corrupt: 0.125, dropout: 0.25 } }
    const [leader, , , who] = firstOrder((await simulatedTask(terms)).task)
    const off = new AbortController()
    const simulation = await Simulation.create({
      ...{ ...terms, seed: 3 },
      kills: [{ who: leader, phase: 'shares', round: 1 }],
      calledOff: new Map([[who, off.signal]]),
      tamper: new Map([
        [
          who,
          eachFrame((message, frame) => {
            if (message?.type === 'KeyAdvert') off.abort(new Error('called off'))
            return [frame]
          })
        ]
      ])
    })
    await simulation.round(1)
    const { outcomes, refusals } = simulation.peers[who]
    const [{ status, included, input, views }] = outcomes
    assert.deepEqual([status, views, input], ['summed', 2, 'not included'])
    assert.equal(included.length, terms.members - 2)
    assert.deepEqual(refusals, [])
    const { ledger } = simulation
    const said = (['KeyAdvert', 'Ready', 'MaskedHeader', 'Commit', 'Reveal'] as const).map((type) =>
      Math.min(1, ledger.count(type, who))
    )
    assert.deepEqual(said, [1, 1, 0, 1, 1])
  })
})
