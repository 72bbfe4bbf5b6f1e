import { html } from './html.js'

const key = 'secagg.token'

/** The token from the address (`#token=…`, which no server ever sees), or of this tab; null where there is none. */
export function storedToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get('token')
  if (given !== null) {
    keep(given)
    history.replaceState(null, '', location.pathname)
  }
  return sessionStorage.getItem(key)
}

function keep(token) {
  sessionStorage.setItem(key, token)
}

export function TokenForm({ refused, onToken }) {
  const submit = (event) => {
    event.preventDefault()
    const token = new FormData(event.target).get('token').trim()
    if (token === '') return
    keep(token)
    onToken(token)
  }
  return html`<form class="card token" onSubmit=${submit}>
    <h1>This daemon asks for its token</h1>
    <p>It is in the file <code>api.token</code> of the daemon’s data folder, and stays in this tab.</p>
    ${refused && html`<p class="refusal" role="alert">The daemon refused that token; copy the whole file.</p>`}
    <label for="token">Token</label>
    <input id="token" name="token" type="password" autocomplete="off" spellcheck="false" required />
    <button>Connect</button>
  </form>`
}
