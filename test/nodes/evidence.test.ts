import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readIdentity } from '../../nodes/daemon/identity.ts'
import { encodeEvidenceFile } from '../../nodes/record/evidence-file.ts'
import { LevelJournal } from '../../src/journal/level-journal.ts'
import { encodeEvidence } from '../../src/round/evidence.ts'
import type { Evidence } from '../../src/round/evidence.ts'
import { encodeMessage, signedBytes } from '../../src/round/messages.ts'
import type { Body } from '../../src/round/messages.ts'
import { taskInputOf } from '../../src/task/task-input.ts'
import { startApiOf, startMembers } from './members.ts'
import type { Members } from './members.ts'
import { secagg, temporaryFolder } from './secagg.ts'

const terms = { name: 'votes', length: 4, encoding: { type: 'integer', max: 100 }, deadline: 8 } as const

describe('evidence that a node holds', function () {
  this.timeout(120_000)
  const folder = temporaryFolder()
  const path = (name: string): string => join(folder(), name)
  let members: Members
  let evidence: Evidence

  before(async () => {
    members = await startMembers(3, terms)
    const { task, daemons, folders } = members
    // The second member shows two plans of one view, as an aggregator that deceives.
    const key = await readIdentity(folders[1])
    const culprit = task.members.indexOf(daemons[1].id)
    const context = { task: task.idBytes, epoch: 0, round: 1 }
    const statements = await Promise.all(
      [1, 2].map(async (byte) => {
        const contextHash = new Uint8Array(32).fill(byte)
        const body: Body<'RoundPlan'> = { view: 0, attempt: 0, retries: [], contextHash, length: 4, previous: null }
        const signature = new Uint8Array(await key.sign(signedBytes('RoundPlan', context, body)))
        return encodeMessage('RoundPlan', context, culprit, body, signature).encoded
      })
    )
    evidence = { kind: 'equivocation', culprit, ...context, statements }
    await daemons[0].stop()
    const journal = await LevelJournal.open(join(folders[0], 'journal'))
    const offence = `0000000000/${String(culprit).padStart(5, '0')}/equivocation`
    await journal.put(`${task.id}/evidence/${offence}`, encodeEvidence(evidence))
    await journal.close()
    await members.restart(0)
    await writeFile(path('task.yaml'), JSON.stringify(taskInputOf(task)))
  })
  after(() => members.stop())

  it('is listed by its API, and each piece is a file that is verified without the network', async () => {
    const { api, tokenFile } = await startApiOf(members)
    const authorization = `Bearer ${(await readFile(tokenFile, 'utf8')).trim()}`
    const get = (where: string) => fetch(`${api.url}${where}`, { headers: { authorization } })
    const told = (await (await get('/v1/tasks/votes/evidence')).json()) as { evidence: Array<Record<string, unknown>> }
    const culprit = members.daemons[1].id
    const [{ id, path: where, ...one }, ...others] = told.evidence
    assert.deepEqual(others, [])
    assert.deepEqual(one, { kind: 'equivocation', culprit, epoch: 0, round: 1 })
    assert.equal(where, `/v1/tasks/${members.task.id}/evidence/${String(id)}`)
    const file = await get(String(where))
    assert.equal(file.headers.get('content-type'), 'application/cbor')
    await writeFile(path('lie.cbor'), await file.bytes())
    const { status } = await get('/v1/tasks/votes/evidence/ab')
    assert.equal(status, 404)
    const { paths } = (await (await get('/openapi.json')).json()) as { paths: object }
    assert.ok('/v1/tasks/{task}/evidence' in paths && '/v1/tasks/{task}/evidence/{id}' in paths)
    await api.close()

    const verified = await secagg('evidence', path('lie.cbor'), '--task', path('task.yaml'))
    assert.equal(verified.code, 0, verified.stderr)
    assert.match(
      verified.stdout,
      new RegExp(`^proven: ${culprit} broke the protocol \\(equivocation\\)\\n {2}in round 1`)
    )
    const json = await secagg('evidence', path('lie.cbor'), '--task', path('task.yaml'), '--json')
    const { type, proven, culprit: named } = JSON.parse(json.stdout) as Record<string, unknown>
    assert.deepEqual({ type, proven, named }, { type: 'evidence', proven: true, named: culprit })
  })

  it('is refused in one line where it was forged, is of another task, or is none', async () => {
    const one = async (code: number, sentence: RegExp, ...args: string[]): Promise<void> => {
      const ended = await secagg('evidence', ...args)
      assert.equal(ended.code, code, ended.stderr)
      assert.match(ended.stderr, sentence)
      assert.match(ended.stderr, /^secagg: [^\n]+\n$/)
    }
    const task = ['--task', path('task.yaml')]
    const honest = { ...evidence, culprit: (evidence.culprit + 1) % 3 }
    await writeFile(path('forged.cbor'), encodeEvidenceFile({ evidence: encodeEvidence(honest) }))
    await one(
      1,
      /proves nothing: evidence of equivocation against member \d proves nothing/,
      path('forged.cbor'),
      ...task
    )
    await writeFile(path('other.yaml'), JSON.stringify({ ...taskInputOf(members.task), length: 5 }))
    await one(1, /another task/, path('lie.cbor'), '--task', path('other.yaml'))
    await one(1, /task\.yaml is no evidence: it has another form/, path('task.yaml'), ...task)
    await one(1, /no evidence: there is no such file/, path('nothing.cbor'), ...task)
    await one(2, /evidence needs --task/, path('lie.cbor'))
    await one(2, /evidence needs <file>/, ...task)
  })
})
