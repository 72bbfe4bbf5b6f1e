import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@libp2p/yamux'
import type { MessageStream } from '@libp2p/interface'
import type { YamuxMuxerInit } from '@libp2p/yamux'

/**
 * The same bytes in fewer packets, at less cost each. A control message has some hundred bytes, and what each write and read
 * of a socket takes is more than all that is done with them.
 */

/** Up to here one write is cheaper than sparing the copy; a message of Noise has at most 64 KiB. */
const JOIN_UP_TO = 64 << 10

/** Of a yamux stream, what decides whether the other side is told that it may send more. */
interface Receiving {
  state: number
  recvWindow: number
  recvWindowCapacity: number
  sendWindowUpdate(): void
}

/** `StreamState.Established`: nothing but the window is to be told. */
const ESTABLISHED = 3

/** Noise; what it gives in parts (length, ciphertext, tag) the transport writes one by one, each a packet, if nobody joins them. */
export function encryption(): ReturnType<typeof noise> {
  const create = noise()
  return (components) => {
    const encrypter = create(components)
    const inbound = encrypter.secureInbound.bind(encrypter)
    const outbound = encrypter.secureOutbound.bind(encrypter)
    encrypter.secureInbound = async (connection, options) => decoding(await inbound(joining(connection), options))
    encrypter.secureOutbound = async (connection, options) => decoding(await outbound(joining(connection), options))
    return encrypter
  }
}

/** The list of parts that a transport is handed, which it may change. */
interface Parts {
  byteLength: number
  subarray(): Uint8Array
  consume(bytes: number): void
  append(bytes: Uint8Array): void
}

function joining<T extends MessageStream>(connection: T): T {
  const transport = connection as unknown as { sendData(data: Parts): unknown }
  const send = transport.sendData.bind(transport)
  transport.sendData = (data) => {
    if (data.byteLength <= JOIN_UP_TO) {
      const whole = data.subarray()
      data.consume(data.byteLength)
      data.append(whole)
    }
    return send(data)
  }
  return connection
}

/** Behind each message: there is no next length yet. An error made for each, with its stack, costs more than decrypting one. */
const noLengthYet = new RangeError('the length of a message has two bytes')

function decoding<T extends { connection: MessageStream }>(secured: T): T {
  const { decoder } = secured.connection as unknown as { decoder: { lengthDecoder(bytes: Parts): number } }
  const lengthOf = decoder.lengthDecoder.bind(decoder)
  decoder.lengthDecoder = (bytes) => {
    if (bytes.byteLength < 2) throw noLengthYet
    return lengthOf(bytes)
  }
  return secured
}

/**
 * Yamux; an eighth of a window is received before the other side is told of it. By itself it answers every frame, however
 * small, with a frame of its own.
 */
export function multiplexing(init: YamuxMuxerInit): ReturnType<typeof yamux> {
  const create = yamux(init)
  return () => {
    const factory = create()
    const createStreamMuxer = factory.createStreamMuxer.bind(factory)
    factory.createStreamMuxer = (connection) => {
      const muxer = createStreamMuxer(connection)
      const streams = muxer as unknown as { _newStream(...of: unknown[]): Receiving }
      const open = streams._newStream.bind(streams)
      streams._newStream = (...of) => patient(open(...of))
      return muxer
    }
    return factory
  }
}

function patient(stream: Receiving): Receiving {
  const tell = stream.sendWindowUpdate.bind(stream)
  stream.sendWindowUpdate = () => {
    const { state, recvWindow, recvWindowCapacity } = stream
    if (state !== ESTABLISHED || recvWindow - recvWindowCapacity >= recvWindow / 8) tell()
  }
  return stream
}
