import assert from 'node:assert/strict'
import { createRoster } from '../../src/membership/roster.ts'
import { decodeEvidence, encodeEvidence, verifyEvidence } from '../../src/round/evidence.ts'
import { rulesOf } from '../../src/round/transcript.ts'
import type { behaviours, Behaviour } from './adversaries/index.ts'
import { runHostile } from './hostile.ts'
import type { HostileSchedule } from './hostile.ts'
import { simulatedTask } from './identities.ts'
import type { Simulation } from './network.ts'
import { firstOrder } from './schedule.ts'

/** Of seven members one may lie and one may be missing; a sum has at least six inputs. */
const threat = { corrupt: 0.15, dropout: 0.15 }
const { task } = await simulatedTask({ members: 7, length: 7, threat })
const order = firstOrder(task)
const [leader] = order
/** Neither the leader nor whoever keeps its vector for it. */
const member = order[3]
const peerId = (who: number) => task.members[who]

interface Seen {
  simulation: Simulation
  first: { status: string; views: number; included: number[]; dropped: number[] }
}

/** A run with one adversary; every invariant is checked by it. */
async function against(as: Behaviour, who: number, over: Partial<HostileSchedule> = {}): Promise<Seen> {
  const adversaries = [{ who, as }]
  const quiet = { crashes: [], breaks: [], partitions: [], lostDirect: 0 }
  const { simulation } = await runHostile({
    members: 7,
    seed: 7,
    threat,
    length: 7,
    rounds: 1,
    adversaries,
    ...quiet,
    ...over
  })
  const { status, views, included, dropped } = simulation.honest[0].outcomes[0]
  return { simulation, first: { status, views, included, dropped } }
}

/** Honest members refuse something for which they name the adversary. */
function assertNamed({ honest }: Simulation, who: number, sentence: RegExp, by: 'all' | 'some' = 'some'): void {
  const naming = honest.filter(({ refusals }) =>
    refusals.some((error) => 'culprit' in error && error.culprit === peerId(who) && sentence.test(error.message))
  )
  const found = honest.flatMap(({ refusals }) => refusals.map(({ message }) => message)).join('; ')
  assert.ok(by === 'all' ? naming.length === honest.length : naming.length > 0, `not named: ${found}`)
}

const everyone = [0, 1, 2, 3, 4, 5, 6]
const allBut = (who: number) => everyone.filter((index) => index !== who)

