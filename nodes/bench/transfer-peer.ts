// One process of `transfer.floor`: the hub, or one that uploads to it and gets the sum back. No protocol, no masks, no disk.
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Stream } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { pEvent } from 'p-event'
import { createNode } from '../daemon/libp2p.ts'
import { DATA_FRAME_BYTES } from '../../src/round/vectors.ts'

const protocol = '/bench/transfer/1'
const [upload, sum, others] = process.argv.slice(2).map(Number)
const hub = process.argv[5]
const tell = (message: object): void => void process.send!(message)
const frame = new Uint8Array(DATA_FRAME_BYTES)

async function send(stream: Stream, length: number): Promise<void> {
  for (let sent = 0; sent < length; sent += frame.length) {
    stream.send(frame.subarray(0, Math.min(frame.length, length - sent)))
    if (stream.writableNeedsDrain) await pEvent(stream, 'drain')
  }
}

/** Reads as many bytes of the stream, whoever's round it is. */
async function receive(pieces: AsyncIterator<{ byteLength: number }>, length: number): Promise<void> {
  for (let received = 0; received < length;) {
    const next = await pieces.next()
    if (next.done === true) throw new Error('the stream ended early')
    received += next.value.byteLength
  }
}

const privateKey = await generateKeyPair('Ed25519')
const node = await createNode({ privateKey, listen: ['/ip4/127.0.0.1/tcp/0'], bootstrap: [], local: true })
if (hub === undefined) {
  const seats: Array<{ stream: Stream; pieces: AsyncIterator<{ byteLength: number }> }> = []
  await node.handle(protocol, (stream: Stream) => {
    seats.push({ stream, pieces: stream[Symbol.asyncIterator]() })
    if (seats.length === others) tell({ ready: true })
  })
  process.on('message', () => {
    void Promise.all(seats.map(({ pieces }) => receive(pieces, upload))).then(() =>
      Promise.all(seats.map(({ stream }) => send(stream, sum)))
    )
  })
  tell({ address: String(node.getMultiaddrs()[0]) })
} else {
  const stream = await node.dialProtocol(multiaddr(hub), protocol)
  const pieces = stream[Symbol.asyncIterator]()
  process.on('message', () => {
    void Promise.all([send(stream, upload), receive(pieces, sum)]).then(() => tell({ done: true }))
  })
  tell({ dialled: true })
}
process.on('disconnect', () => process.exit(0))
