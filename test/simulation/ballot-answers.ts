import assert from 'node:assert/strict'
import type { Lock } from '../../src/round/messages.ts'
import {
  answerTo,
  candidates,
  certificateOf,
  Disk,
  nothingExpected,
  openBallot,
  toChangeView,
  toCommit,
  toDecide,
  toPrepare,
  voteFor
} from './ballot-walk.ts'
import type { Death, Expected, Question, Running } from './ballot-walk.ts'

/** The ballot in every state that two views of one agreement can bring it to, asked everything in each. */

const quorum = [0, 1, 3]
const lockOn = (name: Running, view: number, candidate: (typeof candidates)[Running][number]): Lock => ({
  value: candidate.value,
  certificate: certificateOf('Prepare', voteFor(name, view, candidate), quorum)
})

/** All that a member can be asked in two views of one agreement, whatever locks and decisions others have made. */
function everyQuestion(name: Running): Question[] {
  const votes = [0, 1].flatMap((view) => candidates[name].map((candidate) => ({ view, candidate })))
  const locks = votes.map(({ view, candidate }) => lockOn(name, view, candidate))
  const prepares = votes.flatMap(({ view, candidate }) =>
    [true, false].flatMap((passes) =>
      [undefined, ...locks].map((lock) => toPrepare(name, view, candidate, passes, lock))
    )
  )
  const decisions = votes.map(({ view, candidate }) => ({
    value: candidate.value,
    commits: certificateOf('Commit', voteFor(name, view, candidate), quorum),
    reason: ''
  }))
  return [...prepares, ...locks.map(toCommit), ...decisions.map(toDecide), ...[0, 1].map(toChangeView)]
}

/**
 * Puts every question to the ballot in every state that it comes to, each time as a process that finds only the journal.
 * Where the answer is written, the process lives through the write, and dies before and after it. Returns how many states
 * there are.
 */
export async function everyAnswer(name: Running): Promise<number> {
  const questions = everyQuestion(name)
  const found: { disk: Disk; expected: Expected; bytes: string }[] = []
  const seen = new Set<string>()
  const reach = (disk: Disk, expected: Expected, bytes: string) => {
    const key = JSON.stringify([expected.agreements[name] ?? null, expected.changedTo, bytes])
    if (!seen.has(key)) found.push({ disk, expected, bytes })
    seen.add(key)
  }
  reach(new Disk(), nothingExpected, '')
  for (const { disk: before, expected, bytes } of found) {
    const idle = await before.afterCrash()
    const ballot = await openBallot(0, idle)
    for (const question of questions) {
      const wanted = question.expect(expected)
      if (wanted !== undefined && wanted !== expected) {
        const disk = await writtenAnswer(question, before)
        reach(disk, wanted, await disk.bytes())
      } else {
        const { kind } = await answerTo(question, ballot)
        assert.equal(
          kind,
          wanted === undefined ? 'refused' : 'done',
          `to ${question.word} in ${JSON.stringify(expected)}`
        )
      }
    }
    assert.equal(await idle.bytes(), bytes, 'what changes nothing, or was refused, was journaled')
  }
  return found.length
}

/** The disk after an answer, the same whether or not the process dies right after the write; before it, nothing is said. */
async function writtenAnswer(question: Question, before: Disk): Promise<Disk> {
  const ask = async (death?: Death) => {
    const disk = await before.afterCrash()
    const ballot = await openBallot(0, disk)
    disk.death = death
    const { kind } = await answerTo(question, ballot)
    assert.equal(kind, death === undefined ? 'done' : 'crashed', `to ${question.word}`)
    disk.death = undefined
    return disk
  }
  const after = await ask()
  assert.equal(await (await ask('before the write')).bytes(), await before.bytes())
  assert.equal(await (await ask('after the write')).bytes(), await after.bytes())
  return after
}
