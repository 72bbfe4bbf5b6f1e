import type { MemberStep, MemberSteps } from './member-steps.ts'

/**
 * Takes out of what a member can do the steps that say nothing and after which it can do nothing that it could not do
 * before (a change of view, where the rules are kept). A schedule with such a step reaches no vote that the same schedule
 * without it does not reach. Which steps these are is computed from the steps themselves, so that the reduction holds for
 * every mutant: `before` must simulate `after` (Milner 1971), having said no less, now and in every future.
 */
export function withoutIdleSteps(members: MemberSteps): (state: number) => readonly MemberStep[] {
  const steps: (readonly MemberStep[])[] = []
  for (let state = 0; state < members.count; state++) steps.push(members.from(state))
  const simulated = greatestSimulation(
    members,
    steps.flatMap((from, state) => from.map(({ to }): Pair => [state, to]))
  )
  const kept = steps.map((from, state) => from.filter(({ to }) => !simulated([state, to])))
  return (state) => kept[state]
}

/** That the first state can do, and has said, all that the second can and has. */
type Pair = readonly [number, number]

/** The greatest simulation, on the pairs asked for and those that they rest on. */
function greatestSimulation(members: MemberSteps, asked: readonly Pair[]): (pair: Pair) => boolean {
  const keyOf = ([more, less]: Pair) => more * members.count + less
  const standing = new Map<number, Pair[][]>()
  const open = asked.filter((pair) => saysNoLess(members, pair))
  for (let pair = open.pop(); pair !== undefined; pair = open.pop()) {
    if (standing.has(keyOf(pair))) continue
    const needed = demands(members, pair)
    standing.set(keyOf(pair), needed)
    open.push(...needed.flat())
  }
  const holds = (pair: Pair) => pair[0] === pair[1] || standing.has(keyOf(pair))
  for (let before = -1; before !== standing.size;) {
    before = standing.size
    for (const [key, needed] of standing) if (!needed.every((any) => any.some(holds))) standing.delete(key)
  }
  return holds
}

/** For every step of the second: the pairs of which one must hold, the first having done the like, or nothing. */
function demands(members: MemberSteps, [more, less]: Pair): Pair[][] {
  return members.from(less).map((wanted) => {
    const like = members.from(more).filter((step) => asksNoMore(step, wanted))
    const answers: Pair[] = [more, ...like.map(({ to }) => to)].map((to) => [to, wanted.to])
    return answers.filter((pair) => saysNoLess(members, pair))
  })
}

const asksNoMore = (step: MemberStep, than: MemberStep): boolean =>
  (step.lock === undefined || step.lock === than.lock) &&
  (step.decision === undefined || step.decision === than.decision)

function saysNoLess(members: MemberSteps, [more, less]: Pair): boolean {
  const [one, other] = [members.state(more), members.state(less)]
  return one.prepared.isSupersetOf(other.prepared) && one.committed.isSupersetOf(other.committed)
}
