import assert from 'node:assert/strict'
import * as rules from '../../src/round/agreement.ts'
import type { AgreementState, PrepareRequest, Step, ViewChoice } from '../../src/round/agreement.ts'
import { below, chance, pick } from '../simulation/chance.ts'
import type { Chance } from '../simulation/chance.ts'

const { commit, decide, nothingSigned, prepare } = rules

function stateAfter(step: Step): AgreementState {
  assert.ok('state' in step, 'refusal' in step ? step.refusal : '')
  return step.state
}

function refused(step: Step, sentence: RegExp): void {
  assert.ok('refusal' in step, 'it was not refused')
  assert.match(step.refusal, sentence)
}

const asks = (view: number, value: string, more: Partial<PrepareRequest> = {}): PrepareRequest => ({
  view,
  value,
  passesChecks: true,
  changedTo: 0,
  ...more
})
const prepared = (view: number, value: string) => stateAfter(prepare(nothingSigned, asks(view, value)))
const locked = (view: number, value: string) => stateAfter(commit(nothingSigned, { view, value }, 0))

describe('what a member may prepare', () => {
  it('a value that passes its checks, once a view; the same again is the same', () => {
    const state = prepared(0, 'A')
    assert.equal(state.signedView, 0)
    assert.equal(stateAfter(prepare(state, asks(0, 'A'))), state)
    refused(prepare(state, asks(0, 'B')), /another value in view 0/)
    refused(prepare(state, asks(0, 'A', { root: 'r' })), /another value in view 0/)
  })

  it('nothing in a view below one it has signed in, a change of view counting', () => {
    refused(prepare(prepared(2, 'A'), asks(1, 'A')), /after 1/)
    refused(prepare(nothingSigned, asks(1, 'A', { changedTo: 2 })), /after 1/)
    stateAfter(prepare(nothingSigned, asks(2, 'A', { changedTo: 2 })))
  })

  it('nothing that neither passes its checks nor comes with a lock for it', () => {
    refused(prepare(nothingSigned, asks(1, 'A', { passesChecks: false })), /no lock/)
    refused(
      prepare(nothingSigned, asks(1, 'A', { passesChecks: false, shownLock: { view: 0, value: 'B' } })),
      /no lock/
    )
    stateAfter(prepare(nothingSigned, asks(1, 'A', { passesChecks: false, shownLock: { view: 0, value: 'A' } })))
    stateAfter(prepare(locked(0, 'A'), asks(1, 'A', { passesChecks: false })))
  })

  it('nothing under a lock of this view or a later one', () => {
    for (const view of [1, 2])
      refused(prepare(nothingSigned, asks(1, 'A', { passesChecks: false, shownLock: { view, value: 'A' } })), /no lock/)
  })

  it('nothing against its own lock, unless shown a lock for the value from a higher view than its own', () => {
    const own = locked(1, 'A')
    refused(prepare(own, asks(3, 'B')), /locked on another value since view 1/)
    for (const view of [0, 1, 3]) refused(prepare(own, asks(3, 'B', { shownLock: { view, value: 'B' } })), /locked/)
    refused(prepare(own, asks(3, 'B', { shownLock: { view: 2, value: 'C' } })), /locked/)
    stateAfter(prepare(own, asks(3, 'B', { shownLock: { view: 2, value: 'B' } })))
  })

  it('only the decided value once one is decided', () => {
    const state = stateAfter(decide(nothingSigned, 'A'))
    refused(prepare(state, asks(1, 'B')), /is decided/)
    stateAfter(prepare(state, asks(1, 'A')))
  })
})

describe('what a member may commit to', () => {
  it('a lock that it is shown, which becomes its own', () => {
    const state = stateAfter(commit(prepared(1, 'A'), { view: 1, value: 'A', root: 'r' }, 0))
    assert.deepEqual(state.lock, { view: 1, value: 'A', root: 'r' })
    assert.equal(stateAfter(commit(state, { view: 1, value: 'A', root: 'r' }, 0)), state)
  })

  it('nothing else in a view in which it has committed', () => {
    refused(commit(locked(1, 'A'), { view: 1, value: 'B' }, 0), /another value in view 1/)
    refused(commit(locked(1, 'A'), { view: 1, value: 'A', root: 'r' }, 0), /another value in view 1/)
  })

  it('nothing of a view after which it has signed anything, a change of view counting', () => {
    refused(commit(prepared(2, 'A'), { view: 1, value: 'A' }, 0), /after 1/)
    refused(commit(nothingSigned, { view: 1, value: 'A' }, 2), /after 1/)
    refused(commit(locked(2, 'A'), { view: 1, value: 'A' }, 0), /after 1/)
  })

  it('a lock for another value of a higher view than its own, which replaces it', () => {
    assert.deepEqual(stateAfter(commit(locked(1, 'A'), { view: 2, value: 'B' }, 0)).lock, { view: 2, value: 'B' })
  })

  it('nothing against a decision, and no second decision', () => {
    const state = stateAfter(decide(nothingSigned, 'A'))
    refused(commit(state, { view: 1, value: 'B' }, 0), /is decided/)
    refused(decide(state, 'B'), /is decided/)
    assert.equal(stateAfter(decide(state, 'A')), state)
  })
})

