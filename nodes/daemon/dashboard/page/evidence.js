import { html } from './html.js'
import { evidenceSentence, shortId } from './words.js'

/** Who has been shown to have broken the protocol, and how. */
export function Evidence({ state }) {
  const { evidence, members } = state
  const who = (id) => members.find((member) => member.id === id)?.name ?? shortId(id)
  return html`<section class="card evidence-card" aria-labelledby="evidence-title">
    <header>
      <h2 id="evidence-title">Evidence</h2>
      <p>${evidence.length === 0 ? '' : `${evidence.length} found`}</p>
    </header>
    ${
      evidence.length === 0
        ? html`<p class="hint">No member has been shown to break the protocol.</p>`
        : html`<ul class="evidence">
            ${evidence.toReversed().map(
              ({ round, kind, culprit }) =>
                html`<li key=${`${round}:${kind}:${culprit}`}>
                  <strong title=${culprit}>${who(culprit)}</strong> ${evidenceSentence(kind)}
                  <span>${kind}, round ${round}</span>
                </li>`
            )}
          </ul>`
    }
  </section>`
}
