import assert from 'node:assert/strict'
import fc from 'fast-check'
import { MessageError } from '../../src/errors.ts'
import { decodeRoster, encodeRoster } from '../../src/membership/roster-bytes.ts'
import {
  applyChange,
  decodeChange,
  encodeChange,
  MAX_REMOVAL_BYTES,
  taskOf
} from '../../src/membership/roster-change.ts'
import type { Absence, RosterChange } from '../../src/membership/roster-change.ts'
import { createRoster } from '../../src/membership/roster.ts'
import type { Roster } from '../../src/membership/roster.ts'
import { authenticate } from '../../src/round/certificates.ts'
import { decodeMessage, encodeMessage } from '../../src/round/messages.ts'
import { Petitions } from '../../src/round/petitions.ts'
import { createTask } from '../../src/task/task.ts'
import type { Task, TaskInput } from '../../src/task/task.ts'
import { asks, bytesOf, idOf, vouches } from './identities.ts'

const nothing: RosterChange = { joins: [], leaves: [], returns: [], suspensions: [], absences: [], removals: [] }
const numbers = (count: number, from = 0) => Array.from({ length: count }, (_, at) => from + at)

function taskWith(members: number, more: Partial<TaskInput> = {}): { task: Task; roster: Roster } {
  const ids = numbers(members).map(idOf)
  const encoding = { type: 'integer', max: 100 } as const
  const task = createTask({ name: 'changing', members: ids, length: 3, encoding, ...more })
  return { task, roster: createRoster({ epoch: 0, members: ids }) }
}

/** A cut is a byte for its round, one for its aggregator and one for each member that it includes. */
const cutBy = (aggregator: number, included: number[], round = 1 + aggregator): Uint8Array =>
  Uint8Array.of(round, aggregator, ...included)
function readAbsence([round, aggregator, ...included]: Uint8Array): Absence {
  if (aggregator > 200) throw new MessageError('INVALID', 'no such cut was decided')
  return { round, aggregator: idOf(aggregator), included: new Set(included.map(idOf)) }
}

/** Evidence is a byte for its culprit. */
const against = (culprit: number): Uint8Array => Uint8Array.of(culprit)
function readRemoval([culprit]: Uint8Array): string {
  if (culprit > 200) throw new MessageError('INVALID', 'it proves nothing')
  return idOf(culprit)
}

const apply = (task: Task, roster: Roster, change: Partial<RosterChange>): Roster =>
  applyChange(roster, { ...nothing, ...change }, { task, readAbsence, readRemoval })
const idsOf = (roster: Roster): string[] => roster.members.map(({ id }) => id).sort()
const refused = (sentence: RegExp, culprit?: string) => ({
  name: 'RosterChangeError',
  code: 'CHANGE_INVALID',
  message: sentence,
  ...(culprit === undefined ? {} : { culprit })
})

