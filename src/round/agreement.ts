/**
 * Two-phase agreement with locks (§6; Tendermint, arXiv 1807.04938, with votes relayed by the leader as in HotStuff,
 * PODC 2019): what one member may sign next. Pure transitions over a small state, used for inclusion and for closing.
 * Values are compared by their hash (hex). Whoever calls has checked certificates and signatures.
 */

/** What a vote or lock is for. `root` is the sum's root in votes for `summed`, and is no part of the value. */
export interface Choice {
  readonly value: string
  readonly root?: string
}

export interface ViewChoice extends Choice {
  readonly view: number
}

export interface AgreementState {
  /** The highest view in which this member has signed anything here; −1 at first. */
  readonly signedView: number
  /** What it prepared, by view: one choice a view, for ever. */
  readonly prepared: Readonly<Record<number, Choice>>
  /** What it committed to, by view. */
  readonly committed: Readonly<Record<number, Choice>>
  readonly lock?: ViewChoice
  /** The decided value. */
  readonly decision?: string
}

export const nothingSigned: AgreementState = { signedView: -1, prepared: {}, committed: {} }

/** The new state, or why the rules forbid it. */
export type Step = { readonly state: AgreementState } | { readonly refusal: string }

const refuse = (refusal: string): Step => ({ refusal })
const same = (a: Choice, b: Choice): boolean => a.value === b.value && a.root === b.root

export interface PrepareRequest extends ViewChoice {
  /** The value passes this member's own checks. */
  readonly passesChecks: boolean
  /** A lock that the proposal came with (certificate verified). */
  readonly shownLock?: ViewChoice
  /** The highest view this member has signed a ViewChange to. */
  readonly changedTo: number
}

/** May this member sign `Prepare(view, value)`? Signing the same again is allowed: it gives the same bytes. */
export function prepare(state: AgreementState, request: PrepareRequest): Step {
  const { view, value, root, shownLock, changedTo } = request
  if (state.decision !== undefined && state.decision !== value) return refuse('another value is decided')
  const before = state.prepared[view]
  if (before !== undefined) return same(before, request) ? { state } : refuse(`prepared another value in view ${view}`)
  if (view < Math.max(state.signedView, changedTo)) return refuse(`has signed in a view after ${view}`)
  const shown = shownLock !== undefined && shownLock.value === value && shownLock.view < view ? shownLock : undefined
  const own = state.lock
  if (own !== undefined && own.value !== value && !(shown !== undefined && shown.view > own.view)) {
    return refuse(`is locked on another value since view ${own.view}`)
  }
  if (!request.passesChecks && shown === undefined && own?.value !== value)
    return refuse('the value passes no check and comes with no lock')
  return { state: { ...state, signedView: view, prepared: { ...state.prepared, [view]: choice(value, root) } } }
}

/** Shown a lock (a quorum of Prepares of one view): journal it as one's own and sign `Commit(view, value)`? */
export function commit(state: AgreementState, lock: ViewChoice, changedTo: number): Step {
  const { view, value, root } = lock
  if (state.decision !== undefined && state.decision !== value) return refuse('another value is decided')
  const before = state.committed[view]
  if (before !== undefined) return same(before, lock) ? { state } : refuse(`committed to another value in view ${view}`)
  if (view < Math.max(state.signedView, changedTo)) return refuse(`has signed in a view after ${view}`)
  if (state.lock !== undefined && state.lock.view > view) return refuse(`is locked since view ${state.lock.view}`)
  return {
    state: {
      ...state,
      signedView: view,
      lock: { view, ...choice(value, root) },
      committed: { ...state.committed, [view]: choice(value, root) }
    }
  }
}

/** Shown a decision (a quorum of Commits of one view): it is for ever. */
export function decide(state: AgreementState, value: string): Step {
  if (state.decision === value) return { state }
  if (state.decision !== undefined) return refuse('another value is decided')
  return { state: { ...state, decision: value } }
}

const choice = (value: string, root: string | undefined): Choice => (root === undefined ? { value } : { value, root })
