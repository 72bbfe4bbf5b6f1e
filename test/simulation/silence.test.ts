import assert from 'node:assert/strict'
import { without } from './adversaries/adversary.ts'
import { Simulation } from './network.ts'
import type { Peer, SimulationOptions, Tamper } from './network.ts'
import { checkRound } from './schedule.ts'

/** Of seven members one may be corrupt: the first that most others ask. */
const threat = { corrupt: 0.15, dropout: 0.15 }
const silent = 0
const other = 6

const create = (options: Partial<SimulationOptions>): Promise<Simulation> =>
  Simulation.create({ members: 7, seed: 4, threat, adversaries: [{ who: silent, as: 'AnswersNothing' }], ...options })

async function pass({ clock }: Simulation, ms: number): Promise<void> {
  let over = false
  void clock.sleep(ms).then(() => (over = true))
  await clock.run(() => over, clock.now() + ms)
}

/** What whoever leads says to one member, without some of it. */
function toOther(isUnwanted: Parameters<typeof without>[0]): Pick<SimulationOptions, 'tamperAsLeader'> {
  const dropping = without(isUnwanted)
  const tamper: Tamper = (frames, to) => (to === other ? dropping(frames, to) : frames)
  return { tamperAsLeader: new Map([0, 1, 2, 3, 4, 5, 6].map((leader) => [leader, tamper])) }
}

describe('a member that answers nothing, and hangs up on nobody', function () {
  this.timeout(0)

  it('holds up nobody that asks it for a sum', async () => {
    const simulation = await create(toOther(({ type }) => type === 'SumHeader'))
    await simulation.round(1, 300_000)
    const [{ status, sum }] = simulation.peers[other].outcomes
    assert.equal(status, 'summed')
    assert.notEqual(sum, undefined, 'it has the sum from another')
    await checkRound(simulation, 1)
  })

  it('holds up nobody that asks it for the roster that a decision names', async () => {
    const unshown = toOther(({ type, body }) => type === 'Proposal' && 'change' in body && body.change !== null)
    const simulation = await create({ ...unshown, admission: { allow: [20] } })
    const newcomer = await simulation.add(20)
    await pass(simulation, 15_000)
    const closed = ({ participant }: Peer) => participant.chronicle.closed.round
    for (let round = 1; round <= 3; round++) {
      const until = simulation.clock.now() + 300_000
      await simulation.peers[1].member.want()
      await simulation.clock.run(() => simulation.honest.every((peer) => closed(peer) >= round), until)
      await pass(simulation, 15_000)
    }
    assert.equal(simulation.peers[other].participant.roster.epoch, 1)
    assert.ok(simulation.peers[newcomer].member.me >= 0, 'whoever comes new asks it first')
  })

  it('holds up nobody that missed rounds', async () => {
    const simulation = await create({})
    await simulation.round(1)
    simulation.kill(other)
    for (let round = 2; round <= 3; round++) await simulation.round(round)
    simulation.restart(other)
    await pass(simulation, 200_000)
    assert.deepEqual(
      simulation.peers[other].missed.map(({ round, sum }) => [round, sum !== undefined]),
      [
        [2, true],
        [3, true]
      ]
    )
  })
})
