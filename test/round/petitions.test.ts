import assert from 'node:assert/strict'
import { createRoster } from '../../src/membership/roster.ts'
import type { Action } from '../../src/membership/requests.ts'
import { Petitions } from '../../src/round/petitions.ts'
import { createTask } from '../../src/task/task.ts'
import { asks, idOf, vouches } from '../membership/identities.ts'

const members = [0, 1, 2, 3, 4, 5].map(idOf)
const task = createTask({
  ...{ name: 'open', members, length: 3, encoding: { type: 'integer', max: 100 } },
  admission: { allow: [idOf(9)], vouches: 1 }
})
const previousHash = new Uint8Array(32)
const roster = createRoster({ epoch: 1, members: members.slice(0, 5), suspended: [idOf(5)], previousHash })
const nobody = (): never => assert.fail('there are no absences and no evidence')
const rules = { task, readAbsence: nobody, readRemoval: nobody }
const nothing = { suspensions: [], absences: [], removals: [] }

describe('petitions of an open task, that strangers have filled', function () {
  this.timeout(60_000)
  let petitions: Petitions
  const ask = async (who: number, action: Action): Promise<boolean> =>
    petitions.takeRequest(await asks(who, action, task, roster))

  before(async () => {
    petitions = new Petitions(task, roster)
    let taken = 0
    for (let stranger = 100; stranger < 400; stranger++) taken += Number(await ask(stranger, 'join'))
    assert.equal(taken, 256, 'so many are kept')
  })

  it('still take what members, the suspended and those on the list ask', async () => {
    assert.equal(await ask(1, 'leave'), true)
    assert.equal(await ask(5, 'return'), true)
    assert.equal(await ask(9, 'join'), true)
    const { joins, leaves, returns } = petitions.change(nothing, rules)!
    assert.deepEqual([joins.length, leaves.length, returns.length], [1, 1, 1])
  })

  it('still take whom a member vouches for, in the place of one that nobody does', async () => {
    assert.equal(await ask(400, 'join'), false)
    assert.equal(petitions.takeVouch(await vouches(2, 400, task, roster)), true)
    assert.equal(await ask(400, 'join'), true)
    assert.equal(await ask(400, 'join'), false, 'it is known')
    assert.equal(await ask(401, 'join'), false)
    assert.ok(petitions.change(nothing, rules)!.joins.some(({ vouches }) => vouches.length === 1))
  })
})
