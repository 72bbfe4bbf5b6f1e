import { dataDeadlineMs } from '../task/task.ts'
import type { Task } from '../task/task.ts'
import type { Clock, Frame, Network } from './ports.ts'

interface Asking {
  task: Task
  links: Pick<Network, 'ask'>
  clock: Pick<Clock, 'sleep'>
}

/** As deadlines grow in later views (§6): links that carry a round carry an answer in less. */
const PATIENCE = 4

/**
 * What one peer answers. It is given up where it does not begin within a phase, or does not end within four times as long as a
 * round's vectors may take: whoever asks one after the other is not to wait for ever for one that says nothing.
 *
 * @throws the signal's reason; an error where it took too long
 */
export async function* askInTime(
  { task, links, clock }: Asking,
  peer: string,
  request: Uint8Array,
  signal: AbortSignal
): AsyncGenerator<Frame, void> {
  const late = new AbortController()
  const over = new AbortController()
  let hasBegun = false
  const giveUpAfter = (ms: number, isInTime: () => boolean): void =>
    void clock.sleep(ms, over.signal).then(
      () => isInTime() || late.abort(new Error(`${peer} took too long to answer`)),
      () => {}
    )
  giveUpAfter(task.deadlineMs, () => hasBegun)
  giveUpAfter(PATIENCE * dataDeadlineMs(task), () => false)
  try {
    for await (const frame of await links.ask(peer, request, AbortSignal.any([signal, late.signal]))) {
      hasBegun = true
      yield frame
    }
  } finally {
    over.abort()
  }
}
