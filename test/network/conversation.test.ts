import assert from 'node:assert/strict'
import { once } from 'node:events'
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { multiaddr } from '@multiformats/multiaddr'
import { pipe } from 'it-pipe'
import { MessageError } from '../../src/errors.ts'
import { Conversation, HIGH_WATER } from '../../src/network/conversation.ts'
import { HEADER_LENGTH, MAX_CONTROL } from '../../src/network/frames.ts'
import { Network, streamBetween, until } from './nodes.ts'
import type { Stream } from '@libp2p/interface'
import type { ConversationOptions } from '../../src/network/conversation.ts'
import type { Frame } from '../../src/network/frames.ts'
import type { SecaggNode } from '../../nodes/daemon/libp2p.ts'

const FRAME = 128 << 10
const FRAMES = 256
const MIB = 1 << 20
/** Beyond the high-water mark: the window that was granted, one that `resume` grants, and a frame in pieces. */
const SLACK = 3 * MIB

/** A frame that carries its number. */
function numbered(i: number, length = FRAME): Frame {
  const payload = new Uint8Array(length)
  new DataView(payload.buffer).setUint32(0, i)
  return { kind: 'data', payload }
}

function numberOf({ payload }: Frame): number {
  return new DataView(payload.buffer, payload.byteOffset).getUint32(0)
}

async function all(frames: AsyncIterable<Frame>): Promise<Frame[]> {
  const out: Frame[] = []
  for await (const frame of frames) out.push(frame)
  return out
}

async function* count(length: number): AsyncGenerator<Frame> {
  for (let i = 0; i < length; i++) yield numbered(i)
}

