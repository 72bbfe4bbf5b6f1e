import assert from 'node:assert/strict'
import { firstOrder } from './schedule.ts'
import { simulatedTask } from './identities.ts'
import { Simulation } from './network.ts'

describe('a leader that long vectors are sent to', function () {
  this.timeout(60_000)

  /** The most vectors that its store had begun and not ended at the same time, in the first round. */
  async function mostAtOnce(members: number, length: number): Promise<number> {
    const terms = { members, length, threat: { corrupt: 0, dropout: 0.3 } }
    const [leader] = firstOrder((await simulatedTask(terms)).task)
    const simulation = await Simulation.create({ ...terms, seed: 1 })
    const { vectors } = simulation.peers[leader]
    const stage = vectors.stage.bind(vectors)
    let [open, most] = [0, 0]
    vectors.stage = async (name) => {
      const staged = await stage(name)
      if (!name.includes('upload')) return staged
      most = Math.max(most, ++open)
      const ends = { commit: staged.commit.bind(staged), abort: staged.abort.bind(staged) }
      let isOpen = true
      const over = (): void => {
        if (isOpen) open--
        isOpen = false
      }
      staged.commit = (options) => (over(), ends.commit(options))
      staged.abort = () => (over(), ends.abort())
      return staged
    }
    await simulation.round(1)
    const { status, included, aggregator } = simulation.peers[leader].outcomes[0]
    assert.deepEqual(
      { status, included: included.length, aggregator },
      { status: 'summed', included: members, aggregator: leader }
    )
    simulation.stop()
    return most
  }

  it('takes four at a time and lets the others wait, so that its memory is the same whatever the number of members', async () => {
    for (const members of [6, 9]) assert.equal(await mostAtOnce(members, 600_000), 4)
  })

  it('takes short ones as they come', async () => {
    assert.ok((await mostAtOnce(9, 1000)) > 4)
  })
})
