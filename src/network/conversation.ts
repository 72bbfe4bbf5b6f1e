import { ConnectionClosedError } from '@libp2p/interface'
import { pEvent } from 'p-event'
// What libp2p's streams take, so that a header goes out with its payload and neither is copied.
import { Uint8ArrayList } from 'uint8arraylist'
import { encodeFrame, FrameDecoder } from './frames.ts'
import type { Frame, FrameLimits } from './frames.ts'
import type { Stream, StreamCloseEvent, StreamMessageEvent } from '@libp2p/interface'

/** Received bytes that may wait for the reader before the sender is stopped. */
export const HIGH_WATER = 1 << 20

/** What a waiting piece costs beside its bytes, so that a peer that sends single bytes fills the queue as well. */
const PIECE_COST = 256

export interface ConversationOptions extends FrameLimits {
  /** Ends reading and writing, and resets the stream, when it aborts. */
  signal?: AbortSignal
  /** Bytes; `HIGH_WATER` if left out. */
  highWater?: number
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason))
}

/**
 * One libp2p stream as a conversation in frames, with back-pressure both ways: who reads slowly stops the other
 * side's sending, and `write` waits while the other side reads slowly.
 *
 * It listens from its construction on, so construct it in the very turn in which the stream was handed over: a stream
 * that nobody listens to buffers until it is reset.
 */
export class Conversation {
  /** Peer id of the other side, if it was told. */
  readonly peer?: string
  /** Frame bytes handed to the stream, headers included. */
  bytesSent = 0
  /** Frame bytes that came, headers included. */
  bytesReceived = 0

  readonly #stream: Stream
  readonly #options: ConversationOptions
  readonly #highWater: number
  readonly #decoder: FrameDecoder
  /** Aborted, with the reason, when nothing can be written any more. */
  readonly #unwritable = new AbortController()
  /** What came and was not asked for yet, undecoded: a frame of no bytes costs more as an object than on the wire. */
  #pieces: Uint8Array[] = []
  #decoding?: Iterator<Frame, void>
  #buffered = 0
  #turn: Promise<void> = Promise.resolve()
  #wake?: () => void
  #failure?: Error
  #paused = false
  #resuming = false
  #reading = false
  #finished: boolean
  #ended = false
  #closing = false

