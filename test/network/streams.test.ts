import assert from 'node:assert/strict'
import type { Stream } from '@libp2p/interface'
import { Streams } from '../../src/network/streams.ts'
import { componentsOf, Network } from './nodes.ts'

const handlers = { converse: async () => {}, deliver: async () => {}, answer: async function* () {} }

describe('a message to a member', () => {
  const network = new Network()
  afterEach(() => network.stop())

  it('holds up nobody where the member reads nothing, and goes over another stream when it does again', async () => {
    const [here, there] = [await network.add(), await network.add()]
    const opened: Stream[] = []
    const take = (stream: Stream): void => {
      if (opened.push(stream) === 1) stream.pause()
    }
    await there.handle('/secagg/1.0.0/direct/task', take)
    await here.dial(there.getMultiaddrs())
    const streams = new Streams(componentsOf(here), 'task', handlers)
    const to = there.peerId.toString()
    const late = new AbortController()
    const messages = Array.from({ length: 1024 }, () => streams.deliver(to, new Uint8Array(2 ** 14), late.signal))
    const results = Promise.allSettled(messages)
    // Once one has gone, the others wait for room.
    await messages[0]
    late.abort(new Error('the round is over'))
    const reasons = (await results).flatMap((result) => (result.status === 'rejected' ? [result.reason as Error] : []))
    assert.ok(reasons.length > 0)
    assert.deepEqual([...new Set(reasons.map(({ message }) => message))], ['the round is over'])
    const send = (ms: number) => streams.deliver(to, new Uint8Array(1), AbortSignal.timeout(ms))
    while (opened.length < 2) await send(2_000).catch(() => {})
    await send(30_000)
    await streams.stop()
  })
})
