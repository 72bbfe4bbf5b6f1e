import { useRef, useState } from 'preact/hooks'
import { html } from './html.js'
import { aggregatorOf, labelOf, shortId } from './words.js'

const radius = 150
const ledBefore = 6
const keyStep = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }

/** The members in a ring; a hand points to whoever leads, and a line is drawn for each vector that the leader has. */
export function Ring({ state }) {
  const { members, round, me } = state
  const [selected, select] = useState()
  const buttons = useRef([])
  const count = members.length
  // Who is suspended has no index and still a seat.
  const seatOf = (index) => members.findIndex((member) => member.index === index)
  const leader = seatOf(round?.leader)
  const received = new Set(round?.received.map(seatOf))
  const shown = members[selected] === undefined ? Math.max(leader, 0) : selected
  const size = Math.max(7, Math.min(24, (Math.PI * radius * 0.72) / count))
  const move = (event) => {
    const step = event.key === 'Home' ? -shown : event.key === 'End' ? count - 1 - shown : keyStep[event.key]
    if (step === undefined) return
    event.preventDefault()
    const next = (shown + step + count) % count
    select(next)
    buttons.current[next]?.focus()
  }
  const seat = (member, at) => {
    const [x, y] = place(at, count)
    const marks = {
      leads: at === leader,
      received: received.has(at),
      away: !member.connected,
      out: member.state !== 'member',
      shown: at === shown
    }
    return html`<button
      key=${member.id}
      ref=${(button) => (buttons.current[at] = button)}
      class=${['node', ...Object.keys(marks).filter((mark) => marks[mark])].join(' ')}
      style=${{ left: `${x / 4}%`, top: `${y / 4}%`, width: `${size / 2}%` }}
      tabindex=${at === shown ? 0 : -1}
      aria-label=${describe(member, marks, me)}
      aria-pressed=${at === selected}
      onClick=${() => select(at === selected ? undefined : at)}
    >
      ${size > 11 && member.index >= 0 ? member.index : ''}
    </button>`
  }
  return html`<section class="card ring-card" aria-labelledby="members-title">
    <header>
      <h2 id="members-title">Members</h2>
      <p>${members.filter(({ connected }) => connected).length} of ${count} connected</p>
    </header>
    <div class="ring" role="group" aria-label="Members in a ring; arrow keys move" onKeyDown=${move}>
      <${Threads} count=${count} leader=${leader} received=${received} round=${round} />
      ${members.map(seat)}
      <div class="hub" aria-hidden="true">
        <span>${round === undefined ? 'no round' : 'round'}</span>
        <strong>${round?.round ?? '–'}</strong>
        <em>${round?.closed?.status ?? round?.reached.at(-1)?.phase ?? (round && 'opening')}</em>
      </div>
    </div>
    <${LedBefore} state=${state} />
    <${MemberDetail} member=${members[shown]} state=${state} />
  </section>`
}

/** A page outside the roster, or of a whole network, is of none. */
const isThis = ({ index }, me) => me >= 0 && index === me

function describe(member, { leads, received }, me) {
  const words = [
    labelOf(member),
    isThis(member, me) && 'this one',
    leads && 'aggregator',
    member.connected ? 'connected' : 'not connected',
    member.state !== 'member' && member.state,
    received && 'vector received'
  ]
  return words.filter(Boolean).join(', ')
}

function MemberDetail({ member, state }) {
  if (member === undefined)
    return html`<p class="hint">The members appear here as soon as the daemon tells of them.</p>`
  const { round, led, me } = state
  const rounds = led[member.id] ?? 0
  const place = round?.order.indexOf(member.index) ?? -1
  const role =
    member.index === round?.leader
      ? 'aggregator of this round'
      : place > 0
        ? `takes over as number ${place + 1}`
        : 'contributes'
  return html`<dl class="member-detail">
    <div>
      <dt>${labelOf(member)}${isThis(member, me) ? ' (this one)' : ''}</dt>
      <dd><code title=${member.id}>${shortId(member.id)}</code></dd>
    </div>
    <div>
      <dt>Role</dt>
      <dd>${member.connected ? role : 'away'}${member.state === 'member' ? '' : `, ${member.state}`}</dd>
    </div>
    <div>
      <dt>Has led</dt>
      <dd>${rounds} ${rounds === 1 ? 'round' : 'rounds'}</dd>
    </div>
  </dl>`
}

/** The role as it went round. */
function LedBefore({ state }) {
  const last = state.rounds.slice(-ledBefore)
  if (last.length === 0) return null
  return html`<p class="led-before">
    Led the last ${last.length === 1 ? 'round' : `${last.length} rounds`}:${' '}
    ${last.map((round) => aggregatorOf(state, round)).join(' → ')}
  </p>`
}

/** Everything in the ring that is drawn and not touched. */
function Threads({ count, leader, received, round }) {
  const turn = useRef(0)
  if (leader >= 0) {
    const angle = (360 * leader) / count
    // The hand takes the shorter way round.
    turn.current += ((((angle - turn.current) % 360) + 540) % 360) - 180
  }
  const [toX, toY] = place(Math.max(leader, 0), count || 1)
  return html`<svg viewBox="0 0 400 400" aria-hidden="true">
    <circle class="orbit" cx="200" cy="200" r=${radius} />
    ${
      leader >= 0 &&
      [...received]
        .filter((index) => index !== leader)
        .map((index) => {
          const [x, y] = place(index, count)
          return html`<path
            key=${`${round.round}:${index}`}
            class="thread"
            pathLength="1"
            d=${`M${x} ${y}Q200 200 ${toX} ${toY}`}
          />`
        })
    }
    ${
      leader >= 0 &&
      html`<g class="hand" style=${{ transform: `rotate(${turn.current}deg)` }}
        ><path d="M194 136L200 86L206 136Z"
      /></g>`
    }
  </svg>`
}

function place(index, count) {
  const angle = (2 * Math.PI * index) / count - Math.PI / 2
  return [200 + radius * Math.cos(angle), 200 + radius * Math.sin(angle)]
}
