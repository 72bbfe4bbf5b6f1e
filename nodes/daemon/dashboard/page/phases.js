import { html } from './html.js'
import { aggregatorOf, milliseconds, nameOf, phases } from './words.js'

/** The phases of the round that is shown, as they happen. */
export function Phases({ state }) {
  const { round } = state
  return html`<section class="card phases-card" aria-labelledby="phases-title">
    <header>
      <h2 id="phases-title">${round === undefined ? 'Phases of a round' : `Round ${round.round}`}</h2>
      <p>${headline(state)}</p>
    </header>
    <ol class="phases">
      ${phases.map(({ name, says }) => {
        const { status, ms } = progressOf(round, name)
        return html`<li
          key=${name}
          class=${status}
          data-phase=${name}
          aria-current=${status === 'now' ? 'step' : undefined}
        >
          <span class="mark" aria-hidden="true"></span>
          <strong>${name}</strong>
          <span class="says">${says}</span>
          <span class="ms"
            >${ms === undefined ? html`<span class="unseen">${status === 'now' ? 'running' : 'to come'}</span>` : milliseconds(ms)}</span
          >
        </li>`
      })}
    </ol>
    ${round?.input !== undefined && html`<p class="hint">This member’s vector: ${round.input}.</p>`}
  </section>`
}

function headline({ round, ...state }) {
  if (round === undefined) return 'No round has been opened yet.'
  const who = nameOf(state.members, round.leader)
  if (round.closed === undefined) {
    return round.view === 0 ? `${who} leads` : `${who} leads, having taken over (view ${round.view})`
  }
  const { status, reason, durationMs, views } = round.closed
  if (status === 'burned') return `burned: ${reason ?? 'no reason was given'}`
  const took = `summed by ${aggregatorOf(state, round.closed)} in ${milliseconds(durationMs)}`
  return views > 1 ? `${took}, after ${views} views` : took
}

function progressOf(round, name) {
  if (round === undefined) return { status: 'ahead' }
  const { closed, reached } = round
  const at = reached.findIndex(({ phase }) => phase === name)
  if (closed !== undefined) {
    const ms = closed.phaseMs[name]
    return ms === undefined ? { status: 'ahead' } : { status: 'done', ms }
  }
  if (at < 0) return { status: 'ahead' }
  if (at === reached.length - 1) return { status: 'now' }
  return { status: 'done', ms: reached[at + 1].atMs - reached[at].atMs }
}
