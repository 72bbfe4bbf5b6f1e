import assert from 'node:assert/strict'
import { MemoryJournal } from '../../src/journal/journal.ts'
import { Convictions } from '../../src/round/convictions.ts'
import { encodeEvidence, verifyEvidence } from '../../src/round/evidence.ts'
import type { Evidence } from '../../src/round/evidence.ts'
import type { RoundContext } from '../../src/round/messages.ts'
import { context, hashOf, rules, say, task } from './fixtures.ts'

/** Two Prepares of one member in one view. */
function doubleVote(culprit: number, over: RoundContext = context): Evidence {
  const statements = [hashOf('a'), hashOf('b')].map((value) => {
    const vote = { agreement: 'closing', view: 0, value, root: null }
    return new Uint8Array(say('Prepare', culprit, vote, over).encoded)
  })
  const evidence: Evidence = { kind: 'double-vote', culprit, ...over, statements }
  verifyEvidence(evidence, { ...rules, context: over })
  return evidence
}

function holder(journal = new MemoryJournal(), fails = false) {
  const told: Evidence[] = []
  const tell = async (evidence: Evidence): Promise<void> => {
    if (fails) throw new Error('the process is gone')
    told.push(evidence)
  }
  return { journal, told, convictions: new Convictions({ journal, taskId: task.id, tell }) }
}

async function written(journal: MemoryJournal): Promise<Uint8Array[]> {
  const values: Uint8Array[] = []
  for await (const [, value] of journal.entries(`${task.id}/evidence/`)) values.push(value)
  return values
}

describe('the evidence that a member holds', () => {
  it('convicts in the epoch that it is of, and in no other', async () => {
    const { convictions } = holder()
    assert.equal(await convictions.note(doubleVote(2)), true)
    assert.ok(convictions.isConvicted(context.epoch, 2))
    assert.ok(!convictions.isConvicted(context.epoch, 1))
    assert.ok(!convictions.isConvicted(context.epoch + 1, 2))
  })

  it('is told and written down once, however many rounds show the same offence of the same member', async () => {
    const { convictions, told, journal } = holder()
    for (let round = 1; round <= 20; round++) await convictions.note(doubleVote(2, { ...context, round }))
    assert.equal(told.length, 1)
    assert.deepEqual(await written(journal), [encodeEvidence(doubleVote(2, { ...context, round: 1 }))])
    await convictions.note(doubleVote(3))
    assert.deepEqual([told.length, convictions.all.length, (await written(journal)).length], [2, 2, 2])
  })

  it('is there again after a restart, and told to nobody twice', async () => {
    const before = holder()
    await before.convictions.note(doubleVote(2))
    const { convictions, told } = holder(before.journal.clone())
    assert.ok(!convictions.isConvicted(context.epoch, 2))
    await convictions.load()
    assert.ok(convictions.isConvicted(context.epoch, 2))
    assert.equal(await convictions.note(doubleVote(2)), false)
    assert.deepEqual(told, [])
    assert.deepEqual(convictions.all, [doubleVote(2)])
  })

  it('is in no journal before the others were told: a crash between loses it for one member, not for all', async () => {
    const { convictions, journal } = holder(undefined, true)
    await assert.rejects(convictions.note(doubleVote(2)), /gone/)
    assert.deepEqual(await written(journal), [])
  })

  it('is verified when it is brought, but for what is held to the last bit', async () => {
    const { convictions } = holder()
    const brought = (evidence: Evidence) => say('Evidence', 4, { evidence: encodeEvidence(evidence) })
    const truth = doubleVote(2)
    const forged = { ...truth, culprit: 3 }
    const culprit = rules.roster.members[4].id
    assert.deepEqual(convictions.read(brought(truth), rules), truth)
    assert.throws(() => convictions.read(brought(forged), rules), { code: 'INVALID', culprit })
    await convictions.note(truth)
    assert.deepEqual(convictions.read(brought(truth), rules), truth)
    assert.throws(() => convictions.read(brought(forged), rules), { code: 'INVALID', culprit })
    assert.throws(() => convictions.read(brought({ ...truth, statements: truth.statements.slice(1) }), rules), {
      code: 'INVALID'
    })
  })
})
