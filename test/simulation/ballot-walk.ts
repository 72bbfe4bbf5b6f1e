import { setImmediate } from 'node:timers/promises'
import { bytesToHex } from '@noble/hashes/utils.js'
import { H } from '../../src/crypto/hash.ts'
import { BallotError } from '../../src/errors.ts'
import { MemoryJournal } from '../../src/journal/journal.ts'
import type { JournalOperation } from '../../src/journal/journal.ts'
import { createRoster } from '../../src/membership/roster.ts'
import * as agreement from '../../src/round/agreement.ts'
import type { AgreementState, Step } from '../../src/round/agreement.ts'
import { Ballot } from '../../src/round/ballot.ts'
import { certify, choiceOf } from '../../src/round/certificates.ts'
import type { Electorate, VoteType } from '../../src/round/certificates.ts'
import { signedBytes, valueHash } from '../../src/round/messages.ts'
import type { AgreementName, Body, Certificate, Lock, Message, RoundContext, Value } from '../../src/round/messages.ts'
import { simulatedTask } from './identities.ts'

/** The ballot itself beside the transitions that it must follow, question by question, through crashes around its writes. */

const { task, identities } = await simulatedTask({ members: 4, length: 7, threat: { corrupt: 0.25, dropout: 0 } })
const roster = createRoster({ epoch: 0, members: [...task.members] })
export const electorate: Electorate = { roster, quorum: task.thresholds.quorum }
export const context: RoundContext = { task: task.idBytes, epoch: 0, round: 1 }

/** A value to vote for, and the root of the sum where it is `summed`. */
export interface Candidate {
  readonly value: Value
  readonly root: Uint8Array | null
}

const hashOf = (text: string): Uint8Array => H('test', text)
const next = { beacon: hashOf('beacon'), rosterHash: roster.hash, deckHash: hashOf('deck') }
export const candidates = {
  'attempt-0': [
    { value: { kind: 'cut', cutHash: hashOf('cut') }, root: null },
    { value: { kind: 'retry' }, root: null }
  ],
  closing: [
    { value: { kind: 'summed', cutHash: hashOf('cut'), ...next }, root: hashOf('root') },
    { value: { kind: 'burned', ...next }, root: null }
  ]
} satisfies Record<string, Candidate[]>
export type Running = keyof typeof candidates

const signatures = new Map<string, Uint8Array>()

/** A member's signature under a vote; the same votes come again and again. */
export function signatureOf(member: number, type: VoteType, vote: Body<VoteType>): Uint8Array {
  const bytes = signedBytes(type, context, vote)
  const key = `${member}/${bytesToHex(bytes)}`
  const signature = signatures.get(key) ?? identities[member].sign(bytes)
  signatures.set(key, signature)
  return signature
}

/** The votes of these members as one certificate. */
export function certificateOf(type: VoteType, vote: Body<VoteType>, signers: readonly number[]): Certificate {
  const votes = new Map(signers.map((member) => [member, signatureOf(member, type, vote)]))
  return certify(votes, vote, roster.members.length)
}

export const voteFor = (name: AgreementName, view: number, { value, root }: Candidate): Body<VoteType> => ({
  agreement: name,
  view,
  value: valueHash(value),
  root
})

/** What the transitions say that a ballot holds. */
export interface Expected {
  readonly agreements: Readonly<Partial<Record<AgreementName, AgreementState>>>
  readonly changedTo: number
}

export const nothingExpected: Expected = { agreements: {}, changedTo: 0 }

/** Something that a member is asked, and what becomes of it by the transitions: undefined where they refuse. */
export interface Question {
  readonly word: string
  ask(ballot: Ballot): Promise<Message | void>
  expect(before: Expected): Expected | undefined
}

function after(before: Expected, name: AgreementName, turn: (state: AgreementState) => Step): Expected | undefined {
  const state = before.agreements[name] ?? agreement.nothingSigned
  const step = turn(state)
  if ('refusal' in step) return undefined
  return step.state === state ? before : { ...before, agreements: { ...before.agreements, [name]: step.state } }
}

