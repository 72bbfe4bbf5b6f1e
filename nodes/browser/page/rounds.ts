import { html } from 'htm/preact'
import type { MemberEvent, Phase, RoundOutcome } from '../index.ts'

const phases: Phase[] = ['keys', 'shares', 'mask', 'agree', 'unmask', 'sum', 'close']
const mostRows = 20

/** A round as this page saw it. */
export interface Row {
  round: number
  phase?: Phase
  leading: boolean
  outcome?: RoundOutcome
}

/** The rounds after an event, the newest first. */
export function shown(rows: Row[], event: MemberEvent): Row[] {
  const round = 'round' in event ? event.round : event.type === 'round:closed' ? event.outcome.round : undefined
  if (round === undefined) return rows
  const row: Row = { ...(rows.find((one) => one.round === round) ?? { round, leading: false }) }
  if (event.type === 'round:phase') Object.assign(row, { phase: event.phase, leading: event.leading })
  if (event.type === 'round:closed') row.outcome = event.outcome
  return [row, ...rows.filter((one) => one.round !== round)].sort((a, b) => b.round - a.round).slice(0, mostRows)
}

const ofInput: Record<RoundOutcome['input'], string> = {
  summed: 'your numbers are in it',
  'not included': 'your numbers were not opened and wait for the next round',
  burned: 'do not contribute the same numbers again: the difference could show them',
  none: 'you contributed nothing'
}

function told({ phase, outcome }: Row, members: number): string {
  if (outcome === undefined)
    return phase === undefined ? 'opened' : `${phase}, ${phases.indexOf(phase) + 1} of ${phases.length}`
  const { status, reason, included, input } = outcome
  const what =
    status === 'summed' ? `summed over ${included.length} of ${members}` : `burned (${reason ?? 'no reason given'})`
  return `${what}; ${ofInput[input]}`
}

export function Rounds({ rows, members }: { rows: Row[]; members: number }) {
  return html`
    <h2>Rounds</h2>
    <ol class="rounds">
      ${rows.map(
        (row) =>
          html`<li key=${row.round}>
            <b>Round ${row.round}</b>${row.leading && ' (led by this page)'}: ${told(row, members)}
            ${
              row.outcome === undefined &&
              html`<progress
                max=${phases.length}
                value=${row.phase === undefined ? 0 : phases.indexOf(row.phase) + 1}
                aria-label="Phases"
              ></progress>`
            }
          </li>`
      )}
    </ol>
  `
}