describe('an aggregator', function () {
  this.timeout(0)

  it('that shows different masking sets to different members gets too few vectors for either, and the next carries on', async () => {
    const { simulation, first } = await against('EquivocatingSets', leader)
    assert.equal(first.status, 'summed')
    assert.ok(first.views > 1)
    // Those that masked under the lie are sent nowhere: fresh keys for everyone.
    assert.equal(simulation.ledger.attempts(1), 2)
  })

  it('that invents a survivor is named and left, and the next leader sums what is there', async () => {
    const { simulation, first } = await against('InventsSurvivors', leader)
    assert.equal(first.status, 'summed')
    assert.ok(first.views > 1)
    assertNamed(simulation, leader, /a cut is invalid/)
  })

  it('that drops a victim’s neighbours leaves it as many as every sum has: the least, and no fewer', async () => {
    const { first } = await against('DropsNeighbours', leader)
    assert.equal(first.status, 'summed')
    assert.equal(first.included.length, task.thresholds.nMin)
  })

  it('that chooses the smallest set gets a sum over the least, and of the others only the masks', async () => {
    const { simulation, first } = await against('SmallestSet', leader)
    assert.equal(first.status, 'summed')
    assert.equal(first.included.length, task.thresholds.nMin)
    const [left] = first.dropped
    const [{ input }] = simulation.peers[left].outcomes
    assert.equal(input, 'not included')
  })

  it('that withholds the sum is left when its deadline runs out, and the next publishes the same sum', async () => {
    const { simulation, first } = await against('WithholdsSum', leader)
    assert.equal(first.status, 'summed')
    assert.ok(first.views > 1)
    assert.deepEqual(first.included, everyone)
    assert.equal(simulation.ledger.attempts(1), 1)
  })

  it('that alters one element of a sum is caught by every full audit: all hold evidence, and the next leader publishes the right sum', async () => {
    // A third party knows the task, and nothing else of the network.
    const context = { task: task.idBytes, epoch: 0, round: 1 }
    const rules = rulesOf(context, createRoster({ epoch: 0, members: [...task.members] }), task)
    for (let seed = 1; seed <= 5; seed++) {
      const { simulation, first } = await against('AltersSum', leader, { seed })
      assert.deepEqual([first.status, first.views, first.included], ['summed', 2, everyone])
      // Nothing was opened anew: the first leader's sum had opened everything.
      assert.equal(simulation.ledger.attempts(1), 1)
      for (const { member } of simulation.honest) {
        const found = member.evidence.filter(({ kind }) => kind === 'wrong-sum')
        assert.deepEqual(
          found.map(({ culprit }) => culprit),
          [leader]
        )
        verifyEvidence(decodeEvidence(encodeEvidence(found[0])), rules)
      }
    }
  })

  it('that publishes two sums is caught with both, and the next leader publishes the right one', async () => {
    const { simulation, first } = await against('PublishesTwoSums', leader)
    assert.deepEqual([first.status, first.included], ['summed', everyone])
    assert.ok(first.views > 1)
    for (const { member } of simulation.honest)
      assert.ok(member.evidence.some(({ kind, culprit }) => kind === 'equivocation' && culprit === leader))
  })

  it('that closes the round with what does not follow from it has no vote for that, and the next one closes it', async () => {
    const views = new Set<number>()
    for (let seed = 1; seed <= 12; seed++) {
      const { simulation, first } = await against('ClosesWrongly', leader, { seed })
      assert.deepEqual([first.status, first.included], ['summed', everyone])
      assert.equal(simulation.ledger.attempts(1), 1)
      views.add(first.views)
    }
    // Before half of the members its lie leaves a quorum for the truth now and then.
    assert.ok(views.has(2), 'some lie reached everybody')
  })

  it('that says its last word again and again is left as one that is silent, and the next carries the round on', async () => {
    const words = new Set<string>()
    for (let seed = 1; words.size < 7; seed++) {
      const { simulation, first } = await against('Lingers', leader, { seed })
      assert.deepEqual([first.status, first.views], ['summed', 2])
      words.add((simulation.adversaries.get(leader) as InstanceType<typeof behaviours.Lingers>).last)
    }
  })

  it('that answers no audit is not needed for one: the chunks come from their owners', async () => {
    const { simulation, first } = await against('WithholdsChunks', leader)
    assert.deepEqual([first.status, first.included], ['summed', everyone])
    assert.ok(simulation.honest.every(({ member }) => member.evidence.length === 0))
  })

  it('that replays an old round is named and left, and the round is summed by the next', async () => {
    // Each member leads one round of the first seven; in the first it would have nothing old to say.
    const { simulation } = await against('ReplaysOldRound', member, { rounds: everyone.length })
    const { outcomes } = simulation.honest[0]
    assert.deepEqual(new Set(outcomes.map(({ status }) => status)), new Set(['summed']))
    assert.ok(outcomes.some(({ views }) => views > 1))
    assertNamed(simulation, member, /a RoundPlan is for round \d of epoch 0, not round \d/, 'all')
  })

  it('that asks for both sides of a member’s secrets is told shares of one', async () => {
    const { simulation, first } = await against('AsksBothSides', leader)
    const victim = simulation.adversaries.get(leader) as InstanceType<typeof behaviours.AsksBothSides>
    assert.deepEqual(first.included, allBut(victim.victim))
    const opened = simulation.ledger.revealed()
    assert.ok(opened.some(({ dealer, side }) => dealer === victim.victim && side === 'key'))
    assert.ok(!opened.some(({ dealer, side }) => dealer === victim.victim && side === 'seed'))
    // What it asked of the included it was told: their seeds are opened anyway.
    assert.ok(opened.some(({ side, own }) => side === 'seed' && !own))
  })

  it('that proposes two cuts, with accomplices that vote for both, has a quorum for one at most', async () => {
    const { first } = await against('SplitsTheVote', leader, { members: 5, threat: { corrupt: 0.2, dropout: 0 } })
    assert.ok(['summed', 'burned'].includes(first.status))
    const ten = { members: 10, threat: { corrupt: 0.2, dropout: 0.1 } }
    const big = await simulatedTask({ ...ten, length: 7 })
    const [one, other] = firstOrder(big.task)
    const accomplices = [one, other].map((who) => ({ who, as: 'SplitsTheVote' as const }))
    const split = await against('SplitsTheVote', one, { ...ten, adversaries: accomplices })
    assert.equal(split.first.status, 'summed')
    assert.ok(split.first.views > 1)
  })
})

