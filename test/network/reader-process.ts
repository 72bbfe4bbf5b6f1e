// The slow reader in a process of its own, for conversation.test.ts: prints its address, reads one stream of frames,
// pausing again and again, and prints what it saw.
import { generateKeyPair } from '@libp2p/crypto/keys'
import { createNode } from '../../nodes/daemon/libp2p.ts'
import { Conversation } from '../../src/network/conversation.ts'
import type { Stream } from '@libp2p/interface'

const print = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`)
const privateKey = await generateKeyPair('Ed25519')
const node = await createNode({ privateKey, listen: ['/ip4/127.0.0.1/tcp/0'], bootstrap: [], local: true })

async function read(stream: Stream): Promise<void> {
  const conversation = new Conversation(stream)
  let [frames, inOrder, most] = [0, true, 0]
  for await (const { payload } of conversation.frames()) {
    inOrder &&= new DataView(payload.buffer, payload.byteOffset).getUint32(0) === frames
    frames++
    if (frames % 16 === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    most = Math.max(most, conversation.buffered + stream.readBufferLength)
  }
  print({ frames, inOrder, most, bytes: conversation.bytesReceived })
  await conversation.close()
}

await node.handle('/test/1', (stream: Stream) => {
  read(stream).catch((error: Error) => print({ error: error.name }))
})
print({ address: node.getMultiaddrs()[0].toString() })
process.stdin.resume()
process.stdin.on('end', () => process.exit(0))
