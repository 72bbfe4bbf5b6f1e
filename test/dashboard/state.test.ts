import assert from 'node:assert/strict'
import { pathToFileURL } from 'node:url'
import type { FeedEvents } from '../../nodes/daemon/feed.ts'
import { packageFile } from '../../nodes/package-root.ts'

interface State {
  round?: {
    round: number
    leader: number
    view: number
    reached: { phase: string }[]
    received: number[]
    sum?: object
  }
  rounds: { round: number }[]
  evidence: object[]
  failures: object[]
  led: Record<number, number>
}
type Event = { [Name in keyof FeedEvents]: { event: Name; data: Partial<FeedEvents[Name]> } }[keyof FeedEvents]
interface Page {
  nothing: State
  take(state: State, event: Event | { event: string; data?: object }): State
}

describe('what the dashboard knows', () => {
  let page: Page
  before(async () => {
    // The page is plain JavaScript, which has no types.
    page = (await import(pathToFileURL(packageFile('nodes/daemon/dashboard/page/state.js')).href)) as Page
  })

  const after = (...events: Event[]): State =>
    events.reduce<State>((state, event) => page.take(state, event), page.nothing)
  const open = (round: number): Event => ({ event: 'round:open', data: { round, order: [2, 0, 1] } })
  const phase = (name: FeedEvents['round:phase']['phase'], view = 0, leader = 2, round = 1): Event => ({
    event: 'round:phase',
    data: { round, phase: name, view, leader, atMs: 1 }
  })
  const closed = (round: number, aggregator = 2): Event => ({ event: 'round:closed', data: { round, aggregator } })

  it('is that the first in the order leads until somebody takes over', () => {
    assert.equal(after(open(1)).round!.leader, 2)
    const { round } = after(open(1), phase('keys'), phase('mask'), phase('mask', 1, 0))
    assert.deepEqual([round!.leader, round!.view], [0, 1])
  })

  it('is that a new attempt begins with the keys again', () => {
    const { round } = after(open(1), phase('keys'), phase('shares'), phase('mask'), phase('keys', 1, 0))
    assert.deepEqual(
      round!.reached.map((reached) => reached.phase),
      ['keys']
    )
  })

  it('is of the newest round, whatever is still told of an older one', () => {
    const { round } = after(open(1), open(2), phase('close'))
    assert.deepEqual([round!.round, round!.reached], [2, []])
  })

  it('is each vector, closed round and piece of evidence once', () => {
    const vector: Event = { event: 'vector', data: { round: 1, member: 4, bytes: 9, preview: '' } }
    const evidence: Event = { event: 'evidence', data: { round: 1, kind: 'double-vote', culprit: 'x' } }
    const state = after(open(1), vector, vector, closed(1), closed(1), evidence, evidence)
    assert.deepEqual(state.round!.received, [4])
    assert.equal(state.rounds.length, 1)
    assert.equal(state.evidence.length, 1)
    assert.deepEqual(state.led, { 2: 1 })
  })

  it('is each audit that failed, with why; those that passed are told with their rounds', () => {
    const passed: Event = { event: 'audit', data: { round: 1, passed: true, chunks: 1, of: 1 } }
    const failed: Event = { event: 'audit', data: { round: 2, passed: false, reason: 'wrong' } }
    assert.deepEqual(after(open(1), passed, failed).failures, [failed.data])
  })

  it('is the last fifty rounds, and how often each of the members has led', () => {
    const state = after(...Array.from({ length: 60 }, (_, at) => closed(at + 1, at % 3)))
    assert.deepEqual([state.rounds.length, state.rounds[0].round], [50, 11])
    assert.deepEqual(state.led, { 0: 20, 1: 20, 2: 20 })
  })

  it('says of which rounds so many were summed', async () => {
    const words = (await import(pathToFileURL(packageFile('nodes/daemon/dashboard/page/words.js')).href)) as {
      summedSentence(rounds: { round: number; status: string }[]): string
    }
    const burned = (from: number, count: number) =>
      Array.from({ length: count }, (_, at) => ({ round: from + at, status: 'burned' }))
    assert.equal(words.summedSentence([]), '–')
    assert.equal(words.summedSentence([...burned(1, 2), { round: 3, status: 'summed' }]), '1 of 3')
    assert.equal(words.summedSentence(burned(11, 50)), '0 of the last 50')
  })

  it('is nothing of events that it does not know', () => {
    assert.equal(page.take(page.nothing, { event: 'unheard of', data: {} }), page.nothing)
  })
})