describe('a member', function () {
  this.timeout(0)

  it('that deals bad shares is named by their holders and left out, or burns the round where it dealt another secret', async () => {
    const endings = new Set<string>()
    for (let seed = 1; seed <= 8; seed++) {
      const { simulation, first } = await against('BadShares', member, { seed })
      const { dealsAnother } = simulation.adversaries.get(member) as InstanceType<typeof behaviours.BadShares>
      endings.add(`${dealsAnother} ${first.status} ${first.included.includes(member)}`)
      if (!dealsAnother) assertNamed(simulation, member, /cannot be opened/)
    }
    assert.deepEqual([...endings].sort(), ['false summed false', 'false summed true', 'true burned false'])
  })

  it('that serves bad chunks of its vector, or none, is named, and they come from the aggregator', async () => {
    for (const as of ['BadChunks', 'WithholdsChunks'] as const) {
      const { simulation, first } = await against(as, member)
      assert.deepEqual([first.status, first.views, first.included], ['summed', 1, everyone])
      if (as === 'BadChunks') assertNamed(simulation, member, /is not the one under its root/)
    }
  })

  it('that withholds one kind of message costs the round nothing but its own input', async () => {
    for (let seed = 1; seed <= 8; seed++) {
      const { first } = await against('Withholds', member, { seed })
      assert.equal(first.status, 'summed')
      assert.deepEqual(
        first.included.filter((index) => index !== member),
        allBut(member)
      )
    }
  })

  it('that sends garbage is named by the leader, and the others are summed', async () => {
    for (let seed = 1; seed <= 8; seed++) {
      const { simulation, first } = await against('SendsGarbage', member, { seed })
      assert.equal(first.status, 'summed')
      assert.ok(allBut(member).every((index) => first.included.includes(index)))
      assert.ok(simulation.peers[leader].refusals.length > 0)
    }
  })

  it('that votes twice is named, and neither vote makes a second decision', async () => {
    const { simulation, first } = await against('DoubleVotes', member)
    assert.deepEqual([first.status, first.views], ['summed', 1])
    assertNamed(simulation, member, /is for something that was not proposed|second, different/)
  })

  it('that stalls byte by byte is waited for no longer than the deadlines say', async () => {
    const { first } = await against('StallsByteByByte', member)
    assert.deepEqual([first.status, first.views], ['summed', 1])
  })

  it('that slanders others harms nobody but itself', async () => {
    const { simulation, first } = await against('Slanders', member)
    assert.deepEqual([first.status, first.views, first.included], ['summed', 1, everyone])
    assert.ok(simulation.honest.every((peer) => peer.member.evidence.length === 0))
    assertNamed(simulation, member, /proves nothing|signature/)
  })

  it('that floods moves nobody to another view, and its input counts once', async () => {
    const { simulation, first } = await against('Floods', member)
    assert.deepEqual([first.status, first.views, first.included], ['summed', 1, everyone])
    assert.ok(simulation.honest.every(({ viewsLeft }) => viewsLeft.length === 0))
  })
})
