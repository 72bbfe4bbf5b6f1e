import { render } from 'preact'
import { useEffect, useReducer, useState } from 'preact/hooks'
import { Evidence } from './evidence.js'
import { follow } from './feed.js'
import { html } from './html.js'
import { Noise } from './noise.js'
import { Phases } from './phases.js'
import { Ring } from './ring.js'
import { Rounds } from './rounds.js'
import { nothing, take } from './state.js'
import { ThemeChoice } from './theme.js'
import { storedToken, TokenForm } from './token.js'
import { closedSentence, milliseconds, summedSentence } from './words.js'

const statuses = {
  connecting: 'connecting',
  live: 'live',
  lost: 'connection lost, trying again',
  refused: 'token refused'
}

function App() {
  const [state, dispatch] = useReducer(take, nothing)
  const [token, setToken] = useState(storedToken)
  const [status, setStatus] = useState('connecting')
  useEffect(() => {
    if (token === null) return undefined
    const ended = new AbortController()
    void follow({ token, signal: ended.signal, onEvent: dispatch, onStatus: setStatus })
    return () => ended.abort()
  }, [token])
  useEffect(() => {
    document.title = state.task === undefined ? 'secagg' : `${state.task} · secagg`
  }, [state.task])
  const asks = token === null || status === 'refused'
  return html`<a class="skip" href="#main">Skip to the members</a>
    <header class="page-header">
      <p class="brand"><img src="/dashboard/icon.svg" alt="" width="22" height="22" />secagg</p>
      ${!asks && html`<p class=${`status ${status}`} role="status"><i aria-hidden="true"></i>${statuses[status]}</p>`}
      <${ThemeChoice} />
    </header>
    <main id="main" tabindex="-1">
      ${asks ? html`<${TokenForm} refused=${token !== null} onToken=${setToken} />` : html`<${Board} state=${state} />`}
    </main>
    <p class="unseen" role="status">${announcement(state)}</p>`
}

function Board({ state }) {
  return html`<${Headline} state=${state} />
    <div class="board">
      <${Ring} state=${state} />
      <${Phases} state=${state} />
      <${Noise} state=${state} />
      <${Rounds} state=${state} />
      <${Evidence} state=${state} />
    </div>`
}

/** What a glance is to tell. */
function Headline({ state }) {
  const { rounds, task, epoch, members } = state
  const summed = rounds.filter(({ status }) => status === 'summed')
  const middle = summed.map(({ durationMs }) => durationMs).sort((a, b) => a - b)[Math.floor(summed.length / 2)]
  const leaders = new Set(rounds.map(({ aggregatorId }) => aggregatorId)).size
  const figures = [
    ['rounds summed', summedSentence(rounds)],
    ['median time', milliseconds(middle) || '–'],
    ['different leaders', rounds.length === 0 ? '–' : `${leaders} of ${members.length}`]
  ]
  return html`<div class="headline">
    <div>
      <h1>${task ?? 'Secure aggregation'}</h1>
      <p>
        ${members.length === 0 ? 'The members' : `${members.length} members`} sum their vectors and nobody sees a single
        one${epoch > 0 ? `; roster of epoch ${epoch}` : ''}.
      </p>
    </div>
    <dl>
      ${figures.map(
        ([name, value]) =>
          html`<div key=${name}>
            <dt>${name}</dt>
            <dd>${value}</dd>
          </div>`
      )}
    </dl>
  </div>`
}

/** For screen readers: one sentence a round, not one a phase. */
function announcement(state) {
  const last = state.rounds.at(-1)
  return last === undefined ? '' : closedSentence(state, last)
}

render(html`<${App} />`, document.getElementById('app'))
