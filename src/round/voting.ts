import { certify } from './certificates.ts'
import type { VoteType } from './certificates.ts'
import { sameBytes } from './dealing.ts'
import { fault, LeaderGaveUp } from './faults.ts'
import { valueHash } from './messages.ts'
import type { AgreementName, Body, Lock, Message } from './messages.ts'
import type { Round } from './round.ts'
import type { Table } from './table.ts'

/** The leader's side of the agreement (§6): it relays the votes, and cannot make one. */

/** Both phases of one agreement in this view: a quorum of Prepares is a lock, a quorum of Commits the decision. */
export async function agree(
  round: Round,
  table: Table,
  proposal: Body<'Proposal'>,
  root: Uint8Array | null,
  signal: AbortSignal
): Promise<Message<'Decision'>> {
  const view = round.views.current
  const name = proposal.agreement as AgreementName
  const vote = { agreement: name, view, value: valueHash(proposal.value), root }
  const certificate = await gatherVotes(round, table, await round.state('Proposal', proposal), 'Prepare', vote, signal)
  const lock: Lock = { value: proposal.value, certificate }
  const commits = await gatherVotes(round, table, await round.state('Lock', lock), 'Commit', vote, signal)
  return round.state('Decision', { value: proposal.value, commits, reason: proposal.reason })
}

async function gatherVotes(
  round: Round,
  table: Table,
  question: Message,
  type: VoteType,
  vote: Body<VoteType>,
  signal: AbortSignal
) {
  const { rules } = round
  const votes = new Map<number, Uint8Array>()
  const n = rules.roster.members.length
  table.ask(question, {
    [type]: (message: Message<VoteType>) => {
      const { agreement, view, value, root } = message.body
      // A member that opened another conversation is told everything again, and votes again where all is decided.
      if (agreement !== vote.agreement) return
      if (view !== vote.view || !sameBytes(value, vote.value))
        throw fault(round, message, 'INVALID', 'is for something that was not proposed')
      const sameRoot = root === null ? vote.root === null : vote.root !== null && sameBytes(root, vote.root)
      if (!sameRoot) throw fault(round, message, 'INVALID', 'names another root')
      votes.set(message.from, message.signature)
    }
  })
  const enough = rules.thresholds.quorum
  const silent = () =>
    votes.size >= enough ? [] : rules.roster.members.map(({ index }) => index).filter((member) => !votes.has(member))
  // Before they prepare a sum the members fetch all of it.
  const limit = vote.root === null ? round.views.patience.limit : round.views.patience.data
  await table.gather(silent, { limit, grace: limit, signal })
  if (votes.size < enough)
    throw new LeaderGaveUp(`${votes.size} ${type}s for ${vote.agreement} are no quorum of ${enough}`)
  return certify(votes, vote, n)
}

/** Agrees on how the round is closed, and tells everyone. `root` is that of the sum, where there is one. */
export async function decideClosing(
  round: Round,
  table: Table,
  proposed: Pick<Body<'Proposal'>, 'value' | 'lock' | 'reason'>,
  root: Uint8Array | null,
  signal: AbortSignal
): Promise<void> {
  const proposal = { agreement: 'closing', view: round.views.current, cut: null, headers: [], ...proposed }
  const decision = await agree(round, table, proposal, root, signal)
  table.broadcast(decision)
  await round.learn(decision)
}

/** A later leader closes the round: with the value of the highest lock, or as burned where there is none. */
export async function close(round: Round, table: Table, signal: AbortSignal): Promise<void> {
  const { rules } = round
  const { limit, data } = round.views.patience
  await table.gather(
    () =>
      round.views.changedTo(round.views.current).length >= rules.thresholds.quorum
        ? []
        : rules.roster.members.map(({ index }) => index),
    { limit: data, grace: data, signal }
  )
  if (round.views.changedTo(round.views.current).length < rules.thresholds.quorum)
    throw new LeaderGaveUp('fewer members than a quorum came to this view')
  // A little longer for the rest, who may hold a lock.
  const all = rules.roster.members.map(({ index }) => index)
  await table.gather(() => all.filter((member) => !round.views.changedTo(round.views.current).includes(member)), {
    limit: limit / 5,
    grace: limit / 10,
    signal
  })
  const lock = round.views.highestClosingLock()
  const value = lock?.value ?? round.burned
  await round.reach('close')
  const reason = value.kind === 'burned' ? round.reason : ''
  await decideClosing(
    round,
    table,
    { value, lock: lock?.certificate ?? null, reason },
    lock?.certificate.root ?? null,
    signal
  )
}
