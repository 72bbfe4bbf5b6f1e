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

/** A member as people call it: its name where it has one, else its number. */
export function nameOf(members, index) {
  if (index === undefined || index === null) return 'nobody'
  return members.find((member) => member.index === index)?.name ?? `member ${index}`
}

export function listOf(members, indices) {
  return indices.length === 0 ? 'none' : indices.map((index) => nameOf(members, index)).join(', ')
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
  return ms < 10_000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`
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

export function closedSentence(members, { round, status, reason, aggregator, included, dropped }) {
  const who = nameOf(members, aggregator)
  if (status === 'burned') return `Round ${round} was burned: ${reason ?? 'no reason was given'}`
  const without = dropped.length === 0 ? '' : `, without ${listOf(members, dropped)}`
  return `Round ${round} was summed by ${who} from ${included.length} vectors${without}`
}
