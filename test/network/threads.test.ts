import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Worker } from 'node:worker_threads'
import type { SecureAggregationError } from '../../src/index.ts'
import { ThreadPool } from '../../src/node.ts'
import { networkWith } from './applications.ts'

const length = 1_500_000

describe('a round with worker threads', () => {
  it('goes on when a thread dies, and leaves none behind when the nodes have stopped', async () => {
    const threads: Worker[] = []
    const kill = (thread: Worker): void => {
      threads.push(thread)
      if (threads.length === 1) void thread.terminate()
    }
    process.on('worker', kill)
    const refusals: string[] = []
    const refused = (error: Error): void => void refusals.push((error as SecureAggregationError).code)
    const compute = new ThreadPool({ threads: 2 })
    const { nodes, tasks, stop } = await networkWith({ compute, observer: () => ({ refused }) }, 4, { length })
    const vector = Uint32Array.from({ length }, (_, at) => at % 100)
    // Whoever masks again too late for this round is dropped, and its vector waits for the next.
    const sums = nodes.map((node) => node.services.aggregation.contribute(tasks[0].id, vector))
    const { values, included } = await Promise.any(sums)
    assert.ok(refusals.includes('WORKER_FAILED'), 'somebody was masking when the thread died')
    assert.ok(included.length >= 3)
    assert.ok(values.every((value, at) => value === BigInt(included.length * (at % 100))))
    const ended = threads.filter(({ threadId }) => threadId !== -1).map((thread) => once(thread, 'exit'))
    assert.ok(ended.length >= 2)
    await stop()
    await Promise.allSettled(sums)
    await Promise.all(ended)
    process.off('worker', kill)
  })
})
