import assert from 'node:assert/strict'
import { Socket } from 'node:net'
import { Conversation } from '../../src/network/conversation.ts'
import { Network, streamBetween, until } from '../network/nodes.ts'
import type { SecaggNode } from '../../nodes/daemon/libp2p.ts'

const MESSAGES = 200

describe('packets between members', () => {
  const network = new Network()
  let alice: SecaggNode
  let bob: SecaggNode
  const plain = Object.getOwnPropertyDescriptor(Socket.prototype, 'write')
  let writes = 0

  before(async () => {
    alice = await network.add({})
    bob = await network.add({})
    const write = Reflect.get(Socket.prototype, 'write') as (...of: unknown[]) => boolean
    Socket.prototype.write = function (this: Socket, ...of: unknown[]) {
      writes++
      return Reflect.apply(write, this, of)
    }
  })
  after(async () => {
    if (plain === undefined) Reflect.deleteProperty(Socket.prototype, 'write')
    else Object.defineProperty(Socket.prototype, 'write', plain)
    await network.stop()
  })

  it('are one for each small message, and nobody answers each', async () => {
    const [there, here] = await streamBetween(alice, bob, '/packets/1')
    const [speaker, listener] = [new Conversation(there), new Conversation(here)]
    let heard = 0
    void (async () => {
      for await (const { payload } of listener.frames()) heard += payload.length === 0 ? 0 : 1
    })()
    await speaker.write({ kind: 'control', payload: new Uint8Array(1) })
    await until(() => heard === 1, 'the stream is open')
    writes = 0
    for (let i = 1; i <= MESSAGES; i++) await speaker.write({ kind: 'control', payload: new Uint8Array(i * 8) })
    await until(() => heard === 1 + MESSAGES, 'all are there')
    // A window has to be renewed now and then, and a heartbeat may fall between them.
    assert.ok(writes >= MESSAGES && writes < MESSAGES * 1.2, `${MESSAGES} messages took ${writes} writes`)
    speaker.abort(new Error('done'))
  })

  it('of a long vector come through whole, window after window', async () => {
    const [there, here] = await streamBetween(alice, bob, '/packets/2')
    const [speaker, listener] = [new Conversation(there), new Conversation(here)]
    const bytes = 16 << 20
    const sending = speaker.sink(
      (async function* () {
        for (let at = 0; at < bytes; at += 1 << 17) yield { kind: 'data' as const, payload: new Uint8Array(1 << 17) }
      })()
    )
    let received = 0
    for await (const { payload } of listener.frames()) received += payload.length
    await sending
    assert.equal(received, bytes)
  })
})
