import { MessageError } from '../errors.ts'

/** Length of the payload (four bytes, big-endian), then its kind (one byte). */
export const HEADER_LENGTH = 5

/**
 * Most bytes of a control message. The largest is a key book (protocol, section 4): about 500 bytes for each
 * signed advert, so 64 KiB at 128 members and 500 KiB at the 1,000 that sparse graphs are made for.
 */
export const MAX_CONTROL = 1 << 20

/**
 * Most bytes of vector data in one frame. A chunk (section 10) has 2^14 elements of at most 32 bits, so 64 KiB;
 * beyond 256 KiB larger frames gain nothing on a connection whose window is 1 MiB, and cost memory per stream.
 */
export const MAX_DATA = 256 << 10

/** Up to this length one write of header and payload together is cheaper than sparing the copy. */
const JOIN_BELOW = 16 << 10

/** `control`: the canonical bytes of one message. `data`: a piece of a packed vector. */
export interface Frame {
  kind: 'control' | 'data'
  payload: Uint8Array
}

export interface FrameLimits {
  /** Most payload bytes of a control frame; `MAX_CONTROL` if left out. */
  maxControl?: number
  /** Most payload bytes of a data frame; `MAX_DATA` if left out. */
  maxData?: number
  /** Peer id of the other side, named as the culprit in errors. */
  peer?: string
}

const kinds = ['control', 'data'] as const

function limitOf(kind: Frame['kind'], limits: FrameLimits): number {
  return kind === 'control' ? (limits.maxControl ?? MAX_CONTROL) : (limits.maxData ?? MAX_DATA)
}

function checkLength(kind: Frame['kind'], length: number, limits: FrameLimits): void {
  const limit = limitOf(kind, limits)
  if (length <= limit) return
  const sentence = `a ${kind} frame of ${length} bytes is over the limit of ${limit}; send it in smaller frames`
  throw new MessageError('OVERSIZED', sentence, { culprit: limits.peer })
}

/**
 * A frame as the bytes to send, in order: one array for a small frame, header and payload for a large one, whose
 * payload is not copied and so must not change until it is sent.
 * Throws MessageError OVERSIZED.
 */
export function encodeFrame(frame: Frame, limits: FrameLimits = {}): Uint8Array[] {
  const { kind, payload } = frame
  checkLength(kind, payload.length, limits)
  const joined = payload.length <= JOIN_BELOW
  const head = new Uint8Array(HEADER_LENGTH + (joined ? payload.length : 0))
  new DataView(head.buffer).setUint32(0, payload.length)
  head[4] = kinds.indexOf(kind)
  if (!joined) return [head, payload]
  head.set(payload, HEADER_LENGTH)
  return [head]
}

/** A frame whose header is read and whose payload is still coming. */
interface Incoming {
  kind: Frame['kind']
  length: number
  filled: number
  payload?: Uint8Array
}

/**
 * Frames out of a byte stream, in whatever pieces it arrives. Holds at most one header and one payload within the
 * limits. A payload that arrived in one piece is a view of that piece; any other is copied once.
 */
export class FrameDecoder {
  readonly #limits: FrameLimits
  readonly #header = new Uint8Array(HEADER_LENGTH)
  #headerFilled = 0
  #open?: Incoming

  constructor(limits: FrameLimits = {}) {
    this.#limits = limits
  }

  /**
   * The frames that are complete with `bytes`, one at a time as they are asked for; ask for all before the next piece.
   * Throws MessageError OVERSIZED (as soon as the header is there, before any payload is kept) or MALFORMED, after the
   * frames before it; the stream is lost then.
   */
  *decode(bytes: Uint8Array): Generator<Frame, void, undefined> {
    let at = 0
    while (at < bytes.length) {
      const rest = bytes.subarray(at)
      at += this.#open === undefined ? this.#takeHeader(rest) : this.#takePayload(rest)
      if (this.#open?.payload === undefined || this.#open.filled < this.#open.length) continue
      const { kind, payload } = this.#open
      this.#open = undefined
      this.#headerFilled = 0
      yield { kind, payload }
    }
  }

  /** All frames that are complete with `bytes`; throws as `decode` does, without those before it. */
  push(bytes: Uint8Array): Frame[] {
    return [...this.decode(bytes)]
  }

  /** The stream ended: throws MessageError TRUNCATED if that was within a frame. */
  end(): void {
    if (this.#open === undefined && this.#headerFilled === 0) return
    const missing =
      this.#open === undefined
        ? `${HEADER_LENGTH - this.#headerFilled} bytes of a frame's header`
        : `${this.#open.length - this.#open.filled} of a frame's ${this.#open.length} bytes`
    const sentence = `the stream ended with ${missing} missing; send whole frames before closing`
    throw new MessageError('TRUNCATED', sentence, { culprit: this.#limits.peer })
  }

  #takeHeader(bytes: Uint8Array): number {
    const part = bytes.subarray(0, HEADER_LENGTH - this.#headerFilled)
    this.#header.set(part, this.#headerFilled)
    this.#headerFilled += part.length
    if (this.#headerFilled === HEADER_LENGTH) this.#open = this.#readHeader()
    return part.length
  }

  #readHeader(): Incoming {
    const kind = kinds[this.#header[4]]
    if (kind === undefined) {
      const sentence = `a frame is of unknown kind ${this.#header[4]}; this version knows control (0) and data (1)`
      throw new MessageError('MALFORMED', sentence, { culprit: this.#limits.peer })
    }
    const length = new DataView(this.#header.buffer).getUint32(0)
    checkLength(kind, length, this.#limits)
    return { kind, length, filled: 0, payload: length === 0 ? new Uint8Array() : undefined }
  }

  #takePayload(bytes: Uint8Array): number {
    const open = this.#open!
    const part = bytes.subarray(0, open.length - open.filled)
    if (part.length === open.length) {
      open.payload = part
    } else {
      // Allocated at once: a list of parts would let a peer that sends single bytes make us hold many times its limit.
      open.payload ??= new Uint8Array(open.length)
      open.payload.set(part, open.filled)
    }
    open.filled += part.length
    return part.length
  }
}