type Rules = Pick<typeof rules, 'prepare' | 'commit'>

const honest = [0, 1, 2]
const values = ['A', 'B']
const views = 3

/**
 * One random schedule of n = 4 with one corrupt member that signs whatever helps: any honest member is asked anything at any
 * time, in whatever order. Returns the values that a quorum committed to in some view.
 */
function decisionsOf(draw: Chance, { prepare, commit }: Rules, quorum = 3): Set<string> {
  const states = honest.map(() => nothingSigned)
  const changedTo = honest.map(() => 0)
  const signed = { prepare: new Map<string, Set<number>>(), commit: new Map<string, Set<number>>() }
  const sign = (type: 'prepare' | 'commit', member: number, view: number, value: string) => {
    const key = `${view}${value}`
    signed[type].set(key, (signed[type].get(key) ?? new Set()).add(member))
  }
  const isLock = (view: number, value: string) => (signed.prepare.get(`${view}${value}`)?.size ?? 0) + 1 >= quorum
  const locks = (): ViewChoice[] =>
    Array.from({ length: views }, (_, view) =>
      values.filter((value) => isLock(view, value)).map((value) => ({ view, value }))
    ).flat()

  for (let step = 0; step < 40; step++) {
    const member = pick(honest, draw)
    const kind = below(5, draw)
    if (kind < 2) {
      const [view, value] = [below(views, draw), pick(values, draw)]
      const shownLock = pick([undefined, ...locks()], draw)
      const request = { view, value, passesChecks: draw() < 0.7, shownLock, changedTo: changedTo[member] }
      const result = prepare(states[member], request)
      if ('refusal' in result) continue
      states[member] = result.state
      sign('prepare', member, view, value)
    } else if (kind < 4) {
      const lock = pick([undefined, ...locks()], draw)
      if (lock === undefined) continue
      const result = commit(states[member], lock, changedTo[member])
      if ('refusal' in result) continue
      states[member] = result.state
      sign('commit', member, lock.view, lock.value)
    } else if (changedTo[member] < views - 1 && draw() < 0.3) {
      changedTo[member]++
    }
  }
  const decided = [...signed.commit].filter(([, members]) => members.size + 1 >= quorum)
  return new Set(decided.map(([key]) => key.slice(1)))
}

/** Whether some schedule decides twice; the first few thousand show it where any do. */
function decidesTwice(mutant: Rules, quorum?: number): boolean {
  for (let seed = 0; seed < 60_000; seed++) if (decisionsOf(chance(seed), mutant, quorum).size > 1) return true
  return false
}

describe('agreement of four members, one of them corrupt, under random schedules', () => {
  it('decides often, and never twice', () => {
    let decided = 0
    for (let seed = 0; seed < 30_000; seed++) {
      const { size } = decisionsOf(chance(seed), rules)
      assert.ok(size <= 1, `schedule ${seed} decides twice`)
      decided += size
    }
    assert.ok(decided > 300, `only ${decided} of the schedules decide anything`)
  })

  const unlocked = (state: AgreementState): AgreementState => ({ ...state, lock: undefined })
  const mutants: Record<string, Rules> = {
    'its own lock ignored': { ...rules, prepare: (state, request) => prepare(unlocked(state), request) },
    'unlocked by an older lock': {
      ...rules,
      prepare: (state, request) =>
        request.shownLock?.value === request.value && request.shownLock.view < request.view
          ? prepare(unlocked(state), request)
          : prepare(state, request)
    },
    // Two prepares alone are two locks of one view, and the rule of one commit a view still holds.
    'two prepares and two commits in a view': {
      prepare: (state, request) => prepare({ ...state, prepared: {} }, request),
      commit: (state, lock, changedTo) => commit({ ...state, committed: {} }, lock, changedTo)
    },
    'a commit after signing for a later view': {
      ...rules,
      commit: (state, lock) => commit({ ...state, signedView: -1 }, lock, 0)
    },
    'the lock not journaled': {
      ...rules,
      commit: (state, lock, changedTo) => {
        const step = commit(state, lock, changedTo)
        return 'state' in step ? { state: unlocked(step.state) } : step
      }
    },
    'a change of view forgotten, and views signed in': {
      prepare: (state, request) => prepare({ ...state, signedView: -1 }, { ...request, changedTo: 0 }),
      commit: (state, lock) => commit({ ...state, signedView: -1 }, lock, 0)
    }
  }
  for (const [what, mutant] of Object.entries(mutants)) {
    it(`would decide twice with ${what}`, () => {
      assert.ok(decidesTwice(mutant))
    })
  }

  it('would decide twice with a quorum one lower', () => {
    assert.ok(decidesTwice(rules, 2))
  })
})
