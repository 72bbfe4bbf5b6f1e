import { useLayoutEffect, useRef } from 'preact/hooks'
import { html } from './html.js'
import { bytes, nameOf } from './words.js'

const side = 16

/** What each member sent, as whoever leads has it, beside the sum that grows. */
export function Noise({ state }) {
  const { round, members, me } = state
  // A page of no single member (-1) is told what every leader receives.
  const seen = round !== undefined && (me < 0 || round.leader === me || Object.keys(round.vectors).length > 0)
  const isAwaited = ({ connected, index }) => index >= 0 && (connected || round?.received.includes(index))
  return html`<section class="card noise-card" aria-labelledby="noise-title">
    <header>
      <h2 id="noise-title">What the aggregator sees</h2>
      <p>${seen ? `${round.received.length} of ${round.of ?? members.length} masked vectors` : ''}</p>
    </header>
    ${
      seen
        ? html`<div class="noise">
              <ul class="vectors">
                ${members.filter(isAwaited).map(
                  ({ index, id }) =>
                    html`<li key=${id}>
                      <${Vector} vector=${round.vectors[index]} name=${nameOf(members, index)} />
                    </li>`
                )}
              </ul>
              <${Sum} round=${round} />
            </div>
            <p class="hint">
              Each square is the beginning of a vector as it arrived, one byte a pixel. Alone it says nothing; only the
              sum can be unmasked.
            </p>`
        : html`<p class="hint">${unseen(state)}</p>
            ${round?.sum !== undefined && html`<${Values} sum=${round.sum} included=${round.closed?.included.length} />`}`
    }
  </section>`
}

function unseen({ round, members }) {
  if (round === undefined) return 'Masked vectors show here as noise, and beside them their sum.'
  if (round.leader === undefined) return 'The masked vectors of a round show here when this member leads it.'
  const who = nameOf(members, round.leader)
  return `${who} leads this round, and it alone receives the masked vectors. They show here when this member leads.`
}

function Vector({ vector, name }) {
  if (vector === undefined) {
    return html`<span class="bits empty" role="img" aria-label=${`${name}: nothing yet`}></span
      ><span class="who">${name}</span>`
  }
  return html`<${Bits} preview=${vector.preview} label=${`${name} sent ${bytes(vector.bytes)}: noise`} />
    <span class="who">${name}</span>`
}

function Sum({ round }) {
  const { closed, sum, preview, received } = round
  const soFar = received.length === 0 ? 'nothing yet' : `${received.length} summed, still masked`
  return html`<div class="sum">
    <span class="equals" aria-hidden="true">Σ</span>
    ${
      preview === undefined
        ? html`<span class="bits empty" role="img" aria-label="The sum: not begun"></span>`
        : html`<${Bits}
            preview=${preview}
            label=${`The masked sum of ${received.length} vectors: noise until the masks are removed`}
          />`
    }
    <p>${closed?.status === 'burned' ? 'no sum: the round was burned' : soFar}</p>
    ${sum !== undefined && html`<${Values} sum=${sum} included=${closed?.included.length} />`}
  </div>`
}

/** Bytes as a grey image. */
function Bits({ preview, label }) {
  const canvas = useRef()
  const raw = Uint8Array.from(atob(preview), (letter) => letter.charCodeAt(0))
  // Whole rows only.
  const rows = Math.max(1, Math.floor(raw.length / side))
  useLayoutEffect(() => {
    const context = canvas.current.getContext('2d')
    const image = context.createImageData(side, rows)
    image.data.forEach((_, at) => (image.data[at] = at % 4 === 3 ? 255 : raw[at >> 2]))
    context.putImageData(image, 0, 0)
  }, [preview])
  return html`<canvas class="bits" ref=${canvas} width=${side} height=${rows} role="img" aria-label=${label}></canvas>`
}

/** The decoded sum: nothing but this is ever learned. */
function Values({ sum, included }) {
  const { values, length } = sum
  const low = Math.min(0, ...values)
  const span = Math.max(0, ...values) - low || 1
  const y = (value) => 36 - (34 * (value - low)) / span
  const step = 160 / Math.max(1, values.length - 1)
  const points = values.map((value, at) => `${(at * step).toFixed(1)},${y(value).toFixed(1)}`)
  const range = `${shortNumber(Math.min(...values))} to ${shortNumber(Math.max(...values))}`
  return html`<figure class="values">
    <svg
      viewBox="-1 0 162 38"
      preserveAspectRatio="none"
      role="img"
      aria-label=${`The sum of ${length} elements, from ${range}`}
    >
      <path class="zero" d=${`M0 ${y(0)}H160`} />
      <polyline points=${points.join(' ')} />
    </svg>
    <figcaption>unmasked: the sum of ${included ?? 'all'}, ${range}</figcaption>
  </figure>`
}

const shortNumber = (value) => Number(value.toPrecision(3)).toLocaleString('en')