for (const transport of ['tcp', 'memory'] as const) {
  describe(`a conversation over ${transport}`, () => {
    const network = new Network()
    let alice: SecaggNode
    let bob: SecaggNode
    let streams: [Stream, Stream]
    let protocols = 0
    /** Much to send, and the same code whatever is below the multiplexer. */
    const heavy = transport === 'tcp' ? it : (): void => {}

    before(async () => {
      alice = await network.add({ memory: transport === 'memory' })
      bob = await network.add({ memory: transport === 'memory' })
    })
    after(() => network.stop())

    async function open(
      a: ConversationOptions = {},
      b: ConversationOptions = {}
    ): Promise<[Conversation, Conversation]> {
      streams = await streamBetween(alice, bob, `/test/${protocols++}`)
      return [new Conversation(streams[0], a), new Conversation(streams[1], { peer: 'alice', ...b })]
    }

    it('delivers every frame once, in order, and ends where the writer closed', async () => {
      const [writer, reader] = await open()
      const written = pipe(count(40), writer.sink)
      const frames = await all(reader.frames())
      await written
      assert.deepEqual(
        frames.map(numberOf),
        Array.from({ length: 40 }, (_, i) => i)
      )
      assert.equal(writer.bytesSent, 40 * (FRAME + HEADER_LENGTH))
      assert.equal(reader.bytesReceived, writer.bytesSent)
    })

    heavy('stops a writer whose reader is slow, and loses nothing of 32 MiB', async () => {
      const [writer, reader] = await open()
      const written = pipe(count(FRAMES), writer.sink)
      let consumed = 0
      let [mostBehind, mostReceived, mostUnsent] = [0, 0, 0]
      for await (const frame of reader.frames()) {
        const number = consumed / (FRAME + HEADER_LENGTH)
        assert.equal(numberOf(frame), number)
        // Long enough for a writer that is not stopped again to run far ahead.
        if (number < 40) await new Promise((resolve) => setTimeout(resolve, 60))
        mostBehind = Math.max(mostBehind, writer.bytesSent - consumed)
        mostReceived = Math.max(mostReceived, reader.buffered + streams[1].readBufferLength)
        mostUnsent = Math.max(mostUnsent, streams[0].writeBufferLength)
        consumed += frame.payload.length + HEADER_LENGTH
      }
      await written
      assert.equal(consumed, FRAMES * (FRAME + HEADER_LENGTH))
      assert.ok(mostReceived >= HIGH_WATER, `the reader never fell behind: ${mostReceived}`)
      assert.ok(mostReceived <= HIGH_WATER + SLACK, `the reader held ${mostReceived}`)
      assert.ok(mostUnsent <= 2 * FRAME, `the stream held ${mostUnsent} unsent`)
      assert.ok(mostBehind <= HIGH_WATER + SLACK, `the writer was ${mostBehind} ahead`)
    })

    heavy('holds no more of half a million empty frames than of any others', async () => {
      const [writer, reader] = await open()
      for (let i = 0; i < 32; i++) streams[0].send(new Uint8Array(5 << 14))
      await until(() => reader.buffered >= HIGH_WATER, 'the reader is full')
      await new Promise((resolve) => setTimeout(resolve, 200))
      let frames = 0
      let most = 0
      for await (const frame of reader.frames()) {
        assert.equal(frame.payload.length, 0)
        most = Math.max(most, reader.buffered + streams[1].readBufferLength)
        if (++frames === 32 << 14) break
      }
      assert.ok(most <= HIGH_WATER + SLACK, `the reader held ${most}`)
      await writer.close()
    })

    it('keeps the order of frames that are written without waiting', async () => {
      const [writer, reader] = await open()
      const writes = Array.from({ length: 60 }, (_, i) => writer.write(numbered(i)))
      const closed = writer.close()
      const frames = await all(reader.frames())
      await Promise.all([...writes, closed])
      assert.deepEqual(
        frames.map(numberOf),
        Array.from({ length: 60 }, (_, i) => i)
      )
    })

    it('is answered after the asking side has closed its end', async () => {
      const [asker, answerer] = await open()
      await asker.write(numbered(1))
      await asker.close()
      assert.deepEqual((await all(answerer.frames())).map(numberOf), [1])
      const answered = pipe(count(20), answerer.sink)
      assert.equal((await all(asker.frames())).length, 20)
      await answered
    })

    it('lets a second reader go on where the first stopped, but not two at once', async () => {
      const [writer, reader] = await open()
      const written = pipe(count(4), writer.sink)
      for await (const frame of reader.frames()) {
        assert.equal(numberOf(frame), 0)
        await assert.rejects(reader.frames().next(), /read already/)
        break
      }
      assert.deepEqual((await all(reader.frames())).map(numberOf), [1, 2, 3])
      await written
    })

    it('breaks for both sides when one aborts, after the frames that came before', async () => {
      const [writer, reader] = await open()
      await writer.write(numbered(0))
      await until(() => reader.buffered > 0, 'the frame is there')
      writer.abort(new Error('changed my mind'))
      const frames = reader.frames()
      assert.equal(numberOf((await frames.next()).value as Frame), 0)
      await assert.rejects(frames.next(), { name: 'StreamResetError' })
      await assert.rejects(writer.write(numbered(1)), /changed my mind/)
      await assert.rejects(reader.write(numbered(1)), { name: 'StreamResetError' })
    })

    it('frees a writer that waits for a reader who resets', async () => {
      const [writer, reader] = await open()
      const written = pipe(count(FRAMES), writer.sink)
      await until(() => reader.buffered >= HIGH_WATER, 'the reader is full')
      reader.abort(new Error('no more'))
      await assert.rejects(written, { name: 'StreamResetError' })
    })

    it('does not take a lost connection for the end of what was said', async () => {
      const [writer, reader] = await open()
      await writer.write(numbered(0))
      await until(() => reader.buffered > 0, 'the frame is there')
      const frames = reader.frames()
      await frames.next()
      for (const connection of alice.getConnections(bob.peerId)) connection.abort(new Error('cable cut'))
      await assert.rejects(frames.next(), /ConnectionClosedError|StreamResetError|lost/)
    })

    it('ends a source that never speaks when the other side resets', async () => {
      const [writer, reader] = await open()
      const silent: AsyncIterable<Frame> = { [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}) }) }
      const written = writer.sink(silent)
      reader.abort(new Error('bye'))
      await assert.rejects(written, { name: 'StreamResetError' })
    })

    it('resets the stream when the source fails', async () => {
      const [writer, reader] = await open()
      // eslint-disable-next-line require-yield
      const failing = async function* (): AsyncGenerator<Frame> {
        throw new Error('no vector')
      }
      await assert.rejects(writer.sink(failing()), /no vector/)
      await assert.rejects(all(reader.frames()), { name: 'StreamResetError' })
    })

    it('ends a waiting reader and a waiting writer when its signal aborts', async () => {
      const stop = new AbortController()
      const [writer, reader] = await open({ signal: stop.signal })
      const reading = all(writer.frames())
      const writing = pipe(count(FRAMES), writer.sink)
      await until(() => reader.buffered >= HIGH_WATER, 'the reader is full')
      const reason = new Error('deadline')
      stop.abort(reason)
      await assert.rejects(reading, reason)
      await assert.rejects(writing, reason)
      await assert.rejects(writer.close(), reason)
      assert.equal(streams[0].status, 'aborted')
    })

    it('gives no frame any more once its signal has aborted', async () => {
      const stop = new AbortController()
      const [writer, reader] = await open({}, { signal: stop.signal })
      await pipe(count(3), writer.sink)
      await until(() => reader.buffered >= 3 * FRAME, 'the frames are there')
      stop.abort(new Error('too late'))
      await assert.rejects(all(reader.frames()), /too late/)
    })

    it('is over at once with a signal that has aborted before', async () => {
      const [writer] = await open({ signal: AbortSignal.abort(new Error('never')) })
      await assert.rejects(writer.write(numbered(0)), /never/)
      await assert.rejects(all(writer.frames()), /never/)
    })

    for (const [what, bytes, code] of [
      ['an oversized frame', new Uint8Array([0, 16, 0, 1, 0]), 'OVERSIZED'],
      ['a frame of unknown kind', new Uint8Array([0, 0, 0, 1, 2, 0]), 'MALFORMED'],
      ['a truncated frame', new Uint8Array([0, 0, 0, 9, 0, 1]), 'TRUNCATED']
    ] as const) {
      it(`refuses ${what} as ${code} and names its sender`, async () => {
        const [from, to] = await streamBetween(alice, bob, `/test/${protocols++}`)
        const reader = new Conversation(to, { peer: 'alice' })
        from.send(bytes)
        await from.close()
        await assert.rejects(
          all(reader.frames()),
          (error) => error instanceof MessageError && error.code === code && error.culprit === 'alice'
        )
        await until(() => from.status === 'reset' || from.status === 'closed', 'the sender is told')
      })
    }

    it('refuses to send what the other side would refuse, and goes on', async () => {
      const [writer, reader] = await open()
      const large: Frame = { kind: 'control', payload: new Uint8Array(MAX_CONTROL + 1) }
      await assert.rejects(writer.write(large), { code: 'OVERSIZED' })
      await writer.write(numbered(5))
      await writer.close()
      assert.deepEqual((await all(reader.frames())).map(numberOf), [5])
    })
  })
}