  constructor(stream: Stream, options: ConversationOptions = {}) {
    this.#stream = stream
    this.#options = options
    this.peer = options.peer
    this.#highWater = options.highWater ?? HIGH_WATER
    this.#decoder = new FrameDecoder(options)
    this.#finished = stream.remoteWriteStatus === 'closed'
    stream.addEventListener('message', this.#onMessage)
    stream.addEventListener('remoteCloseWrite', this.#onFinished)
    stream.addEventListener('end', this.#onEnd)
    stream.addEventListener('close', this.#onClose)
    options.signal?.addEventListener('abort', this.#onAbort)
    if (options.signal?.aborted) this.#onAbort()
    else if (stream.status !== 'open' && stream.status !== 'closing') this.#fail(this.#lost())
    else if (stream.readableEnded) this.#onEnd()
  }

  /** Bytes that came and wait for the reader, counting a fixed cost for every piece that they came in. */
  get buffered(): number {
    return this.#buffered
  }

  /** Whether more has been written than the other side has taken and the stream may hold. */
  get isHeldUp(): boolean {
    return this.#stream.writableNeedsDrain
  }

  /**
   * The frames as they come, for one reader at a time; a reader that stops early leaves the rest for the next.
   * Ends when the other side closed its end. Throws MessageError if what it sent are not frames, the signal's reason
   * when that aborts, and, after the frames that came before, StreamResetError or ConnectionClosedError when the
   * stream or its connection broke.
   */
  async *frames(): AsyncGenerator<Frame, void, undefined> {
    if (this.#reading) throw new Error('the frames of this conversation are being read already; read them in one place')
    this.#reading = true
    try {
      for (;;) {
        this.#options.signal?.throwIfAborted()
        const frame = this.#nextFrame()
        if (frame !== undefined) yield frame
        else if (this.#failure !== undefined) throw this.#failure
        else if (this.#ended) return this.#decoder.end()
        else await new Promise<void>((resolve) => (this.#wake = resolve))
      }
    } catch (error) {
      if (this.#failure === undefined) this.abort(asError(error))
      throw error
    } finally {
      this.#reading = false
    }
  }

  /** The next whole frame of what came so far. */
  #nextFrame(): Frame | undefined {
    for (;;) {
      const next = this.#decoding?.next()
      if (next?.done === false) return next.value
      const piece = this.#pieces.shift()
      if (piece === undefined) return undefined
      this.#decoding = this.#decoder.decode(piece)
      this.#buffered -= piece.length + PIECE_COST
      this.#resumeIfLow()
    }
  }

  /**
   * Sends a frame, after those written before it; resolves when the next may be written. The payload belongs to the
   * conversation from here on and must not be changed.
   */
  write(frame: Frame): Promise<void> {
    const written = this.#turn.then(() => this.#send(frame))
    this.#turn = written.catch(() => {})
    return written
  }

  /** Writes all frames of `source`, then closes this end; resets the stream if either side fails. For it-pipe. */
  readonly sink = async (source: AsyncIterable<Frame>): Promise<void> => {
    const iterator = source[Symbol.asyncIterator]()
    try {
      for (;;) {
        const next = await this.#whileWritable(iterator.next())
        if (next.done === true) break
        await this.write(next.value)
      }
      await this.close()
    } catch (error) {
      // Not awaited: a source that is itself waiting would never answer.
      iterator.return?.().catch(() => {})
      this.abort(asError(error))
      throw error
    }
  }

  /** Closes this end once all frames are sent; the other side can still be read. */
  async close(): Promise<void> {
    await this.#turn
    this.#unwritable.signal.throwIfAborted()
    this.#closing = true
    try {
      await this.#stream.close({ signal: this.#unwritable.signal })
    } catch (error) {
      this.#unwritable.signal.throwIfAborted()
      throw error instanceof Error ? error : this.#lost()
    }
  }

  /** Ends the conversation at once: frames that wait are dropped, and the stream is reset. */
  abort(error: Error): void {
    this.#pieces = []
    this.#decoding = undefined
    this.#buffered = 0
    this.#fail(error)
    this.#stream.abort(error)
  }

  async #send(frame: Frame): Promise<void> {
    this.#unwritable.signal.throwIfAborted()
    // In one piece: what is sent alone, if only a header, is encrypted and written alone.
    const parts = new Uint8ArrayList(...encodeFrame(frame, this.#options))
    this.bytesSent += parts.byteLength
    this.#stream.send(parts)
    while (this.#stream.writableNeedsDrain) {
      this.#unwritable.signal.throwIfAborted()
      // Not `stream.onDrain()`: its promise is never renewed, so it holds nobody back after the first time.
      await pEvent(this.#stream, 'drain', { rejectionEvents: ['close'], signal: this.#unwritable.signal }).catch(() => {
        throw this.#unwritable.signal.aborted ? asError(this.#unwritable.signal.reason) : this.#lost()
      })
    }
  }

  async #whileWritable<T>(promise: Promise<T>): Promise<T> {
    const { signal } = this.#unwritable
    return new Promise<T>((resolve, reject) => {
      const stop = (): void => reject(asError(signal.reason))
      if (signal.aborted) stop()
      signal.addEventListener('abort', stop)
      promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop))
    })
  }

  readonly #onMessage = (event: StreamMessageEvent): void => {
    if (this.#failure !== undefined) return
    for (const piece of event.data instanceof Uint8Array ? [event.data] : event.data) {
      this.#pieces.push(piece)
      this.#buffered += piece.length + PIECE_COST
      this.bytesReceived += piece.length
    }
    this.#pauseIfHigh()
    this.#wakeReader()
  }

  #pauseIfHigh(): void {
    // Within `resume()` a `pause()` would be undone when it returns, and the stream would overflow.
    if (this.#paused || this.#resuming || this.#buffered < this.#highWater) return
    if (this.#stream.readStatus !== 'readable') return
    this.#paused = true
    this.#stream.pause()
  }

  #resumeIfLow(): void {
    if (!this.#paused || this.#buffered > this.#highWater / 2) return
    this.#paused = false
    if (this.#stream.readStatus !== 'paused') return
    this.#resuming = true
    this.#stream.resume()
    this.#resuming = false
    this.#pauseIfHigh()
  }

  readonly #onFinished = (): void => {
    this.#finished = true
  }

  readonly #onEnd = (): void => {
    // Without the other side's own close, 'end' only means that the connection is gone: 'close' follows and says so.
    if (!this.#finished || this.#failure !== undefined) return
    this.#ended = true
    if (this.#stream.status === 'closed') this.#forgetSignal()
    this.#wakeReader()
  }

  readonly #onClose = (event: StreamCloseEvent): void => {
    if (event.error !== undefined) this.#fail(event.error)
    else if (!this.#finished) this.#fail(this.#lost())
    else if (!this.#closing) this.#unwritable.abort(this.#lost())
    if (this.#ended) this.#forgetSignal()
  }

  readonly #onAbort = (): void => this.abort(asError(this.#options.signal?.reason))

  #fail(error: Error): void {
    this.#failure ??= error
    this.#unwritable.abort(this.#failure)
    this.#forgetSignal()
    this.#wakeReader()
  }

  #wakeReader(): void {
    this.#wake?.()
    this.#wake = undefined
  }

  #forgetSignal(): void {
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
  }

  #lost(): Error {
    const who = this.peer === undefined ? 'the other side' : this.peer
    return new ConnectionClosedError(`the connection was lost before ${who} closed the stream`)
  }
}
