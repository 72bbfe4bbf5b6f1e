import { html } from './html.js'
import { evidenceSentence, labelOf, shortId } from './words.js'

/** Who has been shown to have broken the protocol, and how. */
export function Evidence({ state }) {
  const { evidence, failures, members, rounds } = state
  const audited = rounds.filter(({ audit }) => audit?.chunks > 0).length
  const who = (id) => {
    const member = members.find((one) => one.id === id)
    return member === undefined ? shortId(id) : labelOf(member)
  }
  return html`<section class="card evidence-card" aria-labelledby="evidence-title">
    <header>
      <h2 id="evidence-title">Evidence</h2>
      <p>${audited === 0 ? '' : `${audited} ${audited === 1 ? 'sum' : 'sums'} audited by this node`}</p>
    </header>
    ${
      evidence.length + failures.length === 0
        ? html`<p class="hint">No member has been shown to break the protocol.</p>`
        : html`<ul class="evidence">
            ${evidence.toReversed().map(
              ({ round, kind, culprit }) =>
                html`<li key=${`${round}:${kind}:${culprit}`}>
                  <strong title=${culprit}>${who(culprit)}</strong> ${evidenceSentence(kind)}
                  <span>${kind}, round ${round}</span>
                </li>`
            )}
            ${failures
              .toReversed()
              .map(
                ({ round, reason }, at) =>
                  html`<li key=${`audit:${round}:${at}`}>An audit failed: ${reason} <span>round ${round}</span></li>`
              )}
          </ul>`
    }
  </section>`
}
