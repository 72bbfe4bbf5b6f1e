import assert from 'node:assert/strict'
import { setTimeout } from 'node:timers/promises'
import { EventLoopDelay } from '../../nodes/daemon/event-loop-delay.ts'

describe('how late the event loop was', () => {
  it('is not how often it is looked at', async () => {
    const delay = new EventLoopDelay(50)
    delay.begin()
    await setTimeout(600)
    assert.ok(delay.at(0.5) < 45, `${delay.at(0.5)} ms`)
    delay.begin()
    await setTimeout(100)
    const end = performance.now() + 200
    while (performance.now() < end);
    await setTimeout(100)
    delay.end()
    assert.ok(delay.at(1) >= 140, `${delay.at(1)} ms`)
    delay.begin()
    assert.equal(delay.at(0.5), 0)
    delay.end()
  })
})
