import { phases } from './words.js'

/** What the page knows: a pure function of the events of the feed (nodes/daemon/feed.ts). */
export const nothing = { members: [], rounds: [], evidence: [], failures: [], led: {} }

const keptRounds = 50
const keptFailures = 20
const placeOf = (phase) => phases.findIndex(({ name }) => name === phase)

/** @returns the state after one event of the feed; events that it does not know change nothing */
export function take(state, { event, data }) {
  switch (event) {
    case 'reset':
      return nothing
    case 'members':
      return { ...state, ...data, round: state.round && renumbered(state.round, state, data) }
    case 'round:open':
      return { ...state, round: opened(data.round, data.epoch, data.order) }
    case 'round:phase':
      return inRound(state, data.round, (round) => reached(round, data))
    case 'vector':
      return inRound(state, data.round, (round) => ({
        ...round,
        vectors: { ...round.vectors, [data.member]: data },
        received: [...new Set([...round.received, data.member])]
      }))
    case 'progress':
      return inRound(state, data.round, (round) => ({ ...round, ...data }))
    case 'sum':
      return inRound(state, data.round, (round) => ({ ...round, sum: data }))
    case 'input':
      return inRound(state, data.round, (round) => ({ ...round, input: data.status }))
    case 'round:closed':
      return closed(state, data)
    case 'audit':
      return data.passed ? state : { ...state, failures: [...state.failures, data].slice(-keptFailures) }
    case 'evidence':
      return { ...state, evidence: [...state.evidence.filter((other) => !same(other, data)), data] }
    default:
      return state
  }
}

function opened(round, epoch, order = []) {
  return { round, epoch, order, leader: order[0], view: 0, reached: [], vectors: {}, received: [] }
}

/** Applies to the round that is shown; a later one takes its place, an earlier one is over. */
function inRound(state, round, change) {
  if (state.round !== undefined && round < state.round.round) return state
  const shown = state.round?.round === round ? state.round : opened(round, state.epoch)
  return { ...state, round: change(shown) }
}

/** Another roster numbers the members anew: the round that is shown goes on with those it knows. */
function renumbered(round, before, now) {
  if (round.epoch === now.epoch) return round
  const known = round.epoch === before.epoch ? before.members : []
  const seatOf = (id) => now.members.find((member) => member.id === id)?.index
  const seat = (index) => seatOf(known.find((member) => member.index === index)?.id)
  const vectors = Object.entries(round.vectors).map(([member, vector]) => [seat(Number(member)), vector])
  return {
    ...round,
    epoch: now.epoch,
    order: round.order.map(seat),
    leader: seat(round.leader) ?? seatOf(round.closed?.aggregatorId),
    received: round.received.map(seat),
    vectors: Object.fromEntries(vectors)
  }
}

function reached(round, { phase, view, leader, atMs }) {
  // A new attempt begins with keys again: what came after belongs to the one before.
  const before = round.reached.filter((other) => placeOf(other.phase) < placeOf(phase))
  return { ...round, view, leader, reached: [...before, { phase, atMs }] }
}

function closed(state, data) {
  if (state.rounds.some(({ round }) => round === data.round)) return state
  const rounds = [...state.rounds, data].slice(-keptRounds)
  const led = { ...state.led, [data.aggregatorId]: (state.led[data.aggregatorId] ?? 0) + 1 }
  const aggregator = state.members.find(({ id }) => id === data.aggregatorId)?.index
  const shown = inRound(state, data.round, (round) => ({ ...round, leader: round.leader ?? aggregator, closed: data }))
  return { ...shown, rounds, led }
}

function same(one, other) {
  return one.round === other.round && one.kind === other.kind && one.culprit === other.culprit
}
