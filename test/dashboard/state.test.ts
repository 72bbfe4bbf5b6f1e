import assert from 'node:assert/strict'
import { pathToFileURL } from 'node:url'
import type { FeedEvents } from '../../nodes/daemon/feed.ts'
import { packageFile } from '../../nodes/package-root.ts'

interface State {
  epoch?: number
  round?: {
    round: number
    leader?: number
    view: number
    reached: { phase: string }[]
    received: number[]
    vectors: Record<number, object>
    sum?: object
  }
  rounds: { round: number }[]
  evidence: object[]
  failures: object[]
  led: Record<string, number>
}
type Event = { [Name in keyof FeedEvents]: { event: Name; data: Partial<FeedEvents[Name]> } }[keyof FeedEvents]
interface Words {
  summedSentence(rounds: { round: number; status: string }[]): string
  closedSentence(state: State, round: object): string
  nameOf(members: object[], index?: number): string
  labelOf(member: object): string
}
interface Page {
  nothing: State
  take(state: State, event: Event | { event: string; data?: object }): State
}

describe('what the dashboard knows', () => {
  let page: Page
  let words: Words
  before(async () => {
    // The page is plain JavaScript, which has no types.
    const load = (name: string): Promise<unknown> =>
      import(pathToFileURL(packageFile(`nodes/daemon/dashboard/page/${name}`)).href)
    page = (await load('state.js')) as Page
    words = (await load('words.js')) as Words
  })

  const after = (...events: Event[]): State =>
    events.reduce<State>((state, event) => page.take(state, event), page.nothing)
  const open = (round: number): Event => ({ event: 'round:open', data: { round, epoch: 0, order: [2, 0, 1] } })
  const phase = (name: FeedEvents['round:phase']['phase'], view = 0, leader = 2, round = 1): Event => ({
    event: 'round:phase',
    data: { round, phase: name, view, leader, atMs: 1 }
  })
  const closed = (round: number, aggregator = 2): Event => ({
    event: 'round:closed',
    data: { round, epoch: 0, aggregator, aggregatorId: 'abc'[aggregator] }
  })
  const roster = (epoch: number, ...ids: string[]): Event => ({
    event: 'members',
    data: { epoch, members: ids.map((id, index) => ({ index, id, connected: true, state: 'member' })) }
  })

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
    assert.deepEqual(state.led, { c: 1 })
  })

  it('is each audit that failed, with why; those that passed are told with their rounds', () => {
    const passed: Event = { event: 'audit', data: { round: 1, passed: true, chunks: 1, of: 1 } }
    const failed: Event = { event: 'audit', data: { round: 2, passed: false, reason: 'wrong' } }
    assert.deepEqual(after(open(1), passed, failed).failures, [failed.data])
  })

  it('is the last fifty rounds, and how often each of the members has led', () => {
    const state = after(...Array.from({ length: 60 }, (_, at) => closed(at + 1, at % 3)))
    assert.deepEqual([state.rounds.length, state.rounds[0].round], [50, 11])
    assert.deepEqual(state.led, { a: 20, b: 20, c: 20 })
  })

  it('is that a later roster numbers the members anew, and who is gone has no seat', () => {
    const vectors = [0, 1].map((member): Event => ({
      event: 'vector',
      data: { round: 1, member, bytes: 9, preview: '' }
    }))
    const before = after(roster(0, 'a', 'b', 'c'), open(1), ...vectors)
    const { round } = page.take(before, roster(1, 'b', 'c', 'd'))
    assert.deepEqual([round!.leader, round!.received], [1, [undefined, 0]])
    assert.deepEqual(round!.vectors[0], vectors[1].data)
    const again = page.take({ ...before, round }, roster(1, 'b', 'c', 'd'))
    assert.equal(again.round!.leader, 1)
    // A page that was opened after the change has never heard of the first roster.
    assert.equal(after(open(1), roster(1, 'b', 'c', 'd')).round!.leader, undefined)
    assert.equal(after(open(1), closed(1), roster(1, 'b', 'c', 'd')).round!.leader, 1)
    assert.equal(after(open(1), roster(1, 'b', 'c', 'd'), closed(1)).round!.leader, 1)
  })

  it('says who was in a round by the numbers of its epoch, and who led it by whatever number it has now', () => {
    const state = after(roster(1, 'b', 'c', 'd'))
    const summed = { round: 1, epoch: 0, status: 'summed', aggregator: 1, included: [0, 1], dropped: [2] }
    const sentence = (more: object): string => words.closedSentence(state, { ...summed, ...more })
    const without = 'without member 2'
    assert.equal(
      sentence({ aggregatorId: 'b' }),
      `Round 1 was summed by member 0 from 2 vectors, ${without} of epoch 0`
    )
    assert.equal(sentence({ epoch: 1, aggregatorId: 'c' }), `Round 1 was summed by member 1 from 2 vectors, ${without}`)
    assert.match(sentence({ aggregatorId: '12D3KooWA3Hy5eMsf7' }), /summed by 12D3Ko…5eMsf7 /)
  })

  it('calls who is suspended by its id, as it has no number', () => {
    const suspended = { index: -1, id: '12D3KooWA3Hy5eMsf7', connected: false, state: 'suspended' }
    assert.equal(words.nameOf([suspended], -1), 'nobody')
    assert.equal(words.labelOf(suspended), '12D3Ko…5eMsf7')
  })

  it('says of which rounds so many were summed', () => {
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
