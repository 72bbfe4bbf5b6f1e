import { certify } from './certificates.ts'
import type { VoteType } from './certificates.ts'
import { sameBytes } from './dealing.ts'
import { fault, LeaderGaveUp } from './faults.ts'
import { valueHash } from './messages.ts'
import type { AgreementName, Body, Certificate, Lock, Message, Value } from './messages.ts'
import type { Round } from './round.ts'
import type { Table } from './table.ts'

/** The leader's side of the agreement (§6): it relays the votes, and cannot make one. */

/** What a leader proposes in its view; `lock` is the highest one it was shown. */
export type Proposed = Pick<Body<'Proposal'>, 'agreement' | 'value' | 'cut' | 'headers' | 'change' | 'reason'> & {
  lock?: Lock
}

export function propose(round: Round, { lock, ...proposed }: Proposed): Promise<Message<'Proposal'>> {
  return round.state('Proposal', { view: round.views.current, lock: lock?.certificate ?? null, ...proposed })
}

/** Both phases of one agreement in this view: a quorum of Prepares is a lock, a quorum of Commits the decision. */
export async function agree(
  round: Round,
  table: Table,
  proposed: Proposed,
  signal: AbortSignal,
  root: Uint8Array | null = null
): Promise<Message<'Decision'>> {
  const { agreement, value, reason } = proposed
  const vote = { agreement: agreement as AgreementName, view: round.views.current, value: valueHash(value), root }
  const certificate = await gatherVotes(round, table, await propose(round, proposed), 'Prepare', vote, signal)
  const lock: Lock = { value, certificate }
  const commits = await gatherVotes(round, table, await round.state('Lock', lock), 'Commit', vote, signal)
  return round.state('Decision', { value, commits, reason })
}

/** Agrees on how the round is closed, and tells everyone. `root` is that of the sum, where there is one; a lock names its own. */
export async function decideClosing(
  round: Round,
  table: Table,
  {
    value,
    certificate,
    change = null,
    reason
  }: { value: Value; certificate?: Certificate; change?: Uint8Array | null; reason: string },
  signal: AbortSignal,
  root: Uint8Array | null = certificate?.root ?? null
): Promise<void> {
  await round.reach('close')
  const lock = certificate && { value, certificate }
  const proposed = {
    agreement: 'closing',
    value,
    lock,
    cut: null,
    headers: [],
    change,
    reason: value.kind === 'burned' ? reason : ''
  }
  const decision = await agree(round, table, proposed, signal, root)
  table.broadcast(decision)
  await round.learn(decision)
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
