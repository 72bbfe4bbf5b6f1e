import type { Lanes } from '../../src/crypto/mask-stream.ts'
import { pack } from '../../src/encoding/packing.ts'
import type { FixedEncoding, Task } from '../../src/task/task.ts'
import { chiSquareOfBytes, chiSquareOfValues, matchedFilter, pOfZ } from './statistics.ts'
import { ROW, SUSPECTS } from './update.ts'
import type { NextWordModel } from './update.ts'

/** A row says something where it is so many times the size of the middle one. Under noise all are much alike. */
const STANDS_OUT = 5
/** Chance alone goes below about once in a million runs. */
const RARE = 1e-6

/** What one vector in the aggregator's hands tells it. */
export interface Reading {
  name: string
  /** p-values of uniformity. */
  bytes: number
  values: number
  /** The matched filter against the true update, in standard deviations, and its p-value. */
  match: { z: number; p: number }
  looksUniform: boolean
  /** Of each word that was looked for: how far its row was moved, in units of the model's numbers. */
  rows: { word: string; size: number }[]
  /** Those that stand out. */
  words: string[]
}

/** Reads lanes as if they were a plain update, which is all that the aggregator can do with them. */
export function read(name: string, lanes: Lanes, truth: Lanes, task: Task, model: NextWordModel): Reading {
  const bytes = chiSquareOfBytes(pack(lanes, task.bits)).p
  const values = chiSquareOfValues(lanes, task.bits).p
  const z = matchedFilter(lanes, truth)
  const match = { z, p: pOfZ(z) }
  const size = sizes(lanes, task)
  const buckets = Array.from({ length: model.rows - model.firstBucket }, (_, at) => size(model.firstBucket + at))
  const middle = buckets.sort((a, b) => a - b)[buckets.length >> 1]
  const rows = SUSPECTS.map((word) => ({ word, size: size(model.rowOf(word)) }))
  const words = rows.filter((row) => row.size > STANDS_OUT * middle).map(({ word }) => word)
  const looksUniform = [bytes, values, match.p].every((p) => p > RARE)
  return { name, bytes, values, match, looksUniform, rows, words }
}

/** The length of a row of the update. */
function sizes(lanes: Lanes, { encoding }: Task): (row: number) => number {
  const { clip, bits } = encoding as FixedEncoding
  const largest = 2 ** bits - 1
  return (row) =>
    Math.hypot(
      ...lanes
        .subarray(row * ROW, (row + 1) * ROW)
        .values()
        .map(valueOf)
    )
  function valueOf(level: number): number {
    return ((2 * level - largest) / largest) * clip
  }
}
