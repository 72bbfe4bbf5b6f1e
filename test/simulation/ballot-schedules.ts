import { bytesToHex } from '@noble/hashes/utils.js'
import type { Ballot } from '../../src/round/ballot.ts'
import type { VoteType } from '../../src/round/certificates.ts'
import type { Body, Lock, Message } from '../../src/round/messages.ts'
import {
  answerTo,
  candidates,
  certificateOf,
  Disk,
  electorate,
  nothingExpected,
  openBallot,
  toChangeView,
  toCommit,
  toDecide,
  toPrepare,
  voteFor
} from './ballot-walk.ts'
import type { Death, Expected, Question, Running } from './ballot-walk.ts'
import { below, pick } from './chance.ts'
import type { Chance } from './chance.ts'

/** Ballots of three honest members and a corrupt fourth, under random schedules of two views and two agreements. */

const honest = [0, 1, 2]
const corrupt = 3
const views = [0, 1]
const names = Object.keys(candidates) as Running[]

export interface Found {
  votes: number
  crashes: number
  /** Where the ballot signed what the transitions refuse, or the other way round. */
  disagreements: string[]
  /** Different votes of one member and type in one view. */
  doubleVotes: string[]
  /** Agreements that decided something, and those of them that decided two values. */
  decided: number
  decidedTwice: number
}

export const nothingFound = (): Found => ({
  votes: 0,
  crashes: 0,
  disagreements: [],
  doubleVotes: [],
  decided: 0,
  decidedTwice: 0
})

interface Voter {
  readonly me: number
  disk: Disk
  ballot: Ballot
  expected: Expected
}

/** Votes that have left their members: who signed each. */
class Heard {
  readonly #signers = new Map<string, Set<number>>()
  readonly #first = new Map<string, string>()

  /** Whether the member has signed another vote of this type in this view before. */
  take({ type, from, body }: Message<VoteType>): boolean {
    const key = keyOf(type, body)
    this.#signers.set(key, (this.#signers.get(key) ?? new Set()).add(from))
    const place = `${from}/${type}/${body.agreement}/${body.view}`
    const first = this.#first.get(place) ?? key
    this.#first.set(place, first)
    return first !== key
  }

  /** Where they and the corrupt member are a quorum: who signed. */
  quorum(type: VoteType, vote: Body<VoteType>): number[] | undefined {
    const signers = [...(this.#signers.get(keyOf(type, vote)) ?? []), corrupt]
    return signers.length >= electorate.quorum ? signers : undefined
  }
}

const keyOf = (type: VoteType, { agreement, view, value, root }: Body<VoteType>): string =>
  `${type}/${agreement}/${view}/${bytesToHex(value)}/${root === null ? '' : bytesToHex(root)}`

const allVotes = names.flatMap((name) =>
  views.flatMap((view) =>
    candidates[name].map((candidate) => ({ name, view, candidate, vote: voteFor(name, view, candidate) }))
  )
)

/** Locks that can be shown now. */
function locksOf(heard: Heard): Lock[] {
  return allVotes.flatMap(({ candidate: { value }, vote }) => {
    const signers = heard.quorum('Prepare', vote)
    return signers === undefined ? [] : [{ value, certificate: certificateOf('Prepare', vote, signers) }]
  })
}

function decisionsOf(heard: Heard): Body<'Decision'>[] {
  return allVotes.flatMap(({ candidate: { value }, vote }) => {
    const signers = heard.quorum('Commit', vote)
    return signers === undefined ? [] : [{ value, commits: certificateOf('Commit', vote, signers), reason: '' }]
  })
}

function anyQuestion(heard: Heard, draw: Chance): Question {
  const kind = below(20, draw)
  const locks = locksOf(heard)
  const decisions = decisionsOf(heard)
  if (kind < 9 && locks.length > 0) return toCommit(pick(locks, draw))
  if (kind === 9 && decisions.length > 0) return toDecide(pick(decisions, draw))
  if (kind === 10) return toChangeView(below(3, draw))
  const { name, view, candidate } = pick(allVotes, draw)
  const shown = pick([undefined, ...locks.filter(({ certificate }) => certificate.agreement === name)], draw)
  return toPrepare(name, view, candidate, draw() < 0.8, shown)
}

/** One schedule of forty questions, in which members crash before and after their writes and between questions. */
export async function runSchedule(draw: Chance, found: Found, forgets = false): Promise<void> {
  const voters = await Promise.all(
    honest.map(async (me): Promise<Voter> => {
      const disk = Object.assign(new Disk(), { forgets })
      return { me, disk, ballot: await openBallot(me, disk), expected: nothingExpected }
    })
  )
  const heard = new Heard()
  for (let step = 0; step < 40; step++) {
    const voter = pick(voters, draw)
    const question = anyQuestion(heard, draw)
    const death = pick<Death | undefined>(
      [undefined, undefined, undefined, 'before the write', 'after the write'],
      draw
    )
    const atOnce = death === undefined && draw() < 0.3 ? [pick([question, anyQuestion(heard, draw)], draw)] : []
    for (const message of await put([question, ...atOnce], voter, death, found)) {
      if (message.type !== 'Prepare' && message.type !== 'Commit') continue
      found.votes++
      if (heard.take(message as Message<VoteType>)) found.doubleVotes.push(`member ${voter.me}: ${question.word}`)
    }
    if (draw() < 0.1) await restart(voter, found)
  }
  for (const name of names) {
    const values = decisionsOf(heard).filter(({ commits }) => commits.agreement === name)
    const different = new Set(values.map(({ commits }) => bytesToHex(commits.value))).size
    if (different > 0) found.decided++
    if (different > 1) found.decidedTwice++
  }
}

/** Puts questions to a member at once, and it may die over them; compares, and returns what leaves it. */
async function put(questions: Question[], voter: Voter, death: Death | undefined, found: Found): Promise<Message[]> {
  let expected = voter.expected
  const allowed = questions.map((question) => {
    const wanted = question.expect(expected)
    expected = wanted ?? expected
    return wanted !== undefined
  })
  voter.disk.death = death
  const answers = await Promise.all(questions.map((question) => answerTo(question, voter.ballot)))
  voter.disk.death = undefined
  for (const [place, { kind }] of answers.entries())
    if ((kind === 'refused') === allowed[place])
      found.disagreements.push(`member ${voter.me} ${kind} when asked to ${questions[place].word}`)
  const crashed = answers.some(({ kind }) => kind === 'crashed')
  if (!crashed || death === 'after the write') voter.expected = expected
  if (crashed) await restart(voter, found)
  return answers.flatMap((answer) => (answer.kind === 'done' && answer.message ? [answer.message] : []))
}

async function restart(voter: Voter, found: Found): Promise<void> {
  found.crashes++
  voter.disk = await voter.disk.afterCrash()
  voter.ballot = await openBallot(voter.me, voter.disk)
}