describe('a conversation between two processes', () => {
  const network = new Network()
  after(() => network.stop())

  it('holds back 32 MiB from a slow reader, and loses nothing', async () => {
    const alice = await network.add()
    const child = spawn(process.execPath, [new URL('reader-process.ts', import.meta.url).pathname], {
      stdio: ['pipe', 'pipe', 'inherit']
    })
    try {
      const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
      const next = async (): Promise<Record<string, unknown>> =>
        JSON.parse((await lines.next()).value as string) as Record<string, unknown>
      const { address } = await next()
      const stream = await alice.dialProtocol(multiaddr(address as string), '/test/1')
      const writer = new Conversation(stream)
      let mostUnsent = 0
      for (let i = 0; i < FRAMES; i++) {
        await writer.write(numbered(i))
        mostUnsent = Math.max(mostUnsent, stream.writeBufferLength)
      }
      await writer.close()
      const { frames, inOrder, most, bytes } = await next()
      assert.deepEqual({ frames, inOrder, bytes }, { frames: FRAMES, inOrder: true, bytes: writer.bytesSent })
      assert.ok(
        (most as number) >= HIGH_WATER && (most as number) <= HIGH_WATER + SLACK,
        `the reader held ${most as number}`
      )
      assert.ok(mostUnsent <= 2 * FRAME, `the stream held ${mostUnsent} unsent`)
    } finally {
      child.stdin.end()
      await once(child, 'exit')
    }
  })
})
