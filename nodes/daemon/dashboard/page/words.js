/** The phases of a round in turn, and what happens in each. */
export const phases = [
  { name: 'keys', says: 'fresh keys' },
  { name: 'shares', says: 'secret shares dealt' },
  { name: 'mask', says: 'masked vectors sent' },
  { name: 'agree', says: 'who is in the sum' },
  { name: 'unmask', says: 'shares revealed' },
  { name: 'sum', says: 'sum published' },
  { name: 'close', says: 'all agree it is over' }
]

const evidenceKinds = {
  equivocation: 'said two different things as leader of one view',
  'double-statement': 'signed two different statements where one is allowed',
  'double-vote': 'voted twice in one view',
  'lying-holder': 'revealed a share that it was never dealt',
  'lying-dealer': 'dealt shares that do not open what it committed to',
  'wrong-sum': 'signed a sum that is not what the masked vectors give'
}

/** @param {string} kind of evidence, as in the protocol, §6 */
export const evidenceSentence = (kind) => evidenceKinds[kind] ?? 'broke the protocol'

/** A member as people call it: its name where it has one, else its number, and by its id where it has none, being suspended. */
export const labelOf = ({ name, index, id }) => name ?? (index < 0 ? shortId(id) : `member ${index}`)

export function nameOf(members, index) {
  if (index === undefined || index < 0) return 'nobody'
  const member = members.find((one) => one.index === index)
  return member === undefined ? `member ${index}` : labelOf(member)
}

/** Who led a round that is over, whatever number it has by now. */
export function aggregatorOf({ members }, { aggregatorId }) {
  const member = members.find(({ id }) => id === aggregatorId)
  return member === undefined ? (aggregatorId && shortId(aggregatorId)) || 'nobody' : labelOf(member)
}

/** Members of a round that is over, which another epoch numbers otherwise. */
export function listOf({ members, epoch: now }, { epoch }, indices) {
  if (indices.length === 0) return 'none'
  if (epoch === now) return indices.map((index) => nameOf(members, index)).join(', ')
  return `${indices.map((index) => `member ${index}`).join(', ')} of epoch ${epoch}`
}

/** How many of the rounds that are shown; earlier ones are not. */
export function summedSentence(rounds) {
  if (rounds.length === 0) return '–'
  const summed = rounds.filter(({ status }) => status === 'summed').length
  return `${summed} of ${rounds[0].round > 1 ? 'the last ' : ''}${rounds.length}`
}

/** How much of a round's sum this node recomputed before it voted for it. */
export function auditOf({ audit }) {
  if (audit === undefined || audit.of === 0) return ''
  return audit.chunks === audit.of ? 'all' : `${audit.chunks} of ${audit.of}`
}

export function milliseconds(ms) {
  if (ms === undefined) return ''
  return ms < 999.5 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`
}

export function bytes(count) {
  if (count < 1000) return `${count} B`
  const units = ['kB', 'MB', 'GB']
  const at = Math.min(Math.floor(Math.log10(count) / 3), units.length) - 1
  return `${(count / 1000 ** (at + 1)).toPrecision(3)} ${units[at]}`
}

export function shortId(id) {
  return `${id.slice(0, 6)}…${id.slice(-6)}`
}

export function closedSentence(state, closed) {
  const { round, status, reason, included, dropped } = closed
  const who = aggregatorOf(state, closed)
  if (status === 'burned') return `Round ${round} was burned: ${reason ?? 'no reason was given'}`
  const without = dropped.length === 0 ? '' : `, without ${listOf(state, closed, dropped)}`
  return `Round ${round} was summed by ${who} from ${included.length} vectors${without}`
}
