import type { IncomingMessage } from 'node:http'
import { InputError } from '../../../src/errors.ts'
import type { Vector } from '../../../src/encoding/encoder.ts'
import type { Task } from '../../../src/task/task.ts'
import { decodeNpy, MAX_PREAMBLE_BYTES } from '../../npy.ts'
import { ApiError } from './errors.ts'

/** How vectors come in, by media type. */
export const vectorTypes = ['application/octet-stream', 'application/x-npy', 'application/json'] as const
export type VectorType = (typeof vectorTypes)[number]

/** What a number takes in JSON at most, with its comma and a space. */
const JSON_NUMBER_BYTES = 32
const JSON_FRAME_BYTES = 1024
const WIDEST_ELEMENT_BYTES = 8

/** The most bytes that a vector of the task can have. */
export function largestUpload(type: VectorType, { length }: Task): number {
  switch (type) {
    case 'application/octet-stream':
      return length * Float32Array.BYTES_PER_ELEMENT
    case 'application/x-npy':
      return length * WIDEST_ELEMENT_BYTES + MAX_PREAMBLE_BYTES
    case 'application/json':
      return length * JSON_NUMBER_BYTES + JSON_FRAME_BYTES
  }
}

/** A request's body in one piece, once it is whole. Throws ApiError TOO_LARGE, or where the client hangs up. */
export async function readBody(body: IncomingMessage, limit: number, expected: string): Promise<Uint8Array> {
  const promised = Number(body.headers['content-length'] ?? NaN)
  const tooLarge = (): ApiError => new ApiError(413, 'TOO_LARGE', `the body is over ${limit} bytes; ${expected}`)
  if (promised > limit) throw tooLarge()
  let bytes = new Uint8Array(Number.isNaN(promised) ? Math.min(limit, 65_536) : promised)
  let received = 0
  // A stream that is left halfway would be destroyed, and with it the connection that is to carry the answer.
  const chunks = body.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>
  try {
    for await (const chunk of chunks) {
      if (received + chunk.length > limit) throw tooLarge()
      if (received + chunk.length > bytes.length) {
        const grown = new Uint8Array(Math.min(limit, 2 * (received + chunk.length)))
        grown.set(bytes.subarray(0, received))
        bytes = grown
      }
      bytes.set(chunk, received)
      received += chunk.length
    }
  } catch (error) {
    if (error instanceof ApiError) throw error
    throw new ApiError(400, 'CUT_OFF', 'the request ended before its body was whole; nothing of it is kept')
  }
  return bytes.subarray(0, received)
}

/** What users are told to send. */
export function expectedOf({ name, length, encoding }: Task): string {
  const values = encoding.type === 'integer' ? 'whole numbers' : 'numbers'
  return `the task ${name} takes ${length} ${values}, as float32 little-endian (${4 * length} bytes), .npy or JSON`
}

/** Throws InputError, and ApiError INVALID_JSON. */
export async function readVector(type: VectorType, bytes: Uint8Array, task: Task): Promise<Vector> {
  switch (type) {
    case 'application/octet-stream':
      return readFloats(bytes, task)
    case 'application/x-npy':
      return (await decodeNpy(bytes, 'the body')).values
    case 'application/json':
      return readJson(bytes, task)
  }
}

function readFloats(bytes: Uint8Array, task: Task): Vector {
  if (bytes.length !== 4 * task.length) {
    const sentence = `the body has ${bytes.length} bytes; ${expectedOf(task)}`
    throw new InputError('INPUT_LENGTH', sentence)
  }
  return new Float32Array(bytes.buffer, bytes.byteOffset, task.length)
}

function readJson(bytes: Uint8Array, task: Task): Vector {
  let values: unknown
  let text = ''
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    values = JSON.parse(text)
  } catch {
    // Python writes them, and JSON has no word for them.
    if (/^[\s\d[\]{},:.+\-eE"a-zA-Z]*(NaN|Infinity)/.test(text))
      throw new InputError('INPUT_NOT_FINITE', 'an element is NaN or infinite; replace it before you contribute')
    throw new ApiError(400, 'INVALID_JSON', 'the body is no JSON; send an array of numbers')
  }
  if (!Array.isArray(values)) throw new InputError('INPUT_TYPE', `the body is no array of numbers; ${expectedOf(task)}`)
  return values as Vector
}
