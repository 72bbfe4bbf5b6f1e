import type { Hold } from '../daemon/launcher-messages.ts'
import type { Phase } from '../../src/round/ports.ts'

/** The phases at which a member can be killed. */
export const mortalPhases = ['keys', 'shares', 'mask', 'agree', 'unmask', 'sum'] as const

/** What is done to a member instead of killing it: its process stands still (SIGSTOP), or nobody can be reached any more. */
export type Suspension = 'stopped' | 'cut off'

export interface Kill {
  /** As in peer-N; or whoever leads when the phase is reached; or the first that reaches it and does not lead. */
  who: number | 'aggregator' | 'member'
  phase: (typeof mortalPhases)[number]
  round: number
  /** It lives, and misses what goes on until it is let come back. */
  instead?: Suspension
}

/** Which kills are still to come. Each is spent once. */
export class PendingKills {
  readonly #pending: Set<Kill>

  constructor(kills: readonly Kill[]) {
    this.#pending = new Set(kills)
  }

  /** Where this member must wait for the launcher's word in a round: wherever a kill may name it. */
  holds(number: number, round: number): Hold[] {
    return this.of(round)
      .filter(({ who }) => typeof who === 'string' || who === number)
      .map(({ phase }) => ({ phase, round }))
  }

  /** The kill that names a member that has reached a phase, spent with this call. */
  claim(number: number, reached: { phase: Phase; round: number; leading: boolean }): Kill | undefined {
    const named = this.of(reached.round).find(
      ({ who, phase }) => phase === reached.phase && names(who, number, reached.leading)
    )
    if (named !== undefined) this.#pending.delete(named)
    return named
  }

  /** Those of a round that are not spent. */
  of(round: number): Kill[] {
    return [...this.#pending].filter((kill) => kill.round === round)
  }
}

function names(who: Kill['who'], number: number, leading: boolean): boolean {
  return typeof who === 'number' ? who === number : leading === (who === 'aggregator')
}

/** As a user types it. */
export function killText({ who, phase, round }: Kill): string {
  return `${who}@${phase}:${round}`
}
