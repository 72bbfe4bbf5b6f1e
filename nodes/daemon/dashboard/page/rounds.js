import { useState } from 'preact/hooks'
import { html } from './html.js'
import { RoundsChart } from './rounds-chart.js'
import { aggregatorOf, auditOf, bytes, closedSentence, listOf, milliseconds, phases } from './words.js'

const durations = phases.map(({ name }) => ({
  name,
  colour: `--phase-${name}`,
  of: ({ phaseMs }) => phaseMs[name] ?? 0
}))
const memberships = [
  { name: 'included', colour: '--included', of: ({ included }) => included.length },
  { name: 'dropped', colour: '--dropped', of: ({ dropped }) => dropped.length },
  { name: 'missing', colour: '--missing', of: ({ missing }) => missing.length }
]

const inTime = (ticks) => ticks.map((tick) => (ticks.at(-1) < 2000 ? `${tick} ms` : `${tick / 1000} s`))
const inWholes = (ticks) => ticks.map((tick) => (Number.isInteger(tick) ? tick : ''))

/** The rounds that are over: how long each phase took, and whose vectors are in the sum. */
export function Rounds({ state }) {
  const { rounds } = state
  const [picked, pick] = useState()
  const at = rounds.findIndex(({ round }) => round === picked)
  const shown = rounds[at] ?? rounds.at(-1)
  const move = (event) => {
    const last = rounds.length - 1
    const from = at < 0 ? last : at
    const to = {
      ArrowLeft: from - 1,
      ArrowDown: from - 1,
      ArrowRight: from + 1,
      ArrowUp: from + 1,
      Home: 0,
      End: last
    }[event.key]
    if (to === undefined) return
    event.preventDefault()
    const next = Math.max(0, Math.min(last, to))
    pick(next === last ? undefined : rounds[next].round)
  }
  return html`<section class="card rounds-card" aria-labelledby="rounds-title">
    <header>
      <h2 id="rounds-title">Rounds</h2>
      <p>${rounds.length === 0 ? '' : 'time of each phase, and whose vectors are in the sum'}</p>
    </header>
    ${
      shown === undefined
        ? html`<p class="hint">A bar for each round that is over: how long it took, and who is in the sum.</p>`
        : html`<div
              class="charts"
              role="slider"
              tabindex="0"
              aria-label="Round"
              aria-valuemin=${rounds[0].round}
              aria-valuemax=${rounds.at(-1).round}
              aria-valuenow=${shown.round}
              aria-valuetext=${`${closedSentence(state, shown)}, in ${milliseconds(shown.durationMs)}`}
              onKeyDown=${move}
            >
              <${RoundsChart}
                rounds=${rounds}
                parts=${durations}
                told=${inTime}
                height=${210}
                selected=${shown.round}
                onPick=${pick}
              />
              <${RoundsChart}
                rounds=${rounds}
                parts=${memberships}
                told=${inWholes}
                height=${96}
                selected=${shown.round}
                onPick=${pick}
              />
            </div>
            <${Legend} round=${shown} />
            <p class="described">${describe(state, shown)}</p>
            <${Table} state=${state} />`
    }
  </section>`
}

function describe(state, round) {
  const missing = round.missing.length === 0 ? '' : `; missing: ${listOf(state, round, round.missing)}`
  const traffic =
    round.bytesSent === undefined ? '' : `; ${bytes(round.bytesSent)} sent, ${bytes(round.bytesReceived)} received`
  const audited = auditOf(round)
  const audit = audited === '' ? '' : `; ${audited} of the sum’s chunks recomputed here`
  return `${closedSentence(state, round)}${missing}; ${milliseconds(round.durationMs)}${traffic}${audit}.`
}

/** What the colours mean, with the numbers of the round that is described. */
function Legend({ round }) {
  const entry = (part, value) =>
    html`<li key=${part.name}><i style=${{ background: `var(${part.colour})` }}></i>${part.name} <b>${value}</b></li>`
  return html`<ul class="legend">
    ${durations.map((part) => entry(part, milliseconds(part.of(round))))}
    ${memberships.map((part) => entry(part, part.of(round)))}
  </ul>`
}

function Table({ state }) {
  return html`<details>
    <summary>The same as a table</summary>
    <div class="scroll" role="region" aria-label="Rounds as a table" tabindex="0">
      <table>
        <thead>
          <tr>
            ${[
              'round',
              'status',
              'aggregator',
              'included',
              'dropped',
              'missing',
              'audited here',
              'total',
              ...phases.map(({ name }) => name)
            ].map((title) => html`<th scope="col">${title}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${state.rounds.toReversed().map(
            (round) =>
              html`<tr key=${round.round}>
                <th scope="row">${round.round}</th>
                <td>${round.status}</td>
                <td>${aggregatorOf(state, round)}</td>
                <td>${round.included.length}</td>
                <td>${listOf(state, round, round.dropped)}</td>
                <td>${listOf(state, round, round.missing)}</td>
                <td>${auditOf(round)}</td>
                <td>${milliseconds(round.durationMs)}</td>
                ${phases.map(({ name }) => html`<td>${milliseconds(round.phaseMs[name])}</td>`)}
              </tr>`
          )}
        </tbody>
      </table>
    </div>
  </details>`
}
