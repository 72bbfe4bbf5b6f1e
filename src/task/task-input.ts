import type { Admission, TaskInput } from './schema.ts'
import type { Task } from './task.ts'

const TEN_THOUSANDTHS = 10_000

/** A task as a user would write it: `createTask` makes the same task of it again, with the same id. */
export function taskInputOf({ name, members, length, encoding, threat, deadlineMs, ...task }: Task): TaskInput {
  const { shards, audit, randomness, groups, admission } = task
  return {
    name,
    members: [...members],
    length,
    ...encodingOf(encoding),
    threat: { corrupt: threat.corrupt / TEN_THOUSANDTHS, dropout: threat.dropout / TEN_THOUSANDTHS },
    deadline: deadlineMs / 1000,
    shards,
    ...(audit === undefined ? {} : { audit }),
    ...(randomness === undefined ? {} : { randomness }),
    ...(groups === undefined ? {} : { groups: { ...groups } }),
    ...(admission === undefined ? {} : { admission: admissionOf(admission) })
  }
}

function encodingOf(encoding: Task['encoding']): Pick<TaskInput, 'encoding' | 'privacy'> {
  if (encoding.type !== 'skellam') return { encoding: { ...encoding } }
  const { type: _, ...privacy } = encoding
  return { privacy }
}

function admissionOf({ allow, vouches }: Admission): TaskInput['admission'] {
  return { ...(allow && { allow: [...allow] }), ...(vouches !== undefined && { vouches }) }
}