export function toPrepare(
  name: AgreementName,
  view: number,
  candidate: Candidate,
  passesChecks: boolean,
  lock?: Lock
): Question {
  const { value, root } = candidate
  const vote = choiceOf(certificateOf('Prepare', voteFor(name, view, candidate), []))
  const shownLock = lock && choiceOf(lock.certificate)
  return {
    word: `prepare ${value.kind} in view ${view} of ${name}`,
    ask: (ballot) => ballot.prepare(name, { view, value, root: root ?? undefined, passesChecks, lock }),
    expect: (before) =>
      after(before, name, (state) =>
        agreement.prepare(state, { ...vote, passesChecks, shownLock, changedTo: before.changedTo })
      )
  }
}

export function toCommit(lock: Lock): Question {
  const { agreement: name, view } = lock.certificate
  return {
    word: `commit to ${lock.value.kind} in view ${view} of ${name}`,
    ask: (ballot) => ballot.commit(lock),
    expect: (before) =>
      after(before, name as AgreementName, (state) =>
        agreement.commit(state, choiceOf(lock.certificate), before.changedTo)
      )
  }
}

export function toDecide(decision: Body<'Decision'>): Question {
  const { agreement: name, value } = decision.commits
  return {
    word: `take note of ${decision.value.kind} in ${name}`,
    ask: (ballot) => ballot.decide(decision),
    expect: (before) => after(before, name as AgreementName, (state) => agreement.decide(state, bytesToHex(value)))
  }
}

export function toChangeView(view: number): Question {
  return {
    word: `change to view ${view}`,
    ask: (ballot) => ballot.changeView(view),
    expect: (before) => {
      if (view === before.changedTo && view > 0) return before
      return view < Math.max(1, before.changedTo) ? undefined : { ...before, changedTo: view }
    }
  }
}

/** The process dies in its next write, with what it wrote on disk or not. */
export type Death = 'before the write' | 'after the write'

export class Crash extends Error {}

/** A disk, and how it fails the process that writes to it. */
export class Disk extends MemoryJournal {
  death?: Death
  /** The mutant of S3: writes that are told to be on disk, and are not. */
  forgets = false
  writing = 0

  override async batch(operations: JournalOperation[]): Promise<void> {
    this.writing++
    await setImmediate()
    if (this.death === 'before the write') throw new Crash()
    if (!this.forgets) await super.batch(operations)
    if (this.death === 'after the write') throw new Crash()
    this.writing--
  }

  /** What the next process finds. */
  async afterCrash(): Promise<Disk> {
    const copy = new Disk()
    for await (const [key, value] of this.entries('')) await copy.put(key, value)
    copy.forgets = this.forgets
    return copy
  }

  async bytes(): Promise<string> {
    const all: string[] = []
    for await (const [key, value] of this.entries('')) all.push(`${key}=${bytesToHex(value)}`)
    return all.join()
  }
}

/** Opens a member's ballot; signing while a write is under way fails the walk (S3). */
export function openBallot(me: number, disk: Disk): Promise<Ballot> {
  const sign = (bytes: Uint8Array): Uint8Array => {
    if (disk.writing > 0) throw new Error('a signature was asked for before all was on disk')
    return identities[me].sign(bytes)
  }
  return Ballot.open({ journal: disk, key: 'ballot', context, electorate, me, sign })
}

export type Answer = { kind: 'done'; message?: Message } | { kind: 'refused' } | { kind: 'crashed' }

/** Anything but a refusal by the rules or a crash is a fault of the walk. */
export async function answerTo(question: Question, ballot: Ballot): Promise<Answer> {
  try {
    return { kind: 'done', message: (await question.ask(ballot)) ?? undefined }
  } catch (error) {
    if (error instanceof BallotError) return { kind: 'refused' }
    if (error instanceof Crash) return { kind: 'crashed' }
    throw error
  }
}