describe('a change of the roster', () => {
  it('lets a peer join that is on the task’s list, by its own signed request', async () => {
    const { task, roster } = taskWith(4, { admission: { allow: [idOf(9)] } })
    const next = apply(task, roster, { joins: [{ request: await asks(9, 'join', task, roster), vouches: [] }] })
    assert.deepEqual(idsOf(next), [0, 1, 2, 3, 9].map(idOf).sort())
    assert.equal(next.epoch, 1)
    assert.deepEqual(next.previousHash, roster.hash)
    assert.equal(taskOf(task, next).id, task.id)
    assert.equal(taskOf(task, next).thresholds.members, 5)
  })

  it('lets a peer join that as many different members vouch for as the task asks', async () => {
    const { task, roster } = taskWith(4, { admission: { vouches: 2 } })
    const request = await asks(9, 'join', task, roster)
    const [one, other] = [await vouches(0, 9, task, roster), await vouches(3, 9, task, roster)]
    assert.ok(apply(task, roster, { joins: [{ request, vouches: [one, other] }] }).indexOf(idOf(9)) >= 0)
    const joinWith =
      (...given: (typeof one)[]) =>
      () =>
        apply(task, roster, { joins: [{ request, vouches: given }] })
    assert.throws(joinWith(one), refused(/1 members vouch .* asks for 2/, idOf(9)))
    assert.throws(joinWith(one, one), refused(/1 members vouch/))
    const stranger = await vouches(8, 9, task, roster)
    assert.throws(joinWith(one, stranger), refused(/is no member/, idOf(8)))
    const forAnother = await vouches(3, 7, task, roster)
    assert.throws(joinWith(one, forAnother), refused(/not signed by its voucher/))
    const forged = await vouches(3, 9, task, roster, 8)
    assert.throws(joinWith(one, forged), refused(/not signed by its voucher/))
    const later = createRoster({ epoch: 1, members: numbers(4).map(idOf), previousHash: roster.hash })
    assert.throws(joinWith(one, await vouches(3, 9, task, later)), refused(/not signed by its voucher/))
  })

  it('lets nobody join a task without a policy, nor a member, nor under another’s name', async () => {
    const closed = taskWith(4)
    const join = async ({ task, roster }: typeof closed, number: number, signer = number) =>
      apply(task, roster, { joins: [{ request: await asks(number, 'join', task, roster, signer), vouches: [] }] })
    await assert.rejects(join(closed, 9), refused(/admits it by nothing/, idOf(9)))
    const open = taskWith(4, { admission: { allow: [idOf(9), idOf(1)] } })
    await assert.rejects(join(open, 1), refused(/is a member/, idOf(1)))
    await assert.rejects(join(open, 9, 8), refused(/not signed by it/))
  })

  it('takes no request that was addressed to another roster or task, or asks for something else', async () => {
    const { task, roster } = taskWith(5, { admission: { allow: [idOf(9)] } })
    const later = createRoster({ epoch: 1, members: numbers(5).map(idOf), previousHash: roster.hash })
    const other = taskWith(5, { name: 'other' }).task
    for (const leave of [await asks(4, 'leave', task, later), await asks(4, 'leave', other, roster)])
      assert.throws(() => apply(task, roster, { leaves: [leave] }), refused(/not signed by it to this roster/))
    const join = await asks(4, 'join', task, roster)
    assert.throws(
      () => apply(task, roster, { leaves: [{ ...join, action: 'leave' }] }),
      refused(/not signed by it to this roster/)
    )
  })

  it('lets members leave as long as §3 holds without them', async () => {
    const { task, roster } = taskWith(4)
    const leave = (number: number) => asks(number, 'leave', task, roster)
    assert.deepEqual(idsOf(apply(task, roster, { leaves: [await leave(2)] })), [0, 1, 3].map(idOf).sort())
    const two = [await leave(2), await leave(3)]
    assert.throws(() => apply(task, roster, { leaves: two }), refused(/leaves 2 members, and it takes 3/))
    assert.throws(() => apply(task, roster, { leaves: [two[0], two[0]] }), refused(/names one peer twice/))
    await assert.rejects(
      async () => apply(task, roster, { leaves: [await leave(9)] }),
      refused(/is no member/, idOf(9))
    )
    assert.throws(() => apply(task, roster, {}), refused(/changes nothing/))
  })

  it('refuses newcomers with whom the sum no longer fits into 32 bits', async () => {
    const encoding = { type: 'integer', max: 2 ** 30 } as const
    const { task, roster } = taskWith(3, { encoding, admission: { allow: [idOf(9)] } })
    const request = await asks(9, 'join', task, roster)
    assert.throws(() => apply(task, roster, { joins: [{ request, vouches: [] }] }), refused(/33 bits/))
  })

  it('removes whoever there is evidence against, suspended or not, and lets it in never again', async () => {
    const { task, roster } = taskWith(6, { admission: { allow: numbers(6).map(idOf), vouches: 1 } })
    const absences = [cutBy(0, [0, 1, 2, 3, 4])]
    const resting = apply(task, roster, { suspensions: [bytesOf(5)], absences })
    const next = apply(task, resting, { removals: [against(2), against(5)] })
    assert.deepEqual(idsOf(next), [0, 1, 3, 4].map(idOf).sort())
    assert.deepEqual([next.isRemoved(idOf(2)), next.isRemoved(idOf(5)), next.isSuspended(idOf(5))], [true, true, false])
    assert.deepEqual(decodeRoster(encodeRoster(next)).hash, next.hash)
    for (const culprit of [2, 5]) {
      const request = await asks(culprit, 'join', task, next)
      const join = { joins: [{ request, vouches: [await vouches(0, culprit, task, next)] }] }
      assert.throws(() => apply(task, next, join), refused(/was removed for breaking the protocol/, idOf(culprit)))
    }
    const later = apply(task, next, {
      joins: [{ request: await asks(9, 'join', task, next), vouches: [await vouches(0, 9, task, next)] }]
    })
    assert.ok(later.isRemoved(idOf(2)), 'it stays named')
    const { epoch, previousHash, members } = later
    const forgotten = createRoster({ epoch, previousHash, members: members.map(({ id }) => id) })
    assert.notDeepEqual(forgotten.hash, later.hash, 'the hash is over the removed, too')
  })

  it('removes nobody without evidence that proves something, against a member, and small enough to carry', () => {
    const { task, roster } = taskWith(5)
    const remove = (...removals: Uint8Array[]) => apply(task, roster, { removals })
    assert.throws(() => remove(against(255)), { name: 'MessageError', code: 'INVALID' })
    assert.throws(() => remove(against(9)), refused(/is to be removed, and is no member/))
    assert.throws(() => remove(against(2), against(2)), refused(/names one peer twice/))
    assert.throws(() => remove(new Uint8Array(MAX_REMOVAL_BYTES + 1)), refused(/and it may have 131072/))
    assert.throws(() => remove(against(0), against(1), against(2)), refused(/leaves 2 members, and it takes 3/))
  })

  it('suspends whoever is left out under f+1 different aggregators, and under no fewer', () => {
    const { task, roster } = taskWith(9, { threat: { corrupt: 0.2, dropout: 0.2 } })
    assert.equal(task.thresholds.f, 1)
    const suspend = (...absences: Uint8Array[]) => apply(task, roster, { suspensions: [bytesOf(7)], absences })
    const without = [0, 1, 2, 3, 4, 5, 6, 8]
    const next = suspend(cutBy(0, without), cutBy(3, without))
    assert.deepEqual(idsOf(next), without.map(idOf).sort())
    assert.ok(next.isSuspended(idOf(7)))
    assert.throws(() => suspend(cutBy(0, without)), refused(/after 1 aggregators left it out, and it takes 2/))
    assert.throws(() => suspend(cutBy(0, without), cutBy(0, [1, 2], 7)), refused(/after 1 aggregators/))
    assert.throws(() => suspend(cutBy(0, without), cutBy(3, [...without, 7])), refused(/after 1 aggregators/))
    assert.throws(() => suspend(cutBy(0, without), cutBy(255, without)), { code: 'INVALID' })
    assert.throws(() => suspend(cutBy(0, without), cutBy(3, without, 1)), refused(/two absences of one round/))
    const stranger = { suspensions: [bytesOf(20)], absences: [cutBy(0, without), cutBy(3, without)] }
    assert.throws(() => apply(task, roster, stranger), refused(/is no member/))
  })

  it('keeps the f of the roster that members were suspended from until nobody is suspended any more', async () => {
    const { task, roster } = taskWith(10, { threat: { corrupt: 0.2, dropout: 0.1 } })
    assert.equal(task.thresholds.f, 2)
    const away = [7, 8, 9]
    const absences = [0, 1, 2].map((aggregator) => cutBy(aggregator, [0, 1, 2, 3, 4, 5, 6]))
    const smaller = apply(task, roster, { suspensions: away.map(bytesOf), absences })
    assert.equal(taskOf(task, smaller).thresholds.members, 7)
    assert.equal(taskOf(task, smaller).thresholds.f, 2, 'without the floor it would be 1')
    const four = [6, 7, 8, 9].map(bytesOf)
    assert.throws(
      () => apply(task, roster, { suspensions: four, absences: [cutBy(0, [0]), cutBy(1, [0]), cutBy(2, [0])] }),
      refused(/3·2 \+ 2·0 < 6/)
    )
    const half = apply(task, smaller, { returns: [await asks(7, 'return', task, smaller)] })
    assert.equal(half.leastCorrupt, 2)
    const whole = apply(task, half, {
      returns: [await asks(8, 'return', task, half), await asks(9, 'return', task, half)]
    })
    assert.deepEqual([whole.suspended.length, whole.leastCorrupt], [0, 0])
    assert.deepEqual(idsOf(whole), idsOf(roster))
    await assert.rejects(
      async () => apply(task, whole, { returns: [await asks(7, 'return', task, whole)] }),
      refused(/is not suspended/, idOf(7))
    )
  })

  it('has one form, and takes no flipped bit for the same change', async () => {
    const { task, roster } = taskWith(5, { admission: { vouches: 1 } })
    const change: RosterChange = {
      ...nothing,
      joins: [{ request: await asks(9, 'join', task, roster), vouches: [await vouches(1, 9, task, roster)] }],
      leaves: [await asks(2, 'leave', task, roster)]
    }
    const encoded = encodeChange(change)
    assert.deepEqual(decodeChange(encoded), change)
    fc.assert(
      fc.property(fc.nat(8 * encoded.length - 1), (bit) => {
        const flipped = encoded.slice()
        flipped[bit >> 3] ^= 1 << (bit & 7)
        assert.throws(() => apply(task, roster, decodeChange(flipped)), { name: /^(MessageError|RosterChangeError)$/ })
      }),
      { numRuns: 300 }
    )
  })

  it('is asked for by requests and vouches of which no bit can be flipped', async () => {
    const { task, roster } = taskWith(5, { admission: { vouches: 1 } })
    const context = { task: task.idBytes, epoch: 0, round: 0 }
    const asked = [
      encodeMessage('RosterRequest', context, 0, await asks(9, 'join', task, roster)),
      encodeMessage('RosterVouch', context, 0, await vouches(1, 9, task, roster))
    ]
    const take = (encoded: Uint8Array): void => {
      const message = decodeMessage(encoded)
      authenticate(message, context, roster)
      const petitions = new Petitions(task, roster)
      if (message.from !== 0) throw new MessageError('MALFORMED', 'it names a member')
      if (message.type === 'RosterRequest') assert.ok(petitions.takeRequest(message.body))
      else assert.ok(message.type === 'RosterVouch' && petitions.takeVouch(message.body))
    }
    for (const { encoded } of asked) {
      take(encoded)
      for (let bit = 0; bit < 8 * encoded.length; bit++) {
        const flipped = encoded.slice()
        flipped[bit >> 3] ^= 1 << (bit & 7)
        assert.throws(() => take(flipped), MessageError, `bit ${bit}`)
      }
    }
  })

  it('gives a roster whose bytes give it back, hash and all, and which differs from every other', async () => {
    const { task, roster } = taskWith(10, { threat: { corrupt: 0.2, dropout: 0.1 } })
    const absences = [0, 1, 2].map((aggregator) => cutBy(aggregator, [0, 1, 2, 3, 4, 5, 6, 7, 8]))
    const next = apply(task, roster, {
      suspensions: [bytesOf(9)],
      absences,
      leaves: [await asks(4, 'leave', task, roster)]
    })
    for (const one of [roster, next]) {
      const again = decodeRoster(encodeRoster(one))
      assert.deepEqual(again.hash, one.hash)
      assert.deepEqual(idsOf(again), idsOf(one))
      assert.equal(again.leastCorrupt, one.leastCorrupt)
    }
    const { epoch, previousHash } = next
    const without = createRoster({ epoch, previousHash, members: idsOf(next) })
    assert.notDeepEqual(without.hash, next.hash, 'who is suspended is under the hash')
    const lower = createRoster({ epoch, previousHash, members: idsOf(next), suspended: [idOf(9)], leastCorrupt: 1 })
    assert.notDeepEqual(lower.hash, next.hash, 'the least f is under the hash')
    const bytes = encodeRoster(next)
    for (const wrong of [bytes.slice(1), bytes.slice(0, -1), Uint8Array.of(...bytes, 0)])
      assert.throws(() => decodeRoster(wrong), { code: 'MALFORMED' })
  })
})
