import assert from 'node:assert/strict'
import { MemoryVectorStore } from '../../src/journal/vector-store.ts'
import { channelPair, Queue } from '../../src/round/channel.ts'
import type { Channel, Frame } from '../../src/round/ports.ts'
import { Seat } from '../../src/round/seat.ts'
import { Slots } from '../../src/round/slots.ts'
import { say } from './fixtures.ts'
import { VirtualClock } from '../simulation/virtual-clock.ts'

const slots = () => new Slots(4, 1000, new VirtualClock())

const frame = (byte: number): Frame => ({ kind: 'data', payload: Uint8Array.of(byte) })
const turn = () => new Promise((resolve) => setImmediate(resolve))

async function* of(...frames: Frame[]): AsyncGenerator<Frame> {
  yield* frames
}

async function read(channel: Channel, count: number): Promise<Uint8Array[]> {
  const frames = channel.source[Symbol.asyncIterator]()
  const payloads: Uint8Array[] = []
  while (payloads.length < count) {
    const next = await frames.next()
    if (next.done === true) break
    payloads.push(next.value.payload)
  }
  return payloads
}

describe('a conversation inside one process', () => {
  it('carries frames both ways, in order, to its end', async () => {
    const [one, other] = channelPair()
    const sending = [one.sink(of(frame(1), frame(2))), other.sink(of(frame(3)))]
    assert.deepEqual(await read(other, 9), [Uint8Array.of(1), Uint8Array.of(2)])
    assert.deepEqual(await read(one, 9), [Uint8Array.of(3)])
    await Promise.all(sending)
  })

  it('holds the writer back until the reader takes each frame', async () => {
    const [one, other] = channelPair()
    let asked = 0
    async function* counted(): AsyncGenerator<Frame> {
      for (;;) yield frame(++asked)
    }
    one.sink(counted()).catch(() => {})
    await turn()
    assert.equal(asked, 1)
    const frames = other.source[Symbol.asyncIterator]()
    await frames.next()
    await turn()
    assert.equal(asked, 2)
    other.abort(new Error('enough'))
  })

  it('tells both ends of both directions when it is aborted', async () => {
    const [one, other] = channelPair()
    const reason = new Error('gone')
    const pending = [read(one, 1), read(other, 1), other.sink(of(frame(1)))]
    one.abort(reason)
    for (const one of await Promise.allSettled(pending)) assert.equal(one.status, 'rejected')
    await assert.rejects(one.sink(of(frame(1))), reason)
  })

  it('passes the error of a writer on to the reader', async () => {
    const [one, other] = channelPair()
    async function* broken(): AsyncGenerator<Frame> {
      yield frame(1)
      throw new Error('broken')
    }
    const writing = assert.rejects(one.sink(broken()), /broken/)
    const reading = other.source[Symbol.asyncIterator]()
    assert.deepEqual((await reading.next()).value, frame(1))
    await assert.rejects(reading.next(), /broken/)
    await writing
  })

  it('refuses what is pushed when nobody reads any more', async () => {
    const queue = new Queue<number>()
    const pushing = queue.push(1)
    for await (const item of queue) if (item === 1) break
    await pushing
    await assert.rejects(queue.push(2), /stopped reading/)
  })
})

describe('a seat at the leader’s table', () => {
  const heard = async (speech: AsyncGenerator<Frame>, count: number) => {
    const frames: Frame[] = []
    while (frames.length < count) {
      const next = await speech.next()
      if (next.done === true) break
      frames.push(next.value)
    }
    return frames
  }

  it('tells a member everything again, vectors included, when it opens another conversation', async () => {
    const store = new MemoryVectorStore()
    const staged = await store.stage('sum')
    await staged.write(Uint8Array.of(1, 2, 3))
    await staged.commit()
    const seat = new Seat(1, store, slots())
    const [first] = channelPair()
    seat.attach(first)
    seat.say(say('Want', 1, {}))
    const before = await heard(seat.speech(first), 1)
    seat.sayVector('sum')
    const [second] = channelPair()
    const leave = seat.attach(second)
    seat.close()
    const again = await heard(seat.speech(second), 9)
    assert.deepEqual(again, [...before, { kind: 'data', payload: Uint8Array.of(1, 2, 3) }])
    leave()
    assert.ok(!seat.connected)
  })

  it('ends the older conversation, which can no longer take the newer one’s place', async () => {
    const seat = new Seat(1, new MemoryVectorStore(), slots())
    const [first, firstMember] = channelPair()
    const leaveFirst = seat.attach(first)
    const reading = assert.rejects(read(firstMember, 1), /another conversation/)
    seat.attach(channelPair()[0])
    await reading
    leaveFirst()
    assert.ok(seat.connected)
  })
})
