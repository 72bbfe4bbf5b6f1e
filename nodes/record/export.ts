import * as dagCbor from '@ipld/dag-cbor'
import { z } from 'zod'
import { SecureAggregationError } from '../../src/errors.ts'
import { sliceProofs } from '../../src/round/record.ts'
import type { HeldRound, HeldSlice, HeldSlices, HeldVector } from '../../src/round/record.ts'
import { taskInputOf } from '../../src/task/task-input.ts'
import { createTask } from '../../src/task/task.ts'
import type { Task } from '../../src/task/task.ts'
import { tar, TarFile } from './tar.ts'
import type { TarEntry } from './tar.ts'

/**
 * One round as one file, with all that its check takes: a tar of `round.json` (the task as its user would write it, and the
 * number of the round), `chain.cbor` (every roster up to the round's, with the decisions that made them, and what closed the round
 * before), `transcript.cbor`, `sum` and, while they are held, `masked/<member>`: packed vectors (§11) as they travelled. Of a
 * round in slices (§13) also `slices.cbor`, with what proves them, and `masked/<member>/<slice>`.
 */

const FORMAT = 1
const PIECE_BYTES = 2 ** 18
const MOST_JSON_BYTES = 2 ** 22
const MOST_CBOR_BYTES = 2 ** 28

const description = z.strictObject({
  format: z.literal(FORMAT),
  round: z.int().min(1),
  taskId: z.string(),
  task: z.unknown()
})
const bytes = z.instanceof(Uint8Array)
const chain = z.strictObject({
  links: z.array(z.strictObject({ roster: bytes, made: bytes, effective: bytes })),
  before: bytes.nullable()
})

/** The bytes of the file. */
export function exportRound(held: HeldRound): AsyncGenerator<Uint8Array> {
  return tar(entriesOf(held))
}

function* entriesOf({ task, round, chain, before, transcript, sum, masked, slices }: HeldRound): Generator<TarEntry> {
  const told = { format: FORMAT, round, taskId: task.id, task: taskInputOf(task) }
  yield whole('round.json', new TextEncoder().encode(`${JSON.stringify(told, null, 2)}\n`))
  yield whole('chain.cbor', dagCbor.encode({ links: chain, before }))
  yield whole('transcript.cbor', transcript)
  if (sum !== undefined) yield vector('sum', sum)
  for (const [member, held] of masked) yield vector(`masked/${member}`, held)
  if (slices === undefined) return
  const proofs = slices.masked.map(({ member, slice, path }) => ({ member, slice, path }))
  yield whole('slices.cbor', dagCbor.encode({ headers: slices.headers, masked: proofs }))
  for (const held of slices.masked) yield vector(sliceFile(held), held)
}

const sliceFile = ({ member, slice }: Pick<HeldSlice, 'member' | 'slice'>): string => `masked/${member}/${slice}`

const whole = (name: string, bytes: Uint8Array): TarEntry => ({ name, size: bytes.length, bytes: [bytes] })
const vector = (name: string, held: HeldVector): TarEntry => ({ name, size: held.size, bytes: pieces(held) })

async function* pieces({ size, read }: HeldVector): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < size; at += PIECE_BYTES) yield read(at, Math.min(PIECE_BYTES, size - at))
}

/**
 * What such a file holds, of whatever task it names: whoever reads it compares the task's id with the one it knows.
 *
 * @throws SecureAggregationError EXPORT_UNREADABLE
 */
export async function openExport(path: string): Promise<{ held: HeldRound; close: () => Promise<void> }> {
  const file = await TarFile.open(path)
  try {
    const { task, round } = await readDescription(file, path)
    const { links, before } = await parsed(path, 'chain.cbor', async () =>
      chain.parse(dagCbor.decode(await file.read('chain.cbor', MOST_CBOR_BYTES)))
    )
    const transcript = await file.read('transcript.cbor', MOST_CBOR_BYTES)
    const vectorOf = (name: string): HeldVector => ({
      size: file.size(name)!,
      read: (offset, length) => file.readRange(name, offset, length)
    })
    const masked = new Map<number, HeldVector>()
    for (const name of file.names) {
      const member = /^masked\/(0|[1-9]\d{0,4})$/.exec(name)?.[1]
      if (member !== undefined) masked.set(Number(member), vectorOf(name))
    }
    const sum = file.size('sum') === undefined ? undefined : vectorOf('sum')
    const slices = await readSlices(file, path, vectorOf)
    const held = { task, round, chain: links, before, transcript, sum, masked, ...(slices && { slices }) }
    return { held, close: () => file.close() }
  } catch (error) {
    await file.close()
    throw error
  }
}

function readSlices(
  file: TarFile,
  path: string,
  vectorOf: (name: string) => HeldVector
): Promise<HeldSlices | undefined> {
  return parsed(path, 'slices.cbor', async () => {
    if (file.size('slices.cbor') === undefined) return undefined
    const { headers, masked } = sliceProofs.parse(dagCbor.decode(await file.read('slices.cbor', MOST_CBOR_BYTES)))
    const here = masked.filter((proof) => file.size(sliceFile(proof)) !== undefined)
    return { headers, masked: here.map((proof) => ({ ...proof, ...vectorOf(sliceFile(proof)) })) }
  })
}

function readDescription(file: TarFile, path: string): Promise<{ task: Task; round: number }> {
  return parsed(path, 'round.json', async () => {
    const text = new TextDecoder().decode(await file.read('round.json', MOST_JSON_BYTES))
    const { round, taskId, task: written } = description.parse(JSON.parse(text))
    const task = createTask(written)
    if (task.id !== taskId) throw new Error(`its task has the id ${task.id}, and it names ${taskId}`)
    return { task, round }
  })
}

async function parsed<T>(path: string, name: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (cause) {
    if (cause instanceof SecureAggregationError && cause.code === 'EXPORT_UNREADABLE') throw cause
    const why = (cause as Error).message.split('\n')[0]
    const sentence = `${path} is no export of a round that can be read: its ${name} does not hold (${why})`
    throw new SecureAggregationError('EXPORT_UNREADABLE', sentence, { cause })
  }
}
